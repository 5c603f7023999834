"""``start`` and ``leave_queue`` of jobs whose processes we start ourselves: their run folders tell where they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from jobflow_remote.engine.context import WorkerContext, host_job
from jobflow_remote.engine.launching import Launching, LocalStatus
from jobflow_remote.engine.outcome import Advance, Failed, Noted, Outcome
from jobflow_remote.engine.polling import outcome_of, run_script
from jobflow_remote.engine.starting import Start, hand_over, prepare, submit
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import ConfigError, SchedulerError
from jobflow_remote.layout import FORMER_ATTEMPT
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import JobRecord
from jobflow_remote.queuedb.port import WHOLE, Share
from jobflow_remote.schedulers.port import HostJobState

_SHOWN_AFTER_SECONDS = 0.3
"""A job that ends sooner is never told as RUNNING: one write less."""
_SOON_SECONDS = 0.05
_UNWATCHED_SECONDS = 1.0
"""Pause between looks where the kernel does not tell of the end of processes."""


class LookStep(Step):
    """The warm process, or the kernel, tells that a job ended, and wakes this step."""

    name = "poll"
    batch = 10_000
    drains = False
    makes_room_for = frozenset({"submit"})

    def __init__(self, context: WorkerContext, share: Share = WHOLE) -> None:
        super().__init__(context, share)
        launching = self.runner.launching(self.worker)
        assert launching is not None
        self._launching: Launching = launching
        self._next: datetime | None = None

    async def next_retry(self) -> datetime | None:
        return self._next

    async def take(self) -> list[JobRecord]:
        self._next = None
        return await super().take()

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        former = [record for record in records if (record.attempt or "").startswith(FORMER_ATTEMPT)]
        outcomes = await self._ask(former) if former else []
        present = [record for record in records if record not in former]
        found = await self._launching.look(present, [host_job(record) for record in present])
        lost: list[JobRecord] = []
        for record, local in zip(present, found, strict=True):
            if local is None:
                lost.append(record)
            elif self._is_due(local):
                outcome = outcome_of(self.context, record, local.status)
                outcomes += [outcome] if outcome is not None else []
        self._watch(present, found)
        if lost:
            outcomes += await self._start_again(lost)
        return outcomes

    async def after(self, applied: Sequence[Outcome]) -> None:
        ended = [
            o.record.attempt or "" for o in applied if isinstance(o, Advance) and o.event == "leave_queue"
        ]
        self._launching.warm.forget(ended)

    def _is_due(self, local: LocalStatus) -> bool:
        """Whether it is told; a job that has just begun may have ended before anybody reads that it runs."""
        if local.status.state is not HostJobState.RUNNING or local.began is None:
            return True
        left = _SHOWN_AFTER_SECONDS - (time.time() - local.began)
        if 0 < left <= _SHOWN_AFTER_SECONDS:
            self._look_in(left)
            return False
        return True

    def _look_in(self, seconds: float) -> None:
        then = utcnow() + timedelta(seconds=seconds)
        self._next = then if self._next is None else min(self._next, then)

    def _watch(self, records: Sequence[JobRecord], found: Sequence[LocalStatus | None]) -> None:
        """See to it that the end of each job wakes this step."""
        pids = []
        for record, local in zip(records, found, strict=True):
            if local is None or local.status.state is HostJobState.ENDED:
                continue
            if local.look_again:
                self._look_in(_SOON_SECONDS)
            elif not local.watched:
                pids.append(local.status.process_id or record.process_id or "")
        if pids and not self.context.host.watch(pids, lambda _: self.runner.wake(self.name, self.worker)):
            self._look_in(_UNWATCHED_SECONDS)

    async def _start_again(self, records: Sequence[JobRecord]) -> list[Outcome]:
        """Jobs that nobody has any more: whoever had them forgot them before they began, and an attempt begins once."""
        outcomes: list[Outcome] = []
        starts: list[Start] = []
        for record in records:
            try:
                starts.append(prepare(self.context, record))
            except (ConfigError, SchedulerError) as error:
                outcomes.append(Failed(record, error))
        await hand_over(self.context, [start for start in starts if start.order is not None])
        scripts = [start for start in starts if start.order is None]
        if scripts:
            results = await submit(self.context, scripts)
            for start, result in zip(scripts, results, strict=True):
                fields = {"remote.launch": "script", "remote.process_id": result.process_id}
                outcomes.append(Noted(start.record, fields))
            self._look_in(_SOON_SECONDS)
        return outcomes

    async def _ask(self, records: Sequence[JobRecord]) -> list[Outcome]:
        """Jobs that an older release started left nothing in their folders."""
        host, scheduler = self.context.host, self.context.scheduler
        jobs = [host_job(record) for record in records]
        timeout = self.context.config.timeout_execute
        said = await run_script(host, scheduler.render_status(jobs), timeout_seconds=timeout)
        statuses = scheduler.parse_status(said, jobs)
        self._look_in(_UNWATCHED_SECONDS)
        found = [outcome_of(self.context, *each) for each in zip(records, statuses, strict=True)]
        return [outcome for outcome in found if outcome is not None]
