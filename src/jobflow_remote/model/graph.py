"""What follows from the states of jobs: who may start, who counts as a leaf, the state of a flow.

Pure functions that the adapters of the queue database call while they apply a change set. They are written so that
completing a job needs its children and a few counters, never all jobs of the flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

from jobflow_remote.model.states import FlowState, JobState


class Settlement(StrEnum):
    """What the children of a job can expect of it (of the highest index of its uuid)."""

    OPEN = "open"
    """Its output may still come."""
    MISSING = "missing"
    """It ended without output: children that tolerate a missing reference may start."""
    DONE = "done"
    """Its output exists."""


_SETTLEMENT = {
    JobState.COMPLETED: Settlement.DONE,
    JobState.FAILED: Settlement.MISSING,
    JobState.USER_STOPPED: Settlement.MISSING,
}


def settlement(state: JobState) -> Settlement:
    """Settlement of a job in ``state``."""
    return _SETTLEMENT.get(state, Settlement.OPEN)


def edge_is_settled(parent: Settlement, *, tolerant: bool) -> bool:
    """Whether a child need not wait for this parent any longer.

    ``tolerant``: the child's ``on_missing_references`` is ``none`` or ``pass``.
    """
    return parent is Settlement.DONE or (tolerant and parent is Settlement.MISSING)


def flow_state(counts: Mapping[str, int], *, leaves: int, leaves_completed: int) -> FlowState:
    """State of a flow from the number of its jobs in each state.

    Superseded jobs do not count. A leaf is the highest index of a uuid that is nobody's parent. The order of the
    questions is that of jobflow-remote 1.0.1; REMOTE_ERROR does not make a flow FAILED.
    """
    present = {state for state, number in counts.items() if number}
    if present == {JobState.WAITING}:
        return FlowState.WAITING
    if present <= {JobState.WAITING, JobState.READY}:
        return FlowState.READY
    if leaves and leaves == leaves_completed:
        return FlowState.COMPLETED
    if JobState.FAILED in present:
        return FlowState.FAILED
    if present & {JobState.STOPPED, JobState.USER_STOPPED}:
        return FlowState.STOPPED
    if JobState.PAUSED in present:
        return FlowState.PAUSED
    return FlowState.RUNNING


def flow_state_of_jobs(states: Iterable[JobState], leaf_states: Iterable[JobState]) -> FlowState:
    """State of a flow from all its jobs: the slow way, for checks and for code written for 1.0.1."""
    leaf_list = list(leaf_states)
    counts = Counter(state.value for state in states)
    completed = sum(state is JobState.COMPLETED for state in leaf_list)
    return flow_state(counts, leaves=len(leaf_list), leaves_completed=completed)


def find_leaves(parents: Mapping[str, Iterable[str]]) -> list[str]:
    """Jobs that are nobody's parent, in the order given. ``parents``: uuid → uuids of its parents."""
    inner = {parent for others in parents.values() for parent in others}
    return [uuid for uuid in parents if uuid not in inner]


def find_roots(parents: Mapping[str, Iterable[str]]) -> list[str]:
    """Jobs without a parent among the given ones."""
    return [uuid for uuid, others in parents.items() if not any(parent in parents for parent in others)]
