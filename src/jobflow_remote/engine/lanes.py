"""The lanes of one process of the runner; those of a worker whose configuration changes are made anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from jobflow_remote.engine.context import RunnerContext, WorkerContext
from jobflow_remote.engine.lane import Lane, LaneOptions
from jobflow_remote.engine.table import fallback_seconds, step_class
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.lifecycle import ROLES
from jobflow_remote.queuedb.port import Share

logger = logging.getLogger(__name__)

Start = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class Lanes:
    """One lane for each step of ``roles`` and each worker; ``start`` makes tasks that the process looks after."""

    def __init__(self, context: RunnerContext, *, roles: Iterable[str], share: Share, start: Start) -> None:
        self._context, self._share, self._start_task = context, share, start
        self._steps = [step for role in roles for step in ROLES[role]]
        self._lanes: dict[str, list[tuple[Lane, asyncio.Task[None]]]] = {}
        self._renewing: set[str] = set()
        self._stopped = False

    def __iter__(self) -> Iterator[Lane]:
        return iter([lane for lanes in self._lanes.values() for lane, _ in lanes])

    def start(self) -> None:
        """Begin to work for all workers."""
        for worker in self._context.services.project.workers:
            self._start(worker)

    def stop(self) -> None:
        """Have all lanes finish the step in hand, and start no more."""
        self._stopped = True
        for lane in self:
            lane.stop()

    def renew(self, workers: Iterable[str]) -> None:
        """Let the lanes of these workers end after the step in hand, then work by what the project says of them."""
        for worker in workers:
            for lane, _ in self._lanes.get(worker, ()):
                lane.stop()
            if (
                worker not in self._renewing
            ):  # else what is under way reads the newest configuration at its end
                self._renewing.add(worker)
                self._start_task(self._renew(worker), f"renew/{worker}")

    async def _renew(self, worker: str) -> None:
        tasks = [task for _, task in self._lanes.get(worker, ())]
        if tasks:
            await asyncio.wait(tasks)
        self._lanes.pop(worker, None)
        await self._hang_up(worker)
        self._renewing.discard(worker)
        if not self._stopped and worker in self._context.services.project.workers:
            self._start(worker)

    async def _hang_up(self, worker: str) -> None:
        self._context.forget_worker(worker)
        host = self._context.services.forget_host(worker)
        try:
            if host is not None:
                await host.close()
        except JobflowRemoteError as error:
            logger.warning("the former connection of worker %s: %s", worker, error.message)

    def _start(self, worker: str) -> None:
        lanes = [self._make(step, worker) for step in self._steps]
        self._lanes[worker] = [(lane, self._start_task(lane.run(), lane.name)) for lane in lanes]

    def _make(self, name: str, worker: str) -> Lane:
        options = self._context.services.project.runner
        context = WorkerContext(self._context, worker)
        here = self._context.launching(worker) is not None
        step = step_class(name, batch=context.config.is_batch, here=here)(context, self._share)
        times = LaneOptions(
            fallback_seconds(name, options), options.retry_policy(), options.unreachable_limit
        )
        return Lane(step, self._context, times)
