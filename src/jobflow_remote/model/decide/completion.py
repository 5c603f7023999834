"""What a finished job means for its flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, ExtraParents, Halt, HaltScope, JobChange
from jobflow_remote.model.decide.submission import GeneratedJob, RunProperties, job_documents
from jobflow_remote.model.graph import find_leaves
from jobflow_remote.model.records import Document, JobRecord
from jobflow_remote.model.states import JobState


@dataclass(frozen=True, slots=True)
class JobResponse:
    """What the function returned beside its output (jobflow's ``Response``), as plain data.

    New jobs come parents first, with their ``hosts``, metadata and configuration already updated by jobflow.
    """

    replace: tuple[GeneratedJob, ...] = ()
    detour: tuple[GeneratedJob, ...] = ()
    addition: tuple[GeneratedJob, ...] = ()
    flow_names: Mapping[str, str] = field(default_factory=dict)
    """uuid → name of the flows that new jobs came in."""
    stored_data: Document | None = None
    stop_children: bool = False
    stop_jobflow: bool = False


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a job that came to an end left behind: a response, or the traceback of what it raised."""

    response: JobResponse | None
    error: str | None
    start_time: datetime | None = None
    end_time: datetime | None = None
    worker_info: Document | None = None


def _generated(record: JobRecord, response: JobResponse, now: datetime) -> list[Document]:
    defaults = RunProperties(record.worker, record.exec_config, record.resources, record.priority)
    halted = response.stop_children or response.stop_jobflow
    names = {
        **dict(zip(record.job.get("hosts") or (), record.host_names, strict=False)),
        **response.flow_names,
    }
    documents: list[Document] = []
    for jobs, root_parents in (
        (response.replace, record.parents),
        (response.addition, (record.uuid,)),
        (response.detour, (record.uuid,)),
    ):
        documents += job_documents(
            jobs,
            flow_uuid=record.flow_uuid,
            defaults=defaults,
            root_parents=root_parents,
            now=now,
            who=f"job {record.db_id}",
            state=JobState.STOPPED if halted else JobState.WAITING,
            generated_by=record.db_id,
            flow_names=names,
        )
    return documents


def _halts(record: JobRecord, response: JobResponse) -> tuple[Halt, ...]:
    if response.stop_jobflow:
        return (Halt(HaltScope.FLOW, record.uuid),)
    if response.stop_children:
        return (Halt(HaltScope.DESCENDANTS, record.uuid),)
    return ()


def decide_completion(
    record: JobRecord, result: JobResult, *, holder: str, now: datetime, extra: dict[str, Any] | None = None
) -> ChangeSet:
    """COMPLETED with everything that the response asks for, or FAILED with the traceback.

    Replacements start after the parents of the replaced job; additions and detours after the job itself; whoever
    waits for the job waits for the leaves of a detour too. With ``stop_children`` or ``stop_jobflow`` the new jobs are
    STOPPED from the beginning, as in jobflow-remote 1.0.1.

    Parameters
    ----------
    extra
        Further fields to write (tail of the scheduler's output files, say).
    """
    response = result.response
    fields: dict[str, Any] = {
        "start_time": result.start_time or record.start_time,
        "end_time": result.end_time or now,
        "error": result.error,
        "remote.step_attempts": 0,
        "remote.retry_time_limit": None,
        "remote.error": None,
        **(extra or {}),
    }
    if response is not None and response.stored_data is not None:
        fields["stored_data"] = response.stored_data
    change = JobChange(
        uuid=record.uuid,
        index=record.index,
        expect=lifecycle.sources("complete"),
        to=JobState.FAILED if response is None else JobState.COMPLETED,
        fields=fields,
        holder=holder,
        attempt=record.attempt,
        event="complete",
    )
    if response is None:
        return ChangeSet(record.flow_uuid, (change,))
    detour_leaves = find_leaves({new.job["uuid"]: new.parents for new in response.detour})
    return ChangeSet(
        record.flow_uuid,
        changes=(change,),
        extra_parents=(ExtraParents(record.uuid, tuple(detour_leaves)),) if detour_leaves else (),
        new_jobs=tuple(_generated(record, response, now)),
        halts=_halts(record, response),
    )
