"""The examples of the documentation run, with the results that the pages promise."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.docs.pagerun import prepare

DOCS = Path(__file__).parents[2] / "docs"
LEAST = {
    "../README.md": (1, 0),
    "quickstart.md": (6, 8), "projects.md": (2, 10), "tuning.md": (4, 5), "python.md": (10, 0),
    "errors.md": (3, 8), "plugins.md": (3, 4), "looking.md": (3, 10),
}  # fmt: skip
"""Page → least number of results that are compared, and of commands: an example that is lost is noticed."""


def _run_tests_of_the_page(folder: Path) -> None:
    """A few of them: all contracts take their time."""
    if tests := [path.name for path in folder.glob("test_*.py")]:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "ids or streams",
            *tests,
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 4  # type: ignore[index]


@pytest.mark.parametrize("name", LEAST)
def test_examples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(sys.modules)
    with tempfile.TemporaryDirectory(prefix="jfd-") as folder:  # short: sockets of the runner are in it
        run = prepare(DOCS / name, Path(folder), monkeypatch)
        try:
            run.run()
            _run_tests_of_the_page(Path(folder))
        finally:
            run.close()
            for module in set(sys.modules) - before:
                if str(getattr(sys.modules[module], "__file__", "")).startswith(folder):
                    del sys.modules[module]
    assert (run.checked, run.commands) >= LEAST[name]
    assert run.checked >= LEAST[name][0]
    assert run.commands >= LEAST[name][1]
