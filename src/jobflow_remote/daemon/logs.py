"""Following the logs of the runner's processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobflow_remote.daemon.programs import RunnerLayout
from jobflow_remote.model.lifecycle import ROLES
from jobflow_remote.model.processes import process_name

_PAUSE_SECONDS = 0.2


def log_of(process: str, layout: RunnerLayout) -> str:
    """Name of the log file of a process (``group:process``)."""
    group, _, name = process.partition(":")
    role = group.removeprefix("runner_daemon").removeprefix("_")
    if not role:
        return "runner.log"
    parts = {"transfer": layout.transfer, "complete": layout.complete}.get(role, 1)
    part = int(name[len(f"run_jobflow_{role}") :] or 0)
    return f"runner_{process_name((role,), all_roles=tuple(ROLES), part=part, parts=parts)}.log"


def follow_logs(logs: Mapping[str, Path], tell: Callable[[str], Any], *, goes_on: Callable[[], bool]) -> None:
    """Tell each line that is added to files, after the name of what wrote it, as long as ``goes_on`` says so."""
    tails = {name: _Tail(path) for name, path in logs.items()}
    while True:
        last = not goes_on()  # asked before the files: what was written at the very end is told, too
        for name, tail in tails.items():
            for line in tail.read_new():
                tell(line if len(tails) == 1 else f"{name}: {line}")
        if last:
            return
        time.sleep(_PAUSE_SECONDS)


class _Tail:
    """A file that grows, and is put away for a new one when it is long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known, self._inode = self._state()

    def _state(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0
        return status.st_size, status.st_ino

    def read_new(self) -> list[str]:
        """Whole lines that were added."""
        size, inode = self._state()
        if inode != self._inode or size < self._known:
            self._known, self._inode = 0, inode
        if size <= self._known:
            return []
        with self._path.open("rb") as file:
            file.seek(self._known)
            text, newline, _ = file.read().rpartition(b"\n")
        self._known += len(text) + len(newline)
        return text.decode(errors="replace").split("\n") if newline else []
