"""A first project for somebody's own machines: what a host can tell of itself, and the project made of the answers."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobflow_remote.config.settings import get_settings
from jobflow_remote.errors import ConfigError, HostError, JobflowRemoteError

ANSWER_SECONDS = 30.0
_SINFO = "sinfo --noheader -o '%R|%l|%D|%c|%a|%P'"
_HOME_MARK = "home of jobflow-remote: "


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of Slurm, as ``sinfo`` tells."""

    name: str
    longest: str
    nodes: str
    cores: str
    is_up: bool
    is_default: bool

    @property
    def description(self) -> str:
        """One line for people."""
        state = "" if self.is_up else ", down"
        return f"{self.name}: {self.nodes} nodes of {self.cores} cores, up to {self.longest}{state}"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host says when it is asked."""

    home: str | None = None
    partitions: tuple[Partition, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerWish:
    """A worker, as somebody described it."""

    name: str
    scheduler: str
    host: str | None = None
    """None: this machine."""
    user: str | None = None
    work_dir: str | None = None
    pre_run: str | None = None
    max_jobs: int | None = None
    resources: dict[str, Any] = field(default_factory=dict)


def parse_partitions(text: str) -> tuple[Partition, ...]:
    """The answer of ``sinfo``, each partition once (it has a line for each kind of node)."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        fields = [each.strip() for each in line.split("|")]
        if len(fields) == 6 and fields[0]:
            name, longest, nodes, cores, state, marked = fields
            known = Partition(name, longest, nodes, cores, state.startswith("up"), marked.endswith("*"))
            found.setdefault(name, known)
    return tuple(found.values())


def guess_scheduler(host: str | None) -> str:
    """What runs jobs on this machine, as far as its commands tell; elsewhere Slurm is likely."""
    if host is not None or shutil.which("sbatch"):
        return "slurm"
    for command, name in (("pbsnodes", "pbs"), ("qconf", "sge")):
        if shutil.which(command):
            return name
    return "shell"


def ask_host(wish: WorkerWish) -> HostFacts:
    """Log in and look: where the home is and, with Slurm, which partitions there are.

    Raises
    ------
    HostError
        If the host cannot be reached, or does not answer in time.
    """
    try:
        return asyncio.run(asyncio.wait_for(_ask_host(wish), ANSWER_SECONDS))
    except TimeoutError:
        raise HostError(f"{wish.host or 'this machine'} did not answer within {ANSWER_SECONDS:g} s") from None


async def _ask_host(wish: WorkerWish) -> HostFacts:
    from jobflow_remote.bootstrap import make_host

    host = make_host(make_worker(wish, work_dir="/"))
    try:
        script = f'echo "{_HOME_MARK}$HOME"' + (f"; {_SINFO}" if wish.scheduler == "slurm" else "")
        answer = await host.run(script, timeout_seconds=ANSWER_SECONDS)
    finally:
        await host.close()
    homes = [line for line in answer.stdout.splitlines() if line.startswith(_HOME_MARK)]
    home = homes[0].removeprefix(_HOME_MARK).strip() if homes else None
    return HostFacts(home or None, parse_partitions(answer.stdout))


def make_worker(wish: WorkerWish, *, work_dir: str | None = None) -> Any:
    """The worker that was described.

    Raises
    ------
    ConfigError
        If something is missing, or wrong.
    """
    from pydantic import ValidationError

    from jobflow_remote.config.workers import LocalWorker, RemoteWorker

    values: dict[str, Any] = {"scheduler_type": wish.scheduler, "work_dir": work_dir or wish.work_dir}
    optional = {"pre_run": wish.pre_run, "max_jobs": wish.max_jobs, "resources": wish.resources or None}
    values |= {key: value for key, value in optional.items() if value is not None}
    try:
        if wish.host is None:
            return LocalWorker(**values)
        login = {"user": wish.user} if wish.user else {}
        return RemoteWorker(host=wish.host, **login, **values)
    except ValidationError as error:
        raise _describe(error, f"worker {wish.name}") from None


def make_project(name: str, workers: Sequence[WorkerWish]) -> Any:
    """A project with these workers, its queue and outputs in files in its folder.

    Raises
    ------
    ConfigError
        If something is wrong with the name or a worker, or two workers have the same name.
    """
    from pydantic import ValidationError

    from jobflow_remote.config.project import Project

    names = [each.name for each in workers]
    if twice := {each for each in names if names.count(each) > 1}:
        raise ConfigError(f"two workers are called {', '.join(sorted(twice))}", hint="give each its own name")
    try:
        return Project(name=name, workers={each.name: make_worker(each) for each in workers})
    except ValidationError as error:
        raise _describe(error, "the project") from None


def default_work_dir(project: str, wish: WorkerWish, facts: HostFacts | None) -> str | None:
    """Where run folders could go: in the project's folder, or in the home of the host; None: nobody knows."""
    if wish.host is None:
        return str(Path(get_settings().projects_folder).expanduser() / project / "jobs")
    if facts is not None and facts.home:
        return os.path.join(facts.home, "jobflow_remote", project)
    return None


def _describe(error: Any, what: str) -> JobflowRemoteError:
    first = error.errors(include_url=False)[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    place = ".".join(str(step) for step in first["loc"])
    return ConfigError(f"{what}: {place}: {message}" if place else f"{what}: {message}")
