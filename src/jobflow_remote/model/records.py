"""Records: what the queue database stores about jobs, flows and runner sessions.

A document is a plain dictionary with the field names of jobflow-remote 1.0.1 plus ours; a record is a typed view of
one. The serialised jobflow Job inside (``job``) stays a plain dictionary until somebody asks for it, which keeps
jobflow and maggma out of the command line and of most of the runner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobflow_remote.model.states import JobState

Document = dict[str, Any]
"""A stored document: JSON types plus datetime (naive UTC), bytes and ObjectId."""

INPUT_FIELDS = ("job.function_args", "job.function_kwargs")
"""The bulk of a job document; listings and most steps do not read it."""

FLOW_SETTABLE = frozenset({"name", "metadata", "jobstore", "lock_id", "lock_time"})
"""Fields of a flow that people may write; all others follow from its jobs or say what it is."""

HISTORY_LENGTH = 50


def check_settable(fields: Iterable[str]) -> None:
    """Refuse fields of a flow that nobody may write (``ValueError``)."""
    other = sorted(set(fields) - FLOW_SETTABLE)
    if other:
        raise ValueError(f"these fields of a flow cannot be written: {', '.join(other)}")


def remote_defaults() -> Document:
    """``remote`` of a job that nothing was done with yet."""
    return {
        "step_attempts": 0,
        "queue_state": None,
        "process_id": None,
        "retry_time_limit": None,
        "error": None,
        "prerun_cleanup": False,
        "queue_out": None,
        "queue_err": None,
    }


def reset_fields() -> dict[str, Any]:
    """Fields (dotted) that an action clears when a job starts again or is tried again.

    ``process_id`` and ``run_dir`` are kept, as in 1.0.1: they tell where the previous attempt ran.
    """
    return {
        "remote.step_attempts": 0,
        "remote.retry_time_limit": None,
        "remote.queue_state": None,
        "remote.error": None,
        "remote.queue_out": None,
        "remote.queue_err": None,
        "previous_state": None,
        "error": None,
    }


def history_entry(
    state: JobState, when: datetime, *, event: str, who: str, why: str | None = None
) -> Document:
    """One line of a job's history."""
    entry: Document = {"state": state.value, "when": when, "event": event, "who": who}
    if why:
        entry["why"] = why
    return entry


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job (uuid and index) as the runner and people see it."""

    uuid: str
    index: int
    db_id: str
    db_number: int
    flow_uuid: str
    name: str
    state: JobState
    worker: str
    priority: int
    parents: tuple[str, ...]
    claim: str | None
    attempt: str | None
    run_dir: str | None
    exec_config: str | Document | None
    resources: Document | None
    remote: Document
    previous_state: JobState | None
    error: str | None
    created_on: datetime
    updated_on: datetime
    start_time: datetime | None
    end_time: datetime | None
    stored_data: Document | None
    superseded: bool
    job: Document = field(repr=False)
    history: tuple[Document, ...] = field(default=(), repr=False)
    generated_by: str | None = None
    """``db_id`` of the job whose response brought this one about."""
    host_names: tuple[str, ...] = ()
    """Names of the nested flows that it is in, innermost first: of ``job["hosts"]`` without the last."""

    @property
    def key(self) -> tuple[str, int]:
        """What identifies the job among all jobs."""
        return (self.uuid, self.index)

    @property
    def process_id(self) -> str | None:
        """Id that the scheduler gave the job."""
        return self.remote.get("process_id")

    @property
    def is_forked(self) -> bool:
        """Whether a warm process starts it (or has): then it has a process id once it runs."""
        return self.remote.get("launch") == "fork"

    @property
    def step_attempts(self) -> int:
        """How often the present step failed."""
        return int(self.remote.get("step_attempts") or 0)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> JobRecord:
        """The record of a stored document (with or without the job's inputs)."""
        job = document.get("job") or {}
        previous = document.get("previous_state")
        return cls(
            uuid=document["uuid"],
            index=document["index"],
            db_id=document["db_id"],
            db_number=document.get("db_number") or 0,
            flow_uuid=document.get("flow_uuid") or (job.get("hosts") or [""])[-1],
            name=job.get("name") or "",
            state=JobState(document["state"]),
            worker=document["worker"],
            priority=document.get("priority") or 0,
            parents=tuple(document.get("parents") or ()),
            claim=document.get("claim"),
            attempt=document.get("attempt"),
            run_dir=document.get("run_dir"),
            exec_config=document.get("exec_config"),
            resources=document.get("resources"),
            remote={**remote_defaults(), **(document.get("remote") or {})},
            previous_state=JobState(previous) if previous else None,
            error=document.get("error"),
            created_on=document["created_on"],
            updated_on=document["updated_on"],
            start_time=document.get("start_time"),
            end_time=document.get("end_time"),
            stored_data=document.get("stored_data"),
            superseded=bool(document.get("superseded")),
            job=job,
            history=tuple(document.get("history") or ()),
            generated_by=document.get("generated_by"),
            host_names=tuple(document.get("host_names") or ()),
        )


def tolerates_missing(job: Mapping[str, Any]) -> bool:
    """Whether a (serialised) job may run when an output it refers to will never exist."""
    on_missing = (job.get("config") or {}).get("on_missing_references")
    if isinstance(on_missing, Mapping):
        on_missing = on_missing.get("value")
    return str(on_missing or "error").lower() in ("none", "pass")


def new_job_document(
    job: Document,
    *,
    flow_uuid: str,
    worker: str,
    parents: Sequence[str],
    now: datetime,
    who: str,
    priority: int = 0,
    exec_config: str | Document | None = None,
    resources: Document | None = None,
    state: JobState = JobState.WAITING,
    generated_by: str | None = None,
    host_names: Sequence[str] = (),
) -> Document:
    """Document of a job that is about to be inserted.

    ``db_id`` and ``db_number`` are given by the queue database, which also makes it READY at once when nothing that
    it refers to is outstanding.
    """
    return {
        "job": job,
        "uuid": job["uuid"],
        "index": job["index"],
        "db_id": None,
        "db_number": None,
        "flow_uuid": flow_uuid,
        "worker": worker,
        "state": state.value,
        "remote": remote_defaults(),
        "parents": list(dict.fromkeys(parents)),
        "previous_state": None,
        "error": None,
        "lock_id": None,
        "lock_time": None,
        "claim": None,
        "attempt": None,
        "superseded": False,
        "generated_by": generated_by,
        "host_names": list(host_names),
        "run_dir": None,
        "start_time": None,
        "end_time": None,
        "created_on": now,
        "updated_on": now,
        "priority": priority,
        "exec_config": exec_config,
        "resources": resources,
        "stored_data": None,
        "history": [
            history_entry(state, now, event="submit_flow" if state is JobState.WAITING else "halt", who=who)
        ],
    }


def new_flow_document(
    *, uuid: str, name: str, now: datetime, metadata: Document | None = None, jobstore: str | None = None
) -> Document:
    """Document of a flow that is about to be inserted; ``jobs``, ``ids`` and ``parents`` follow from its jobs."""
    return {
        "uuid": uuid,
        "name": name,
        "state": "READY",
        "lock_id": None,
        "lock_time": None,
        "created_on": now,
        "updated_on": now,
        "metadata": metadata or {},
        "jobstore": jobstore,
    }


@dataclass(frozen=True, slots=True)
class NewFlow:
    """A flow and its jobs, ready to be inserted (jobs in an order in which parents come first)."""

    flow: Document
    jobs: Sequence[Document]


@dataclass(frozen=True, slots=True)
class RunnerSession:
    """The one runner that may work on a queue database.

    ``token`` is the fencing token: it is written into every job that the session takes, and a session that follows
    another one rewrites it, so that the former can change nothing any more.
    """

    token: str
    owner: Document
    started_on: datetime
    renewed_on: datetime
    expires_on: datetime
    stop_requested: str | None = None

    def describe(self) -> str:
        """Whose session it is, where and since when."""
        owner = self.owner
        words = [
            f"{word} {owner[key]}"
            for key, word in (("pid", "pid"), ("daemon_dir", "folder"))
            if owner.get(key)
        ]
        details = f" ({', '.join(words)})" if words else ""
        who = f"{owner.get('user', 'somebody')} on {owner.get('hostname', 'an unknown host')}"
        return f"{who}{details}, since {self.started_on:%Y-%m-%d %H:%M:%S} UTC"

    def is_live(self, now: datetime) -> bool:
        """Whether the lease has not ended."""
        return now < self.expires_on


CONFIGURATION_IN_USE = "configuration"
"""Auxiliary document that says by which configuration the runner works, and why not by a changed one."""


LAUNCH = "launch"
"""Instead of a step: why the warm process of a worker cannot be had, so that jobs start by script."""


def health_key(worker: str, step: str) -> str:
    """Auxiliary document that says since when and why a step of a worker cannot work, and the next try."""
    return f"worker_health/{worker.replace('.', '%2E')}/{step}"  # a dot would be a path to MongoDB
