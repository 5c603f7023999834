"""Toy flows for the contract, and a stage on which to play them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from jobflow_remote.model.changes import ApplyResult, ChangeSet, JobChange
from jobflow_remote.model.records import Document, JobRecord, NewFlow, new_flow_document, new_job_document
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase

ANY_STATE = frozenset(JobState)
START = datetime(2026, 3, 1, 12, 0, 0)
WORKER = "toy_worker"


class SetClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """What it says."""
        return self.now

    def advance(self, seconds: float) -> datetime:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self.now


@dataclass(frozen=True, slots=True)
class ToyFlow:
    """A flow whose jobs are known by short names."""

    new: NewFlow
    uuids: Mapping[str, str]
    uuid: str

    def __getitem__(self, name: str) -> str:
        """uuid of a job."""
        return self.uuids[name]

    def name_of(self, uuid: str) -> str:
        """Short name of a job."""
        return next(name for name, other in self.uuids.items() if other == uuid)


def toy_job(
    uuid: str, *, name: str = "toy", index: int = 1, flow_uuid: str = "", tolerant: bool = False
) -> Document:
    """A serialised jobflow Job, as far as the queue database looks into it."""
    return {
        "@module": "jobflow.core.job",
        "@class": "Job",
        "uuid": uuid,
        "index": index,
        "name": name,
        "function": {"@callable": "add", "@module": "toy"},
        "function_args": [1, {"@class": "OutputReference", "uuid": "x"}],
        "function_kwargs": {"text": "é", "number": 2.5},
        "metadata": {"tag": name},
        "config": {"on_missing_references": {"value": "none" if tolerant else "error"}},
        "hosts": [flow_uuid],
    }


def toy_document(
    uuid: str,
    *,
    flow_uuid: str,
    now: datetime = START,
    name: str = "toy",
    index: int = 1,
    parents: Sequence[str] = (),
    tolerant: bool = False,
    worker: str = WORKER,
    priority: int = 0,
    state: JobState = JobState.WAITING,
) -> Document:
    """Document of a job that is about to be inserted."""
    return new_job_document(
        toy_job(uuid, name=name, index=index, flow_uuid=flow_uuid, tolerant=tolerant),
        flow_uuid=flow_uuid,
        worker=worker,
        parents=parents,
        now=now,
        who="tester",
        priority=priority,
        state=state,
    )


def toy_flow(
    parents: Mapping[str, Sequence[str]],
    *,
    tolerant: Iterable[str] = (),
    now: datetime = START,
    flow_name: str = "toy flow",
    **options: Any,
) -> ToyFlow:
    """A flow of jobs by name, each with its parents by name (or by uuid, if they are of another flow)."""
    flow_uuid = str(uuid4())
    uuids = {name: str(uuid4()) for name in parents}
    lenient = set(tolerant)
    jobs = [
        toy_document(
            uuids[name],
            flow_uuid=flow_uuid,
            name=name,
            parents=[uuids.get(parent, parent) for parent in parents[name]],
            tolerant=name in lenient,
            now=now,
            **options,
        )
        for name in parents
    ]
    flow = new_flow_document(uuid=flow_uuid, name=flow_name, now=now, metadata={"project": flow_name})
    return ToyFlow(NewFlow(flow, jobs), uuids, flow_uuid)


@dataclass(slots=True)
class Stage:
    """A queue database with a runner session, and shorthands for what a runner and people do."""

    database: QueueDatabase
    clock: SetClock
    token: str = ""
    flows: list[ToyFlow] = field(default_factory=list)

    def open(self, **options: Any) -> Stage:
        """Become the runner."""
        owner = {"hostname": "node1", "user": "ada", "pid": 42}
        self.token = self.database.open_session(owner, lease_seconds=60, **options).token
        return self

    def insert(self, parents: Mapping[str, Sequence[str]], **options: Any) -> ToyFlow:
        """Insert a toy flow."""
        flow = toy_flow(parents, now=self.clock(), **options)
        self.database.insert_flow(flow.new)
        self.flows.append(flow)
        return flow

    def job(self, flow: ToyFlow, name: str, index: int | None = None) -> Document:
        """Document of a job."""
        document = self.database.get_job(flow[name], index)
        assert document is not None, name
        return document

    def record(self, flow: ToyFlow, name: str) -> JobRecord:
        """Record of a job."""
        return JobRecord.from_document(self.job(flow, name))

    def states(self, flow: ToyFlow) -> dict[str, str]:
        """State of each job, by name."""
        return {name: self.job(flow, name)["state"] for name in flow.uuids}

    def flow_state(self, flow: ToyFlow) -> str:
        """State of the flow."""
        document = self.database.get_flow(flow.uuid)
        assert document is not None
        return str(document["state"])

    def claim(self, limit: int = 100, **options: Any) -> list[JobRecord]:
        """Claim jobs of the toy worker."""
        return self.database.claim(self.token, worker=options.pop("worker", WORKER), limit=limit, **options)

    def change(self, flow: ToyFlow, name: str, to: JobState | None = None, **options: Any) -> JobChange:
        """A change of a job from any state (that of an administrator unless told otherwise)."""
        defaults: dict[str, Any] = {"index": 1, "expect": ANY_STATE, "event": "set_state", "who": "tester"}
        return JobChange(uuid=flow[name], to=to, **(defaults | options))

    def apply(self, flow: ToyFlow, *changes: JobChange, **options: Any) -> ApplyResult:
        """Apply one change set."""
        (result,) = self.database.apply([ChangeSet(flow.uuid, changes, **options)])
        return result

    def put(self, flow: ToyFlow, name: str, to: JobState, **options: Any) -> ApplyResult:
        """Put one job in a state; it must not be refused."""
        result = self.apply(flow, self.change(flow, name, to, **options))
        assert result.applied, result.refusal
        return result


Opener = Callable[..., QueueDatabase]
"""Opens the database under test, always the same one. Takes ``clock``, ``db_id_prefix`` and ``hook``: a function
that is called before each write (an adapter says in its own tests what counts as one)."""
