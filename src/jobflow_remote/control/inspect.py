"""Looking at jobs, flows and outputs: what listings and pages show. Reads only, prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jobflow_remote.control.ids import resolve_flow, resolve_job
from jobflow_remote.errors import NotFoundError
from jobflow_remote.model.records import Document
from jobflow_remote.model.selection import Filter, FlowSelection, JobSelection
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase, Sort

if TYPE_CHECKING:
    from jobflow_remote.outputs.jobstore import OutputStore

JOB_SUMMARY = ("uuid", "index", "db_id", "state", "worker", "job.name", "updated_on")
"""Fields of a job that a listing shows without being asked for more."""


class SortOption(StrEnum):
    """By what listings are sorted."""

    CREATED_ON = "created_on"
    UPDATED_ON = "updated_on"
    DB_ID = "db_id"

    def to_sort(self, *, ascending: bool = False) -> Sort:
        """The order as the queue database takes it; ids are compared as numbers, and settle ties."""
        direction = 1 if ascending else -1
        if self is SortOption.DB_ID:
            return (("db_number", direction),)
        return ((self.value, direction), ("db_number", direction))


# -- jobs ------------------------------------------------------------------------------------------


def list_jobs(
    queue: QueueDatabase,
    selection: JobSelection,
    *,
    fields: Sequence[str] = JOB_SUMMARY,
    sort: Sort = (("updated_on", -1),),
    skip: int = 0,
    limit: int = 100,
) -> list[Document]:
    """Jobs of a selection with the fields asked for; ``limit`` 0 means all."""
    return queue.find_jobs(selection.to_filter(), fields=fields, sort=sort, skip=skip, limit=limit)


def iterate_jobs(queue: QueueDatabase, selection: JobSelection, *, at_once: int = 200) -> Iterator[Document]:
    """Whole documents of the jobs of a selection, with their inputs, by id; a few at a time are in memory."""
    query, last = selection.to_filter(), 0
    while True:
        page: Filter = {"$and": [{"db_number": {"$gt": last}}, query]}
        found = queue.find_jobs(page, sort=(("db_number", 1),), limit=at_once, with_inputs=True)
        yield from found
        if len(found) < at_once:
            return
        last = found[-1]["db_number"]


def job_info(
    queue: QueueDatabase, identifier: str, index: int | None = None, *, with_inputs: bool = False
) -> Document:
    """The whole document of one job.

    Raises
    ------
    NotFoundError
        If no job answers to the id.
    """
    uuid, index = resolve_job(queue, identifier, index)
    document = queue.get_job(uuid, index, with_inputs=with_inputs)
    if document is None:
        raise NotFoundError(f"job {uuid} ({index}) was deleted meanwhile")
    return document


def run_seconds(document: Mapping[str, Any], now: datetime) -> tuple[float, bool] | None:
    """How long a job ran, and whether that is final; None if it did not start."""
    start, end = document.get("start_time"), document.get("end_time")
    if start is None:
        return None
    if document.get("state") in (JobState.RUNNING, JobState.BATCH_RUNNING):
        return (now - start).total_seconds(), False
    return ((end - start).total_seconds(), True) if end is not None else None


# -- flows -----------------------------------------------------------------------------------------


def list_flows(
    queue: QueueDatabase,
    selection: FlowSelection,
    *,
    sort: Sort = (("updated_on", -1),),
    skip: int = 0,
    limit: int = 100,
) -> list[Document]:
    """Flows of a selection, each with the number of its jobs by state; ``limit`` 0 means all."""
    return queue.find_flows(selection.to_filter(), sort=sort, skip=skip, limit=limit)


def jobs_of_flows(
    queue: QueueDatabase, flow_uuids: Sequence[str], *, fields: Sequence[str] = ("state", "worker")
) -> dict[str, list[Document]]:
    """Flow → its jobs with the fields asked for, in the order of their ids."""
    found: dict[str, list[Document]] = {uuid: [] for uuid in flow_uuids}
    if flow_uuids:
        query = {"flow_uuid": {"$in": list(flow_uuids)}}
        for job in queue.find_jobs(query, fields=["flow_uuid", *fields], sort=(("db_number", 1),)):
            found[job["flow_uuid"]].append(job)
    return found


def first_db_ids(queue: QueueDatabase, flows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Flow → the lowest ``db_id`` of its jobs."""
    numbers = [flow["db_number"] for flow in flows if flow.get("db_number") is not None]
    if not numbers:
        return {}
    jobs = queue.find_jobs({"db_number": {"$in": numbers}}, fields=["flow_uuid", "db_id"])
    return {job["flow_uuid"]: job["db_id"] for job in jobs}


def latest_flows(queue: QueueDatabase, number: int) -> list[str]:
    """uuids of the flows that were created last."""
    sort: Sort = (("created_on", -1), ("db_number", -1))
    return [flow["uuid"] for flow in queue.find_flows({}, fields=["uuid"], sort=sort, limit=number)]


def flow_summary(queue: QueueDatabase, flow_uuid: str) -> Document:
    """One flow with its counters, without the list of its jobs.

    Raises
    ------
    NotFoundError
        If there is no such flow.
    """
    found = queue.find_flows({"uuid": flow_uuid}, limit=1)
    if not found:
        raise NotFoundError(f"there is no flow {flow_uuid}", hint="`jf flow list -m 0` lists all flows")
    return found[0]


def flow_info(
    queue: QueueDatabase,
    identifier: str,
    *,
    is_job: bool = False,
    fields: Sequence[str] = JOB_SUMMARY,
    sort: Sort = (("db_number", 1),),
) -> tuple[Document, list[Document]]:
    """A flow and all of its jobs with the fields asked for."""
    uuid = resolve_flow(queue, identifier, is_job=is_job)
    return flow_summary(queue, uuid), queue.find_jobs({"flow_uuid": uuid}, fields=fields, sort=sort)


# -- outputs ---------------------------------------------------------------------------------------


def get_job_output(
    queue: QueueDatabase,
    open_outputs: Callable[[str | None], OutputStore],
    identifier: str,
    index: int | None = None,
    *,
    load: bool = False,
) -> Any:
    """Output of a job, from the output store that its flow uses.

    ``load``: with the data of additional stores.

    Raises
    ------
    NotFoundError
        If there is no such job, or it has no output (yet). An output that is 0, empty or false is an output.
    """
    uuid, index = resolve_job(queue, identifier, index)
    (job,) = queue.find_jobs({"uuid": uuid, "index": index}, fields=["flow_uuid", "state"])
    flow = flow_summary(queue, job["flow_uuid"])
    try:
        return open_outputs(flow.get("jobstore")).get_output(uuid, index, load)
    except NotFoundError as exc:
        raise NotFoundError(
            f"job {uuid} ({index}) has no output: it is {job['state']}",
            hint=f"`jf job info {identifier}` says more",
        ) from exc
