"""The warm process of one local worker, as the runner keeps it: started when it is needed, again when it dies."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.execution.forkserver.client import ForkServerProcess
from jobflow_remote.execution.forkserver.order import EXIT_DUPLICATE, Message, Order

logger = logging.getLogger(__name__)

_SHOWN_AFTER_SECONDS = 0.3
"""A job that runs for so long is told to people as RUNNING."""
_TOGETHER_SECONDS, _TOGETHER_JOBS = 0.1, 8
"""Ends of jobs are written down together as long as other jobs run meanwhile."""
_MOST_REMEMBERED = 2000
_MOST_DEATHS = 3
REFUSED_FOR_SECONDS = 60.0
"""After this time it is tried again."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a warm process is made by."""

    preload: tuple[str, ...] = ()
    most: int = 0
    """Jobs at a time; 0: any number."""
    pin: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside the variables of the runner."""

    @property
    def options(self) -> list[str]:
        """Words of the command line."""
        return ["--lasting", "--most", str(self.most), *(["--pin"] if self.pin else [])]


class WarmProcess:
    """Hands orders to the process and knows which of them wait and which run.

    ``wake`` is called when jobs ended, ``tell`` with the reason when the process cannot be had (None: it can).
    All methods are called in the event loop. What a job left is in its run folder; what is known here is only what
    the folder cannot tell.
    """

    def __init__(
        self,
        worker: str,
        recipe: Recipe,
        wake: Callable[[], None],
        tell: Callable[[str | None], None] = lambda why: None,
    ) -> None:
        self.worker, self.recipe, self._wake, self._tell = worker, recipe, wake, tell
        self.ends: dict[str, int] = {}
        """Exit codes by attempt, until :meth:`forget`."""
        self._orders: dict[str, Order] = {}
        self._running: set[str] = set()
        self._most = recipe.most
        self._server: ForkServerProcess | None = None
        self._former: list[ForkServerProcess] = []
        self._deaths = 0
        self._refusal: str | None = None
        self._refused_until = 0.0
        self._waker: asyncio.TimerHandle | None = None
        self._untold = 0

    # -- what is known -----------------------------------------------------------------------------------------

    @property
    def refusal(self) -> str | None:
        """Why it cannot work at present."""
        if self._refusal is not None and time.monotonic() >= self._refused_until:
            self._refusal = None
        return self._refusal

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return None if self._server is None else self._server.pid

    def waits(self, attempt: str) -> bool:
        """Whether it has the attempt and has not started it, as far as it told."""
        return attempt in self._orders and attempt not in self._running

    def runs(self, attempt: str) -> bool:
        """Whether it tells by itself when the attempt ends."""
        return attempt in self._running

    def forget(self, attempts: Sequence[str]) -> None:
        """How these ended is written down."""
        for attempt in attempts:
            self.ends.pop(attempt, None)

    # -- orders ------------------------------------------------------------------------------------------------

    def hand_over(self, orders: Sequence[Order]) -> None:
        """Have jobs run, once each."""
        new = [order for order in orders if order.id not in self._orders]
        self._orders |= {order.id: order for order in new}
        if self._server is None:
            self._start()  # which hands over everything
        else:
            for order in new:
                self._server.start(order)
            self._watch_room()

    def limit(self, most: int) -> None:
        """Run so many at a time from now on."""
        if most != self._most:
            self._most = most
            if self._server is not None:
                self._send_limit()

    def _send_limit(self) -> None:
        assert self._server is not None
        self._server.channel.send({"op": "most", "number": self._most})
        self._watch_room()

    def _start(self) -> None:
        self._former = [server for server in self._former if not server.has_ended()]
        try:
            server = ForkServerProcess(
                preload=self.recipe.preload,
                options=self.recipe.options,
                environment={**os.environ, **self.recipe.environment},
            )
        except OSError as error:
            self._refuse(f"the warm process of worker {self.worker} cannot be started: {error}")
            return
        self.adopt(server)

    def adopt(self, server: ForkServerProcess) -> None:
        """Work with a process that was started by the same recipe."""
        logger.info("worker %s: a warm process starts jobs (pid %d)", self.worker, server.pid)
        self._server = server
        asyncio.get_running_loop().add_reader(server.fileno(), self._on_messages)
        if self._most != self.recipe.most:
            self._send_limit()
        for order in self._orders.values():
            server.start(order)
        self._watch_room()

    def _watch_room(self) -> None:
        """Send the rest as soon as there is room for it."""
        server, loop = self._server, asyncio.get_running_loop()
        if server is None or server.gone:
            return
        if server.channel.has_unsent:
            loop.add_writer(server.channel.writing, self._on_room)
        else:
            loop.remove_writer(server.channel.writing)

    def _on_room(self) -> None:
        if self._server is not None:
            self._server.channel.flush()
            self._watch_room()

    # -- what it tells -----------------------------------------------------------------------------------------

    def _on_messages(self) -> None:
        server = self._server
        if server is None:
            return
        try:
            for message in server.receive():
                self._on_message(message)
        except JobflowRemoteError as error:
            self._refuse(error.message)
            return
        if self._server is server and server.gone:
            self._on_death()

    def _on_message(self, message: Message) -> None:
        match message["event"]:
            case "ready":
                self._tell(None)
            case "started":
                self._running.add(message["id"])
                asyncio.get_running_loop().call_later(_SHOWN_AFTER_SECONDS, self._show, message["id"])
            case "ended":
                self._on_end(message["id"], int(message["code"]))
            case "stale":
                logger.info("worker %s: %s has changed: a new warm process", self.worker, message["file"])
                self._leave()
                self._start()

    def _show(self, attempt: str) -> None:
        if attempt in self._running:
            self._wake()

    def _on_end(self, attempt: str, code: int) -> None:
        self._deaths = 0
        self._running.discard(attempt)
        self._orders.pop(attempt, None)
        if code != EXIT_DUPLICATE:  # else the folder tells all that there is
            self.ends[attempt] = code
        while len(self.ends) > _MOST_REMEMBERED:  # those whose jobs somebody stopped
            del self.ends[next(iter(self.ends))]
        self._untold += 1
        if len(self._orders) == len(self._running) or self._untold >= _TOGETHER_JOBS:
            self._wake_now()
        elif self._waker is None:
            self._waker = asyncio.get_running_loop().call_later(_TOGETHER_SECONDS, self._wake_now)

    def _wake_now(self) -> None:
        if self._waker is not None:
            self._waker.cancel()
            self._waker = None
        self._untold = 0
        self._wake()

    # -- its end -----------------------------------------------------------------------------------------------

    def _on_death(self) -> None:
        """It died, or was killed: what ran runs on, what waited is handed to the next one."""
        self._deaths += 1
        logger.warning("worker %s: the warm process ended", self.worker)
        self._leave()
        if self._deaths >= _MOST_DEATHS:
            self._refuse(f"the warm process of worker {self.worker} ended {self._deaths} times")
        elif self._orders:
            self._start()
        self._wake_now()

    def _refuse(self, why: str) -> None:
        logger.warning("worker %s: jobs are started by scripts: %s", self.worker, why)
        self._refusal, self._refused_until = why, time.monotonic() + REFUSED_FOR_SECONDS
        self._tell(why)
        self._deaths = 0
        self._leave()
        self._orders.clear()
        self._wake_now()

    def _leave(self) -> None:
        """Have no more to do with the present one; it ends after the last of its jobs."""
        for attempt in self._running:
            self._orders.pop(attempt, None)
        self._running.clear()
        server, self._server = self._server, None
        if server is None:
            return
        loop = asyncio.get_running_loop()
        if server.fileno() >= 0:
            loop.remove_reader(server.fileno())
            loop.remove_writer(server.channel.writing)
        server.leave()
        self._former.append(server)

    def close(self) -> None:
        """Leave what runs alone, and what waits to whoever follows; may be called twice."""
        if self._waker is not None:
            self._waker.cancel()
            self._waker = None
        self._leave()
        self._orders.clear()
