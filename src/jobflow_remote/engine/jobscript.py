"""The shell around a job: its exec_config, and the submission script."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from jobflow_remote.config.base import ExecutionConfig
from jobflow_remote.config.workers import LocalWorker
from jobflow_remote.engine.plainlines import PLAIN_VALUE
from jobflow_remote.errors import ConfigError
from jobflow_remote.model.records import JobRecord
from jobflow_remote.schedulers.script import ScriptParts, render_script

if TYPE_CHECKING:
    from jobflow_remote.engine.context import WorkerContext


def find_exec_config(context: WorkerContext, record: JobRecord) -> ExecutionConfig:
    """The exec_config of a job, by name or as it is.

    Raises
    ------
    ConfigError
        If the project has none of this name.
    """
    wanted: Any = record.exec_config
    if not wanted:
        return ExecutionConfig()
    if isinstance(wanted, str):
        known = context.runner.services.project.exec_config
        if wanted not in known:
            raise ConfigError(
                f"the project has no exec_config {wanted!r}",
                hint=f"it has {', '.join(known) or 'none'}; add it to the project file and `jf job retry` the job",
            )
        return known[wanted]
    return ExecutionConfig.model_validate({k: v for k, v in wanted.items() if not k.startswith("@")})


def plain_exports(execution: ExecutionConfig) -> dict[str, str] | None:
    """The variables of an exec_config that needs no shell; None: it needs one."""
    if execution.pre_run or execution.post_run or execution.modules:
        return None
    exports = {key: str(value) for key, value in (execution.export or {}).items()}
    return exports if all(PLAIN_VALUE.fullmatch(value) for value in exports.values()) else None


def own_bin(context: WorkerContext) -> str | None:
    """Folder of the runner's own ``jf``, where the job runs on the machine of the runner."""
    return os.path.dirname(sys.executable) if context.config.is_local else None


def render_job_script(
    context: WorkerContext, record: JobRecord, execution: ExecutionConfig, *, header: str
) -> str:
    """The submission script of a job. Inside of a pilot the worker's own lines have been run already."""
    worker = context.config
    around = (None, None) if worker.is_batch else (worker.pre_run, worker.post_run)
    return render_script(
        ScriptParts(
            threads=worker.cores_per_job if isinstance(worker, LocalWorker) else None,
            header=header,
            run_dir=record.run_dir or "",
            command=worker.execution_cmd,
            pre_run=(around[0], execution.pre_run),
            export=execution.export or {},
            modules=execution.modules or (),
            post_run=(around[1], execution.post_run),
            own_bin=own_bin(context),
        )
    )
