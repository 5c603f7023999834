"""One look at the schedulers without a runner: which jobs have begun, which have ended. Nothing is submitted."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from jobflow_remote.engine.context import RunnerContext, WorkerContext
from jobflow_remote.engine.lane import Lane, LaneOptions
from jobflow_remote.engine.table import step_class
from jobflow_remote.errors import JobflowRemoteError, SessionLostError
from jobflow_remote.services.opened import Services
from jobflow_remote.services.session import describe_owner, hold_alive_lock, no_runner_alive, open_session

logger = logging.getLogger(__name__)

_STEP = "poll"


@dataclass
class Updated:
    """What came of it."""

    jobs: dict[str, int] = field(default_factory=dict)
    """Worker → number of its jobs that are in another state now."""
    problems: dict[str, str] = field(default_factory=dict)
    """Worker → why it could not be asked."""


def update_status(services: Services) -> Updated:
    """Ask the scheduler of each worker once.

    Raises
    ------
    RunnerActiveError
        If a runner is active: it does so by itself.
    """
    return asyncio.run(_update(services))


async def _update(services: Services) -> Updated:
    with no_runner_alive(services.daemon_dir):
        owner = describe_owner(services.project.name, services.daemon_dir, mode="update-status")
        lease_seconds = services.project.runner.lease_seconds
        session = open_session(services.queue, owner, lease_seconds=lease_seconds)
    alive = hold_alive_lock(services.daemon_dir)
    context = RunnerContext(services, session.token)
    updated = Updated()
    try:
        workers = list(services.project.workers)
        await asyncio.gather(*(_update_worker(context, worker, updated) for worker in workers))
    finally:
        await services.close_hosts()
        context.close()
        services.queue.close_session(session.token)
        alive.close()
    return updated


async def _update_worker(context: RunnerContext, worker: str, updated: Updated) -> None:
    options = context.services.project.runner
    step = step_class(_STEP)(WorkerContext(context, worker))
    lane = Lane(step, context, LaneOptions(0.0, options.retry_policy(), options.unreachable_limit))
    try:
        await lane.turn()
    except SessionLostError:
        raise
    except JobflowRemoteError as error:
        updated.problems[worker] = error.message
    updated.jobs[worker] = lane.report.done
