"""From what people type to the job or flow they mean.

An id is looked for as a ``db_id`` (exactly), as a uuid, and as the beginning of one (six letters or more).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from jobflow_remote.errors import AmbiguousIdError, NotFoundError
from jobflow_remote.model.records import Document
from jobflow_remote.model.selection import Filter
from jobflow_remote.queuedb.port import QueueDatabase, Sort

MIN_PREFIX = 6
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PREFIX = re.compile(r"[0-9a-f-]+", re.IGNORECASE)
_MANY = 200
_SHOWN = 5


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a whole uuid."""
    return bool(_UUID.fullmatch(text))


def is_prefix(text: str) -> bool:
    """Whether ``text`` may be the beginning of a uuid, and is long enough."""
    return bool(_PREFIX.fullmatch(text)) and len(text.replace("-", "")) >= MIN_PREFIX


def _begins_with(prefix: str) -> Filter:
    # a range and not a regular expression: the index on uuid serves it in every database ("g" follows "f")
    lowered = prefix.lower()
    return {"uuid": {"$gte": lowered, "$lt": lowered + "g"}}


def _the_one(
    prefix: str, found: Iterable[Document], describe: Callable[[Document], str], what: str
) -> str | None:
    """The uuid of the documents found, if they agree."""
    by_uuid = {document["uuid"]: document for document in found}
    if len(by_uuid) > 1:
        shown = [describe(document) for document in list(by_uuid.values())[:_SHOWN]]
        rest = ", …" if len(by_uuid) > _SHOWN else ""
        raise AmbiguousIdError(
            f"{prefix} is the beginning of several {what}: {', '.join(shown)}{rest}",
            hint="give more letters of the id",
        )
    return next(iter(by_uuid), None)


def _describe_job(document: Document) -> str:
    return f"{document['uuid']} (db_id {document['db_id']}, {(document.get('job') or {}).get('name')})"


def _describe_flow(document: Document) -> str:
    return f"{document['uuid']} ({document.get('name')})"


def _job_uuid_by_prefix(queue: QueueDatabase, prefix: str) -> str | None:
    fields = ["uuid", "index", "db_id", "job.name"]
    return _the_one(
        prefix, queue.find_jobs(_begins_with(prefix), fields=fields, limit=_MANY), _describe_job, "jobs"
    )


def find_job(
    queue: QueueDatabase,
    identifier: str,
    index: int | None = None,
    *,
    fields: Sequence[str] = ("uuid", "index"),
) -> Document | None:
    """The job that answers to ``identifier``, or None; of several with one uuid that with the highest index.

    ``fields`` must contain ``uuid`` and ``index``. ``index`` counts only beside a uuid.
    """
    by_db_id = queue.find_jobs({"db_id": identifier}, fields=fields, limit=1)
    if by_db_id:
        return by_db_id[0]
    uuid: str | None = None
    if is_uuid(identifier):
        uuid = identifier.lower()
    elif is_prefix(identifier):
        uuid = _job_uuid_by_prefix(queue, identifier)
    if uuid is None:
        return None
    query: Filter = {"uuid": uuid} if index is None else {"uuid": uuid, "index": index}
    highest_first: Sort = (("index", -1),)
    return next(iter(queue.find_jobs(query, fields=fields, sort=highest_first, limit=1)), None)


def resolve_job(queue: QueueDatabase, identifier: str, index: int | None = None) -> tuple[str, int]:
    """uuid and index of the job that answers to ``identifier``.

    Raises
    ------
    NotFoundError
        If there is none.
    AmbiguousIdError
        If an abbreviated uuid fits several; the message lists them.
    """
    found = find_job(queue, identifier, index)
    if found is None:
        raise _no_job(identifier, index)
    return found["uuid"], found["index"]


def _no_job(identifier: str, index: int | None) -> NotFoundError:
    which = f" and index {index}" if index is not None else ""
    hint = "`jf job list -m 0` lists all jobs"
    if not is_uuid(identifier) and re.fullmatch("[0-9a-f-]{4,}", identifier) and not is_prefix(identifier):
        hint = f"the beginning of a uuid needs {MIN_PREFIX} letters or more"
    return NotFoundError(f"no job has the id {identifier}{which}", hint=hint)


def resolve_job_by_process_id(queue: QueueDatabase, process_id: str) -> tuple[str, int]:
    """uuid and index of the latest job to which the scheduler gave this id."""
    query: Filter = {"remote.process_id": str(process_id)}
    found = queue.find_jobs(query, fields=("uuid", "index"), sort=(("db_number", -1),), limit=1)
    if not found:
        raise NotFoundError(f"no job has the queue id {process_id}")
    return found[0]["uuid"], found[0]["index"]


def resolve_flow(queue: QueueDatabase, identifier: str, *, is_job: bool = False) -> str:
    """uuid of the flow that answers to ``identifier``: its own uuid, or any id of one of its jobs.

    ``is_job``: only ids of jobs are considered.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    if not is_job:
        if is_uuid(identifier):
            query: Filter = {"uuid": identifier.lower()}
            if queue.find_flows(query, fields=["uuid"], limit=1):
                return identifier.lower()
        elif is_prefix(identifier) and not queue.count_jobs({"db_id": identifier}):
            found = queue.find_flows(_begins_with(identifier), fields=["uuid", "name"], limit=_MANY)
            uuid = _the_one(identifier, found, _describe_flow, "flows")
            if uuid is not None:
                return uuid
    job = find_job(queue, identifier, fields=("uuid", "index", "flow_uuid"))
    if job is None:
        what = "no job" if is_job else "no flow, nor any job of one,"
        raise NotFoundError(f"{what} has the id {identifier}", hint="`jf flow list -m 0` lists all flows")
    return str(job["flow_uuid"])
