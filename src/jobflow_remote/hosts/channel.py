"""What a way of getting to a host has to offer: a command's three streams, as bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from jobflow_remote.errors import HostError, HostUnreachableError


class ByteReader(Protocol):
    """Output of a command."""

    async def read(self, n: int = -1, /) -> bytes:
        """Up to ``n`` bytes, as soon as there are any; none at the end."""


class ByteWriter(Protocol):
    """Input of a command."""

    def write(self, data: bytes, /) -> None:
        """Send, or keep for :meth:`drain`."""

    async def drain(self) -> None:
        """Wait until little is left to be sent."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A command that runs on a host."""

    stdin: ByteWriter
    stdout: ByteReader
    stderr: ByteReader
    close: Callable[[], None]
    """Let go of it at once; the command sees the end of its input."""
    is_open: Callable[[], bool]
    """False as soon as it is known that nothing can be sent any more."""
    explain: Callable[[str], Awaitable[HostError | None]]
    """Why it ended, if the connection is to blame; it is handed what was said on the error stream."""


OpenChannel = Callable[[str], Awaitable[Channel]]
"""Start a command.

Raises
------
HostUnreachableError
    If there is no connection.
ChannelRefusedError
    If there is one, but the host wants no further command on it.
"""


class ChannelRefusedError(HostUnreachableError):
    """The host refuses one more command at a time over this connection."""


class NoShellError(HostUnreachableError):
    """The host lets nobody run commands (a host for transfers, a gateway, a home folder that is away)."""
