"""What a step is."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from jobflow_remote.engine.context import WorkerContext
from jobflow_remote.engine.outcome import Outcome
from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import JobRecord
from jobflow_remote.queuedb.port import WHOLE, Share

_BATCH_OF_SMALL_JOBS = 250
"""Jobs of a batch worker per turn."""
_ASK_AGAIN_SECONDS = 5.0


class Step(ABC):
    """One kind of work on jobs of one worker.

    A step can be repeated: a runner that follows one which was killed gives it the same records again.
    """

    name: ClassVar[str]
    batch: int = 100
    """Jobs per turn."""
    drains: ClassVar[bool] = True
    """Whether a turn that did something is followed by another at once."""
    renders: ClassVar[bool] = False
    """Whether it makes of the configuration what jobs will run by, so that a change must not be missed."""
    is_done_when_taken: ClassVar[bool] = False
    """Whether :meth:`take` has moved the jobs on, and nothing is left to be written."""
    makes_room_for: ClassVar[frozenset[str]] = frozenset()
    """Steps that may have been held up by a limit which this step loosens."""

    def __init__(self, context: WorkerContext, share: Share = WHOLE) -> None:
        self.context, self.share = context, share
        self.runner = context.runner
        self.queue = context.runner.services.queue
        if context.config.is_batch:  # many and small
            self.batch = max(self.batch, _BATCH_OF_SMALL_JOBS)
        self._retry: datetime | None = None
        self._retry_is_known, self._asked_at = False, 0.0

    @property
    def worker(self) -> str:
        """Name of the worker."""
        return self.context.name

    async def take(self) -> list[JobRecord]:
        """Jobs that wait for this step, the most urgent first."""
        return await self.runner.in_queue_thread(
            self.queue.due,
            self.runner.token,
            states=lifecycle.STEPS[self.name],
            worker=self.worker,
            limit=self.batch,
            share=self.share,
        )

    async def next_retry(self) -> datetime | None:
        """When the first of the jobs that wait for their next try is due; asked of the database when it may be new."""
        if self._retry is not None and self._retry <= utcnow():
            self._retry_is_known = False
        if not self._retry_is_known or self.context.config.delay_download:
            self._retry = await self.runner.in_queue_thread(
                self.queue.next_retry,
                self.runner.token,
                states=lifecycle.STEPS[self.name],
                worker=self.worker,
            )
            self._retry_is_known, self._asked_at = True, time.monotonic()
        return self._retry

    def expect_retries(self) -> None:
        """Jobs have come to wait for their next try: this step failed."""
        self._retry_is_known = False

    def has_nothing_to_do(self) -> None:
        """Ask again for the next try, unless that was done a moment ago: nobody else makes jobs of this step wait."""
        if time.monotonic() - self._asked_at > _ASK_AGAIN_SECONDS:
            self._retry_is_known = False

    @abstractmethod
    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        """Act, and say what came of it. Records without an outcome stay as they are.

        An exception stands for all of them.
        """

    async def undo(self, refused: Sequence[Outcome]) -> None:
        """Take back the effect on jobs that were changed meanwhile (a person was quicker)."""
        return

    async def after(self, applied: Sequence[Outcome]) -> None:
        """Clear up once the outcomes are in the queue database."""
        return
