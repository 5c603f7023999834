"""The queue database on a MongoDB server: verbs of the port."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.model import clock as wall
from jobflow_remote.model.records import Document, JobRecord, NewFlow, RunnerSession
from jobflow_remote.model.selection import Filter
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.mongo import leftovers, reading
from jobflow_remote.queuedb.mongo.connection import Connection, Hook
from jobflow_remote.queuedb.mongo.options import Server, parse_spec
from jobflow_remote.queuedb.mongo.reading import Page
from jobflow_remote.queuedb.port import PLAIN, WHOLE, BackupOptions, QueueDatabase, Share, Sort

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from jobflow_remote.model.changes import ApplyResult, ChangeSet
    from jobflow_remote.model.decide.upgrade import Survey, UpgradeOrder

_HIDDEN = ("next_id",)
"""Auxiliary documents that only the database writes."""
_VERSION = "jobflow_remote_version"
"""Key by which 1.0.1 finds the document of versions."""


class MongoQueueDatabase(QueueDatabase):
    """A queue database in four collections of a MongoDB server.

    Parameters
    ----------
    server
        How the server is reached, and the names of the collections.
    clock
        What says what time it is (for tests of leases).
    hook
        Called before each write (for tests of crashes).

    Raises
    ------
    QueueDatabaseAwayError
        If the server does not answer.
    """

    capabilities = frozenset({"collections"})

    def __init__(
        self,
        server: Server,
        *,
        db_id_prefix: str = "",
        clock: Callable[[], datetime] = wall.utcnow,
        hook: Hook | None = None,
    ) -> None:
        self._prefix = db_id_prefix
        self._connection = Connection(server, clock=clock, hook=hook)
        try:
            self.initialise()
            with self._connection.translated():
                leftovers.sweep(self._connection)
        except BaseException:
            self.close()
            raise

    # -- life ------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, spec: QueueSpec) -> Self:
        return cls(parse_spec(spec), db_id_prefix=spec.db_id_prefix)

    def close(self) -> None:
        self._connection.close()

    def initialise(self) -> None:
        with self._connection.translated():
            self._connection.initialise()

    def reset(self) -> None:
        from jobflow_remote.queuedb.mongo import admin, sessions

        with self._connection.translated():
            sessions.check_no_runner(self._connection, hint="stop it first, with `jf runner stop`")
            admin.reset(self._connection)

    def describe(self) -> str:
        return self._connection.where

    def join_session(self) -> None:
        self._connection.is_of_runner = True

    def changed_by_others(self) -> bool:
        with self._reading() as connection:
            return connection.changed_by_others()

    @property
    def jobs(self) -> Collection[Any]:
        """The collection of jobs."""
        return self._connection.jobs

    @property
    def flows(self) -> Collection[Any]:
        """The collection of flows."""
        return self._connection.flows

    @property
    def auxiliary(self) -> Collection[Any]:
        """The collection of auxiliary documents."""
        return self._connection.auxiliary

    @property
    def batches(self) -> Collection[Any]:
        """The collection of batches."""
        return self._connection.batches

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._connection.translated():
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._check_usable()
        with self._connection.translated():
            yield self._connection

    def _check_usable(self) -> None:
        if not self._connection.usable:
            raise QueueDatabaseError(
                f"{self._connection.where} was written by an older release of jobflow-remote and can only be read",
                hint="bring it up to date with `jf admin upgrade`",
            )

    # -- flows in --------------------------------------------------------------------------------------------

    def insert_flow(self, new: NewFlow) -> list[str]:
        from jobflow_remote.queuedb.mongo import inserting, units

        with self._writing() as connection:
            return units.run(
                connection,
                [new.flow["uuid"]],
                lambda unit: inserting.insert_flow(connection, unit, new, prefix=self._prefix),
            )

    # -- the runner session ----------------------------------------------------------------------------------

    def open_session(self, owner: Document, *, lease_seconds: float, override: bool = False) -> RunnerSession:
        from jobflow_remote.queuedb.mongo import sessions

        with self._writing() as connection:
            return sessions.open_session(connection, owner, lease_seconds=lease_seconds, override=override)

    def renew_session(self, token: str, *, lease_seconds: float) -> RunnerSession:
        from jobflow_remote.queuedb.mongo import sessions

        with self._writing() as connection:
            return sessions.renew_session(connection, token, lease_seconds=lease_seconds)

    def close_session(self, token: str) -> None:
        from jobflow_remote.queuedb.mongo import sessions

        with self._writing() as connection:
            sessions.end_session(connection, token)

    def get_session(self) -> RunnerSession | None:
        from jobflow_remote.queuedb.mongo import sessions

        with self._reading() as connection:
            return sessions.read_session(connection)

    def request_stop(self, how: str) -> bool:
        from jobflow_remote.queuedb.mongo import sessions

        with self._writing() as connection:
            return sessions.request_stop(connection, how)

    def clear_session(self) -> None:
        from jobflow_remote.queuedb.mongo import sessions

        with self._writing() as connection:
            sessions.end_session(connection, None)

    def report_process(self, token: str, name: str, report: Document) -> bool:
        from jobflow_remote.queuedb.mongo import sessions

        with self._writing() as connection:
            return sessions.report_process(connection, token, name, report)

    def process_reports(self) -> dict[str, Document]:
        from jobflow_remote.queuedb.mongo import sessions

        with self._reading() as connection:
            return sessions.read_reports(connection)

    # -- the engine ------------------------------------------------------------------------------------------

    def claim(self, token: str, *, worker: str, limit: int, share: Share = WHOLE) -> list[JobRecord]:
        from jobflow_remote.queuedb.mongo import sessions

        with self._writing() as connection:
            return sessions.claim_jobs(connection, token, worker=worker, limit=limit, share=share)

    def due(
        self, token: str, *, states: frozenset[JobState], worker: str | None, limit: int, share: Share = WHOLE
    ) -> list[JobRecord]:
        from jobflow_remote.queuedb.mongo import sessions

        with self._reading() as connection:
            return sessions.find_due(
                connection, token, states=states, worker=worker, limit=limit, share=share
            )

    def next_retry(self, token: str, *, states: frozenset[JobState], worker: str | None) -> datetime | None:
        from jobflow_remote.queuedb.mongo import sessions

        with self._reading() as connection:
            return sessions.find_next_retry(connection, token, states=states, worker=worker)

    def apply(self, change_sets: Sequence[ChangeSet]) -> list[ApplyResult]:
        from jobflow_remote.queuedb.mongo import applying, units

        if not change_sets:
            return []
        flows: Iterable[str] = {change_set.flow_uuid for change_set in change_sets}
        with self._writing() as connection:
            return units.run(
                connection,
                flows,
                lambda unit: applying.apply_change_sets(connection, unit, change_sets, prefix=self._prefix),
            )

    def put_batches(self, token: str, batches: Sequence[Document]) -> None:
        from jobflow_remote.queuedb.mongo import batches as batch_documents

        with self._writing() as connection:
            batch_documents.put_batches(connection, token, batches)

    def workload(self, *, states: frozenset[JobState] | None = None) -> dict[tuple[str, JobState], int]:
        from jobflow_remote.queuedb.mongo import sessions

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
        with self._reading() as connection:
            return reading.find_jobs(
                connection, query, Page(fields, sort, skip, limit), with_inputs=with_inputs
            )

    def count_jobs(self, query: Filter) -> int:
        with self._reading() as connection:
            return reading.count(connection, connection.jobs, query)

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
            return reading.find_flows(connection, query, Page(fields, sort, skip, limit))

    def count_flows(self, query: Filter) -> int:
        with self._reading() as connection:
            return reading.count(connection, connection.flows, query)

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
        from jobflow_remote.queuedb.mongo import batches

        with self._reading() as connection:
            return batches.find_batches(connection, query, sort=sort, limit=limit)

    # -- people ----------------------------------------------------------------------------------------------

    def delete_batches(self, batch_uids: Sequence[str]) -> int:
        from jobflow_remote.queuedb.mongo import batches

        with self._writing() as connection:
            return batches.delete_batches(connection, batch_uids)

    def delete_flows(self, uuids: Sequence[str]) -> list[str]:
        from jobflow_remote.queuedb.mongo import admin

        with self._writing() as connection:
            return admin.delete_flows(connection, uuids)

    def change_flow(
        self, uuid: str, fields: Mapping[str, Any], *, expect: frozenset[FlowState] | None = None
    ) -> bool:
        from jobflow_remote.queuedb.mongo import admin

        with self._writing() as connection:
            return admin.change_flow(connection, uuid, fields, expect=expect)

    def get_auxiliary(self, key: str) -> Any:
        with self._reading() as connection:
            found = connection.auxiliary.find_one({key: {"$exists": True}}, {key: 1})
            if found is None and key == "versions":
                found = {key: connection.auxiliary.find_one({_VERSION: {"$exists": True}}, {"_id": 0})}
        return found[key] if found else None

    def set_auxiliary(self, key: str, value: Any) -> None:
        if key in _HIDDEN:
            raise ValueError(f"{key} is kept by the database itself")
        from jobflow_remote.queuedb.mongo import transfer

        with self._writing() as connection:
            connection.announce("auxiliary")
            transfer.put_auxiliary(connection, key, value)
            connection.bump()

    def dump(self, collection: str, *, after: Any = None) -> Iterator[Document]:
        from jobflow_remote.queuedb.mongo import transfer

        self._check_usable()
        return transfer.dump(self._connection, collection, after)

    def load(self, collection: str, documents: Iterable[Document]) -> int:
        from jobflow_remote.queuedb.mongo import transfer

        with self._writing() as connection:
            return transfer.load(connection, collection, documents)

    def finish_load(self) -> None:
        from jobflow_remote.queuedb.mongo import transfer

        with self._writing() as connection:
            transfer.finish_load(connection)

    # -- what older releases left, and indexes ---------------------------------------------------------------

    def survey_upgrade(self) -> Survey | None:
        from jobflow_remote.queuedb.mongo import upgrade

        with self._reading() as connection:
            return upgrade.survey(connection)

    def upgrade(self, order: UpgradeOrder, report: Callable[[int, int], None]) -> None:
        from jobflow_remote.queuedb.mongo import upgrade

        with self._reading() as connection:
            if not connection.usable:
                upgrade.upgrade(connection, order, prefix=self._prefix, report=report)

    def rebuild_indexes(self) -> int:
        from jobflow_remote.queuedb.mongo import indexes

        with self._writing() as connection:
            return indexes.rebuild(connection)

    def create_index(self, collection: str, keys: Sequence[tuple[str, int]], *, unique: bool = False) -> str:
        from jobflow_remote.queuedb.mongo import indexes

        with self._writing() as connection:
            return indexes.add(connection, collection, keys, unique=unique)

    def compact(self) -> int:
        from jobflow_remote.queuedb.mongo import indexes

        with self._reading() as connection:
            return indexes.compact(connection)

    def check_integrity(self) -> list[str]:
        from jobflow_remote.queuedb.mongo import admin

        with self._reading() as connection:
            return admin.check_integrity(connection)

    def backup(self, target: Path, options: BackupOptions = PLAIN) -> Mapping[str, int]:
        from jobflow_remote.queuedb.mongo import backups

        with self._reading() as connection:
            return backups.back_up(connection, target, options)

    def restore(self, files: Mapping[str, Path], options: BackupOptions = PLAIN) -> Mapping[str, int]:
        from jobflow_remote.queuedb.mongo import backups

        with self._writing() as connection:
            return backups.restore(connection, files, options)
