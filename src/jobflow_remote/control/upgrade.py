"""Bring the queue database of an older release up to date: what would be done, what is in the way, and doing it."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import shlex
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow_remote.errors import HostError, JobflowRemoteError, NotAllowedError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide import upgrade as decide
from jobflow_remote.model.decide.upgrade import Action, Obstacle, Survey, UpgradeOrder
from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.services.opened import Services
from jobflow_remote.services.session import PID_FILENAME, is_runner_alive

_OF_RUNNERS = ("supervisord", "runner run")
"""Words in the command lines of a runner's processes, of any release."""
Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """What an upgrade will do."""

    survey: Survey
    actions: tuple[Action, ...]
    obstacles: tuple[Obstacle, ...]
    notes: tuple[str, ...]

    def blocked_by(self, *, force: bool) -> list[str]:
        """What is in the way; ``force`` skips what may be skipped."""
        return [obstacle.what for obstacle in self.obstacles if not (force and obstacle.skippable)]


# -- versions ------------------------------------------------------------------------------------------------


def our_version() -> str:
    """Version of this installation."""
    from importlib.metadata import version

    return version("jobflow-remote")


def installed_versions() -> Document:
    """The document about versions, as 1.0.1 writes it."""
    from importlib.metadata import distributions

    environment = {each.metadata["Name"]: each.version for each in distributions() if each.metadata["Name"]}
    return {
        "jobflow_remote_version": our_version(),
        "jobflow_version": environment.get("jobflow"),
        "full_environment": dict(sorted(environment.items())),
    }


def recorded_versions(queue: QueueDatabase, survey: Survey | None) -> Document:
    """What the database says of versions."""
    if survey is None:
        return dict(queue.get_auxiliary("versions") or {})
    return {
        "jobflow_remote_version": survey.version,
        "jobflow_version": survey.jobflow_version,
        "full_environment": dict(survey.environment),
    }


def database_version(queue: QueueDatabase) -> str:
    """The release whose documents the database has."""
    survey = queue.survey_upgrade()
    if survey is not None:
        return survey.version
    return str((queue.get_auxiliary("versions") or {}).get("jobflow_remote_version") or our_version())


def compare_versions(recorded: Mapping[str, Any], *, everything: bool) -> list[str]:
    """Changes of jobflow since the database was written; ``everything``: of all packages."""
    present = installed_versions()
    if not everything:
        before, now = recorded.get("jobflow_version"), present["jobflow_version"]
        return [f"jobflow: {before} → {now}"] if before and before != now else []
    former, current = recorded.get("full_environment") or {}, present["full_environment"]
    return [
        f"{name}: {former.get(name, 'not there')} → {current.get(name, 'not there')}"
        for name in sorted({*former, *current}, key=str.lower)
        if former.get(name) != current.get(name)
    ]


def note_versions(queue: QueueDatabase, *, version: str | None = None) -> None:
    """Record the versions of this installation; ``version``: another one of jobflow-remote."""
    versions = installed_versions()
    queue.set_auxiliary("versions", {**versions, "jobflow_remote_version": version or our_version()})


# -- the upgrade ---------------------------------------------------------------------------------------------


def plan_upgrade(queue: QueueDatabase, daemon_dir: str | Path) -> UpgradePlan | None:
    """What an upgrade would do; None: the database is up to date."""
    survey = queue.survey_upgrade()
    if survey is None:
        return None
    here = {"hostname": socket.gethostname(), "daemon_dir": str(daemon_dir)}
    alive = is_runner_alive(daemon_dir) or _is_former_runner_alive(survey.runner, daemon_dir)
    return UpgradePlan(
        survey=survey,
        actions=tuple(decide.decide_actions(survey)),
        obstacles=tuple(decide.decide_obstacles(survey, here=here, is_alive=alive)),
        notes=tuple(decide.decide_notes(survey, utcnow())),
    )


def _is_former_runner_alive(runner: Mapping[str, Any] | None, daemon_dir: str | Path) -> bool:
    """Whether a process that an older release's daemon noted down is alive on this machine."""
    pids = []
    with contextlib.suppress(OSError, ValueError):
        pids.append(int((Path(daemon_dir) / PID_FILENAME).read_text(encoding="ascii")))
    if runner is not None and runner.get("hostname") == socket.gethostname():
        pids += [process.get("pid") for process in (runner.get("processes_info") or {}).values()]
    return any(_is_of_runner(pid) for pid in pids if pid)


def _is_of_runner(pid: int) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        line = " ".join(process.cmdline())
        return process.status() != psutil.STATUS_ZOMBIE and any(word in line for word in _OF_RUNNERS)
    except psutil.Error:
        return False


def upgrade(services: Services, plan: UpgradePlan, *, force: bool, report: Report) -> list[str]:
    """Do it; returns what remains for people to do. May be repeated after it was cut short.

    Raises
    ------
    NotAllowedError
        If something is in the way.
    """
    blocked = plan.blocked_by(force=force)
    if blocked:
        raise NotAllowedError(f"the database cannot be upgraded now: {'; '.join(blocked)}")
    workers = services.project.workers
    order = UpgradeOrder(
        who=getpass.getuser(),
        versions=installed_versions(),
        came_from=plan.survey.version,
        remote_workers=frozenset(name for name, worker in workers.items() if not worker.is_local),
    )
    left = _rename_folders(services) if decide.uses_former_names(plan.survey.version) else []
    services.queue.upgrade(order, report)
    return left


def _rename_folders(services: Services) -> list[str]:
    """Give folders of batch workers their present names; what could not be done is returned in words."""
    left = []
    for name, worker in services.project.workers.items():
        if worker.batch is None:
            continue
        command = decide.batch_folders_command(str(worker.batch.jobs_handle_dir), shlex.quote)
        try:
            asyncio.run(_run(services, name, command))
        except JobflowRemoteError as error:
            left.append(f"on the machine of worker {name} ({error}), run: {command}")
    return left


async def _run(services: Services, worker: str, command: str) -> None:
    try:
        answer = await services.host(worker).run(command, timeout_seconds=60)
    finally:
        await services.close_hosts()
    if answer.exit_code:
        raise HostError(f"the command ended with {answer.exit_code}: {answer.stderr.strip()[-300:]}")
