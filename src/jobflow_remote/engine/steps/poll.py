"""``start`` and ``leave_queue``: ask the scheduler where all jobs of the worker are, in one question."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobflow_remote.config.workers import host_key
from jobflow_remote.engine.context import WorkerContext, host_job
from jobflow_remote.engine.outcome import Advance, Outcome
from jobflow_remote.engine.polling import Pace, outcome_of
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import JobRecord
from jobflow_remote.queuedb.port import WHOLE, Share
from jobflow_remote.schedulers.port import HostJobState, HostJobStatus

_SOON = timedelta(milliseconds=50)
"""A process that was started a moment ago shows itself within this time."""


class PollStep(Step):
    """Where the host notices the end of processes, it wakes this step; elsewhere the step asks from time to time."""

    name = "poll"
    batch = 10_000
    drains = False
    makes_room_for = frozenset({"submit"})

    def __init__(self, context: WorkerContext, share: Share = WHOLE) -> None:
        super().__init__(context, share)
        self._next: datetime | None = None
        self._known: set[tuple[str, str]] = set()
        self._pace = Pace(self.runner.services.project.runner.delay_check_run_status)

    async def next_retry(self) -> datetime | None:
        return self._next

    async def take(self) -> list[JobRecord]:
        self._next = None
        return await super().take()

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        statuses = await self.runner.desk.ask(
            self.context.host,
            self.context.scheduler,
            [host_job(record) for record in records],
            timeout_seconds=self.context.config.timeout_execute,
            invite=self._invite,
        )
        outcomes = [
            outcome
            for record, status in zip(records, statuses, strict=True)
            if (outcome := outcome_of(self.context, record, status)) is not None
        ]
        known = {(record.uuid, record.attempt or "") for record in records}
        moved = any(isinstance(outcome, Advance) for outcome in outcomes)
        self._pace.saw(movement=moved or bool(known - self._known))
        self._known = known
        self._plan_next(records, statuses)
        return outcomes

    def _invite(self) -> None:
        """Workers on the same host may ask in the same breath."""
        services = self.runner.services
        here = host_key(self.context.config)
        for name, worker in services.project.workers.items():
            if name != self.worker and not worker.is_local and host_key(worker) == here:
                self.runner.wake(self.name, name)

    def _plan_next(self, records: list[JobRecord], statuses: list[HostJobStatus]) -> None:
        scheduler, host = self.context.scheduler, self.context.host
        open_ones = [
            (status.state, status.process_id or record.process_id)
            for record, status in zip(records, statuses, strict=True)
            if status.state is not HostJobState.ENDED
        ]
        if not open_ones:
            return
        running = [p for state, p in open_ones if p and state is HostJobState.RUNNING]
        watched = scheduler.can_watch and host.watch(running, self._ended)
        if not watched:
            self._next = utcnow() + timedelta(seconds=self._pace.seconds)
        elif len(running) < len(open_ones):
            self._next = utcnow() + _SOON

    def _ended(self, process_id: str) -> None:
        self.runner.wake(self.name, self.worker)
