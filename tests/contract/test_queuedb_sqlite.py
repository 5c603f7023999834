"""The contract of a queue database, on SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase
from jobflow_remote.testing.contracts.queuedb import QueueDatabaseContract
from jobflow_remote.testing.contracts.queuedb.documents import Opener


class TestSQLiteQueueDatabase(QueueDatabaseContract):
    """Each statement of the writing connection counts as a write."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        def open_database(**options: Any) -> QueueDatabase:
            return SQLiteQueueDatabase(tmp_path / "queue" / "queue.db", **options)

        return open_database
