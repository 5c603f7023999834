"""The runner, as scripts of jobflow-remote 1.0.1 start it. The real one is :mod:`jobflow_remote.engine.runner`."""

from __future__ import annotations

import asyncio

from jobflow_remote.bootstrap import open_services
from jobflow_remote.engine import runner as engine
from jobflow_remote.errors import CapabilityMissingError
from jobflow_remote.hosts.pool import POOL
from jobflow_remote.hosts.questions import answer_at_terminal
from jobflow_remote.model.lifecycle import ROLES
from jobflow_remote.services.opened import Services
from jobflow_remote.services.session import describe_owner, hold_alive_lock, no_runner_alive, open_session

__all__ = ["Runner"]


class Runner:
    """Runs the jobs of a project within this process.

    Parameters
    ----------
    project_name
        The project; by default the selected one.
    log_level
        Least serious message in the log; by default that of the project.
    runner_id, daemon_id
        Accepted for scripts of 1.0.1; the runner's session identifies it.
    connect_interactive
        Ask the questions of hosts (one-time passwords) at the terminal of this process.
    """

    def __init__(
        self,
        project_name: str | None = None,
        log_level: str | None = None,
        runner_id: str | None = None,
        connect_interactive: bool = False,
        daemon_id: str | None = None,
    ) -> None:
        if connect_interactive:
            POOL.answerer = answer_at_terminal
        self.project_name = project_name
        self.log_level = log_level
        self.runner_id = runner_id
        self.daemon_id = daemon_id

    def run(
        self,
        transfer: bool = True,
        complete: bool = True,
        queue: bool = True,
        checkout: bool = True,
        ticks: int | None = None,
    ) -> None:
        """Work until SIGTERM or SIGINT, in the chosen roles. There are no ticks any more: nothing is polled."""
        if ticks is not None:
            raise CapabilityMissingError(
                "the runner does not work in ticks", hint="run_all_jobs() works until nothing is left to do"
            )
        chosen = {"transfer": transfer, "complete": complete, "queue": queue, "checkout": checkout}
        roles = frozenset(role for role, wanted in chosen.items() if wanted)
        engine.run_runner(self.project_name, roles=roles, log_level=self.log_level)

    def run_all_jobs(self, max_seconds: float | None = None, wait_for_batches: bool = False) -> None:
        """Work until there is no job left that could be moved.

        Raises
        ------
        RuntimeError
            After ``max_seconds``.

        Examples
        --------
        >>> Runner().run_all_jobs(max_seconds=60)
        >>> jc.count_jobs(states=JobState.COMPLETED)
        4
        """
        with open_services(self.project_name) as services:
            ended_by = asyncio.run(_run_until_idle(services, max_seconds))
        if ended_by == "timeout":
            raise RuntimeError(f"there are jobs left after {max_seconds:g} s")


async def _run_until_idle(services: Services, max_seconds: float | None) -> str | None:
    lease_seconds = services.project.runner.lease_seconds
    with no_runner_alive(services.daemon_dir):
        owner = describe_owner(services.project.name, services.daemon_dir, mode="script")
        session = open_session(services.queue, owner, lease_seconds=lease_seconds)
    with hold_alive_lock(services.daemon_dir):
        runner = engine.Runner(services, session.token, roles=tuple(ROLES))
        try:
            await runner.run(until_idle=True, max_seconds=max_seconds)
        finally:
            services.queue.close_session(session.token)
    return runner.ended_by
