"""How the workers are, written down where `jf worker list` can read it: only when it changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import ParamSpec, TypeVar

from jobflow_remote.engine.context import RunnerContext
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import health_key

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class Health:
    """Weather of one lane, as others are told of it."""

    def __init__(self, runner: RunnerContext, *, worker: str, step: str) -> None:
        self._runner, self._key = runner, health_key(worker, step)
        self._since: datetime | None = None
        self._looked = False

    async def is_down(self, why: str, *, next_try_seconds: float) -> None:
        """The lane cannot work, for this reason."""
        now = utcnow()
        self._since = self._since or now
        next_try = now + timedelta(seconds=next_try_seconds)
        await self._write({"since": self._since, "why": why, "next_try": next_try})

    async def is_up(self) -> None:
        """It works (again)."""
        if self._since is None and self._looked:
            return
        known_as_down = self._since is not None or await self._was_left_down()
        if known_as_down and not await self._write(None):
            return
        self._since, self._looked = None, True

    async def _was_left_down(self) -> bool:
        """Whether a runner that was killed said so."""
        try:
            return bool(await self._ask(self._runner.services.queue.get_auxiliary, self._key))
        except JobflowRemoteError:
            return False

    async def _write(self, value: dict[str, object] | None) -> bool:
        try:
            await self._ask(self._runner.services.queue.set_auxiliary, self._key, value)
        except JobflowRemoteError as error:  # the database itself may be what is away
            logger.debug("cannot tell how the worker is: %s", error.message)
            return False
        return True

    async def _ask(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        asking = partial(self._runner.database.call, call, *args, **kwargs)
        return await self._runner.in_thread("changes", asking)
