"""Starting jobs, once each: an order for the warm process, or a script for the scheduler."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobflow_remote.engine.context import WorkerContext, host_job
from jobflow_remote.engine.jobscript import find_exec_config, render_job_script
from jobflow_remote.engine.polling import run_script
from jobflow_remote.execution.forkserver.order import Order
from jobflow_remote.layout import SUBMIT_FILENAME
from jobflow_remote.model.records import Document, JobRecord
from jobflow_remote.schedulers.port import SubmitAnswer


@dataclass(frozen=True, slots=True)
class Start:
    """How a job starts."""

    record: JobRecord
    script: str
    """Its script; where it is forked it is there for people all the same."""
    order: Order | None
    """What the warm process is asked for; None: it starts by the script."""


def prepare(context: WorkerContext, record: JobRecord) -> Start:
    """How a job starts.

    Raises
    ------
    ConfigError, SchedulerError
        If it cannot be started as it is configured.
    """
    resources: Document = context.config.resources or {} if record.resources is None else record.resources
    header = context.scheduler.render_header(
        name=record.name,
        run_dir=record.run_dir or "",
        resources=resources,
        attempt=record.attempt or "0",
    )
    execution = find_exec_config(context, record)
    launching = context.runner.launching(context.name)
    order = launching.order(record, execution, resources) if launching is not None else None
    return Start(record, render_job_script(context, record, execution, header=header), order)


def _files(starts: Sequence[Start]) -> dict[str, bytes | Path]:
    return {os.path.join(each.record.run_dir or "", SUBMIT_FILENAME): each.script.encode() for each in starts}


async def hand_over(context: WorkerContext, starts: Sequence[Start]) -> None:
    """Have the warm process run jobs; it tells by itself what became of them."""
    launching = context.runner.launching(context.name)
    orders = [each.order for each in starts if each.order is not None]
    if launching is not None and orders:
        await context.host.put_many(_files(starts))
        launching.warm.hand_over(orders)


async def submit(context: WorkerContext, starts: Sequence[Start]) -> list[SubmitAnswer]:
    """Write the scripts and hand them to the scheduler by one command; what became of each."""
    scheduler = context.scheduler
    jobs = [host_job(each.record) for each in starts]
    answer = await run_script(
        context.host,
        scheduler.render_submit(jobs),
        files=_files(starts),
        timeout_seconds=context.config.timeout_execute,
    )
    return scheduler.parse_submit(answer, jobs)
