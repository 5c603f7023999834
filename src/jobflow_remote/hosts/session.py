"""One shell on a host, over one channel: requests in, answers out."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobflow_remote.errors import HostError, HostTimeoutError, HostUnreachableError
from jobflow_remote.hosts.agent import render_agent, render_piece, render_request, render_start
from jobflow_remote.hosts.channel import ByteReader, Channel, NoShellError, OpenChannel

Consumer = Callable[[bytes], Awaitable[None]]
"""Takes output as it comes; the host waits as long as it is busy."""
Producer = Callable[[Consumer], Awaitable[None]]
"""Gives input to the consumer that it is handed."""

_READ_BYTES = 1 << 18
_KILLED = 137
"""Exit code of a command that was killed; the shell ends after it."""
_GRACE_SECONDS = 15.0
"""How much later than its time limit the answer of a command may come before the connection counts as dead."""
_LAST_LOOK_SECONDS = 1.0
_WORDS_BEFORE = 2000
_STALL_SECONDS = 120.0
"""A transfer during which nothing moves for so long is given up."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command for the shell of a session."""

    command: str
    produce: Producer | None = None
    consume: Consumer | None = None
    """Where standard output goes; None: it is kept for the answer."""
    timeout_seconds: float | None = None
    is_transfer: bool = False
    """Something moves all the time, or it is dead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the command wrote, and how it ended."""

    stdout: bytes
    stderr: bytes
    exit_code: int

    @property
    def said(self) -> str:
        """The end of what it complained of, for messages."""
        return self.stderr.decode(errors="replace").strip()[-500:] or f"exit code {self.exit_code}"


class MarkedOutput:
    """Finds the output of a command between its marks, in pieces of any size."""

    def __init__(self, mark: bytes) -> None:
        self._mark, self._held = mark, b""
        self.started = False
        self.exit_code: int | None = None

    @property
    def before(self) -> bytes:
        """What was said before the command began, as far as it did not begin yet."""
        return b"" if self.started else self._held

    def feed(self, data: bytes) -> bytes:
        """What is certainly output of the command."""
        self._held += data
        if not self.started and not self._find_start():
            return b""
        at = self._held.find(self._mark)
        if at < 0:
            keep = len(self._mark) - 1
            output, self._held = self._held[:-keep], self._held[-keep:]
            return output
        output, self._held = self._held[:at], self._held[at:]
        line, newline, _ = self._held.partition(b"\n")
        if newline:
            self.exit_code = int(line.split()[-1])
        return output

    def _find_start(self) -> bool:
        start = self._mark + b" start\n"
        before, found, after = self._held.partition(start)
        self.started = bool(found)
        self._held = after if found else before[-_WORDS_BEFORE:]
        return self.started


class ShellSession:
    """A shell that stays; it works on one request at a time."""

    def __init__(self, channel: Channel, mark: str) -> None:
        self._channel, self._mark = channel, mark.encode()
        self._usable, self._answered, self._moved = True, False, 0

    @classmethod
    async def start(
        cls,
        open_channel: OpenChannel,
        *,
        shell_cmd: str | None,
        login_shell: bool,
        variables: Mapping[str, str],
    ) -> ShellSession:
        """Start the shell; nobody waits for it to be there, the first request follows at once."""
        mark = secrets.token_hex(16)
        agent = render_agent(mark, variables)
        channel = await open_channel(render_start(len(agent), shell_cmd=shell_cmd, login_shell=login_shell))
        channel.stdin.write(agent)
        return cls(channel, mark)

    @property
    def is_usable(self) -> bool:
        """Whether it can be given another request."""
        return self._usable and self._channel.is_open()

    def close(self) -> None:
        """End it; a command that runs sees the end of its input."""
        self._usable = False
        self._channel.close()

    async def ask(self, request: Request) -> Answer:
        """Run a command.

        Raises
        ------
        HostTimeoutError
            If the command exceeded its time; it was killed.
        HostUnreachableError
            If the connection broke; nobody knows how far the command came.
        NoShellError
            If the first request shows that the host does not run commands.
        """
        self._usable = False  # until the answer is complete: after an error nobody knows what is in the pipes
        began = time.monotonic()
        kept: list[bytes] = []
        complaints: list[bytes] = []
        out, err = MarkedOutput(self._mark), MarkedOutput(self._mark)
        reading = asyncio.gather(
            self._read(self._channel.stdout, out, request.consume or _keep_in(kept)),
            self._read(self._channel.stderr, err, _keep_in(complaints)),
        )
        sending = asyncio.ensure_future(self._send(request))
        try:
            await self._wait(reading, sending, request)
        except BaseException:
            self.close()
            raise
        finally:
            reading.cancel()
            sent = sending.done()
            sending.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)
        if out.exit_code is None:
            self.close()
            raise await self._broken(out, b"".join(complaints) or err.before)
        code = out.exit_code
        self._answered, self._usable = True, sent and code != _KILLED
        if not self._usable:
            self.close()
        limit = request.timeout_seconds
        if limit and code == _KILLED and time.monotonic() - began >= limit:
            raise HostTimeoutError(f"no answer within {limit:g} s to: {request.command[:200]}")
        return Answer(b"".join(kept), b"".join(complaints), code)

    async def _wait(
        self, reading: asyncio.Future[Any], sending: asyncio.Future[None], request: Request
    ) -> None:
        """Until the answer is there, or it is clear that none will come."""
        limit = request.timeout_seconds + _GRACE_SECONDS if request.timeout_seconds else None
        if limit is None and request.is_transfer:
            limit = _STALL_SECONDS
        waiting: set[asyncio.Future[Any]] = {reading, sending}
        while reading in waiting:
            moved = self._moved
            done, waiting = await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                await each
            if not done and (not request.is_transfer or moved == self._moved):
                raise HostUnreachableError(f"the host does not answer any more ({request.command[:80]} …)")
        if (
            waiting
        ):  # the shell answers after it has read all input, so that this is about the last look at a buffer
            await asyncio.wait(waiting, timeout=_LAST_LOOK_SECONDS)

    async def _send(self, request: Request) -> None:
        command = request.command.encode(errors="surrogateescape")
        if b"\0" in command:
            raise HostError("a command cannot contain a zero byte")
        has_input = request.produce is not None
        stdin = self._channel.stdin
        try:
            stdin.write(render_request(command, seconds=request.timeout_seconds, has_input=has_input))
            if request.produce is not None:
                await request.produce(self._send_piece)
                stdin.write(render_piece(b""))
            await stdin.drain()
        except ConnectionError:
            return  # what the other side said before it hung up tells more

    async def _send_piece(self, data: bytes) -> None:
        if data:
            self._channel.stdin.write(render_piece(data))
            self._moved += 1
            await self._channel.stdin.drain()

    async def _read(self, reader: ByteReader, output: MarkedOutput, consume: Consumer) -> None:
        while output.exit_code is None:
            data = await reader.read(_READ_BYTES)
            if not data:
                return
            self._moved += 1
            if ready := output.feed(data):
                await consume(ready)

    async def _broken(self, out: MarkedOutput, complaints: bytes) -> HostError:
        """Why there is no answer; ``complaints``: what was said on the error stream before it ended."""
        words = complaints.decode(errors="replace").strip()[-500:]
        why = await self._channel.explain(words)
        if why is not None:
            return why
        if self._answered or out.started:
            return HostUnreachableError("the connection broke while a command was running")
        return NoShellError(f"no command can be run: {words or 'the host closed the session at once'}")


def _keep_in(pieces: list[bytes]) -> Consumer:
    async def keep(data: bytes) -> None:
        pieces.append(data)

    return keep
