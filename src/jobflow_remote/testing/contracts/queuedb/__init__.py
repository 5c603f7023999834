"""The contract of a queue database, as tests: subclass it and say how the database is opened.

>>> class TestMyDatabase(QueueDatabaseContract):
...     @pytest.fixture
...     def opener(self, tmp_path):
...         def open(**options):
...             return MyQueueDatabase(tmp_path / "queue", **options)
...
...         return open

``opener`` always opens the same database, empty at the beginning of each test. It takes ``clock`` (what says what time
it is), ``db_id_prefix``, and ``hook``, a function that the adapter calls before each write: the tests kill the
process in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.testing.contracts.queuedb.applying import ConsequenceContract, RefusalContract
from jobflow_remote.testing.contracts.queuedb.batches import BatchContract
from jobflow_remote.testing.contracts.queuedb.crashes import CrashContract
from jobflow_remote.testing.contracts.queuedb.documents import Opener, SetClock, Stage
from jobflow_remote.testing.contracts.queuedb.life import AdministrationContract, InsertionContract
from jobflow_remote.testing.contracts.queuedb.moving import MovingContract
from jobflow_remote.testing.contracts.queuedb.pilots import PilotDocumentsContract
from jobflow_remote.testing.contracts.queuedb.reading import FlowReadingContract, ReadingContract, populate
from jobflow_remote.testing.contracts.queuedb.removing import RemovalContract, WritingContract
from jobflow_remote.testing.contracts.queuedb.sessions import ClaimContract, DueContract, SessionContract

__all__ = ["QueueDatabaseContract", "SetClock", "Stage"]


class QueueDatabaseContract(
    InsertionContract,
    AdministrationContract,
    SessionContract,
    ClaimContract,
    DueContract,
    RefusalContract,
    ConsequenceContract,
    RemovalContract,
    WritingContract,
    ReadingContract,
    FlowReadingContract,
    BatchContract,
    PilotDocumentsContract,
    CrashContract,
    MovingContract,
):
    """What every adapter of :class:`~jobflow_remote.queuedb.port.QueueDatabase` must do."""

    @pytest.fixture
    def opener(self) -> Opener:
        """Opens the database under test; a subclass provides it."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> SetClock:
        """A clock that stands still."""
        return SetClock()

    @pytest.fixture
    def database(self, opener: Opener, clock: SetClock) -> Iterator[QueueDatabase]:
        """An empty database."""
        database = opener(clock=clock)
        yield database
        database.close()

    @pytest.fixture
    def stage(self, database: QueueDatabase, clock: SetClock) -> Iterator[Stage]:
        """A database to play on."""
        stage = Stage(database, clock)
        yield stage
        stage.database.close()

    @pytest.fixture
    def populated(self, stage: Stage) -> Stage:
        """Two flows with jobs in several states."""
        return populate(stage)
