"""``check_out``: take READY jobs, a bounded number ahead of what the worker can run."""

from __future__ import annotations

from datetime import datetime

from jobflow_remote.engine.outcome import Outcome
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState

_AHEAD = 500
"""Jobs that may wait between check-out and submission: enough to keep every batch full, few enough that a job of high
priority which is submitted later overtakes most of the others."""

_AHEAD_OF_PILOTS = 5000
"""Jobs that may wait for pilots; a bundle of high priority overtakes the others even there."""
_BEFORE_PILOTS = frozenset({JobState.CHECKED_OUT, JobState.UPLOADED, JobState.BATCH_SUBMITTED})
_CLAIMED = frozenset({JobState.CHECKED_OUT, JobState.UPLOADED})


class CheckoutStep(Step):
    """The claim is the step: one write takes the jobs and makes them CHECKED_OUT."""

    name = "checkout"
    is_done_when_taken = True

    async def take(self) -> list[JobRecord]:
        room = self.batch
        if self.context.config.is_batch and await self._pilots_have_enough():
            return []
        limit = self.context.max_submitted
        if limit is not None:
            load = await self.runner.in_queue_thread(self.queue.workload, states=_CLAIMED)
            ahead = sum(load.get((self.worker, state), 0) for state in _CLAIMED)
            window = min(_AHEAD, max(20, 4 * limit))
            if ahead > window // 2:  # there is enough to do; refill in batches, not one by one
                return []
            room = min(room, window - ahead)
        return await self.runner.in_queue_thread(
            self.queue.claim, self.runner.token, worker=self.worker, limit=room, share=self.share
        )

    async def _pilots_have_enough(self) -> bool:
        load = await self.runner.in_queue_thread(self.queue.workload, states=_BEFORE_PILOTS)
        return sum(load.get((self.worker, state), 0) for state in _BEFORE_PILOTS) >= _AHEAD_OF_PILOTS

    async def next_retry(self) -> datetime | None:
        return None

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        self.runner.wake("upload", self.worker)
        return []
