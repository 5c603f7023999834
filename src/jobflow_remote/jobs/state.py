"""States of jobs, flows and batches, and the groups of them that release 1.0.1 names.

The groups follow from the lifecycle table. ``RUN_FINISHED`` is the alias of ``TERMINATED``.
"""

from __future__ import annotations

from jobflow_remote.model import lifecycle
from jobflow_remote.model.states import BatchState, FlowState, JobState

__all__ = [
    "DELETABLE_STATES",
    "DELETABLE_STATES_V",
    "ERROR_STATES",
    "ERROR_STATES_V",
    "PAUSABLE_STATES",
    "PAUSABLE_STATES_V",
    "RESETTABLE_STATES",
    "RESETTABLE_STATES_V",
    "RUNNING_STATES",
    "RUNNING_STATES_V",
    "BatchState",
    "DeprecatedStateError",
    "FlowState",
    "JobState",
]


class DeprecatedStateError(ValueError):
    """A state of an older release. Never raised: all spellings are understood."""


def _ordered(states: frozenset[JobState]) -> list[JobState]:
    return [state for state in JobState if state in states]


_BATCH = frozenset({JobState.BATCH_SUBMITTED, JobState.BATCH_RUNNING})

PAUSABLE_STATES = _ordered(lifecycle.PAUSABLE)
PAUSABLE_STATES_V = [state.value for state in PAUSABLE_STATES]
RUNNING_STATES = _ordered(lifecycle.ACTIVE)
RUNNING_STATES_V = [state.value for state in RUNNING_STATES]
RESETTABLE_STATES = _ordered(lifecycle.ACTIVE - _BATCH)
RESETTABLE_STATES_V = [state.value for state in RESETTABLE_STATES]
DELETABLE_STATES = _ordered(frozenset(JobState) - _BATCH)
DELETABLE_STATES_V = [state.value for state in DELETABLE_STATES]
ERROR_STATES = _ordered(lifecycle.ERRORS)
ERROR_STATES_V = [state.value for state in ERROR_STATES]
