"""Becoming the runner of a queue: the lease in the database, and a lock that dies with its processes.

Each process of a runner holds a shared ``flock`` on a file in ``daemon_dir``. Who wants to start a runner asks for it
exclusively: if that succeeds no process of a runner is alive on this machine, whatever the lease says, so that a
runner that was killed is followed at once. It works across containers, where pids mean nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from jobflow_remote.errors import NotAllowedError, RunnerActiveError
from jobflow_remote.model.records import Document, RunnerSession
from jobflow_remote.queuedb.port import INCOMING, QueueDatabase

TOKEN_VARIABLE = "JFREMOTE_RUNNER_SESSION"
"""Environment variable by which the daemon hands its session to the processes that it starts."""

PID_FILENAME = "supervisord.pid"
"""File in ``daemon_dir`` with the pid of the daemon."""
SHARE_VARIABLE = "JFREMOTE_RUNNER_SHARE"
"""``part/parts`` of the jobs, for a process whose role has several."""


def describe_owner(project_name: str, daemon_dir: str | Path, **more: object) -> Document:
    """Who and where we are, as shown to people and compared by the daemon."""
    return {
        "hostname": socket.gethostname(),
        "user": getpass.getuser(),
        "pid": os.getpid(),
        "daemon_dir": str(daemon_dir),
        "project_name": project_name,
        **more,
    }


def _open_lock(daemon_dir: str | Path) -> IO[str]:
    path = Path(daemon_dir)
    path.mkdir(parents=True, exist_ok=True)
    return open(path / "runner.lock", "a", encoding="utf-8")


def hold_alive_lock(daemon_dir: str | Path) -> IO[str]:
    """Show that a process of the runner is alive until the returned file is closed (or the process dies)."""
    lock = _open_lock(daemon_dir)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


@contextlib.contextmanager
def no_runner_alive(daemon_dir: str | Path, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """A context in which no process of a runner of this project can be alive on this machine.

    Raises
    ------
    RunnerActiveError
        If one is still alive after ``wait_seconds``.
    """
    end = time.monotonic() + wait_seconds
    with _open_lock(daemon_dir) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise RunnerActiveError(
                        "a runner of this project is active on this machine",
                        hint="`jf runner status` shows it, `jf runner shutdown` stops it",
                    ) from None
                time.sleep(0.05)
        yield


def is_runner_alive(daemon_dir: str | Path) -> bool:
    """Whether a process of a runner of this project is alive on this machine."""
    try:
        with no_runner_alive(daemon_dir):
            return False
    except RunnerActiveError:
        return True


def open_session(
    queue: QueueDatabase, owner: Document, *, lease_seconds: float, takeover: bool = False
) -> RunnerSession:
    """Open the session for a runner on this machine; call it within :func:`no_runner_alive`.

    A live lease that belongs to this very machine and folder is that of a runner that was killed, and is overridden.
    """
    incoming = queue.get_auxiliary(INCOMING)
    if incoming:
        raise NotAllowedError(
            f"{queue.describe()} is half filled, from {incoming.get('from')}",
            hint="repeat `jf admin migrate` or `jf backup restore`, or empty it with `jf admin reset`",
        )
    former = queue.get_session()
    dead = former is not None and all(
        former.owner.get(key) == owner[key] for key in ("hostname", "daemon_dir")
    )
    return queue.open_session(owner, lease_seconds=lease_seconds, override=dead or takeover)
