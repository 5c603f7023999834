"""A scheduler as pairs of pure functions: ``render_…`` gives a shell command, ``parse_…`` reads its answer.

Nothing here runs anything. Each command serves any number of jobs at once, so that a slow link costs one round trip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jobflow_remote.hosts.port import CommandResult


@dataclass(frozen=True, slots=True)
class HostJob:
    """One attempt at a job, as host and scheduler know it."""

    run_dir: str
    attempt: str
    process_id: str | None = None


@dataclass(frozen=True, slots=True)
class SubmitAnswer:
    """The scheduler's id of a job, or why it has none."""

    process_id: str | None = None
    error: str | None = None
    busy: bool = False
    """Nobody's fault, and it will pass: ``error`` says what the job waits for. Nothing was submitted, or it will be
    found out whether it was; asking again is right."""


class HostJobState(StrEnum):
    """Where a submitted job is."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    """It left the scheduler by itself or was killed; :attr:`HostJobStatus.exit_code` and ``reason`` say more."""


@dataclass(frozen=True, slots=True)
class HostJobStatus:
    """Answer for one job. ``process_id`` is set where it differs from what was recorded at submission.

    ``queue_state`` is the scheduler's own word. ``reason`` says how the job came to its end, or, as long as it has not
    ended, what it waits for.
    """

    state: HostJobState
    exit_code: int | None = None
    reason: str | None = None
    process_id: str | None = None
    queue_state: str | None = None


class Scheduler(ABC):
    """How jobs are handed to a batch system and asked about."""

    can_watch: bool = False
    """Whether ``process_id`` is a process of the host itself, so that the host may notice its end."""

    @property
    def query_key(self) -> Hashable:
        """Schedulers of one host with equal keys can be asked about their jobs in one question."""
        return type(self)

    @abstractmethod
    def render_header(
        self, *, name: str, run_dir: str, resources: Mapping[str, Any], attempt: str = ""
    ) -> str:
        """Lines for the top of the submission script of an attempt, after ``#!/bin/bash``.

        Raises
        ------
        SchedulerError
            If ``resources`` has keywords that the scheduler does not know; the message names near ones.
        """

    @abstractmethod
    def render_submit(self, jobs: Sequence[HostJob]) -> str:
        """Command that submits ``submit.sh`` in the folder of each job, once: an attempt that the folder says was
        submitted before is reported, not submitted again."""

    @abstractmethod
    def parse_submit(self, answer: CommandResult, jobs: Sequence[HostJob]) -> list[SubmitAnswer]:
        """What became of each job, in the order of ``jobs``."""

    @abstractmethod
    def render_status(self, jobs: Sequence[HostJob]) -> str:
        """Command that tells where all of these jobs are."""

    @abstractmethod
    def parse_status(self, answer: CommandResult, jobs: Sequence[HostJob]) -> list[HostJobStatus]:
        """Where each job is, in the order of ``jobs``.

        Raises
        ------
        SchedulerBusyError
            If the answer says nothing about any job (the scheduler is away).
        """

    @abstractmethod
    def render_cancel(self, jobs: Sequence[HostJob]) -> str:
        """Command that ends jobs; those that ended already are not an error."""
