"""The scheduler jobs of batch workers, as their documents tell: which there are, and forgetting them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from jobflow_remote.control.ids import is_prefix, is_uuid
from jobflow_remote.errors import AmbiguousIdError, NotFoundError
from jobflow_remote.model.records import Document
from jobflow_remote.model.selection import BatchSelection, Filter
from jobflow_remote.model.states import BatchState
from jobflow_remote.queuedb.port import QueueDatabase


@dataclass(frozen=True, slots=True)
class Usage:
    """What a pilot does at present, as far as its last sign of life tells."""

    running: int
    done: int
    queued: int
    """Jobs that it holds and has not begun."""
    in_use: float | None
    """Part of its places (cores, where it gives these out) that had a job, since it began."""
    seconds_left: float | None
    """Until its allocation ends."""


def usage_of(batch: Document, *, now: datetime) -> Usage | None:
    """What a pilot does; None if it gave no sign of life yet."""
    told = batch.get("told")
    if not told:
        return None
    finished = batch["batch_state"] == BatchState.FINISHED
    began, seen = told.get("started"), told.get("now")
    capacity = (seen - began) * (told.get("cores") or 1) if began and seen else 0.0
    left = told.get("ends_at")
    return Usage(
        running=0 if finished else len(batch.get("jobs") or ()),
        done=int(told.get("done") or 0),
        queued=0 if finished else int(told.get("queued") or 0),
        in_use=min(1.0, told.get("busy_seconds", 0.0) / capacity) if capacity > 0 else None,
        seconds_left=None if finished or not left else max(0.0, left - now.replace(tzinfo=UTC).timestamp()),
    )


AT_ONCE = 20
"""How many are shown or deleted unless more are asked for."""


def list_batches(queue: QueueDatabase, selection: BatchSelection, *, limit: int = AT_ONCE) -> list[Document]:
    """Batches of a selection, the latest change first; ``limit`` 0 means all."""
    return queue.find_batches(selection.to_filter(), limit=limit)


def get_batch(queue: QueueDatabase, identifier: str) -> Document:
    """The batch that the scheduler, or ``batch_uid`` (or its first six or more letters), calls so.

    Raises
    ------
    NotFoundError
        If there is none.
    AmbiguousIdError
        If there are several.
    """
    lowered = identifier.lower()
    ways: list[Filter] = [{"process_id": identifier}]
    if is_uuid(identifier):
        ways = [{"batch_uid": lowered}]
    elif is_prefix(identifier):
        ways.append({"batch_uid": {"$gte": lowered, "$lt": lowered + "g"}})
    for query in ways:
        found = queue.find_batches(query)
        if len(found) > 1:
            listed = ", ".join(f"{each['batch_uid']} (worker {each['worker']})" for each in found[:5])
            raise AmbiguousIdError(
                f"{identifier} means several batches: {listed}", hint="give the whole batch uid"
            )
        if found:
            return found[0]
    raise NotFoundError(f"no batch has the id {identifier}", hint="`jf batch list -m 0` lists all batches")


def delete_batches(queue: QueueDatabase, batches: list[Document]) -> int:
    """Forget batches; jobs and processes are left alone."""
    return queue.delete_batches([each["batch_uid"] for each in batches])


def unfinished(batches: list[Document]) -> list[Document]:
    """Those that the scheduler may still know."""
    return [each for each in batches if each["batch_state"] != BatchState.FINISHED]


def repair_jobs(queue: QueueDatabase) -> int:
    """Make the list of jobs of each batch a list, empty where it was none; returns how many were repaired."""
    broken = [each for each in queue.find_batches({}) if not isinstance(each.get("jobs"), list)]
    return queue.load("batches", [{**each, "jobs": []} for each in broken]) if broken else 0
