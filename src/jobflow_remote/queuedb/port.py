"""The queue database, as the verbs that the runner and people need. The docstrings are the contract.

Plain data in and out: documents are dictionaries with the field names of ``docs/documents.md``, filters are Mongo
filter dictionaries, updates are the closed set of :mod:`jobflow_remote.model.changes`. No rule of the lifecycle lives
in an adapter: what follows from a change is worked out by :mod:`jobflow_remote.model.graph`, and an adapter's
business is that it happens atomically, that nothing acknowledged is lost, and that no engine or listing query scans
a table.

Every verb may raise :class:`~jobflow_remote.errors.QueueDatabaseAwayError` when the database does not answer (it
will, later) and :class:`~jobflow_remote.errors.QueueDatabaseError` when it is damaged. A verb that raised has either
been carried out as a whole or not at all; every verb may be repeated.

An instance may be used from several threads; it may not be carried over a fork.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jobflow_remote.model.records import Document, JobRecord, NewFlow, RunnerSession
from jobflow_remote.model.selection import Filter
from jobflow_remote.model.states import FlowState, JobState

if TYPE_CHECKING:  # listings load this module, and change nothing
    from collections.abc import Callable

    from jobflow_remote.model.changes import ApplyResult, ChangeSet
    from jobflow_remote.model.decide.upgrade import Survey, UpgradeOrder
    from jobflow_remote.queuedb import QueueSpec

Sort = Sequence[tuple[str, int]]
"""Pairs of dotted field and 1 (ascending) or -1; ties are broken by ``db_number``, newest first."""

INCOMING = "incoming"
"""Key of the auxiliary document that says that the database is being filled; no runner starts meanwhile."""


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """How a backup is made or restored."""

    compress: bool = False
    """With gzip."""
    bson: bool = False
    """BSON files, read and written by ourselves, even where the database or its tools have another way."""
    tools: Path | None = None
    """Folder with the database's own tools; by default they are looked for in the ``PATH``."""


PLAIN = BackupOptions()


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the jobs that one process of a role looks after: those whose uuid hashes to ``part`` of ``parts``.

    The hash is ``int(uuid[:8], 16) % parts``.
    """

    part: int = 0
    parts: int = 1


WHOLE = Share()


class QueueDatabase(ABC):
    """A queue database that has been opened."""

    capabilities: frozenset[str] = frozenset()
    """``"collections"``: raw pymongo collections; ``"online_backup"``: copy while in use."""

    # -- life ------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def open(cls, spec: QueueSpec) -> Self:
        """Open the database that ``spec`` describes and initialise it if it is new.

        Raises
        ------
        ConfigError
            If the options of ``spec`` cannot be used (unknown key, network file system under an embedded file).
        """

    @abstractmethod
    def close(self) -> None:
        """Close connections; may be called twice."""

    @abstractmethod
    def initialise(self) -> None:
        """Create what is missing (tables, indexes, counter starting at 1); an existing database is left alone."""

    @abstractmethod
    def reset(self) -> None:
        """Remove all jobs, flows, batches and the runner session; ids start at 1 again.

        Refused with RunnerActiveError while a runner session is live.
        """

    @abstractmethod
    def describe(self) -> str:
        """Where the database is, for messages; without secrets."""

    @abstractmethod
    def changed_by_others(self) -> bool:
        """Whether anybody else may have written since the last call. Cheap: asked every second.

        May say True without need, and never says False later than a second after another process's commit.
        """

    def join_session(self) -> None:  # noqa: B027
        """Be a process of the runner from now on: they tell each other what they do by other ways.

        Their changes need not count in :meth:`changed_by_others` of one another.
        """

    # -- flows in --------------------------------------------------------------------------------------------

    @abstractmethod
    def insert_flow(self, new: NewFlow) -> list[str]:
        """Insert a flow with all of its jobs; return their ``db_id`` in the order given.

        Ids are consecutive, in the order given, and never used again. Jobs whose parents are all settled (see
        :func:`~jobflow_remote.model.graph.edge_is_settled`; a parent that no database knows counts as settled)
        become READY. All or nothing: after a crash either everything is there or no trace of it.

        Raises
        ------
        DuplicateError
            If the flow's uuid, or uuid and index of a job, exist already. Nothing is inserted.
        """

    # -- the runner session ----------------------------------------------------------------------------------

    @abstractmethod
    def open_session(self, owner: Document, *, lease_seconds: float, override: bool = False) -> RunnerSession:
        """Become the runner of this queue.

        In one write the jobs that the former session held (active states) pass to the new one. ``owner`` is shown to
        people (hostname, user, pid, daemon_dir, project_name, …).

        Raises
        ------
        RunnerActiveError
            If a session is live and ``override`` is false. The message says whose, where and since when.
        """

    @abstractmethod
    def renew_session(self, token: str, *, lease_seconds: float) -> RunnerSession:
        """Prolong the lease (one small write, whatever the number of jobs); returns the session as stored.

        Raises
        ------
        SessionLostError
            If ``token`` is not the current session.
        """

    @abstractmethod
    def close_session(self, token: str) -> None:
        """End the session; jobs keep their states. Nothing happens if it is not the current one."""

    @abstractmethod
    def get_session(self) -> RunnerSession | None:
        """The present session, live or not; None when closed or never opened."""

    @abstractmethod
    def request_stop(self, how: str) -> bool:
        """Ask the present session, wherever it runs, to stop: it reads ``stop_requested`` at its next renewal.

        Returns whether there was a session to ask.
        """

    @abstractmethod
    def clear_session(self) -> None:
        """Forget the session without asking (an administrator's act)."""

    @abstractmethod
    def report_process(self, token: str, name: str, report: Document) -> bool:
        """Keep what a process of the session says of itself; it takes the place of what ``name`` said before.

        One small write, whatever the number of jobs. ``name`` has letters, digits, ``_`` and ``-``. Returns False, and
        keeps nothing, if ``token`` is not the current session.
        """

    @abstractmethod
    def process_reports(self) -> dict[str, Document]:
        """Name → what the processes of the present session said last; nothing is left of former sessions."""

    # -- the engine ------------------------------------------------------------------------------------------

    @abstractmethod
    def claim(self, token: str, *, worker: str, limit: int, share: Share = WHOLE) -> list[JobRecord]:
        """Take up to ``limit`` READY jobs of ``worker``.

        They become CHECKED_OUT, belong to ``token`` and get a new attempt. Highest priority first, then
        oldest, then lowest number. Each job is given to one caller only. The new state, ``claim``, ``lock_id``,
        ``lock_time``, ``attempt``, ``updated_on``, a history entry and the flow's counters are one transaction. Records
        come without inputs.

        Raises
        ------
        SessionLostError
            If ``token`` is not the current session; nothing is claimed.
        """

    @abstractmethod
    def due(
        self, token: str, *, states: frozenset[JobState], worker: str | None, limit: int, share: Share = WHOLE
    ) -> list[JobRecord]:
        """Jobs that wait for a step in ``states``: of this session or of nobody, and not before their retry time.

        Order as in :meth:`claim`. Records come without inputs. Reads only. ``worker=None``: of any worker.
        """

    @abstractmethod
    def next_retry(self, token: str, *, states: frozenset[JobState], worker: str | None) -> datetime | None:
        """Earliest retry time still ahead among the jobs that :meth:`due` would give; None if there is none."""

    @abstractmethod
    def apply(self, change_sets: Sequence[ChangeSet]) -> list[ApplyResult]:
        """Carry out change sets, each as a whole or not at all, independently of each other.

        A change set is *refused* (not an error; ``applied`` is False, ``refusal`` says why) if a job does not exist, is
        not in a state of ``expect``, belongs to another session than ``holder``, or is in another ``attempt``. A job
        that belongs to nobody is refused too if ``holder`` is not the current session.

        In the same transaction: ``updated_on`` and ``history`` of each changed job; ``claim``, ``lock_id`` and
        ``lock_time`` set to ``holder`` in active states and cleared outside; ids for new jobs (one with the uuid and
        index of a superseded job takes its place); children whose last open parent was settled, and jobs put to WAITING
        that have no open parent, become READY (event ``parents_done``);
        counters and state of the flow, whose ``updated_on`` changes when its state changes or jobs come or go.
        A job that is removed leaves no trace in its flow; its uuid counts as what is left of it (a lower index), or as
        settled. The cost depends on the jobs named and their children, not on the size of the flow.
        """

    @abstractmethod
    def put_batches(self, token: str, batches: Sequence[Document]) -> None:
        """Write documents of scheduler jobs of batch workers (pilots): new ones, and in the place of those that have
        the same ``batch_uid``. All or none of them.

        Raises
        ------
        SessionLostError
            If ``token`` is not the current session; nothing is written.
        """

    @abstractmethod
    def workload(self, *, states: frozenset[JobState] | None = None) -> dict[tuple[str, JobState], int]:
        """Number of jobs by worker and state, from an index.

        ``states``: only these, so that the cost does not grow with a long queue of READY jobs; by default all states in
        which the runner has something to do.
        """

    # -- reading ---------------------------------------------------------------------------------------------

    @abstractmethod
    def get_job(self, uuid: str, index: int | None = None, *, with_inputs: bool = False) -> Document | None:
        """One job; without ``index`` the highest. ``with_inputs``: with function_args and function_kwargs."""

    @abstractmethod
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
        """Documents of jobs that match a Mongo filter; ``limit`` 0 means all. ``fields``: only these (dotted) paths.

        ``RUN_FINISHED`` in a condition on ``state`` or ``previous_state`` means TERMINATED.

        Raises
        ------
        FilterError
            If the filter cannot be understood; an unknown operator is never ignored.
        """

    @abstractmethod
    def count_jobs(self, query: Filter) -> int:
        """Number of jobs that match."""

    @abstractmethod
    def get_flow(self, uuid: str) -> Document | None:
        """One flow with ``jobs``, ``ids`` and ``parents``."""

    @abstractmethod
    def find_flows(
        self,
        query: Filter,
        *,
        fields: Sequence[str] | None = None,
        sort: Sort = (),
        skip: int = 0,
        limit: int = 0,
    ) -> list[Document]:
        """Documents of flows that match. Without ``fields`` the summary: all but ``jobs``, ``ids`` and ``parents``.

        Beside the fields of 1.0.1: ``counts`` (state → number), ``leaves``, ``leaves_completed``, ``n_jobs``,
        ``db_number`` (lowest of its jobs). Conditions on ``jobs``, ``ids`` and ``parents`` are possible and slow.
        """

    @abstractmethod
    def count_flows(self, query: Filter) -> int:
        """Number of flows that match."""

    @abstractmethod
    def count_job_states(self, *, worker: str | None = None) -> dict[str, int]:
        """State → number of jobs, from an index; states without jobs are left out."""

    @abstractmethod
    def count_flow_states(self) -> dict[str, int]:
        """State → number of flows."""

    @abstractmethod
    def count_updates(
        self, collection: str, states: Sequence[str], starts: Sequence[datetime]
    ) -> list[dict[str, int]]:
        """For each interval, state → number of documents in that state whose ``updated_on`` lies in it.

        ``collection``: ``jobs`` or ``flows``. ``starts``: where intervals begin, ascending; each ends where the next
        one begins, and the last one does not end. Counted by the database, from an index; zeros are left out.
        """

    @abstractmethod
    def find_children(self, uuids: Sequence[str]) -> list[Document]:
        """Jobs that wait or waited for any of these uuids, without inputs."""

    @abstractmethod
    def find_batches(self, query: Filter, *, sort: Sort = (), limit: int = 0) -> list[Document]:
        """Documents of the scheduler jobs of batch workers that match.

        Without ``sort`` the latest change comes first; ties are broken by ``batch_uid``.

        Raises
        ------
        FilterError
            If the filter cannot be understood.
        """

    # -- people ----------------------------------------------------------------------------------------------

    @abstractmethod
    def delete_batches(self, batch_uids: Sequence[str]) -> int:
        """Forget batches; returns how many there were. Their jobs and their processes are left alone."""

    @abstractmethod
    def delete_flows(self, uuids: Sequence[str]) -> list[str]:
        """Remove flows with all their jobs; returns the uuids that existed. Each flow as a whole."""

    @abstractmethod
    def change_flow(
        self, uuid: str, fields: Mapping[str, Any], *, expect: frozenset[FlowState] | None = None
    ) -> bool:
        """Write fields of a flow (:data:`~jobflow_remote.model.records.FLOW_SETTABLE`, as a whole each).

        False, and nothing is written, if there is no such flow or (``expect`` given) it is in another state.

        Raises
        ------
        ValueError
            If another field is named.
        """

    @abstractmethod
    def get_auxiliary(self, key: str) -> Any:
        """Value of an auxiliary document (``versions``, ``runner_pings``, …), or None."""

    @abstractmethod
    def set_auxiliary(self, key: str, value: Any) -> None:
        """Write an auxiliary document."""

    # -- the whole database ----------------------------------------------------------------------------------

    @abstractmethod
    def dump(self, collection: str, *, after: Any = None) -> Iterator[Document]:
        """All documents of a collection, complete, in the order of their key, with bounded memory.

        ``collection``: ``jobs`` (by ``db_number``), ``flows`` (by ``uuid``), ``batches`` (by ``batch_uid``),
        ``jf_auxiliary`` (as ``{"key": …, "value": …}``, with ``next_id``). ``after``: only those whose key is above.
        Of a flow, fields that follow from its jobs are left out
        (:data:`~jobflow_remote.queuedb.moving.FLOW_DERIVED`). The runner session is no document of any of them. What
        others write meanwhile may be in or not.
        """

    @abstractmethod
    def load(self, collection: str, documents: Iterable[Document]) -> int:
        """Put documents of :meth:`dump` in; returns how many were new or different. Meant for batches.

        Every field comes back from :meth:`dump` as it was given, ``db_id``, ``claim`` and moments included; nothing
        follows from it before :meth:`finish_load`. A document with a key that is there takes the other one's place; the
        same one again changes nothing. ``next_id`` is never lowered.

        Raises
        ------
        QueueDatabaseError
            If a document lacks what every document has, cannot be stored, or collides with another one. Nothing of
            the batch (SQLite) or no more than other documents of the batch (MongoDB) has been stored.
        """

    @abstractmethod
    def finish_load(self) -> None:
        """Work out from the documents whatever the adapter keeps beside them. After it, the database is like any.

        To be called after the last :meth:`load`, while nobody else writes; may be repeated. States are left as they
        are, also those of flows.
        """

    # -- what older releases left, and indexes ---------------------------------------------------------------

    def survey_upgrade(self) -> Survey | None:
        """What an older release left here, which can only be read until it is upgraded; None: all is up to date."""
        return None

    def upgrade(self, order: UpgradeOrder, report: Callable[[int, int], None]) -> None:  # noqa: B027
        """Bring what an older release left up to date; nothing happens if there is none.

        ``report`` is called with the number of jobs that are done, and of all. Cut short at any moment the database
        stays readable and closed to writers, and another call goes on where this one ended.
        """

    @abstractmethod
    def rebuild_indexes(self) -> int:
        """Drop all indexes, also those that people created, and build the standard ones; returns how many."""

    @abstractmethod
    def create_index(self, collection: str, keys: Sequence[tuple[str, int]], *, unique: bool = False) -> str:
        """Create an index on fields (dotted path, 1 or -1) of a collection; returns its name.

        ``collection``: ``jobs``, ``flows`` or ``auxiliary``.

        Raises
        ------
        CapabilityMissingError
            If this database cannot have it, or would not use it.
        """

    def compact(self) -> int:
        """Give the space that removed documents left behind back to the file system; returns how many bytes.

        No document changes. Others may go on working; they may have to wait meanwhile. A database that has no such
        space gives back 0.
        """
        return 0

    @abstractmethod
    def check_integrity(self) -> list[str]:
        """Look for damage and for counters that do not agree with the jobs; a line for each finding.

        Reads everything: for tests and ``jf admin``, not for the runner.
        """

    @abstractmethod
    def backup(self, target: Path, options: BackupOptions = PLAIN) -> Mapping[str, int]:
        """Copy the whole database to ``target`` in its own form; returns the number of documents by collection.

        While it is in use, if ``"online_backup"`` is among the capabilities. A file appears under its name when it is
        complete, readable by its owner only. ``options.bson``: as BSON files of each collection, whatever the database,
        in ``<target>/<name>``.
        """

    @abstractmethod
    def restore(self, files: Mapping[str, Path], options: BackupOptions = PLAIN) -> Mapping[str, int]:
        """Put BSON files (by collection) into this database; returns the number of documents by collection.

        Nobody else writes, there is nothing in the database, and the files have been checked
        (:func:`~jobflow_remote.queuedb.bsonfiles.check_files`). The runner session of the backup is left out.

        Raises
        ------
        QueueDatabaseError
            If the documents are of an older release and this database cannot hold them; nothing was put in.
        """
