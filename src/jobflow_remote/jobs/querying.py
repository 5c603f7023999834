"""Criteria as jobflow-remote 1.0.1 spells them → selections, sorts and fields of the queue database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from jobflow_remote.control import ids
from jobflow_remote.errors import NotAllowedError, NotFoundError
from jobflow_remote.model.clock import local_to_stored
from jobflow_remote.model.records import Document
from jobflow_remote.model.selection import FlowSelection, JobSelection
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase, Sort

Raw = dict[str, Any]
_T = TypeVar("_T")


def as_list(value: _T | Sequence[_T] | None) -> list[_T] | None:
    """One value, or several, as a list."""
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str | tuple):
        return list(value)
    return [value]  # type: ignore[list-item]


def as_pairs(value: Any) -> list[tuple[str, int]] | None:
    """One pair of uuid and index, or several, as a list."""
    if value is None:
        return None
    pairs = [value] if isinstance(value, tuple) and value and isinstance(value[0], str) else value
    return [(str(uuid), int(index)) for uuid, index in pairs]


def _stored(moment: datetime | None) -> datetime | None:
    return local_to_stored(moment) if moment is not None else None


def job_selection(
    queue: QueueDatabase,
    *,
    custom_query: Mapping[str, Any] | None = None,
    job_ids: Any = None,
    db_ids: Any = None,
    flow_ids: Any = None,
    states: JobState | Sequence[JobState] | None = None,
    start_date: datetime | None = None,
    end_date: datetime | None = None,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    workers: Any = None,
    locked: bool = False,
) -> JobSelection:
    """Which jobs. Dates without a zone are local; an id of a flow may be that of one of its jobs."""
    flows = as_list(flow_ids)
    return JobSelection(
        job_ids=as_pairs(job_ids),
        db_ids=as_list(db_ids),
        flow_ids=None if flows is None else _known_flows(queue, flows),
        states=as_list(states),
        start=_stored(start_date),
        end=_stored(end_date),
        name=name,
        metadata=metadata,
        workers=as_list(workers),
        locked=locked,
        query=custom_query,
    )


def flow_selection(
    queue: QueueDatabase,
    *,
    job_ids: Any = None,
    db_ids: Any = None,
    flow_ids: Any = None,
    states: FlowState | Sequence[FlowState] | None = None,
    start_date: datetime | None = None,
    end_date: datetime | None = None,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    locked: bool = False,
) -> FlowSelection:
    """Which flows; ``job_ids`` are uuids."""
    chosen: list[set[str]] = []
    for given, is_job in ((flow_ids, False), (job_ids, True), (db_ids, True)):
        if given is not None:
            chosen.append(set(_known_flows(queue, as_list(given) or [], is_job=is_job)))
    return FlowSelection(
        flow_ids=sorted(set.intersection(*chosen)) if chosen else None,
        states=as_list(states),
        start=_stored(start_date),
        end=_stored(end_date),
        name=name,
        metadata=metadata,
        locked=locked,
    )


def _known_flows(queue: QueueDatabase, identifiers: Iterable[str], *, is_job: bool = False) -> list[str]:
    found = []
    for identifier in identifiers:
        try:
            found.append(ids.resolve_flow(queue, str(identifier), is_job=is_job))
        except NotFoundError:
            continue
    return found


def to_sort(sort: Iterable[tuple[str, int]] | Mapping[str, int] | None) -> Sort:
    """An order; ids are compared as numbers."""
    pairs = sort.items() if isinstance(sort, Mapping) else sort or ()
    return [("db_number" if field == "db_id" else field, direction) for field, direction in pairs]


def take_fields(projection: Any) -> tuple[list[str] | None, list[str]]:
    """Fields to ask for (None: all) and fields to leave out, of a projection as pymongo takes it."""
    if projection is None:
        return None, []
    if not isinstance(projection, Mapping):
        return list(projection), []
    wanted = [field for field, flag in projection.items() if flag and field != "_id"]
    return (wanted, []) if wanted else (None, [field for field in projection if field != "_id"])


def without(documents: list[Document], fields: Iterable[str]) -> list[Document]:
    """The documents without some (dotted) fields."""
    for path in fields:
        *above, last = path.split(".")
        for document in documents:
            inner: Any = document
            for key in above:
                inner = inner.get(key) if isinstance(inner, dict) else None
            if isinstance(inner, dict):
                inner.pop(last, None)
    return documents


def find_jobs(
    queue: QueueDatabase,
    query: Mapping[str, Any] | None,
    *,
    projection: Any = None,
    sort: Any = None,
    skip: int = 0,
    limit: int = 0,
    with_inputs: bool = True,
) -> list[Document]:
    """Documents of jobs, asked for as pymongo is asked."""
    fields, left_out = take_fields(projection)
    found = queue.find_jobs(
        dict(query or {}), fields=fields, sort=to_sort(sort), skip=skip, limit=limit, with_inputs=with_inputs
    )
    return without(found, left_out)


def find_flows(
    queue: QueueDatabase,
    query: Mapping[str, Any] | None,
    *,
    projection: Any = None,
    sort: Any = None,
    skip: int = 0,
    limit: int = 0,
) -> list[Document]:
    """Whole documents of flows (with ``jobs``, ``ids`` and ``parents``), asked for as pymongo is asked."""
    fields, left_out = take_fields(projection)
    options: dict[str, Any] = {"sort": to_sort(sort), "skip": skip, "limit": limit}
    if fields is not None:
        return queue.find_flows(dict(query or {}), fields=fields, **options)
    uuids = [flow["uuid"] for flow in queue.find_flows(dict(query or {}), fields=["uuid"], **options)]
    found = [flow for uuid in uuids if (flow := queue.get_flow(uuid)) is not None]
    return without(found, left_out)


def job_id_query(
    db_id: str | None, job_id: str | None, job_index: int | None
) -> tuple[Raw, list[tuple[str, int]] | None]:
    """Filter (and order) that finds one job.

    Raises
    ------
    ValueError
        Unless exactly one of ``db_id`` and ``job_id`` is given.
    """
    if (db_id is None) == (job_id is None):
        raise NotAllowedError("give either db_id or job_id")
    if db_id is not None:
        return {"db_id": str(db_id)}, None
    if job_index is not None:
        return {"uuid": job_id, "index": job_index}, None
    return {"uuid": job_id}, [("index", -1)]


def flow_id_query(db_id: str | None, job_id: str | None, flow_id: str | None) -> Raw:
    """Filter that finds one flow.

    Raises
    ------
    ValueError
        Unless exactly one id is given.
    """
    if sum(value is not None for value in (db_id, job_id, flow_id)) != 1:
        raise NotAllowedError("give exactly one of db_id, job_id and flow_id")
    if flow_id is not None:
        return {"uuid": flow_id}
    return {"jobs": job_id} if job_id is not None else {"ids": {"$elemMatch": {"0": str(db_id)}}}


def get_flow_leafs(job_docs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of the documents of a flow's jobs those that nobody waits for; of several indexes the highest."""
    latest: dict[str, Mapping[str, Any]] = {}
    for doc in sorted(job_docs, key=lambda doc: doc["index"]):
        latest[doc["uuid"]] = doc
    parents = {parent for doc in latest.values() for parent in doc.get("parents") or ()}
    return [doc for uuid, doc in latest.items() if uuid not in parents]
