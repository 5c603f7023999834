"""Files of a run folder that tell of an attempt: that it began, in which process, and how it ended.

They are those of the shell that keeps a job which a script starts (see ``schedulers.shell``), so that nobody who looks
at, stops or takes over a job needs to know how it was started.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from jobflow_remote.layout import EXIT_PREFIX, STARTED_PREFIX

FORKED = "fork"
"""Third word of a *started* file: the process is a fork, and leads its process group. Two more tell its server."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told from a later one with the same pid."""

    pid: int
    start: str

    @property
    def words(self) -> str:
        """As it is written down."""
        return f"{self.pid} {self.start}"

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; what has ended and was not waited for has ended."""
        return start_time(self.pid) == self.start


def start_time(pid: int) -> str | None:
    """When a process began, as a word; None if there is none, or only what is left of it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return None if os.path.isdir("/proc/self") else _start_time_by_ps(pid)
    return None if fields[0] == b"Z" else fields[19].decode()


def _start_time_by_ps(pid: int) -> str | None:
    import subprocess

    asked = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split(None, 1)
    return told[1].rstrip("\n").replace(" ", "_") if len(told) == 2 and not told[0].startswith("Z") else None


def this_process() -> Process:
    """The one that asks."""
    pid = os.getpid()
    return Process(pid, start_time(pid) or "?")


def started_path(folder: str, attempt: str) -> str:
    """File that is made when the attempt begins."""
    return os.path.join(folder, STARTED_PREFIX + attempt)


def exit_path(folder: str, attempt: str) -> str:
    """File that is made when it has ended."""
    return os.path.join(folder, EXIT_PREFIX + attempt)


def begin(folder: str, attempt: str, server: Process) -> bool:
    """Take an attempt for this process, once and for all; False if it was taken, or withdrawn.

    The file appears with its content: whoever sees it knows whose it is.
    """
    path = started_path(folder, attempt)
    return _appears(path, f"{this_process().words} {FORKED} {server.words}\n")


def record_end(folder: str, attempt: str, code: int) -> None:
    """Write down how it ended; by the process itself, which knows."""
    path = exit_path(folder, attempt)
    with open(f"{path}.part", "w", encoding="ascii") as file:
        file.write(f"{code}\n")
    os.replace(f"{path}.part", path)


def record_death(folder: str, attempt: str, code: int, pid: int) -> None:
    """Write down how a process ended that could not do so itself, if the attempt was its own."""
    if os.path.exists(exit_path(folder, attempt)):
        return
    began = read_begun(folder, attempt)
    if began is not None and began.process.pid == pid:
        _appears(exit_path(folder, attempt), f"{code}\n")


def _appears(path: str, content: str) -> bool:
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="ascii") as file:
            file.write(content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            return _appears_soon(path, content)
        return True
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _appears_soon(path: str, content: str) -> bool:
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Begun:
    """What a *started* file tells."""

    process: Process
    server: Process | None = None
    """Of a fork."""


def read_begun(folder: str, attempt: str) -> Begun | None:
    """Who has an attempt; None: nobody yet. Pid 0: it was withdrawn."""
    try:
        with open(started_path(folder, attempt), encoding="ascii", errors="replace") as file:
            words = file.read().split()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(words) < 2 or not words[0].isdigit():  # its content is about to come
        return Begun(Process(-1, ""))
    server = Process(int(words[3]), words[4]) if len(words) >= 5 and words[3].isdigit() else None
    return Begun(Process(int(words[0]), words[1]), server)


def read_end(folder: str, attempt: str) -> int | None:
    """The exit code of an attempt, if one was written down."""
    try:
        with open(exit_path(folder, attempt), encoding="ascii", errors="replace") as file:
            text = file.read().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return int(text) if text.lstrip("-").isdigit() else None
