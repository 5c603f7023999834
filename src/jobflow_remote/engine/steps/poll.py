"""``start`` and ``leave_queue``: ask the scheduler where all jobs of the worker are, in one question."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from jobflow_remote.engine.context import WorkerContext, host_job
from jobflow_remote.engine.outcome import Advance, Outcome
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import WHOLE, Share
from jobflow_remote.schedulers.port import HostJobState, HostJobStatus

_SOON = timedelta(milliseconds=50)
"""A process that was started a moment ago shows itself within this time."""
_UNWATCHED = timedelta(seconds=1)


class PollStep(Step):
    """Where the host notices the end of processes, it wakes this step; elsewhere the step asks from time to time."""

    name = "poll"
    batch = 10_000
    drains = False
    makes_room_for = frozenset({"submit"})

    def __init__(self, context: WorkerContext, share: Share = WHOLE) -> None:
        super().__init__(context, share)
        self._next: datetime | None = None

    async def next_retry(self) -> datetime | None:
        return self._next

    async def take(self) -> list[JobRecord]:
        self._next = None
        return await super().take()

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        jobs = [host_job(record) for record in records]
        scheduler, host = self.context.scheduler, self.context.host
        answer = await host.run(
            scheduler.render_status(jobs), timeout_seconds=self.context.config.timeout_execute
        )
        statuses = scheduler.parse_status(answer, jobs)
        outcomes = [
            outcome
            for record, status in zip(records, statuses, strict=True)
            if (outcome := self._outcome(record, status)) is not None
        ]
        self._plan_next(records, statuses)
        return outcomes

    def _outcome(self, record: JobRecord, status: HostJobStatus) -> Outcome | None:
        fields: dict[str, Any] = {"remote.queue_state": status.queue_state or status.state.value.upper()}
        if status.process_id and status.process_id != record.process_id:
            fields["remote.process_id"] = status.process_id
        if status.state is HostJobState.RUNNING and record.state is JobState.SUBMITTED:
            return Advance(record, "start", JobState.RUNNING, fields | {"start_time": utcnow()})
        if status.state is HostJobState.ENDED:
            to = JobState.DOWNLOADED if self.context.host.files_are_local else JobState.TERMINATED
            fields |= {
                "remote.exit_code": status.exit_code,
                "remote.reason": status.reason,
                "end_time": utcnow(),
            }
            return Advance(record, "leave_queue", to, fields)
        return None

    def _plan_next(self, records: list[JobRecord], statuses: list[HostJobStatus]) -> None:
        running = [
            status.process_id or record.process_id
            for record, status in zip(records, statuses, strict=True)
            if status.state is HostJobState.RUNNING
        ]
        watched = self.context.scheduler.can_watch and self.context.host.watch(
            [p for p in running if p], self._ended
        )
        if (
            any(status.state is HostJobState.QUEUED for status in statuses)
            and self.context.scheduler.can_watch
        ):
            self._next = utcnow() + _SOON
        elif running and not watched:
            self._next = utcnow() + _UNWATCHED

    def _ended(self, process_id: str) -> None:
        self.runner.wake(self.name, self.worker)
