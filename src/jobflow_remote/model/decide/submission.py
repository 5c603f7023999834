"""What is stored when a flow is submitted, or when a job brings new jobs about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from jobflow_remote.model.records import Document, NewFlow, new_flow_document, new_job_document
from jobflow_remote.model.states import JobState


@dataclass(frozen=True, slots=True)
class GeneratedJob:
    """A serialised jobflow Job and the uuids of its parents within the flow that it came with."""

    job: Document
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunProperties:
    """Where and how a job runs."""

    worker: str
    exec_config: str | Document | None = None
    resources: Document | None = None
    priority: int = 0


def run_properties(job: Mapping[str, Any], defaults: RunProperties) -> RunProperties:
    """Properties of one job: its own ``manager_config`` wins over ``defaults``, key by key.

    ``resources: {}`` and ``priority: 0`` in the manager_config are values; None and missing keys are not.
    """
    own: Mapping[str, Any] = (job.get("config") or {}).get("manager_config") or {}
    resources, priority = own.get("resources"), own.get("priority")
    return RunProperties(
        worker=own.get("worker") or defaults.worker,
        exec_config=own.get("exec_config") or defaults.exec_config,
        resources=defaults.resources if resources is None else resources,
        priority=defaults.priority if priority is None else int(priority),
    )


def job_documents(
    jobs: Iterable[GeneratedJob],
    *,
    flow_uuid: str,
    defaults: RunProperties,
    root_parents: Sequence[str],
    now: datetime,
    who: str,
    state: JobState = JobState.WAITING,
    generated_by: str | None = None,
    flow_names: Mapping[str, str] = MappingProxyType({}),
) -> list[Document]:
    """Documents for new jobs; those without a parent among themselves get ``root_parents``.

    ``flow_names``: uuid → name of flows that they are in.
    """
    documents = []
    for new in jobs:
        properties = run_properties(new.job, defaults)
        documents.append(
            new_job_document(
                new.job,
                flow_uuid=flow_uuid,
                worker=properties.worker,
                parents=new.parents or root_parents,
                now=now,
                who=who,
                priority=properties.priority,
                exec_config=properties.exec_config,
                resources=properties.resources,
                state=state,
                generated_by=generated_by,
                host_names=[flow_names.get(host, "") for host in (new.job.get("hosts") or ())[:-1]],
            )
        )
    return documents


def decide_submission(
    jobs: Iterable[GeneratedJob],
    *,
    flow_uuid: str,
    flow_name: str,
    defaults: RunProperties,
    now: datetime,
    who: str,
    flow_metadata: Document | None = None,
    flow_names: Mapping[str, str] = MappingProxyType({}),
    jobstore: str | None = None,
) -> NewFlow:
    """The flow and its jobs (parents first) as they are inserted."""
    return NewFlow(
        flow=new_flow_document(
            uuid=flow_uuid, name=flow_name, now=now, metadata=flow_metadata, jobstore=jobstore
        ),
        jobs=job_documents(
            jobs,
            flow_uuid=flow_uuid,
            defaults=defaults,
            root_parents=(),
            now=now,
            who=who,
            flow_names=flow_names,
        ),
    )
