"""How the embedded queue database answers: the statements that it runs, and those that read whole tables."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jobflow_remote.queuedb.sqlite.connection import Connections

TABLES = {"jobs", "job_bodies", "edges", "flows"}


def record_statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that connections opened from now on run, with its parameters in place."""
    seen: list[str] = []
    connect = Connections._connect

    def traced(self: Connections) -> sqlite3.Connection:
        opened = connect(self)
        opened.set_trace_callback(seen.append)
        return opened

    monkeypatch.setattr(Connections, "_connect", traced)
    return seen


def find_scans(path: Path, statements: list[str]) -> list[tuple[str, str]]:
    """Statements that read a whole table of documents. One that ends with its page may walk along an index."""
    scans = []
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        opened.create_function("jf_regex", 3, lambda *_: True)
        for sql in dict.fromkeys(statements):
            if not sql.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
                continue
            plan = opened.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
            sorting = {parent for _, parent, _, step in plan if "TEMP B-TREE" in step}
            for _, parent, _, step in plan:
                if step.startswith("SCAN") and step.split()[1] in TABLES:
                    ordered = (
                        "USING" in step or "ORDER BY db_number" in sql
                    )  # by an index, or the table's own order
                    if not ("LIMIT" in sql and ordered and parent not in sorting):
                        scans.append((step, sql))
    return scans
