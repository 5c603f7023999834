"""What differs from one batch system to the next: a few commands, and how their answers read.

The commands are bash, put into the scripts of :mod:`.hostscripts`; ``$user`` is the login name there, ``"$@"`` the ids.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jobflow_remote.schedulers.port import HostJobState


@dataclass(frozen=True, slots=True)
class Listed:
    """A job that the scheduler has in its queue; ENDED if it can go no further there."""

    name: str
    state: HostJobState
    queue_state: str
    """The scheduler's own word."""
    reason: str | None = None
    """What the job waits for."""


@dataclass(frozen=True, slots=True)
class Left:
    """What the scheduler, or its accounting, says of a job that has left the queue."""

    name: str
    queue_state: str
    final: bool = True
    """False: accounting does not know of the end yet."""
    exit_code: int | None = None
    reason: str | None = None


class Dialect(ABC):
    """Commands of one batch system."""

    name: ClassVar[str]
    longest_name: ClassVar[int] = 60
    """Characters of a job's name that the scheduler takes and tells again."""
    job_id: ClassVar[str]
    """Shell expression on the node: the id of the job that runs the script."""
    list_jobs: ClassVar[str]
    """Prints the user's jobs that are in the queue; fails if the scheduler cannot answer."""
    name_jobs: ClassVar[str]
    """Filter: from what ``list_jobs`` printed to a line ``id name`` per job."""
    list_past_jobs: ClassVar[str]
    """Prints a line ``id name`` for each of the user's jobs that ended lately, as far as anybody knows."""
    count_jobs: ClassVar[str]
    """Prints how many jobs the user has in the queue."""
    tell_past: ClassVar[str]
    """Prints what is known of jobs that have left the queue."""
    cancel: ClassVar[str]
    submit: str
    """Submits the script that is named behind it."""
    find_id: ClassVar[str]
    """Sed program (``-nE``) that finds the id in what ``submit`` printed."""
    away: ClassVar[str]
    """Regular expression: the scheduler could not be reached, and has not taken the job."""
    full: ClassVar[str]
    """Regular expression: a limit that will be free again, and the job was not taken."""
    unclear: ClassVar[str]
    """Regular expression: the job may have been taken, or not."""
    own_words: ClassVar[str]
    """Regular expression: lines that the scheduler writes into ``queue.err`` of a job that it ends."""
    copies_output: ClassVar[bool] = False
    """What a job prints is in the run folder only when the job has left the queue."""
    accounting_lag_seconds: ClassVar[int] = 10
    """How long accounting may take to learn of the end of a job."""

    @abstractmethod
    def place(self, name: str, run_dir: str) -> dict[str, Any]:
        """Keywords of the header for the job's name and where its output goes."""

    def more_directives(self, given: Mapping[str, Any]) -> Sequence[str]:
        """Further directives that the script needs with the keywords ``given``."""
        return ()

    @abstractmethod
    def parse_list(self, text: str) -> dict[str, Listed]:
        """Jobs by id, out of what ``list_jobs`` printed."""

    @abstractmethod
    def parse_past(self, text: str) -> dict[str, list[Left]]:
        """What is known by id, out of what ``tell_past`` printed: the latest last."""
