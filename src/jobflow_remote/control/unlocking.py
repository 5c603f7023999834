"""What an administrator does about locks.

Nobody needs it: a job belongs to the runner session that checked it out (shown as its lock), a session that follows
takes it over, and a person's action does not ask. Flows and the runner's own record are never locked; a flow that comes
from an older release may say that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jobflow_remote.control import act
from jobflow_remote.model.clock import utcnow
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.services.opened import Services


def unlock_jobs(
    services: Services,
    keys: Iterable[act.Key],
    *,
    on_progress: Callable[[act.JobOutcome], None] = lambda outcome: None,
) -> list[act.JobOutcome]:
    """Take jobs from the session that holds them; a live runner takes them up again at once."""
    return act.act_on_jobs(services, keys, act.unlock(), on_progress=on_progress)


def unlock_flows(queue: QueueDatabase, uuids: Sequence[str]) -> int:
    """Take away what an older release left behind in flows; returns how many were locked."""
    return sum(queue.change_flow(uuid, {"lock_id": None, "lock_time": None}) for uuid in uuids)


@dataclass(frozen=True, slots=True)
class RunnerLock:
    """What there is about the runner of a queue."""

    session: str | None
    """Whose it is, for people; None: no runner is recorded."""
    live: bool = False
    """Whether its lease has not ended."""


def look_at_runner(queue: QueueDatabase) -> RunnerLock:
    """Whether a runner is recorded: that record is never locked, so that there is nothing to release."""
    session = queue.get_session()
    if session is None:
        return RunnerLock(None)
    return RunnerLock(session.describe(), session.is_live(utcnow()))
