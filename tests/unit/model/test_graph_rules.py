"""What follows from states, against the sentences of the specification said once more and differently."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobflow_remote.model.graph import (
    Settlement,
    edge_is_settled,
    find_leaves,
    find_roots,
    flow_state,
    flow_state_of_jobs,
    settlement,
)
from jobflow_remote.model.states import FlowState as F
from jobflow_remote.model.states import JobState as S


@pytest.mark.parametrize(
    "states, leaves, expected",
    [
        ([S.WAITING], [S.WAITING], F.WAITING),
        ([S.WAITING, S.READY], [S.WAITING], F.READY),
        ([S.READY], [S.READY], F.READY),
        ([], [], F.READY),
        ([S.COMPLETED, S.COMPLETED], [S.COMPLETED], F.COMPLETED),
        # all leaves COMPLETED comes before anything that went wrong above them
        ([S.FAILED, S.COMPLETED], [S.COMPLETED], F.COMPLETED),
        ([S.PAUSED, S.COMPLETED], [S.COMPLETED], F.COMPLETED),
        ([S.FAILED, S.USER_STOPPED, S.PAUSED, S.RUNNING], [S.RUNNING], F.FAILED),
        ([S.STOPPED, S.PAUSED, S.RUNNING], [S.RUNNING], F.STOPPED),
        ([S.USER_STOPPED, S.PAUSED, S.RUNNING], [S.RUNNING], F.STOPPED),
        ([S.PAUSED, S.RUNNING], [S.RUNNING], F.PAUSED),
        ([S.COMPLETED, S.WAITING], [S.WAITING], F.RUNNING),
        ([S.REMOTE_ERROR], [S.REMOTE_ERROR], F.RUNNING),
        ([S.CHECKED_OUT, S.WAITING], [S.WAITING], F.RUNNING),
    ],
)
def test_the_questions_are_asked_in_the_order_of_the_specification(
    states: list[S], leaves: list[S], expected: F
) -> None:
    assert flow_state_of_jobs(states, leaves) is expected
    assert F.from_jobs_states(states, leaves) is expected


@given(inner=st.lists(st.sampled_from(S)), leaves=st.lists(st.sampled_from(S), min_size=1))
def test_counters_are_enough_to_tell_the_state(inner: list[S], leaves: list[S]) -> None:
    counts = Counter(state.value for state in inner + leaves)
    counts["PAUSED"] += 0  # a counter that came down to zero is like one that is not there
    completed = leaves.count(S.COMPLETED)
    expected = flow_state_of_jobs(inner + leaves, leaves)
    assert flow_state(counts, leaves=len(leaves), leaves_completed=completed) is expected


@given(inner=st.lists(st.sampled_from(S)), leaves=st.lists(st.sampled_from(S), min_size=1))
def test_a_flow_is_completed_when_and_only_when_its_leaves_are(inner: list[S], leaves: list[S]) -> None:
    assert (flow_state_of_jobs(inner + leaves, leaves) is F.COMPLETED) == (set(leaves) == {S.COMPLETED})


@pytest.mark.parametrize("state", S)
def test_settlement(state: S) -> None:
    expected = {
        S.COMPLETED: Settlement.DONE,
        S.FAILED: Settlement.MISSING,
        S.USER_STOPPED: Settlement.MISSING,
    }
    assert settlement(state) is expected.get(state, Settlement.OPEN)


@pytest.mark.parametrize(
    "parent, patient, tolerant",
    [(Settlement.OPEN, False, False), (Settlement.MISSING, False, True), (Settlement.DONE, True, True)],
)
def test_tolerant_children_do_not_wait_for_an_output_that_will_never_exist(
    parent: Settlement, patient: bool, tolerant: bool
) -> None:
    assert edge_is_settled(parent, tolerant=False) is patient
    assert edge_is_settled(parent, tolerant=True) is tolerant


def test_leaves_and_roots_keep_the_order_given() -> None:
    diamond = {"a": [], "c": ["a"], "b": ["a"], "d": ["b", "c"], "e": ["a", "elsewhere"]}
    assert find_leaves(diamond) == ["d", "e"]
    assert find_roots(diamond) == ["a"]
    assert find_roots({"x": ["elsewhere"]}) == ["x"]
    assert find_leaves({}) == []
