"""What there is to know about why a job, or a flow, is where it is. The judging is in ``model/decide/explain``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobflow_remote.config.project import Project
from jobflow_remote.control.ids import find_job, resolve_flow
from jobflow_remote.control.inspect import flow_summary, job_info
from jobflow_remote.control.workers import find_troubles
from jobflow_remote.errors import NotFoundError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import to_local, utcnow
from jobflow_remote.model.decide.explain import (
    Finding,
    FlowFacts,
    JobFacts,
    Relative,
    Trouble,
    WorkerFacts,
    explain_flow,
    explain_job,
)
from jobflow_remote.model.records import Document, JobRecord, RunnerSession
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase

_RELATIVE = ("db_id", "uuid", "index", "state", "job.name", "parents", "superseded")
_MOST_ANCESTORS = 2000
_HELD = 20
_MOVING = (JobState.READY, *(state for state in JobState if state in lifecycle.ACTIVE))
_NEVER_LIVE: tuple[str, ...] = ("FAILED", "REMOTE_ERROR", "PAUSED", "STOPPED", "USER_STOPPED")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of a job or a flow."""

    kind: str
    """job or flow."""
    identifier: str
    """The ``db_id`` of the job, the uuid of the flow."""
    name: str
    state: str
    since: datetime | None
    findings: tuple[Finding, ...]


def explain(
    queue: QueueDatabase,
    project: Project,
    identifier: str,
    index: int | None = None,
    *,
    is_flow: bool = False,
) -> Explanation:
    """Explain the job that answers to an id, else the flow.

    Raises
    ------
    NotFoundError
        If there is neither.
    """
    if not is_flow and find_job(queue, identifier, index) is not None:
        return _explain_job(queue, project, job_info(queue, identifier, index))
    try:
        uuid = resolve_flow(queue, identifier)
    except NotFoundError as exc:
        raise NotFoundError(
            f"no job and no flow has the id {identifier}",
            hint="`jf job list -m 0` and `jf flow list -m 0` list all",
        ) from exc
    return _explain_flow(queue, project, flow_summary(queue, uuid))


# -- a job -----------------------------------------------------------------------------------------


def _explain_job(queue: QueueDatabase, project: Project, document: Document) -> Explanation:
    facts = gather_job(queue, project, document)
    record = facts.record
    return Explanation(
        "job", record.db_id, record.name, record.state.value, _since(record), tuple(explain_job(facts))
    )


def _since(record: JobRecord) -> datetime:
    """When it came to its state."""
    entries = [entry["when"] for entry in record.history if entry.get("state") == record.state.value]
    return entries[-1] if entries else record.updated_on


def gather_job(queue: QueueDatabase, project: Project, document: Document) -> JobFacts:
    """What there is to know about one job."""
    record, now = JobRecord.from_document(document), utcnow()
    worker = _gather_worker(queue, project, record)
    session = queue.get_session()
    parents, blockers = _gather_ancestors(queue, record)
    return JobFacts(
        record=record,
        now=now,
        worker=worker,
        session=session,
        parents=parents,
        blockers=blockers,
        children=_count_children(queue, record),
        moments=_moments(record, worker, session),
    )


def _gather_worker(queue: QueueDatabase, project: Project, record: JobRecord) -> WorkerFacts:
    name = record.worker
    configured = project.workers.get(name)
    if configured is None:
        return WorkerFacts(name, exists=False, known=tuple(project.workers))
    load = {state: number for (worker, state), number in queue.workload().items() if worker == name}
    return WorkerFacts(
        name,
        known=tuple(project.workers),
        limit=configured.job_limit,
        in_scheduler=sum(load.get(state, 0) for state in lifecycle.IN_SCHEDULER),
        in_hand=sum(load.get(state, 0) for state in lifecycle.ACTIVE),
        ahead=_count_ahead(queue, record) if record.state is JobState.READY else None,
        troubles=tuple(
            Trouble(each.step, each.since, each.why, each.next_try)
            for each in find_troubles(queue, name, tuple(lifecycle.STEPS))
        ),
    )


def _count_ahead(queue: QueueDatabase, record: JobRecord) -> int:
    """READY jobs of its worker that are taken before it: higher priority, or the same and older."""
    first = {"priority": {"$gt": record.priority}}
    older = {"priority": record.priority, "created_on": {"$lt": record.created_on}}
    return queue.count_jobs({"state": JobState.READY.value, "worker": record.worker, "$or": [first, older]})


def _count_children(queue: QueueDatabase, record: JobRecord) -> int:
    return queue.count_jobs(
        {"flow_uuid": record.flow_uuid, "state": JobState.WAITING.value, "parents": record.uuid}
    )


def _gather_ancestors(
    queue: QueueDatabase, record: JobRecord
) -> tuple[tuple[Relative, ...], tuple[Relative, ...]]:
    """Parents, and the jobs at the bottom of a long wait: ancestors that are neither WAITING nor COMPLETED."""
    if record.state is not JobState.WAITING:
        return (), ()
    found = _latest(queue, record.parents)
    parents = tuple(map(_relative, found))
    blockers: dict[str, Relative] = {}
    seen = set(record.parents)
    while found and len(seen) < _MOST_ANCESTORS:
        ahead: list[str] = []
        for job in found:
            state = JobState(job["state"])
            if state is JobState.WAITING:
                ahead += [uuid for uuid in job.get("parents") or () if uuid not in seen]
            elif state is not JobState.COMPLETED:
                blockers[job["db_id"]] = _relative(job)
        seen.update(ahead)
        found = _latest(queue, list(dict.fromkeys(ahead)))
    return parents, tuple(blockers.values())


def _latest(queue: QueueDatabase, uuids: Sequence[str]) -> list[Document]:
    """Of each uuid the job with the highest index."""
    if not uuids:
        return []
    order = (("index", 1), ("db_number", 1))
    jobs = queue.find_jobs({"uuid": {"$in": list(uuids)}}, fields=_RELATIVE, sort=order)
    by_uuid = {job["uuid"]: job for job in sorted(jobs, key=lambda job: not job.get("superseded"))}
    return [by_uuid[uuid] for uuid in uuids if uuid in by_uuid]


def _relative(job: Mapping[str, Any]) -> Relative:
    return Relative(job["db_id"], str((job.get("job") or {}).get("name") or ""), JobState(job["state"]))


def _moments(record: JobRecord, worker: WorkerFacts, session: RunnerSession | None) -> dict[str, str]:
    moments: dict[str, datetime | None] = {
        "since": _since(record),
        "start_time": record.start_time,
        "next_try": record.remote.get("retry_time_limit"),
        "lease": session.expires_on if session else None,
    }
    for trouble in worker.troubles:
        moments[f"since {trouble.step}"] = trouble.since
        moments[f"next_try {trouble.step}"] = trouble.next_try
    return {name: say_moment(moment) for name, moment in moments.items() if moment is not None}


def say_moment(moment: datetime) -> str:
    """A stored moment in local time; the day only if it is not today's."""
    local = to_local(moment)
    today = to_local(utcnow()).date() == local.date()
    return local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")


# -- a flow ----------------------------------------------------------------------------------------


def _explain_flow(queue: QueueDatabase, project: Project, flow: Document) -> Explanation:
    facts = FlowFacts(
        uuid=flow["uuid"],
        state=FlowState(flow["state"]),
        counts=flow.get("counts") or {},
        now=utcnow(),
        session=queue.get_session(),
        held=_gather_held(queue, flow["uuid"]),
        moving=tuple(_gather_moving(queue, project, flow["uuid"], flow.get("counts") or {})),
    )
    return Explanation(
        "flow", flow["uuid"], flow["name"], flow["state"], flow.get("updated_on"), tuple(explain_flow(facts))
    )


def _gather_held(queue: QueueDatabase, flow_uuid: str) -> tuple[Relative, ...]:
    query = {"flow_uuid": flow_uuid, "state": {"$in": list(_NEVER_LIVE)}, "superseded": {"$ne": True}}
    found = queue.find_jobs(query, fields=_RELATIVE, sort=(("db_number", 1),), limit=_HELD)
    return tuple(map(_relative, found))


def _gather_moving(
    queue: QueueDatabase, project: Project, flow_uuid: str, counts: Mapping[str, int]
) -> Iterable[JobFacts]:
    """The oldest job in each state in which the runner has something to do."""
    for state in _MOVING:
        if counts.get(state.value):
            query = {"flow_uuid": flow_uuid, "state": state.value}
            for job in queue.find_jobs(query, sort=(("db_number", 1),), limit=1):
                yield gather_job(queue, project, job)


def as_plain(explanation: Explanation) -> Document:
    """An explanation as JSON takes it."""
    return {
        explanation.kind: explanation.identifier,
        "name": explanation.name,
        "state": explanation.state,
        "since": explanation.since,
        "findings": [
            {
                "weight": finding.weight.value,
                "about": finding.about,
                "text": finding.text,
                "commands": list(finding.commands),
            }
            for finding in explanation.findings
        ],
    }
