"""New jobs and flows: ids, who need not wait, flags; everything is worked out before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from jobflow_remote.errors import DuplicateError
from jobflow_remote.model.records import Document, NewFlow, tolerates_missing
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.mongo.connection import Connection
from jobflow_remote.queuedb.mongo.ledger import JobRow, Ledger, add_up, ids_entry
from jobflow_remote.queuedb.mongo.plan import Plan
from jobflow_remote.queuedb.mongo.units import Unit


@dataclass(slots=True)
class Inserted:
    """What became of new jobs."""

    rows: list[JobRow] = field(default_factory=list)
    ready: int = 0
    reshaped: set[str] = field(default_factory=set)
    """uuids whose flags, and what waits for them, depend on the new jobs."""


def find_duplicate(
    ledger: Ledger, documents: Sequence[Document], *, replacing: bool
) -> tuple[str, int] | None:
    """A job among ``documents`` that is stored already, or there twice. ``replacing``: superseded jobs make way."""
    ledger.load_uuids(document["uuid"] for document in documents)
    seen = set()
    for document in documents:
        key = (document["uuid"], document["index"])
        present = ledger.find(*key)
        if key in seen or (present is not None and not (replacing and present.superseded)):
            return key
        seen.add(key)
    return None


def insert_jobs(ledger: Ledger, documents: Sequence[Document], *, prefix: str, first: int) -> Inserted:
    """Insert jobs of which none is stored yet; those without an open parent are READY.

    What follows for jobs that were there before is left to the caller (:func:`resolve`).
    """
    rows = []
    for place, document in enumerate(documents):
        number = first + place
        row = JobRow({**document, "db_id": f"{prefix}{number}", "db_number": number}, is_new=True)
        row.tolerant = tolerates_missing(document.get("job") or {})
        ledger.add_new(row)
        rows.append(row)
    uuids = {row.uuid for row in rows}
    parents = {parent for row in rows for parent in row.parents}
    ledger.load_uuids(uuids | parents)
    ledger.load_children(uuids)
    open_for = {tolerant: {p for p in parents if _is_open(ledger, p, tolerant)} for tolerant in (True, False)}
    ready = 0
    for row in rows:
        row.open = {parent for parent in row.parents if parent in open_for[row.tolerant]}
        if row.state is JobState.WAITING and not row.open:
            row.enter(JobState.READY, ledger.now, event="parents_done", who="runner")
            row.document["updated_on"] = row.document["created_on"]
            ready += 1
    return Inserted(rows=rows, ready=ready, reshaped=uuids)


def _is_open(ledger: Ledger, parent: str, tolerant: bool) -> bool:
    probe = JobRow({"uuid": "", "index": 0, "state": JobState.WAITING.value})
    probe.tolerant = tolerant
    return ledger.is_open(parent, probe)


def resolve(
    ledger: Ledger, *, reshaped: Iterable[str], unsettled: Iterable[str], waiting: Iterable[JobRow] = ()
) -> int:
    """Bring flags and edges up to date and release whoever waits for nothing any more; returns how many.

    ``reshaped``: uuids that may have another latest index, or have become or ceased to be leaves. ``unsettled``:
    uuids of which something else can be expected than before.
    """
    ledger.update_flags(reshaped)
    rows = {(row.uuid, row.index): row for row in [*ledger.settle(unsettled), *waiting]}
    return ledger.release(sorted(rows.values(), key=lambda row: row.number))


def insert_flow(connection: Connection, unit: Unit, new: NewFlow, *, prefix: str) -> tuple[list[str], Plan]:
    """Work out the insertion of a flow with its jobs; see the port."""
    flow = new.flow
    if flow["uuid"] in unit.flows:
        raise DuplicateError(f"flow {flow['uuid']} is in the queue database already")
    ledger = Ledger(unit, connection.clock())
    duplicate = find_duplicate(ledger, new.jobs, replacing=False)
    if duplicate:
        raise DuplicateError(f"job {duplicate[0]} with index {duplicate[1]} is in the queue database already")
    documents = [{**job, "flow_uuid": job.get("flow_uuid") or flow["uuid"]} for job in new.jobs]
    outer = {parent for job in documents for parent in job["parents"]} | {job["uuid"] for job in documents}
    ledger.load_uuids(outer)  # who is outside must be held before numbers are given away
    ledger.load_children(job["uuid"] for job in documents)
    first = connection.reserve_numbers(len(documents))
    inserted = insert_jobs(ledger, documents, prefix=prefix, first=first)
    resolve(ledger, reshaped=inserted.reshaped, unsettled=inserted.reshaped)
    plan = ledger.make_plan()
    plan.new_flows.append(_flow_document(flow, inserted.rows, first))
    return [str(row.document["db_id"]) for row in inserted.rows], plan


def _flow_document(flow: Document, rows: Sequence[JobRow], first: int) -> Document:
    gain: Counter[str] = Counter()
    parents: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        gain.update(row.gain())
        parents.setdefault(row.uuid, {})[str(row.index)] = row.parents
    return {
        **flow,
        **add_up(flow, gain),
        "db_number": first if rows else None,
        "jobs": list(parents),
        "ids": [ids_entry(row) for row in rows],
        "parents": parents,
        "derived": {"rev": 1},
    }
