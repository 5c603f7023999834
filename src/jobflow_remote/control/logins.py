"""Logging in to the host of a worker, for a person at a terminal."""

from __future__ import annotations

import asyncio
import enum

from jobflow_remote.config.workers import BaseRemoteWorker
from jobflow_remote.errors import HostError, LoginNeededError
from jobflow_remote.hosts import openssh
from jobflow_remote.hosts.login import login_of
from jobflow_remote.hosts.questions import ask_at_terminal
from jobflow_remote.hosts.terminal import run_in_terminal
from jobflow_remote.services.logindesk import log_runner_in
from jobflow_remote.services.opened import Services


class Outcome(enum.Enum):
    """What a login was good for."""

    LOCAL = "it is this machine: nobody needs to log in"
    OPENED = "the session is open"
    WAS_OPEN = "the session is open already"
    RUNNER = "the runner is logged in"
    WORKS = "the login works without questions"


def log_in(services: Services, name: str) -> Outcome:
    """Log in to a worker's host, and ask at this terminal what the host asks.

    Raises
    ------
    ConfigError
        If there is no such worker.
    HostError
        If the host does not let us in; also if there is no runner whose login it could be.
    """
    worker = services.worker(name)
    if not isinstance(worker, BaseRemoteWorker):
        return Outcome.LOCAL
    if worker.transport == "openssh":
        return _open_session(services, name, worker)
    if worker.interactive_login:
        if not log_runner_in(services.daemon_dir, name, ask_at_terminal):
            raise LoginNeededError(
                f"the login of {name} belongs to the runner, which is not running on this machine",
                hint="`jf runner start -s -i` starts it and logs in",
            )
        return Outcome.RUNNER
    asyncio.run(_try(services, name))
    return Outcome.WORKS


def _open_session(services: Services, name: str, worker: BaseRemoteWorker) -> Outcome:
    login = login_of(worker)
    outcome = Outcome.WAS_OPEN if openssh.is_open(login) else Outcome.OPENED
    if outcome is Outcome.OPENED:
        code = run_in_terminal(openssh.login_command(login))
        if code != 0 or not openssh.is_open(login):
            raise HostError(f"ssh opened no session to {login.name} (exit code {code})")
    log_runner_in(
        services.daemon_dir, name, ask_at_terminal
    )  # it need not wait until it would look by itself
    return outcome


async def _try(services: Services, name: str) -> None:
    try:
        await services.host(name).run(":", timeout_seconds=services.worker(name).timeout_execute)
    finally:
        await services.close_hosts()
