"""How the workers of a project are: what the runner says of them, and how many jobs they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import LAUNCH, Document, health_key
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a step of the runner cannot work for a worker at present."""

    step: str
    since: datetime
    why: str
    next_try: datetime | None

    @property
    def first_line(self) -> str:
        """The cause, without what to do about it."""
        return self.why.split("\n", 1)[0]


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """Numbers of jobs of a worker."""

    ready: int
    """READY: they wait for the runner to take them."""
    in_hand: int
    """The runner uploads, submits, downloads or completes them."""
    in_scheduler: int
    """The scheduler has them, waiting or running."""
    running: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker."""

    name: str
    load: WorkerLoad
    troubles: tuple[Trouble, ...]
    """Longest first; empty: the runner has nothing to complain of."""
    by_script: str | None = None
    """Why jobs start by script though they might be forked: the worker is up all the same."""

    @property
    def is_up(self) -> bool:
        """Whether the runner can work with it, as far as it tried."""
        return not self.troubles

    @property
    def since(self) -> datetime | None:
        """Since when it is down."""
        return min((trouble.since for trouble in self.troubles), default=None)

    @property
    def next_try(self) -> datetime | None:
        """When the runner tries again."""
        return min((t.next_try for t in self.troubles if t.next_try), default=None)


def find_troubles(queue: QueueDatabase, worker: str, steps: Sequence[str]) -> tuple[Trouble, ...]:
    """What keeps the runner from working with a worker."""
    found = []
    for step in steps:
        told = queue.get_auxiliary(health_key(worker, step))
        if isinstance(told, Mapping) and told.get("since"):
            why = str(told.get("why") or "the runner does not say")
            found.append(Trouble(step, told["since"], why, told.get("next_try")))
    return tuple(sorted(found, key=lambda trouble: trouble.since))


def list_workers(queue: QueueDatabase, names: Sequence[str]) -> list[WorkerState]:
    """State and load of workers, as far as the queue database tells."""
    load = queue.workload()
    steps = tuple(lifecycle.STEPS)
    return [
        WorkerState(name, _load(load, name), find_troubles(queue, name, steps), _why_by_script(queue, name))
        for name in names
    ]


def _why_by_script(queue: QueueDatabase, worker: str) -> str | None:
    troubles = find_troubles(queue, worker, (LAUNCH,))
    return troubles[0].why if troubles else None


def _load(load: Mapping[tuple[str, JobState], int], worker: str) -> WorkerLoad:
    mine = {state: number for (name, state), number in load.items() if name == worker}
    in_scheduler = sum(mine.get(state, 0) for state in lifecycle.IN_SCHEDULER)
    return WorkerLoad(
        ready=mine.get(JobState.READY, 0),
        in_hand=sum(mine.get(state, 0) for state in lifecycle.ACTIVE) - in_scheduler,
        in_scheduler=in_scheduler,
        running=mine.get(JobState.RUNNING, 0) + mine.get(JobState.BATCH_RUNNING, 0),
    )


def is_runner_live(queue: QueueDatabase) -> bool:
    """Whether a runner works on the queue, wherever it is."""
    session = queue.get_session()
    return session is not None and session.is_live(utcnow())


def why_waiting(queue: QueueDatabase, document: Mapping[str, Any]) -> Document | None:
    """What keeps the runner from taking a job further: worker, step, since, why, next try; None: nothing known."""
    state = JobState(document["state"])
    steps = [step for step, states in lifecycle.STEPS.items() if state in states]
    troubles = find_troubles(queue, document["worker"], steps)
    if not troubles:
        return None
    first = troubles[0]
    return {
        "worker": document["worker"],
        "step": first.step,
        "since": first.since,
        "why": first.why,
        "next_try": first.next_try,
    }
