"""A link that takes its time, for tests: a TCP proxy in a process of its own that delays, and counts round trips.

``python tests/services/slowproxy.py HOST PORT DELAY_MS`` prints its port, answers each line of its input with its
counters, and ends with its input. A *turn* is counted when the client speaks again after it was answered: that is a
round trip which it waited for. Needs no privileges.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path

_CHUNK = 65536


class SlowProxy:
    """The proxy, as its user sees it.

    Parameters
    ----------
    delay_ms
        One way: a round trip takes twice as long.
    """

    def __init__(self, target: tuple[str, int], *, delay_ms: float) -> None:
        command = [sys.executable, str(Path(__file__)), target[0], str(target[1]), str(delay_ms)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.port = int(self._read())

    def counts(self) -> dict[str, int]:
        """``turns``, ``connections`` and ``bytes`` so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, int] = json.loads(self._read())
        return found

    def close(self) -> None:
        """End it, and its connections."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class _Link:
    def __init__(self, target: tuple[str, int], delay_seconds: float) -> None:
        self.target, self.delay_seconds = target, delay_seconds
        self.counts = {"turns": 0, "connections": 0, "bytes": 0}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.counts["connections"] += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        for each in (writer, far_writer):
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answered = asyncio.Event()
        there = self._pass(reader, far_writer, answered, from_client=True)
        back = self._pass(far_reader, writer, answered, from_client=False)
        await asyncio.gather(there, back)
        for each in (writer, far_writer):
            each.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answered: asyncio.Event,
        *,
        from_client: bool,
    ) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        delivering = asyncio.create_task(self._deliver(under_way, writer, None if from_client else answered))
        data = b"-"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""
            if from_client and data and answered.is_set():
                answered.clear()
                self.counts["turns"] += 1
            self.counts["bytes"] += len(data)
            under_way.put_nowait((loop.time() + self.delay_seconds, data))
        await delivering

    async def _deliver(
        self,
        under_way: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        answered: asyncio.Event | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, RuntimeError):
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                if answered is not None:
                    answered.set()
                await writer.drain()


async def _run(target: tuple[str, int], delay_seconds: float) -> None:
    link = _Link(target, delay_seconds)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    questions = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(questions), sys.stdin
    )
    while await questions.readline():
        print(json.dumps(link.counts), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]) / 1000))
