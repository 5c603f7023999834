"""States of jobs, flows and batches.

The names are those of the slides. ``TERMINATED`` says that the job has left the batch system, and nothing about
success; release 1.0.1 calls it ``RUN_FINISHED``, which is accepted wherever a state is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class JobState(StrEnum):
    """State of one job (one uuid and index)."""

    WAITING = "WAITING"
    READY = "READY"
    CHECKED_OUT = "CHECKED_OUT"
    UPLOADED = "UPLOADED"
    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    TERMINATED = "TERMINATED"
    RUN_FINISHED = "TERMINATED"
    DOWNLOADED = "DOWNLOADED"
    REMOTE_ERROR = "REMOTE_ERROR"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"
    USER_STOPPED = "USER_STOPPED"
    BATCH_SUBMITTED = "BATCH_SUBMITTED"
    BATCH_RUNNING = "BATCH_RUNNING"

    @classmethod
    def _missing_(cls, value: object) -> JobState | None:
        return cls.TERMINATED if value == "RUN_FINISHED" else None

    @property
    def short_value(self) -> str:
        """One to four letters, for narrow columns."""
        return _SHORT[self]


_SHORT = {
    JobState.WAITING: "W",
    JobState.READY: "R",
    JobState.CHECKED_OUT: "CE",
    JobState.UPLOADED: "U",
    JobState.SUBMITTED: "SU",
    JobState.RUNNING: "RU",
    JobState.TERMINATED: "T",
    JobState.DOWNLOADED: "D",
    JobState.REMOTE_ERROR: "RERR",
    JobState.COMPLETED: "C",
    JobState.FAILED: "F",
    JobState.PAUSED: "P",
    JobState.STOPPED: "ST",
    JobState.USER_STOPPED: "CA",
    JobState.BATCH_SUBMITTED: "BS",
    JobState.BATCH_RUNNING: "BR",
}


class FlowState(StrEnum):
    """State of a flow, a function of the states of its jobs (:func:`jobflow_remote.model.graph.flow_state`)."""

    WAITING = "WAITING"
    READY = "READY"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"

    @classmethod
    def from_jobs_states(cls, jobs_states: Iterable[JobState], leaf_states: Iterable[JobState]) -> FlowState:
        """State of a flow from those of all its jobs, under the name of jobflow-remote 1.0.1."""
        from jobflow_remote.model.graph import flow_state_of_jobs

        return flow_state_of_jobs(jobs_states, leaf_states)


class BatchState(StrEnum):
    """State of a process that runs the jobs of a batch worker."""

    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"


STATE_ALIASES: dict[str, str] = {"RUN_FINISHED": JobState.TERMINATED.value}
"""Spellings in older databases and in people's filters, and ours."""
