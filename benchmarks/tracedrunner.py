"""A runner in the foreground that counts what it asks of its SQLite files. ``python tracedrunner.py COUNTS.json``

Ends on SIGTERM. Statements that only look whether something has changed (``PRAGMA data_version``) are counted apart.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

COUNTS: Counter[str] = Counter()
_KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "WITH")


def _kind(statement: str) -> str:
    words = statement.upper().split(None, 2)
    if words[:2] == ["BEGIN", "IMMEDIATE"]:
        return "WRITING"
    word = words[0].rstrip(";") if words else ""
    return word if word in _KINDS else "other"


def main() -> int:
    """Run the runner of the selected project until it is told to stop; then write the counts."""
    genuine = sqlite3.connect

    def connect(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = genuine(database, *args, **kwargs)
        where = "queue" if "queue.db" in str(database) else "outputs"
        connection.set_trace_callback(lambda statement: COUNTS.update([f"{where} {_kind(statement)}"]))
        return connection

    sqlite3.connect = connect  # type: ignore[assignment]
    from jobflow_remote.engine.runner import run_runner

    code = run_runner()
    Path(sys.argv[1]).write_text(json.dumps(COUNTS), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
