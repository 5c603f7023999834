"""Every exception of jobflow-remote, with its exit code and what to do next.

This module must not import anything else of ours: compute nodes, the command line and the runner share it.

Two questions are answered by the class of an error:

* *what the command line does*: ``exit_code`` and ``hint``;
* *what the runner does* when a step raises it: ``failure`` (see :class:`Failure`).
"""

from __future__ import annotations

import enum


class Failure(enum.Enum):
    """How the runner treats an error that a step raised (``docs/architecture.md``, Failures)."""

    WEATHER = "weather"
    """Nobody's fault and it will pass: the worker is marked down, its jobs wait, no attempt is counted."""
    STEP = "step"
    """This job's step did not work: counted attempts with back-off, then REMOTE_ERROR."""
    PERMANENT = "permanent"
    """Trying again cannot help: REMOTE_ERROR at once."""


class JobflowRemoteError(Exception):
    """Something that a person can act upon.

    Parameters
    ----------
    message
        What is wrong, and where.
    hint
        What to do next; shown on a line of its own.
    """

    exit_code = 1
    failure = Failure.STEP

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotFoundError(JobflowRemoteError, ValueError):
    """No job, flow, batch or file answers to what was asked for."""

    failure = Failure.PERMANENT


class NotAllowedError(JobflowRemoteError, ValueError):
    """The lifecycle table has no row for this action in the present state."""


class AmbiguousIdError(NotFoundError):
    """An abbreviated id fits more than one job or flow."""


class DuplicateError(JobflowRemoteError, ValueError):
    """The flow, or one of its jobs, is in the queue database already."""


class LockedError(JobflowRemoteError):
    """Somebody else holds it; the message says who and since when."""


class ChangedMeanwhileError(JobflowRemoteError):
    """A record was changed between reading and writing, and nothing was written."""


class RunnerActiveError(LockedError):
    """Another runner works on this queue."""


class SessionLostError(JobflowRemoteError):
    """This runner was superseded by another one and may not write any more."""

    failure = Failure.WEATHER


class ConfigError(JobflowRemoteError):
    """The configuration cannot be used; the message names the file and the key."""

    failure = Failure.PERMANENT


class ProjectUndefinedError(ConfigError):
    """No project was named and none can be chosen."""


class ProjectParsingError(ConfigError):
    """A project file is unknown or cannot be read."""


class HostError(JobflowRemoteError):
    """A command or a transfer on a host did not work."""


class HostTimeoutError(HostError):
    """A command did not end within its time, and was killed."""


class HostUnreachableError(HostError):
    """The host does not answer, or refused the login."""

    failure = Failure.WEATHER


class HostKeyError(HostUnreachableError):
    """The host showed another key than the one on record, or one that nobody has accepted."""


class LoginNeededError(HostUnreachableError):
    """Somebody has to log in to the host first: it asks for a one-time password or a ticket."""


class SchedulerError(JobflowRemoteError):
    """The scheduler refused something."""


class SchedulerBusyError(SchedulerError):
    """The scheduler cannot answer or accept right now."""

    failure = Failure.WEATHER


class QueueDatabaseError(JobflowRemoteError):
    """The queue database is damaged, or not what it should be."""


class QueueDatabaseAwayError(QueueDatabaseError):
    """The queue database does not answer right now (server down, file system full or gone)."""

    failure = Failure.WEATHER


class OutputStoreError(JobflowRemoteError):
    """The output store refused a document."""


class OutputStoreAwayError(OutputStoreError):
    """The output store does not answer right now."""

    failure = Failure.WEATHER


class MissingReferenceError(JobflowRemoteError, ValueError):
    """A job refers to an output that does not exist."""

    failure = Failure.PERMANENT


class UnreadableOutputError(JobflowRemoteError):
    """The files that a job left behind cannot be understood."""

    failure = Failure.PERMANENT


class JobKilledError(JobflowRemoteError):
    """The process of a job ended without leaving a result."""

    failure = Failure.PERMANENT


class CapabilityMissingError(JobflowRemoteError):
    """This database, host or scheduler cannot do what was asked; the message names what can."""

    failure = Failure.PERMANENT


class DaemonError(JobflowRemoteError):
    """The daemon could not be started, stopped or asked."""


class RunningDaemonError(DaemonError):
    """The runner is active on another machine, for another user or in another folder."""


class FilterError(JobflowRemoteError, ValueError):
    """A Mongo filter that cannot be understood (unknown operator, wrong operand)."""

    exit_code = 2
