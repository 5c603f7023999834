"""A compute node that has imported jobflow already: jobs of tests run in processes forked from it, in milliseconds.

The worker's ``execution_cmd`` is a small client, which hands the run folder and what it writes to over and waits. When
the client is killed (a job is cancelled) its job dies too.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

_CLIENT = """\
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
socket.send_fds(s, [sys.argv[2].encode()], [1, 2])
answer = s.recv(1)
sys.exit(answer[0] if answer else 1)
"""


class WarmNode:
    """The process from which jobs are forked."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "node"
        self._client = folder / "client.py"
        self._client.write_text(_CLIENT)
        command = [sys.executable, "-m", "tests.services.warmnode", str(self._socket)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError("the warm node does not start")

    @property
    def execution_cmd(self) -> str:
        """For the worker."""
        return f"{sys.executable} -S -E {self._client} {self._socket} {{}}"

    def stop(self) -> None:
        """End it, and what still runs."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _serve(path: str) -> None:
    import jobflow_remote.testing.scenario_jobs  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(100)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _run(connection)
        connection.close()


def _run(connection: socket.socket) -> None:
    from jobflow_remote.execution.run import run_job

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, outputs, _, _ = socket.recv_fds(connection, 10_000, 2)
    if not message:
        os._exit(0)  # the client was killed before it said anything
    folder = message.decode()
    for own, given in zip((1, 2), outputs, strict=True):  # nobody reads the pipe of the node: it would fill
        os.dup2(given, own)
    threading.Thread(target=_die_with, args=(connection,), daemon=True).start()
    code = run_job(folder)
    connection.sendall(bytes([code]))
    os._exit(0)


def _die_with(connection: socket.socket) -> None:
    if not connection.recv(1):
        os._exit(1)


if __name__ == "__main__":
    _serve(sys.argv[1])
