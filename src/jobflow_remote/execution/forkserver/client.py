"""A fork server as its owner sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.execution.forkserver.channel import Channel
from jobflow_remote.execution.forkserver.order import Message, Order


class ForkServerProcess:
    """Starts a fork server and speaks with it; :meth:`receive` gives what it has to tell."""

    def __init__(
        self,
        *,
        preload: Sequence[str] = (),
        launcher: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        words = [*launcher, sys.executable, "-m", "jobflow_remote.execution", "forkserver", *options]
        for module in preload:
            words += ["--preload", module]
        self._process: subprocess.Popen[bytes] | _Child
        self.jobs: dict[str, int] = {}
        """Jobs under way and their processes."""
        self.ready = False
        """It has imported everything."""
        if launcher:  # another node: a launcher passes on standard streams and nothing else
            process = self._process = subprocess.Popen(
                [*words, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
            assert process.stdin is not None
            assert process.stdout is not None
            self.channel = Channel(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))
            process.stdin.close()
            process.stdout.close()
            return
        ours, theirs = socket.socketpair()
        with theirs:
            number = str(theirs.fileno())
            self._process = subprocess.Popen(
                [*words, "--descriptor", number],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )
        number_here = ours.detach()
        self.channel = Channel(number_here, number_here)

    @classmethod
    def of_child(cls, pid: int, end: socket.socket) -> Self:
        """A server that this process has forked by itself, and the end of its socket."""
        made = cls.__new__(cls)
        made.jobs, made.ready, made._process = {}, False, _Child(pid)
        number = end.detach()
        made.channel = Channel(number, number)
        return made

    @property
    def pid(self) -> int:
        """Process id of the server, or of what launched it."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether it ended; its jobs, as far as this process can tell, with it."""
        return self.channel.closed

    def fileno(self) -> int:
        """For selectors: readable when there is something to :meth:`receive`."""
        return self.channel.reading

    def start(self, order: Order) -> None:
        """Have a job run."""
        self.jobs[order.id] = 0
        self.channel.send(order.as_message())

    def signal(self, job: str, number: int) -> None:
        """Send a signal to the process group of a job."""
        self.channel.send({"op": "signal", "id": job, "signal": number})

    def receive(self) -> list[Message]:
        """What it has told since the last call.

        Raises
        ------
        JobflowRemoteError
            If it cannot work; the message says why.
        """
        messages = self.channel.receive()
        for message in messages:
            kind = message["event"]
            if kind == "ready":
                self.ready = True
            elif kind == "refused":
                raise JobflowRemoteError(message["why"], hint="take it out of `preload`, or mend it")
            elif kind == "started":
                self.jobs[message["id"]] = message["pid"]
            elif kind == "ended":
                self.jobs.pop(message["id"], None)
        return messages

    def leave(self) -> None:
        """Go, without ending it or its jobs: one whose jobs outlive it (``--lasting``) ends after the last of them."""
        self.channel.close()
        self.jobs.clear()

    def has_ended(self) -> bool:
        """Whether the process is no more; asking also takes what is left of it out of the table of processes."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End it, and its jobs; may be called twice."""
        self.channel.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.end_jobs()

    def end_jobs(self) -> None:
        """End what a server that was killed may have left."""
        for pid in self.jobs.values():
            if pid:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
        self.jobs.clear()

    def __enter__(self) -> ForkServerProcess:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class _Child:
    """A process that was forked, with the few methods of ``Popen`` that are needed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired([str(self.pid)], timeout)
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
