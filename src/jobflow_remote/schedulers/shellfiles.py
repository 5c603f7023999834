"""Where jobs of the shell are, from the files of their run folders on this machine: what the status command tells,
without a shell."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

from jobflow_remote.execution.forkserver import marks
from jobflow_remote.execution.forkserver.marks import Process
from jobflow_remote.schedulers.port import HostJob


class Stage(StrEnum):
    """How far an attempt has come."""

    NOT_BEGUN = "not begun"
    RUNNING = "running"
    ENDED = "ended"
    GONE = "gone"
    """Its process is no more, and nothing says how it ended."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run folder tells of an attempt."""

    stage: Stage
    pid: int | None = None
    exit_code: int | None = None
    began: float | None = None
    """When (``time.time``), if it runs."""
    server: Process | None = None
    """Of a fork: the process that forked it, which will tell how it ended if the job cannot."""


def look(job: HostJob) -> Seen:
    """Look at one attempt. The exit code is written before the process ends, and looked for after it was looked at."""
    begun = marks.read_begun(job.run_dir, job.attempt)
    if begun is None:
        return Seen(Stage.NOT_BEGUN)
    process = begun.process
    if process.pid < 0:  # its first line is about to come
        return Seen(Stage.RUNNING)
    alive = process.pid > 0 and process.is_alive
    code = marks.read_end(job.run_dir, job.attempt)
    if code is not None:
        return Seen(Stage.ENDED, process.pid, code)
    if alive:
        return Seen(Stage.RUNNING, process.pid, began=_modified(job), server=begun.server)
    return Seen(Stage.GONE, process.pid or None, server=begun.server)


def _modified(job: HostJob) -> float | None:
    try:
        return os.stat(marks.started_path(job.run_dir, job.attempt)).st_mtime
    except OSError:
        return None


def is_process(process_id: str | None) -> bool:
    """Whether there is a process with this id."""
    return process_id is not None and process_id.isdigit() and marks.start_time(int(process_id)) is not None
