"""Documents of the queue database as models, for scripts written for jobflow-remote 1.0.1.

Times are naive and in UTC, as they are stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from jobflow_remote.jobs import display
from jobflow_remote.layout import IN_FILENAME, OUT_FILENAME
from jobflow_remote.model import records
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.states import BatchState, FlowState, JobState

__all__ = [
    "BATCH_INFO_FILENAME",
    "IN_FILENAME",
    "OUT_FILENAME",
    "BatchDoc",
    "DbCollection",
    "DynamicResponseType",
    "FlowDoc",
    "FlowInfo",
    "JobDoc",
    "JobInfo",
    "RemoteError",
    "RemoteInfo",
    "get_initial_batch_doc_dict",
    "get_initial_flow_doc_dict",
    "get_initial_job_doc_dict",
    "get_reset_job_base_dict",
    "projection_flow_info_jobs",
    "projection_job_info",
]

BATCH_INFO_FILENAME = "batch_info.json"
"""File by which the pilot of a batch worker says how it does."""


class RemoteError(RuntimeError):
    """An action on a worker failed; ``no_retry``: trying again cannot help."""

    def __init__(self, msg: str, no_retry: bool = False) -> None:
        super().__init__(msg)
        self.no_retry = no_retry


class DynamicResponseType(Enum):
    """How the response of a job changes its flow."""

    REPLACE = "replace"
    DETOUR = "detour"
    ADDITION = "addition"


class DbCollection(Enum):
    """Collections of a queue database in MongoDB."""

    JOBS = "jobs"
    FLOWS = "flows"
    AUX = "aux"


class RemoteInfo(BaseModel):
    """What the runner knows of a job's way through its worker."""

    step_attempts: int = 0
    queue_state: str | None = None
    process_id: str | None = None
    retry_time_limit: datetime | None = None
    error: str | None = None
    prerun_cleanup: bool = False
    queue_out: str | None = None
    queue_err: str | None = None


class _JobRecord(BaseModel):
    model_config = ConfigDict(extra="ignore")

    uuid: str
    index: int
    db_id: str
    worker: str
    state: JobState
    remote: RemoteInfo = Field(default_factory=RemoteInfo)
    parents: list[str] = Field(default_factory=list)
    previous_state: JobState | None = None
    error: str | None = None
    lock_id: str | None = None
    lock_time: datetime | None = None
    run_dir: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    created_on: datetime
    updated_on: datetime
    priority: int = 0
    stored_data: dict[str, Any] | None = None

    @field_validator("parents", mode="before")
    @classmethod
    def _fill_parents(cls, value: Any) -> Any:
        return [] if value is None else value


class JobInfo(_JobRecord):
    """A job without its inputs."""

    name: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    hosts: list[str] = Field(default_factory=list)

    @property
    def is_locked(self) -> bool:
        """Whether the runner has it in hand."""
        return self.lock_id is not None

    @property
    def run_time(self) -> float | None:
        """Seconds that the job ran."""
        if self.start_time is None or self.end_time is None:
            return None
        return (self.end_time - self.start_time).total_seconds()

    @property
    def estimated_run_time(self) -> float | None:
        """Seconds since the job started."""
        return None if self.start_time is None else (utcnow() - self.start_time).total_seconds()

    def _repr_html_(self) -> str:
        return display.show_job(self)

    @classmethod
    def from_query_output(cls, d: Mapping[str, Any]) -> Self:
        """From a stored document."""
        job = d.get("job") or {}
        inner = {
            "name": job.get("name"),
            "metadata": job.get("metadata") or {},
            "hosts": job.get("hosts") or [],
        }
        return cls.model_validate({**d, **inner})


class JobDoc(_JobRecord):
    """A job with its inputs; ``job`` is a jobflow Job. Fields that release 1.0.1 did not have are kept as they are."""

    model_config = ConfigDict(extra="allow")

    job: Any
    exec_config: str | dict[str, Any] | None = None
    resources: dict[str, Any] | None = None

    @field_validator("job", mode="before")
    @classmethod
    def _read_job(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        from monty.json import MontyDecoder

        return MontyDecoder().process_decoded(value)

    def as_db_dict(self) -> dict[str, Any]:
        """The document as it is stored."""
        from monty.json import jsanitize

        document = self.model_dump(mode="python", exclude={"job"})
        document["state"] = self.state.value
        document["previous_state"] = self.previous_state.value if self.previous_state else None
        document["job"] = jsanitize(self.job, strict=True, enum_values=True)
        return document


class FlowDoc(BaseModel):
    """A flow: which jobs it has and which of them wait for which."""

    model_config = ConfigDict(extra="ignore")

    uuid: str
    jobs: list[str]
    state: FlowState
    name: str
    lock_id: str | None = None
    lock_time: datetime | None = None
    created_on: datetime = Field(default_factory=utcnow)
    updated_on: datetime = Field(default_factory=utcnow)
    metadata: dict[str, Any] = Field(default_factory=dict)
    parents: dict[str, dict[str, list[str]]] = Field(default_factory=dict)
    ids: list[tuple[str, str, int]] = Field(default_factory=list)
    jobstore: str | None = None

    def as_db_dict(self) -> dict[str, Any]:
        """The document as it is stored."""
        document = self.model_dump(mode="python")
        document["state"] = self.state.value
        document["ids"] = [list(each) for each in self.ids]
        return document

    @cached_property
    def int_index_parents(self) -> dict[str, dict[int, list[str]]]:
        """uuid → index → uuids of the parents."""
        return {
            uuid: {int(index): list(parents) for index, parents in by_index.items()}
            for uuid, by_index in self.parents.items()
        }

    @cached_property
    def children(self) -> dict[str, list[tuple[str, int]]]:
        """uuid → uuid and index of the jobs that wait for it."""
        found: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for uuid, by_index in self.int_index_parents.items():
            for index, parents in by_index.items():
                for parent in parents:
                    found[parent].append((uuid, index))
        return dict(found)

    def descendants(self, job_uuid: str) -> list[tuple[str, int]]:
        """Jobs that wait for this one, for one of those, and so on."""
        found: dict[tuple[str, int], None] = {}
        ahead = [job_uuid]
        seen = {job_uuid}
        while ahead:
            for uuid, index in self.children.get(ahead.pop(), []):
                found[uuid, index] = None
                if uuid not in seen:
                    seen.add(uuid)
                    ahead.append(uuid)
        return list(found)

    @cached_property
    def ids_mapping(self) -> dict[str, dict[int, str]]:
        """uuid → index → db_id."""
        return _map_ids(self.ids)


def _map_ids(ids: Sequence[tuple[str, str, int]]) -> dict[str, dict[int, str]]:
    mapping: dict[str, dict[int, str]] = defaultdict(dict)
    for db_id, uuid, index in ids:
        mapping[uuid][int(index)] = db_id
    return dict(mapping)


class BatchDoc(BaseModel):
    """A process that runs the jobs of a batch worker."""

    batch_uid: str
    process_id: str | None = None
    batch_state: BatchState
    worker: str
    jobs: list[tuple[str, str, int]] = Field(default_factory=list)
    created_on: datetime = Field(default_factory=utcnow)
    updated_on: datetime = Field(default_factory=utcnow)
    start_time: datetime | None = None
    end_time: datetime | None = None
    last_ping_time: datetime | None = None


class FlowInfo(BaseModel):
    """A flow with its jobs as parallel lists."""

    db_ids: list[str]
    job_ids: list[str]
    job_indexes: list[int]
    flow_id: str
    state: FlowState
    name: str
    created_on: datetime
    updated_on: datetime
    workers: list[str] = Field(default_factory=list)
    job_states: list[JobState] = Field(default_factory=list)
    job_names: list[str] = Field(default_factory=list)
    parents: list[list[str]] = Field(default_factory=list)
    hosts: list[list[str]] = Field(default_factory=list)
    host_names: list[list[str]] = Field(default_factory=list)
    flow_metadata: dict[str, Any] = Field(default_factory=dict)
    jobs_info: list[JobInfo] | None = None

    @classmethod
    def from_query_dict(cls, d: Mapping[str, Any]) -> Self:
        """From a flow's document; with the documents of its jobs in ``jobs_list`` if there are any."""
        common = {
            "flow_id": d["uuid"],
            "state": d["state"],
            "name": d["name"],
            "created_on": d["created_on"],
            "updated_on": d["updated_on"],
            "flow_metadata": d.get("metadata") or {},
        }
        jobs = d.get("jobs_list")
        if jobs is None:
            ids = d.get("ids") or []
            return cls(
                db_ids=[each[0] for each in ids],
                job_ids=[each[1] for each in ids],
                job_indexes=[each[2] for each in ids],
                **common,
            )
        complete = all("created_on" in job and "state" in job and "worker" in job for job in jobs)
        return cls(
            db_ids=[job["db_id"] for job in jobs],
            job_ids=[job["uuid"] for job in jobs],
            job_indexes=[job["index"] for job in jobs],
            workers=[job["worker"] for job in jobs],
            job_states=[job["state"] for job in jobs],
            job_names=[(job.get("job") or {}).get("name") or "" for job in jobs],
            parents=[job.get("parents") or [] for job in jobs],
            hosts=[(job.get("job") or {}).get("hosts") or [] for job in jobs],
            host_names=[job.get("host_names") or [] for job in jobs],
            jobs_info=[JobInfo.from_query_output(job) for job in jobs] if complete else None,
            **common,
        )

    @cached_property
    def ids_mapping(self) -> dict[str, dict[int, str]]:
        """uuid → index → db_id."""
        return _map_ids(list(zip(self.db_ids, self.job_ids, self.job_indexes, strict=True)))

    def _repr_html_(self) -> str:
        return display.show_flow(self)

    def iter_job_prop(self) -> Iterator[dict[str, Any]]:
        """What is known of each job, one dictionary after the other."""
        for position, db_id in enumerate(self.db_ids):
            values: dict[str, Any] = {
                "db_id": db_id,
                "uuid": self.job_ids[position],
                "index": self.job_indexes[position],
            }
            if self.job_names:
                values["name"] = self.job_names[position]
                values["state"] = self.job_states[position]
                values["parents"] = self.parents[position]
                values["hosts"] = self.hosts[position]
                values["host_names"] = self.host_names[position] if self.host_names else []
                values["worker"] = self.workers[position]
            yield values


projection_job_info = [
    *(name for name in JobInfo.model_fields if name not in ("name", "metadata", "hosts")),
    "job.name",
    "job.metadata",
    "job.hosts",
]
"""Fields of a document that a JobInfo needs."""
projection_flow_info_jobs = [
    "db_id", "uuid", "index", "state", "worker", "parents", "job.name", "job.hosts", "host_names",
]  # fmt: skip
"""Fields of the jobs that a FlowInfo needs."""


def get_initial_job_doc_dict(
    job: Any,
    parents: list[str] | None,
    db_id: str,
    worker: str,
    exec_config: Any = None,
    resources: Any = None,
    priority: int = 0,
) -> dict[str, Any]:
    """Document of a jobflow Job that is about to be inserted."""
    from monty.json import jsanitize

    serialised = jsanitize(job, strict=True, enum_values=True)
    state = JobState.WAITING if parents else JobState.READY
    document = records.new_job_document(
        serialised,
        flow_uuid=(serialised.get("hosts") or [""])[-1],
        worker=worker,
        parents=parents or [],
        now=utcnow(),
        who="python",
        priority=priority,
        exec_config=exec_config,
        resources=resources,
    )
    return {**document, "db_id": db_id, "state": state.value}


def get_initial_flow_doc_dict(
    flow: Any, job_dicts: list[dict[str, Any]], jobstore: str | None = None
) -> dict[str, Any]:
    """Document of a jobflow Flow whose jobs have these documents."""
    document = records.new_flow_document(
        uuid=flow.uuid,
        name=flow.name,
        now=utcnow(),
        metadata=dict(getattr(flow, "metadata", None) or {}),
        jobstore=jobstore,
    )
    document["jobs"] = [job["uuid"] for job in job_dicts]
    document["ids"] = [[job["db_id"], job["uuid"], job["index"]] for job in job_dicts]
    document["parents"] = {job["uuid"]: {str(job["index"]): job["parents"]} for job in job_dicts}
    return document


def get_initial_batch_doc_dict(process_id: str, batch_uid: str, worker: str) -> dict[str, Any]:
    """Document of a batch process that was just submitted."""
    document = BatchDoc(
        batch_uid=batch_uid, process_id=process_id, batch_state=BatchState.SUBMITTED, worker=worker
    )
    return document.model_dump(mode="python") | {"batch_state": BatchState.SUBMITTED.value}


def get_reset_job_base_dict() -> dict[str, Any]:
    """Fields (dotted) that are cleared when a job starts again."""
    return {**records.reset_fields(), "updated_on": utcnow()}
