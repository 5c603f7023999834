"""Tables of many rows are drawn in a quicker way where nobody sees colours; they look the same."""

from __future__ import annotations

import pytest

from jobflow_remote.cli import columns
from jobflow_remote.cli.output import out_console

_KEYS = ("db_id", "name", "state")


@pytest.mark.parametrize("name", ["add", "relax [bold]x[/] ✓ 漢字"])
def test_a_long_table_looks_like_a_short_one(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    documents = [
        {"db_id": str(number), "job": {"name": name * (1 + number % 2)}, "name": name, "state": "READY"}
        for number in range(3)
    ]
    chosen = [column for column in columns.JOB_COLUMNS.values() if column.key in _KEYS]
    drawn = []
    for many in (len(documents), len(documents) - 1):
        monkeypatch.setattr(columns, "_MANY", many)
        out_console().print(columns.make_table(chosen, documents, title="Jobs info"))
        drawn.append([line.rstrip() for line in capsys.readouterr().out.splitlines()])
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 1 + 3 + len(documents) + 1
