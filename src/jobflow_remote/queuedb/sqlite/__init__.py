"""The embedded queue database: one SQLite file, no server, nothing to install."""

from __future__ import annotations

from jobflow_remote.queuedb.sqlite.database import SQLiteQueueDatabase

__all__ = ["SQLiteQueueDatabase"]
