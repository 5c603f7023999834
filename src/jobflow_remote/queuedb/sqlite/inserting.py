"""New jobs and flows. Ten thousand jobs are a handful of statements: everything is worked out before."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from jobflow_remote.errors import DuplicateError
from jobflow_remote.model.graph import Settlement, edge_is_settled, flow_state, settlement
from jobflow_remote.model.records import Document, NewFlow, history_entry, tolerates_missing
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.sqlite.codec import encode, encode_body, split_inputs
from jobflow_remote.queuedb.sqlite.edges import find_settlements, release, settle, update_flags
from jobflow_remote.queuedb.sqlite.ledger import Ledger, contribution
from jobflow_remote.queuedb.sqlite.rows import COLUMN_NAMES, flow_column, job_columns, share_hash
from jobflow_remote.queuedb.sqlite.schema import FLOW_COLUMNS

_NAMES = (*COLUMN_NAMES, "share", "tolerant", "latest", "leaf", "head")
_INSERT = f"INSERT INTO jobs ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"
_FLOW_NAMES = (*(column.name for column in FLOW_COLUMNS.values()), "counts", "head")
_INSERT_FLOW = f"INSERT INTO flows ({', '.join(_FLOW_NAMES)}) VALUES ({', '.join('?' * len(_FLOW_NAMES))})"


@dataclass(slots=True)
class Inserted:
    """What became of new jobs."""

    db_ids: list[str] = field(default_factory=list)
    ready: int = 0
    gain: Counter[str] = field(default_factory=Counter)
    first_number: int | None = None
    reshaped: set[str] = field(default_factory=set)
    """uuids whose flags and edges depend on the new jobs."""


def find_existing(connection: sqlite3.Connection, uuids: Iterable[str]) -> dict[str, list[int]]:
    """Indices that are stored of each uuid."""
    found: dict[str, list[int]] = {}
    rows = connection.execute(
        "SELECT uuid, idx FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.uuid = wanted.value",
        (json.dumps(list(uuids)),),
    )
    for uuid, index in rows:
        found.setdefault(uuid, []).append(index)
    return found


def _find_superseded(connection: sqlite3.Connection, uuids: Iterable[str]) -> dict[tuple[str, int], int]:
    """uuid and index → number of the superseded jobs among these uuids."""
    rows = connection.execute(
        "SELECT uuid, idx, db_number FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.uuid = wanted.value "
        "WHERE superseded = 1",
        (json.dumps(list(uuids)),),
    )
    return {(uuid, index): number for uuid, index, number in rows}


def _make_way(connection: sqlite3.Connection, documents: Sequence[Document]) -> None:
    """Remove superseded jobs whose uuid and index new ones take: a job that runs again replaces itself once more."""
    superseded = _find_superseded(connection, {document["uuid"] for document in documents})
    for document in documents:
        number = superseded.get((document["uuid"], document["index"]))
        if number is not None:
            connection.execute("DELETE FROM edges WHERE child = ?", (number,))
            connection.execute("DELETE FROM job_bodies WHERE db_number = ?", (number,))
            connection.execute("DELETE FROM jobs WHERE db_number = ?", (number,))


def find_duplicate(
    connection: sqlite3.Connection, documents: Sequence[Document], *, replacing: bool
) -> tuple[str, int] | None:
    """A job among ``documents`` that is stored already, or there twice. ``replacing``: superseded jobs make way."""
    uuids = {document["uuid"] for document in documents}
    existing = find_existing(connection, uuids)
    keys = {(uuid, index) for uuid, indices in existing.items() for index in indices}
    if keys and replacing:
        keys -= set(_find_superseded(connection, uuids))
    for document in documents:
        key = (document["uuid"], document["index"])
        if key in keys:
            return key
        keys.add(key)
    return None


def _reserve(connection: sqlite3.Connection, count: int) -> int:
    """The first of ``count`` numbers that nobody else gets."""
    first = int(connection.execute("SELECT value FROM auxiliary WHERE key = 'next_id'").fetchone()[0])
    connection.execute("UPDATE auxiliary SET value = ? WHERE key = 'next_id'", (str(first + count),))
    return first


class _Newcomers:
    """New jobs with everything that can be known before they are written."""

    def __init__(self, ledger: Ledger, documents: Sequence[Document], *, prefix: str) -> None:
        first = _reserve(ledger.connection, len(documents))
        self.documents = [
            {**document, "db_id": f"{prefix}{first + place}", "db_number": first + place}
            for place, document in enumerate(documents)
        ]
        self.tolerant = [tolerates_missing(document.get("job") or {}) for document in documents]
        self._indices: dict[str, int] = {}
        for document in self.documents:
            uuid = document["uuid"]
            self._indices[uuid] = max(document["index"], self._indices.get(uuid, 0))
        self._settlements = self._find_settlements(ledger.connection)
        self.parents_in_flow = {
            (document["flow_uuid"], parent) for document in self.documents for parent in document["parents"]
        }

    def _find_settlements(self, connection: sqlite3.Connection) -> dict[str, Settlement]:
        parents = {parent for document in self.documents for parent in document["parents"]}
        found = find_settlements(connection, parents - set(self._indices))
        for document in self.documents:
            if self.is_latest(document):
                found[document["uuid"]] = settlement(JobState(document["state"]))
        return found

    def is_latest(self, document: Document) -> bool:
        """Whether no other new job has the same uuid and a higher index."""
        return bool(self._indices[document["uuid"]] == document["index"])

    def is_settled(self, parent: str, *, tolerant: bool) -> bool:
        """Whether a new job need not wait for ``parent``."""
        return edge_is_settled(self._settlements.get(parent, Settlement.DONE), tolerant=tolerant)

    def make_ready(self, now: datetime) -> int:
        """Put WAITING jobs without an open parent to READY; returns how many."""
        count = 0
        for document, tolerant in zip(self.documents, self.tolerant, strict=True):
            if document["state"] == JobState.WAITING and all(
                self.is_settled(parent, tolerant=tolerant) for parent in document["parents"]
            ):
                entry = history_entry(JobState.READY, now, event="parents_done", who="runner")
                document["state"] = JobState.READY.value
                document["history"] = [*(document.get("history") or ()), entry]
                count += 1
        return count

    def write(self, connection: sqlite3.Connection) -> Counter[str]:
        """Insert rows, inputs and edges; returns what the flow's counters gain."""
        gain: Counter[str] = Counter()
        rows, bodies, edges = [], [], []
        for document, tolerant in zip(self.documents, self.tolerant, strict=True):
            number, uuid = document["db_number"], document["uuid"]
            latest = self.is_latest(document)
            leaf = latest and (document["flow_uuid"], uuid) not in self.parents_in_flow
            head, inputs = split_inputs(document)
            flags = (share_hash(uuid), int(tolerant), int(latest), int(leaf))
            rows.append((*job_columns(head), *flags, encode(head)))
            if inputs:
                bodies.append((number, encode_body(inputs)))
            for position, parent in enumerate(document["parents"]):
                settled = int(self.is_settled(parent, tolerant=tolerant))
                edges.append((parent, number, position, int(tolerant), settled))
            gain.update(
                contribution(document["state"], superseded=bool(document.get("superseded")), leaf=leaf)
            )
        connection.executemany(_INSERT, rows)
        connection.executemany("INSERT INTO job_bodies VALUES (?, ?)", bodies)
        connection.executemany("INSERT OR IGNORE INTO edges VALUES (?, ?, ?, ?, ?)", sorted(edges))
        return gain

    def touched_uuids(self, connection: sqlite3.Connection, existing: dict[str, list[int]]) -> set[str]:
        """uuids whose flags depend on jobs that were there before."""
        waited_for = connection.execute(
            "SELECT DISTINCT edges.parent FROM json_each(?) AS wanted CROSS JOIN edges ON edges.parent = wanted.value "
            "WHERE edges.child < ?",
            (json.dumps(list(self._indices)), self.documents[0]["db_number"]),
        )
        outer = {parent for _, parent in self.parents_in_flow} - set(self._indices)
        return {uuid for (uuid,) in waited_for} | set(existing) | outer


def insert_jobs(ledger: Ledger, documents: Sequence[Document], *, prefix: str) -> Inserted:
    """Insert jobs of which none is stored yet; those without an open parent are READY.

    The flow's counters, and what follows for jobs that were there before, are left to the caller.
    """
    if not documents:
        return Inserted()
    connection = ledger.connection
    _make_way(connection, documents)
    existing = find_existing(connection, {document["uuid"] for document in documents})
    newcomers = _Newcomers(ledger, documents, prefix=prefix)
    ready = newcomers.make_ready(ledger.now)
    gain = newcomers.write(connection)
    return Inserted(
        db_ids=[document["db_id"] for document in newcomers.documents],
        ready=ready,
        gain=gain,
        first_number=newcomers.documents[0]["db_number"],
        reshaped=newcomers.touched_uuids(connection, existing),
    )


def resolve(
    ledger: Ledger, *, reshaped: Iterable[str], unsettled: Iterable[str], waiting: Iterable[int] = ()
) -> int:
    """Bring flags and edges up to date and release whoever waits for nothing any more; returns how many.

    ``reshaped``: uuids that may have another latest index, or have become or ceased to be leaves. ``unsettled``:
    uuids of which something else can be expected than before.
    """
    update_flags(ledger, reshaped)
    return release(ledger, settle(ledger, unsettled) | set(waiting))


def insert_flow(connection: sqlite3.Connection, new: NewFlow, *, prefix: str, now: datetime) -> list[str]:
    """Insert a flow with its jobs; see the port."""
    flow = new.flow
    if connection.execute("SELECT 1 FROM flows WHERE uuid = ?", (flow["uuid"],)).fetchone():
        raise DuplicateError(f"flow {flow['uuid']} is in the queue database already")
    duplicate = find_duplicate(connection, new.jobs, replacing=False)
    if duplicate:
        raise DuplicateError(f"job {duplicate[0]} with index {duplicate[1]} is in the queue database already")
    ledger = Ledger(connection, now)
    documents = [{**job, "flow_uuid": job.get("flow_uuid") or flow["uuid"]} for job in new.jobs]
    inserted = insert_jobs(ledger, documents, prefix=prefix)
    counts = inserted.gain
    summary = {
        **flow,
        "n_jobs": counts.pop("n_jobs", 0),
        "leaves": counts.pop("leaves", 0),
        "leaves_completed": counts.pop("leaves_completed", 0),
        "db_number": inserted.first_number,
    }
    summary["state"] = flow_state(
        counts, leaves=summary["leaves"], leaves_completed=summary["leaves_completed"]
    ).value
    columns = [flow_column(summary, path) for path in FLOW_COLUMNS]
    head = {
        key: value
        for key, value in flow.items()
        if key not in (*FLOW_COLUMNS, "counts", "jobs", "ids", "parents")
    }
    connection.execute(
        _INSERT_FLOW, (*columns, json.dumps({k: v for k, v in counts.items() if v}), encode(head))
    )
    resolve(ledger, reshaped=inserted.reshaped, unsettled=inserted.reshaped)
    ledger.finish()
    return inserted.db_ids
