"""The queue database in one file: verbs of the port, each one transaction.

What only writing needs is imported when it is first used: listings start without it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.errors import ConfigError
from jobflow_remote.model import clock as wall
from jobflow_remote.model.records import Document, JobRecord, NewFlow, RunnerSession
from jobflow_remote.model.selection import Filter
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.filesystem import find_filesystem, is_network
from jobflow_remote.queuedb.port import PLAIN, WHOLE, BackupOptions, QueueDatabase, Share, Sort
from jobflow_remote.queuedb.sqlite import hostpin, reading, sessions
from jobflow_remote.queuedb.sqlite.codec import decode, encode
from jobflow_remote.queuedb.sqlite.connection import Connections, FileOptions, Hook
from jobflow_remote.queuedb.sqlite.reading import FLOW_TABLE, JOB_TABLE, Page

if TYPE_CHECKING:
    from jobflow_remote.model.changes import ApplyResult, ChangeSet

_OPTIONS = ("path", "synchronous", "allow_network")
_HIDDEN = ("next_id",)
"""Auxiliary documents that only the database writes."""


class SQLiteQueueDatabase(QueueDatabase):
    """A queue database in an SQLite file: no server, several processes of one machine.

    Parameters
    ----------
    path
        The file; made when missing, for its owner only.
    synchronous
        ``NORMAL``: a power failure may lose the last moments and never damages the file. ``FULL``: nothing
        is lost, and writing is several times slower.
    allow_network
        Use the file on a network file system, slowly and from one host at a time.
    clock
        What says what time it is (for tests of leases).
    hook
        Called with each statement of a write transaction before it runs (for tests of crashes).
    mounts
        Table of file systems in the format of ``/proc/mounts`` instead of the machine's own.

    Raises
    ------
    ConfigError
        If the file would be on a network file system and ``allow_network`` is not set.
    """

    capabilities = frozenset({"online_backup"})

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: str = "NORMAL",
        allow_network: bool = False,
        db_id_prefix: str = "",
        clock: Callable[[], datetime] = wall.utcnow,
        busy_timeout_seconds: float = 30.0,
        hook: Hook | None = None,
        mounts: str | None = None,
    ) -> None:
        if synchronous not in ("NORMAL", "FULL"):
            raise ConfigError(f"queue.store.synchronous can be NORMAL or FULL, not {synchronous!r}")
        self.path = Path(path).expanduser().absolute()
        self._clock = clock
        self._prefix = db_id_prefix
        self._networked = _check_filesystem(self.path, allow_network=allow_network, mounts=mounts)
        self._connections = Connections(
            FileOptions(self.path, synchronous, self._networked, busy_timeout_seconds, hook)
        )
        self.initialise()

    # -- life ------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, spec: QueueSpec) -> Self:
        unknown = sorted(set(spec.options) - set(_OPTIONS))
        if unknown:
            raise ConfigError(
                f"queue.store does not know {', '.join(unknown)}",
                hint=f"it knows type, {', '.join(_OPTIONS)}",
            )
        if not spec.options.get("path"):
            raise ConfigError("queue.store.path is missing: it names the file of the queue database")
        return cls(**spec.options, db_id_prefix=spec.db_id_prefix)

    def close(self) -> None:
        self._connections.close()

    def initialise(self) -> None:
        self._connections.create()
        if self._networked:
            with self._writing():
                pass  # pins the host

    def reset(self) -> None:
        from jobflow_remote.queuedb.sqlite import admin

        with self._writing() as connection:
            sessions.check_no_runner(connection, self._clock(), hint="stop it first, with `jf runner stop`")
            admin.reset(connection)

    def describe(self) -> str:
        return f"SQLite file {self.path}"

    def changed_by_others(self) -> bool:
        return self._connections.changed_by_others()

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._connections.reading()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connections.writing() as connection:
            if self._networked and hostpin.is_stale(connection, self._clock()):
                hostpin.write_pin(connection, self._clock())
            yield connection

    # -- flows in --------------------------------------------------------------------------------------------

    def insert_flow(self, new: NewFlow) -> list[str]:
        from jobflow_remote.queuedb.sqlite import inserting

        with self._writing() as connection:
            return inserting.insert_flow(connection, new, prefix=self._prefix, now=self._clock())

    # -- the runner session ----------------------------------------------------------------------------------

    def open_session(self, owner: Document, *, lease_seconds: float, override: bool = False) -> RunnerSession:
        with self._writing() as connection:
            return sessions.open_session(
                connection, owner, now=self._clock(), lease_seconds=lease_seconds, override=override
            )

    def renew_session(self, token: str, *, lease_seconds: float) -> RunnerSession:
        with self._writing() as connection:
            return sessions.renew_session(connection, token, now=self._clock(), lease_seconds=lease_seconds)

    def close_session(self, token: str) -> None:
        with self._writing() as connection:
            sessions.end_session(connection, token)

    def get_session(self) -> RunnerSession | None:
        with self._reading() as connection:
            return sessions.read_session(connection)

    def request_stop(self, how: str) -> bool:
        with self._writing() as connection:
            return connection.execute("UPDATE session SET stop_requested = ?", (how,)).rowcount > 0

    def clear_session(self) -> None:
        with self._writing() as connection:
            sessions.end_session(connection, None)

    def report_process(self, token: str, name: str, report: Document) -> bool:
        with self._writing() as connection:
            return sessions.report_process(connection, token, name, report)

    def process_reports(self) -> dict[str, Document]:
        with self._reading() as connection:
            return sessions.read_reports(connection)

    # -- the engine ------------------------------------------------------------------------------------------

    def claim(self, token: str, *, worker: str, limit: int, share: Share = WHOLE) -> list[JobRecord]:
        with self._writing() as connection:
            return sessions.claim_jobs(
                connection, token, worker=worker, limit=limit, share=share, now=self._clock()
            )

    def due(
        self, token: str, *, states: frozenset[JobState], worker: str | None, limit: int, share: Share = WHOLE
    ) -> list[JobRecord]:
        with self._reading() as connection:
            return sessions.find_due(
                connection, token, states=states, worker=worker, limit=limit, share=share, now=self._clock()
            )

    def next_retry(self, token: str, *, states: frozenset[JobState], worker: str | None) -> datetime | None:
        with self._reading() as connection:
            return sessions.find_next_retry(
                connection, token, states=states, worker=worker, now=self._clock()
            )

    def apply(self, change_sets: Sequence[ChangeSet]) -> list[ApplyResult]:
        from jobflow_remote.queuedb.sqlite import applying

        if not change_sets:
            return []
        with self._writing() as connection:
            return applying.apply_change_sets(connection, change_sets, prefix=self._prefix, now=self._clock())

    def put_batches(self, token: str, batches: Sequence[Document]) -> None:
        from jobflow_remote.queuedb.sqlite import transfer

        with self._writing() as connection:
            sessions.check_token(connection, token)
            transfer.load(connection, "batches", batches)

    def workload(self, *, states: frozenset[JobState] | None = None) -> dict[tuple[str, JobState], int]:
        with self._reading() as connection:
            return sessions.count_workload(connection, states)

    # -- reading ---------------------------------------------------------------------------------------------

    def get_job(self, uuid: str, index: int | None = None, *, with_inputs: bool = False) -> Document | None:
        with self._reading() as connection:
            return reading.get_job(connection, uuid, index, with_inputs=with_inputs)

    def find_jobs(
        self,
        query: Filter,
        *,
        fields: Sequence[str] | None = None,
        sort: Sort = (),
        skip: int = 0,
        limit: int = 0,
        with_inputs: bool = False,
    ) -> list[Document]:
        page = Page(fields, sort, skip, limit, complete=with_inputs)
        with self._reading() as connection:
            return reading.find(connection, JOB_TABLE, query, page)

    def count_jobs(self, query: Filter) -> int:
        with self._reading() as connection:
            return reading.count(connection, JOB_TABLE, query)

    def get_flow(self, uuid: str) -> Document | None:
        with self._reading() as connection:
            return reading.get_flow(connection, uuid)

    def find_flows(
        self,
        query: Filter,
        *,
        fields: Sequence[str] | None = None,
        sort: Sort = (),
        skip: int = 0,
        limit: int = 0,
    ) -> list[Document]:
        with self._reading() as connection:
            return reading.find(connection, FLOW_TABLE, query, Page(fields, sort, skip, limit))

    def count_flows(self, query: Filter) -> int:
        with self._reading() as connection:
            return reading.count(connection, FLOW_TABLE, query)

    def count_job_states(self, *, worker: str | None = None) -> dict[str, int]:
        with self._reading() as connection:
            return reading.count_job_states(connection, worker)

    def count_flow_states(self) -> dict[str, int]:
        with self._reading() as connection:
            return reading.count_flow_states(connection)

    def count_updates(
        self, collection: str, states: Sequence[str], starts: Sequence[datetime]
    ) -> list[dict[str, int]]:
        with self._reading() as connection:
            return reading.count_updates(connection, collection, states, starts)

    def find_children(self, uuids: Sequence[str]) -> list[Document]:
        with self._reading() as connection:
            return reading.find_children(connection, uuids)

    def find_batches(self, query: Filter, *, sort: Sort = (), limit: int = 0) -> list[Document]:
        from jobflow_remote.queuedb.sqlite import batches

        with self._reading() as connection:
            return batches.find_batches(connection, query, sort=sort, limit=limit)

    # -- people ----------------------------------------------------------------------------------------------

    def delete_batches(self, batch_uids: Sequence[str]) -> int:
        from jobflow_remote.queuedb.sqlite import batches

        with self._writing() as connection:
            return batches.delete_batches(connection, batch_uids)

    def delete_flows(self, uuids: Sequence[str]) -> list[str]:
        from jobflow_remote.queuedb.sqlite import admin

        with self._writing() as connection:
            return admin.delete_flows(connection, uuids, now=self._clock())

    def change_flow(
        self, uuid: str, fields: Mapping[str, Any], *, expect: frozenset[FlowState] | None = None
    ) -> bool:
        from jobflow_remote.queuedb.sqlite import admin

        with self._writing() as connection:
            return admin.change_flow(connection, uuid, fields, expect=expect)

    def get_auxiliary(self, key: str) -> Any:
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM auxiliary WHERE key = ?", (key,)).fetchone()
        return decode(row[0]) if row else None

    def set_auxiliary(self, key: str, value: Any) -> None:
        if key in _HIDDEN:
            raise ValueError(f"{key} is kept by the database itself")
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO auxiliary VALUES (?, ?)", (key, encode(value)))

    def dump(self, collection: str, *, after: Any = None) -> Iterator[Document]:
        from jobflow_remote.queuedb.sqlite import transfer

        return transfer.dump(self._reading, collection, after)

    def load(self, collection: str, documents: Iterable[Document]) -> int:
        from jobflow_remote.queuedb.sqlite import transfer

        with self._writing() as connection:
            return transfer.load(connection, collection, documents)

    def finish_load(self) -> None:
        from jobflow_remote.queuedb.sqlite import transfer

        with self._writing() as connection:
            transfer.finish_load(connection)

    def rebuild_indexes(self) -> int:
        from jobflow_remote.queuedb.sqlite import indexes

        with self._writing() as connection:
            return indexes.rebuild(connection)

    def create_index(self, collection: str, keys: Sequence[tuple[str, int]], *, unique: bool = False) -> str:
        from jobflow_remote.queuedb.sqlite import indexes

        with self._writing() as connection:
            return indexes.add(connection, collection, keys, unique=unique)

    def compact(self) -> int:
        return self._connections.vacuum()

    def check_integrity(self) -> list[str]:
        from jobflow_remote.queuedb.sqlite import admin

        with self._reading() as connection:
            return admin.check_integrity(connection)

    def backup(self, target: Path, options: BackupOptions = PLAIN) -> Mapping[str, int]:
        from jobflow_remote.queuedb import bsonfiles
        from jobflow_remote.queuedb.sqlite import admin

        if options.bson:
            return bsonfiles.write_queue(self, target / self.path.stem, compress=options.compress)
        if target.is_dir():
            target = target / f"{self.path.name}{'.gz' if options.compress else ''}"
        if target.exists() and target.samefile(self.path):
            raise ConfigError(
                f"{target} is the queue database itself", hint="name another folder for the backup"
            )
        with self._reading() as connection:
            return admin.copy_database(connection, target, compress=options.compress)

    def restore(self, files: Mapping[str, Path], options: BackupOptions = PLAIN) -> Mapping[str, int]:
        from jobflow_remote.queuedb import bsonfiles

        return bsonfiles.load_queue(self, files)


def _check_filesystem(path: Path, *, allow_network: bool, mounts: str | None) -> bool:
    """Whether the file is on a network file system, which must have been allowed."""
    point, kind = find_filesystem(path, mounts)
    if not is_network(kind):
        return False
    if not allow_network:
        raise ConfigError(
            f"the queue database {path} would be on a network file system ({kind}, mounted at {point}), "
            "where processes of several machines can damage it",
            hint="set queue.store.path in the project file to a path on a local disk, "
            "or queue.store.type to MongoStore; "
            "allow_network: true in queue.store permits it, slowly and for one machine at a time",
        )
    return True
