"""Jobs that misbehave; importable on the worker through the PYTHONPATH of its ``pre_run``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jobflow import job


@job
def raises() -> None:
    """An ordinary failure."""
    raise ValueError("the basis set is too small")


@job
def calls_sys_exit() -> None:
    """What a careless script does."""
    sys.exit(7)


@job
def calls_os_exit() -> None:
    """No exception handler sees this."""
    print("about to leave", file=sys.stderr, flush=True)
    os._exit(9)


@job
def kills_itself() -> None:
    """As the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


@job
def kills_its_group() -> None:
    """As a badly written mpirun does."""
    os.kill(0, signal.SIGKILL)
    time.sleep(60)


@job
def prints_megabytes(n: int) -> int:
    """``n`` megabytes on each stream."""
    for stream in (sys.stdout, sys.stderr):
        for _ in range(n):
            stream.write("x" * 999_999 + "\n")
    return n


@job
def leaves_children(pid_file: str) -> str:
    """Ends while a child goes on."""
    child = subprocess.Popen(["sleep", "1000"])
    Path(pid_file).write_text(str(child.pid))
    return "done"


@job
def returns_a_lock() -> Any:
    """An output that nobody can store."""
    import threading

    return threading.Lock()


@job
def appends_line(path: str, line: str, seconds: float = 0.0) -> str:
    """Leaves a trace of each time that it runs."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    time.sleep(seconds)
    return line


@job
def waits_for_file(path: str) -> str:
    """Runs until somebody makes the file."""
    while not os.path.exists(path):
        time.sleep(0.05)
    return path


@job
def counts_its_runs(path: str) -> int:
    """Leave a letter in a file at each run; gives how many there are."""
    with open(path, "a", encoding="utf-8") as file:
        file.write("x")
    return os.path.getsize(path)
