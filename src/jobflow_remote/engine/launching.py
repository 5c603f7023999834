"""How the jobs of a local worker are started and looked at: by a warm process where they need no shell, else by script.

What a job leaves in its run folder is the same either way; what is known beside that is known to the runner only as
long as it lives. See ``docs/decisions/0014-warm-local-jobs.md``.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jobflow_remote.config.base import ExecutionConfig
from jobflow_remote.config.workers import DEFAULT_EXECUTION_CMD, LocalWorker
from jobflow_remote.engine.jobscript import plain_exports
from jobflow_remote.engine.plainlines import variables_of
from jobflow_remote.engine.warm import Recipe, WarmProcess
from jobflow_remote.errors import ConfigError
from jobflow_remote.execution.forkserver.order import Order
from jobflow_remote.layout import FORMER_ATTEMPT
from jobflow_remote.model.records import Document, JobRecord
from jobflow_remote.schedulers.port import HostJob, HostJobState, HostJobStatus
from jobflow_remote.schedulers.shell import own_keywords
from jobflow_remote.schedulers.shellfiles import Seen, Stage, is_process, look

HANDED_AHEAD = 32
"""Jobs that may wait in the warm process, where nobody set `max_jobs`: what is done for them is done for many."""
THREADS_VARIABLE = "OMP_NUM_THREADS"
"""What OpenMP, OpenBLAS, MKL, BLIS and numexpr go by when nothing more special is set."""

_COUNT_AT_START = re.compile(
    r"PYTHON|LD_|DYLD_|JOBFLOW_|JFREMOTE_|MALLOC_|[A-Z_]*_NUM_THREADS$", re.IGNORECASE
)
"""Variables that only a new interpreter, or the libraries that it loads, would look at."""
_HARMLESS_RESOURCES = frozenset({"job_name"})
_GONE = "its process is gone and left no exit code: killed together with the process that started it"
_KEEPER_GONE = "its processes are gone and left no exit code: killed together with the process that kept them"


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """Where a job is, and what there is to be done about it."""

    status: HostJobStatus
    began: float | None = None
    watched: bool = False
    """Its end will be told without being asked for."""
    look_again: bool = False
    """It is about to be another one."""


class Launching:
    """One local worker of this process of the runner."""

    def __init__(
        self,
        worker: str,
        config: LocalWorker,
        wake: Callable[[], None],
        tell: Callable[[str | None], None] = lambda why: None,
    ) -> None:
        self.config = config
        self.warm = WarmProcess(worker, make_recipe(config), wake, tell)

    @property
    def handed_ahead(self) -> int:
        """Jobs that may be handed over beyond those that run; none where a person set the limit."""
        return HANDED_AHEAD if self.config.max_jobs is None and self.config.can_fork else 0

    # -- how to start ------------------------------------------------------------------------------------------

    def order(self, record: JobRecord, execution: ExecutionConfig, resources: Document) -> Order | None:
        """What the warm process is asked for; None: the job starts by script.

        Raises
        ------
        ConfigError
            If the worker says ``launch: fork``, and the job cannot be forked.
        """
        if not self.config.can_fork:
            return None
        reason = why_not_forked(self.config, record, execution, resources) or self.warm.refusal
        if reason is None:
            before = variables_of(self.config.pre_run) or {}
            return _order(record, {**before, **(plain_exports(execution) or {})})
        if self.config.launch == "fork":
            raise ConfigError(
                f"the job cannot be forked, as `launch: fork` of worker {record.worker} wants it: {reason}",
                hint="take `launch: fork` from the worker, and the job starts by a script",
            )
        return None

    # -- where jobs are ----------------------------------------------------------------------------------------

    async def look(self, records: Sequence[JobRecord], jobs: Sequence[HostJob]) -> list[LocalStatus | None]:
        """Where jobs are; None for one that was handed to a warm process which is no more, and has not begun."""
        seen = await asyncio.to_thread(lambda: [look(job) for job in jobs])
        found = [self._status(*each) for each in zip(records, jobs, seen, strict=True)]
        self._share_room(records, seen)
        return found

    def _share_room(self, records: Sequence[JobRecord], seen: Sequence[Seen]) -> None:
        """Jobs that others have started need room, too."""
        limit = self.config.job_limit
        if not limit:
            return
        others = sum(
            (each.stage is Stage.RUNNING and not self.warm.runs(record.attempt or ""))
            or (each.stage is Stage.NOT_BEGUN and not record.is_forked)
            for record, each in zip(records, seen, strict=True)
        )
        self.warm.limit(max(1, limit - others))

    def _status(self, record: JobRecord, job: HostJob, seen: Seen) -> LocalStatus | None:
        pid = str(seen.pid) if seen.pid else None
        match seen.stage:
            case Stage.ENDED:
                return LocalStatus(HostJobStatus(HostJobState.ENDED, seen.exit_code, process_id=pid))
            case Stage.RUNNING:
                status = HostJobStatus(HostJobState.RUNNING, process_id=pid)
                return LocalStatus(status, seen.began, self.warm.runs(job.attempt), look_again=pid is None)
            case Stage.GONE if record.is_forked:
                return self._gone_fork(job, seen, pid)
            case Stage.GONE:
                return LocalStatus(HostJobStatus(HostJobState.ENDED, reason=_KEEPER_GONE, process_id=pid))
        if record.is_forked:
            return self._not_begun_fork(job)
        return _not_begun_script(job)

    def _gone_fork(self, job: HostJob, seen: Seen, pid: str | None) -> LocalStatus:
        code = self.warm.ends.get(job.attempt)
        if code is None and seen.server is not None and seen.server.is_alive:
            status = HostJobStatus(HostJobState.RUNNING, process_id=pid)  # its server is about to tell
            return LocalStatus(status, watched=True, look_again=not self.warm.runs(job.attempt))
        reason = _GONE if code is None else None
        return LocalStatus(HostJobStatus(HostJobState.ENDED, code, reason, process_id=pid))

    def _not_begun_fork(self, job: HostJob) -> LocalStatus | None:
        code = self.warm.ends.get(job.attempt)
        if code is not None:
            return LocalStatus(HostJobStatus(HostJobState.ENDED, code))
        if self.warm.waits(job.attempt) or self.warm.runs(job.attempt):
            return LocalStatus(HostJobStatus(HostJobState.QUEUED), watched=True)
        return None


def _not_begun_script(job: HostJob) -> LocalStatus:
    """The process that keeps the job is about to write its name down."""
    if is_process(job.process_id) or look(job).stage is not Stage.NOT_BEGUN:
        return LocalStatus(HostJobStatus(HostJobState.QUEUED), look_again=True)
    return LocalStatus(HostJobStatus(HostJobState.ENDED, reason=_KEEPER_GONE))


def make_recipe(config: LocalWorker) -> Recipe:
    """What the warm process of a worker is made by."""
    return Recipe(
        preload=tuple(config.preload),
        most=config.job_limit or 0,
        pin=config.pin_cores,
        environment=thread_limit(config),
    )


def thread_limit(config: LocalWorker) -> dict[str, str]:
    """What keeps the threads of numeric libraries within a job's share of the cores, unless a person said otherwise."""
    share = config.cores_per_job
    if share is None or THREADS_VARIABLE in os.environ:
        return {}
    return {THREADS_VARIABLE: str(share)}


def why_not_forked(
    config: LocalWorker, record: JobRecord, execution: ExecutionConfig, resources: Mapping[str, object]
) -> str | None:
    """What about a job needs a shell, or an interpreter of its own; None: nothing."""
    about_worker = why_worker_needs_shell(config)
    if about_worker is not None:
        return about_worker
    exports = plain_exports(execution)
    if exports is None:
        return f"its exec_config {_shell_parts(execution)}"
    early = _early(exports)
    if early:
        return f"its exec_config sets {early}, which a process looks at when it starts"
    special = sorted(set(own_keywords(resources)) - _HARMLESS_RESOURCES)
    if special:
        return f"its resources have {', '.join(special)}"
    if (record.attempt or "").startswith(FORMER_ATTEMPT):
        return "it was prepared by an older release"
    return None


def why_worker_needs_shell(config: LocalWorker) -> str | None:
    """What about a worker keeps all of its jobs from being forked; None: nothing."""
    before = variables_of(config.pre_run)
    needs = [] if before is not None else ["`pre_run`"]
    if config.post_run:
        needs.append("`post_run`")
    if config.execution_cmd not in (None, DEFAULT_EXECUTION_CMD):
        needs.append("`execution_cmd`")
    if needs:
        return f"the worker has {' and '.join(needs)}"
    early = _early(before or {})
    return f"the worker's `pre_run` sets {early}, which a process looks at when it starts" if early else None


def _early(variables: Mapping[str, str]) -> str:
    return ", ".join(sorted(name for name in variables if _COUNT_AT_START.match(name)))


def _shell_parts(execution: ExecutionConfig) -> str:
    parts = [f"`{name}`" for name in ("pre_run", "post_run", "modules") if getattr(execution, name)]
    return f"has {' and '.join(parts)}" if parts else "exports values that a shell has to read"


def _order(record: JobRecord, exports: Mapping[str, str]) -> Order:
    """The environment is that of the script: the runner's own ``jf`` comes first, unless the exports say otherwise."""
    run_dir, own = record.run_dir or "", os.path.dirname(sys.executable)
    path = f"{exports['PATH']}:{own}" if "PATH" in exports else f"{own}:{os.environ.get('PATH', '')}"
    attempt = record.attempt or "0"
    return Order(attempt, run_dir, attempt, environment={"PWD": run_dir, **exports, "PATH": path})
