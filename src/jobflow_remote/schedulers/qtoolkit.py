"""From what a worker's configuration calls its scheduler to one that works; qtoolkit writes the directives."""

from __future__ import annotations

from typing import Any

from jobflow_remote.config.plugins import SCHEDULERS_GROUP, load_plugin
from jobflow_remote.config.workers import SCHEDULERS, WorkerBase
from jobflow_remote.errors import ConfigError
from jobflow_remote.schedulers.batchsystem import BatchSystem
from jobflow_remote.schedulers.dialect import Dialect
from jobflow_remote.schedulers.hostscripts import HostOptions
from jobflow_remote.schedulers.port import Scheduler


def make_scheduler(spec: str | dict[str, Any], options: HostOptions) -> Scheduler:
    """The scheduler that ``scheduler_type`` means: one of ours, of a plug-in, or a serialised one of qtoolkit.

    Raises
    ------
    ConfigError
        If it cannot be decoded, or is none that we can speak to.
    """
    if spec == "shell":
        from jobflow_remote.schedulers.shell import ShellScheduler

        return ShellScheduler()
    if isinstance(spec, str) and spec not in SCHEDULERS:
        made: Scheduler = load_plugin(SCHEDULERS_GROUP, spec)(options)
        return made
    io = _decode(spec)
    from qtoolkit.io.shell import ShellIO

    if isinstance(io, ShellIO):
        from jobflow_remote.schedulers.shell import ShellScheduler

        return ShellScheduler()
    dialect = _dialect(io)
    if io.SUBMIT_CMD:
        dialect.submit = io.SUBMIT_CMD
    return BatchSystem(dialect, io, options)


def options_of(worker: WorkerBase) -> HostOptions:
    """What a worker's configuration says about its scheduler."""
    limit = worker.timeout_execute  # a script that is cut short is no harm, but tells nothing
    return HostOptions(
        username=worker.scheduler_username,
        max_submitted=worker.max_submitted_user_jobs,
        answer_seconds=max(1, min(25, limit // 2 - 2)),
        budget_seconds=max(1, min(30, limit // 2)),
    )


def _decode(spec: str | dict[str, Any]) -> Any:
    if isinstance(spec, str):
        from qtoolkit.io import scheduler_mapping

        return scheduler_mapping[spec]()
    from monty.json import MontyDecoder
    from qtoolkit.io.base import BaseSchedulerIO

    try:
        io = MontyDecoder().process_decoded(spec)
    except Exception as error:
        raise ConfigError(f"scheduler_type cannot be decoded: {type(error).__name__}: {error}") from error
    if not isinstance(io, BaseSchedulerIO):
        raise ConfigError(
            f"scheduler_type {spec.get('@module')}.{spec.get('@class')} is no scheduler of qtoolkit",
            hint="it has to be a BaseSchedulerIO that can be imported on the machine of the runner",
        )
    return io


def _dialect(io: Any) -> Dialect:
    from qtoolkit.io.pbs import PBSIO
    from qtoolkit.io.sge import SGEIO
    from qtoolkit.io.slurm import SlurmIO

    from jobflow_remote.schedulers.pbs import PbsDialect
    from jobflow_remote.schedulers.sge import SgeDialect
    from jobflow_remote.schedulers.slurm import SlurmDialect

    dialects: dict[Any, type[Dialect]] = {SlurmIO: SlurmDialect, SGEIO: SgeDialect, PBSIO: PbsDialect}
    for kind, dialect in dialects.items():
        if isinstance(io, kind):
            return dialect()
    raise ConfigError(
        f"the scheduler {type(io).__name__} is none of those that jobflow-remote can ask about jobs",
        hint="derive it from SlurmIO, PBSIO or SGEIO of qtoolkit, whose commands it shares",
    )
