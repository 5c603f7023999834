"""Indexes of the file: the standard ones anew, and those that people add."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

from jobflow_remote.errors import CapabilityMissingError, QueueDatabaseError
from jobflow_remote.queuedb.filters import Column
from jobflow_remote.queuedb.sqlite.schema import FLOW_COLUMNS, JOB_COLUMNS

_OWN = "own_"
"""Begins the names of indexes that people created."""
_COLUMNS: dict[str, dict[str, Column]] = {"jobs": JOB_COLUMNS, "flows": FLOW_COLUMNS}


def rebuild(connection: sqlite3.Connection) -> int:
    """Drop what people added, and write the standard indexes anew; returns how many."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    names = [name for (name,) in rows]
    own = [name for name in names if name.startswith(_OWN)]
    for name in own:
        connection.execute(f"DROP INDEX {name}")
    connection.execute("REINDEX")
    return len(names) - len(own)


def add(
    connection: sqlite3.Connection, collection: str, keys: Sequence[tuple[str, int]], *, unique: bool
) -> str:
    """Create an index on fields that are columns; others are searched in the text of the document."""
    columns = _COLUMNS.get(collection, {})
    unknown = [field for field, _ in keys if field not in columns]
    if unknown:
        raise CapabilityMissingError(
            f"an SQLite queue would not use an index on {', '.join(unknown)} of {collection}",
            hint=f"it can have one on {', '.join(columns)}" if columns else "jobs and flows can have indexes",
        )
    parts = [(columns[field].name, "DESC" if direction < 0 else "ASC") for field, direction in keys]
    name = _OWN + re.sub(r"\W", "_", "_".join([collection, *(f"{column}_{way}" for column, way in parts)]))
    listed = ", ".join(f"{column} {way}" for column, way in parts)
    kind = "UNIQUE INDEX" if unique else "INDEX"
    try:
        connection.execute(f"CREATE {kind} IF NOT EXISTS {name.lower()} ON {collection} ({listed})")
    except sqlite3.IntegrityError as exc:
        raise QueueDatabaseError(f"{keys[0][0]} cannot have a unique index: values occur twice") from exc
    return name.lower()
