"""One question to a scheduler for all workers that share it, and how often to ask.

A worker that wants to know joins the question that is about to be asked on its host; who asks first invites the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow_remote.engine.outcome import Advance, Noted, Outcome
from jobflow_remote.errors import HostTimeoutError, SchedulerBusyError
from jobflow_remote.hosts.port import CommandResult, Host
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.schedulers.port import HostJob, HostJobState, HostJobStatus, Scheduler

if TYPE_CHECKING:
    from jobflow_remote.engine.context import WorkerContext

_JOIN_SECONDS = 0.05
_QUICKEST_SECONDS, _SLOWER_BY = 1.0, 1.5


@dataclass
class _Question:
    """Jobs to ask about, and the answer to come."""

    jobs: list[HostJob] = field(default_factory=list)
    answer: asyncio.Task[list[HostJobStatus]] | None = None


class StatusDesk:
    """Asks each scheduler of each host one question at a time."""

    def __init__(self) -> None:
        self._open: dict[Hashable, _Question] = {}
        self._invited: dict[Hashable, float] = {}

    async def ask(
        self,
        host: Host,
        scheduler: Scheduler,
        jobs: Sequence[HostJob],
        *,
        timeout_seconds: float,
        invite: Callable[[], None],
    ) -> list[HostJobStatus]:
        """Where ``jobs`` are. ``invite`` is called when a question is opened that others may join."""
        key = (host.place, scheduler.query_key)
        question = self._open.get(key)
        opened = question is None
        if question is None:
            question = self._open[key] = _Question()
        start = len(question.jobs)
        question.jobs += jobs
        if opened:
            question.answer = asyncio.create_task(self._answer(key, host, scheduler, timeout_seconds))
            self._invite(key, invite)
        assert question.answer is not None
        statuses = await asyncio.shield(question.answer)
        return statuses[start : start + len(jobs)]

    def _invite(self, key: Hashable, invite: Callable[[], None]) -> None:
        now = time.monotonic()
        if (
            now - self._invited.get(key, -_QUICKEST_SECONDS) >= _QUICKEST_SECONDS
        ):  # guests who come late invite nobody
            self._invited[key] = now
            invite()

    async def _answer(
        self, key: Hashable, host: Host, scheduler: Scheduler, timeout_seconds: float
    ) -> list[HostJobStatus]:
        await asyncio.sleep(_JOIN_SECONDS)
        jobs = self._open.pop(key).jobs
        said = await run_script(host, scheduler.render_status(jobs), timeout_seconds=timeout_seconds)
        return scheduler.parse_status(said, jobs)


class Pace:
    """Quick while things move, slower and slower while nothing does."""

    def __init__(self, slowest_seconds: float) -> None:
        self.slowest_seconds = slowest_seconds
        self.seconds = _QUICKEST_SECONDS

    def saw(self, *, movement: bool) -> None:
        """Take notice of an answer."""
        self.seconds = _QUICKEST_SECONDS if movement else min(self.seconds * _SLOWER_BY, self.slowest_seconds)


async def run_script(
    host: Host, script: str, *, timeout_seconds: float, files: Mapping[str, bytes | Path] | None = None
) -> CommandResult:
    """Run a script of a scheduler on a host, after it got the files that the script is about.

    Raises
    ------
    SchedulerBusyError
        If it did not end in time. What it did by then is in the run folders, so that it may be run again.
    """
    try:
        return await host.put_and_run(files or {}, script, timeout_seconds=timeout_seconds)
    except HostTimeoutError as error:
        raise SchedulerBusyError(f"the scheduler of {host.name} does not answer: {error.message}") from error


def outcome_of(context: WorkerContext, record: JobRecord, status: HostJobStatus) -> Outcome | None:
    """What it means for a job that it is there; None: nothing new."""
    fields: dict[str, Any] = {"remote.queue_state": status.queue_state or status.state.value.upper()}
    if status.process_id and status.process_id != record.process_id:
        fields["remote.process_id"] = status.process_id
    if status.state is HostJobState.RUNNING and record.state is JobState.SUBMITTED:
        fields |= {"remote.reason": status.reason, "start_time": utcnow()}
        return Advance(record, "start", JobState.RUNNING, fields)
    if status.state is HostJobState.ENDED:
        to = JobState.DOWNLOADED if context.host.files_are_local else JobState.TERMINATED
        fields |= {"remote.exit_code": status.exit_code, "remote.reason": status.reason, "end_time": utcnow()}
        if context.config.delay_download:
            delay = timedelta(seconds=context.config.delay_download)
            fields["remote.retry_time_limit"] = utcnow() + delay
        return Advance(record, "leave_queue", to, fields)
    fields["remote.reason"] = status.reason
    known = {key: record.remote.get(key.removeprefix("remote.")) for key in fields}
    return Noted(record, fields) if status.queue_state and fields != known else None
