"""As many shells on a host as are needed at the same time, and as the host allows."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from jobflow_remote.hosts.channel import ChannelRefusedError
from jobflow_remote.hosts.session import ShellSession

_AT_MOST = 6
"""OpenSSH's server allows 10 per connection (``MaxSessions``)."""
_KEPT_IDLE = 2
_GROW_SECONDS = 0.3
"""How long to wait for a busy shell before another one is started: a login shell takes longer than most requests."""
_PAUSE_SECONDS, _PAUSES = 0.2, 25


class Sessions:
    """Lends shells, one request each."""

    def __init__(self, start: Callable[[], Awaitable[ShellSession]], *, at_most: int = _AT_MOST) -> None:
        self._start, self._limit = start, at_most
        self._idle: list[ShellSession] = []
        self._out, self._grown = 0, 0.0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[ShellSession]:
        """A shell for one request; who comes when all are busy waits."""
        session = await self._take()
        try:
            yield session
        finally:
            self._give_back(session)
            async with self._changed:
                self._changed.notify()

    def close(self) -> None:
        """End the idle ones."""
        while self._idle:
            self._idle.pop().close()

    async def _take(self) -> ShellSession:
        pauses = _PAUSES
        while True:
            session = await self._wait_for_one()
            if session is not None:
                return session
            try:
                return await self._start()
            except BaseException as error:
                self._out -= 1
                refused = isinstance(error, ChannelRefusedError)
                if refused:
                    self._limit = max(1, self._out)
                async with self._changed:
                    self._changed.notify()
                if not refused or (self._out == 0 and pauses == 0):
                    raise
            if self._out == 0:  # the server has not yet seen the end of one that we let go
                pauses -= 1
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _wait_for_one(self) -> ShellSession | None:
        """A shell that has become free; None: it is time for one more."""
        async with self._changed:
            while True:
                while self._idle:
                    session = self._idle.pop()
                    if session.is_usable:
                        self._out += 1
                        return session
                    session.close()
                may_grow = self._out < self._limit
                pause = self._grown + _GROW_SECONDS - time.monotonic()
                if may_grow and (self._out == 0 or pause <= 0):
                    self._out += 1
                    self._grown = time.monotonic()
                    return None
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause if may_grow else None)

    def _give_back(self, session: ShellSession) -> None:
        self._out -= 1
        if session.is_usable and len(self._idle) < _KEPT_IDLE:
            self._idle.append(session)
        else:
            session.close()
