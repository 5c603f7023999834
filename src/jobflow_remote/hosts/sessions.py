"""As many shells on a host as are needed at the same time, and as the host allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from jobflow_remote.hosts.channel import ChannelRefusedError
from jobflow_remote.hosts.session import ShellSession

_AT_MOST = 6
"""OpenSSH's server allows 10 per connection (``MaxSessions``)."""
_KEPT_IDLE = 2
_PAUSE_SECONDS, _PAUSES = 0.2, 25


class Sessions:
    """Lends shells, one request each."""

    def __init__(self, start: Callable[[], Awaitable[ShellSession]], *, at_most: int = _AT_MOST) -> None:
        self._start, self._limit = start, at_most
        self._idle: list[ShellSession] = []
        self._out = 0
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
            async with self._changed:
                await self._changed.wait_for(lambda: self._idle or self._out < self._limit)
                self._out += 1
                while self._idle:
                    session = self._idle.pop()
                    if session.is_usable:
                        return session
                    session.close()
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

    def _give_back(self, session: ShellSession) -> None:
        self._out -= 1
        if session.is_usable and len(self._idle) < _KEPT_IDLE:
            self._idle.append(session)
        else:
            session.close()
