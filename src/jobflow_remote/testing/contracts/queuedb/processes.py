"""Other processes that use the database under test, and die when told to."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.testing.contracts.queuedb.documents import Opener


def fork(action: Callable[[], None]) -> int:
    """Run ``action`` in a child process that ends without any clean-up; returns its pid.

    No connection of the parent may be open: one must not be carried over a fork.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        action()
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may leave a forked test process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def join(pid: int) -> int:
    """Wait for a child; returns its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_all(actions: list[Callable[[], None]]) -> list[int]:
    """Run actions in processes at the same time; returns their exit statuses."""
    return [join(pid) for pid in [fork(action) for action in actions]]


class Killer:
    """A hook that ends the process, as ``kill -9`` would, before the write of a given number."""

    def __init__(self, victim: int) -> None:
        self.victim = victim
        self.seen = 0

    def __call__(self, _: str = "") -> None:
        """Count a write."""
        self.seen += 1
        if self.seen == self.victim:
            os.kill(os.getpid(), signal.SIGKILL)


def run_and_kill(opener: Opener, verb: Callable[[QueueDatabase], object], *, victim: int) -> bool:
    """Run a verb in a process that dies before its ``victim``-th write; returns whether it came to its end."""

    def action() -> None:
        database = opener(hook=Killer(victim))
        verb(database)

    status = join(fork(action))
    assert status in (0, -signal.SIGKILL), f"the verb failed by itself ({status}); its traceback is above"
    return status == 0


def append_lines(path: Path, lines: list[str]) -> None:
    """Add lines to a file that several processes write to."""
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))
