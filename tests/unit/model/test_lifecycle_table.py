"""The table is the specification; what is said here about it must hold for any table that makes sense."""

from __future__ import annotations

import pytest

from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.lifecycle import ACTIVE, ROLES, STEPS, TABLE, Actor, Target
from jobflow_remote.model.states import BatchState, FlowState, JobState

STATES = tuple(JobState)
EVENTS = [row.event for row in TABLE]


def reached_from(start: JobState, *, actors: set[Actor], force: bool) -> set[JobState]:
    """States that can be reached, following rows with fixed targets (and REMEMBERED as: any active state)."""
    found, frontier = {start}, [start]
    while frontier:
        state = frontier.pop()
        for row in TABLE:
            if row.actor in actors and state in lifecycle.sources(row.event, force=force):
                targets = {t for t in row.targets if isinstance(t, JobState)}
                if Target.REMEMBERED in row.targets and state is JobState.REMOTE_ERROR:
                    targets |= ACTIVE
                frontier += targets - found
                found |= targets
    return found


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_reached_without_an_administrator(state: JobState) -> None:
    assert state in reached_from(JobState.WAITING, actors={Actor.RUNNER, Actor.PERSON}, force=False)


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_left_towards_completed(state: JobState) -> None:
    assert JobState.COMPLETED in reached_from(state, actors={Actor.RUNNER, Actor.PERSON}, force=True)
    leaving = [
        row.event
        for row in TABLE
        if row.actor is not Actor.ADMINISTRATOR
        and state in row.sources | row.forced
        and row.targets != (state,)
    ]
    assert leaving


def test_the_runner_alone_brings_a_job_from_waiting_to_completed() -> None:
    assert JobState.COMPLETED in reached_from(JobState.WAITING, actors={Actor.RUNNER}, force=False)


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_the_runner_looks_after_every_active_state(state: JobState) -> None:
    steps = lifecycle.next_steps(state)
    assert len(steps) == 1
    assert lifecycle.allows("give_up", state, JobState.REMOTE_ERROR)


@pytest.mark.parametrize("state", sorted(set(STATES) - ACTIVE - {JobState.READY}))
def test_no_step_of_the_runner_takes_a_job_that_it_does_not_have_in_hand(state: JobState) -> None:
    assert lifecycle.next_steps(state) == ()


def test_states_are_split_into_final_and_unfinished() -> None:
    assert set(STATES) == lifecycle.FINAL | lifecycle.UNFINISHED
    assert not lifecycle.FINAL & lifecycle.UNFINISHED
    assert lifecycle.ERRORS <= lifecycle.FINAL


def test_roles_and_steps_are_those_of_the_slides() -> None:
    assert ROLES == {
        "checkout": ("checkout",),
        "transfer": ("upload", "download"),
        "queue": ("submit", "poll"),
        "complete": ("complete",),
    }


def test_every_step_belongs_to_the_role_that_lists_it() -> None:
    assert {step: lifecycle.role_of(step) for step in STEPS} == {
        step: role for role, steps in ROLES.items() for step in steps
    }


def test_a_state_is_waited_in_for_one_step_only() -> None:
    waited_in = [state for states in STEPS.values() for state in states]
    assert len(waited_in) == len(set(waited_in))


def test_derived_sets_are_those_of_the_rows() -> None:
    assert {JobState.READY, JobState.WAITING, JobState.BATCH_SUBMITTED} == lifecycle.PAUSABLE
    assert {JobState.PAUSED, JobState.STOPPED, JobState.USER_STOPPED} == lifecycle.RESUMABLE
    assert {
        JobState.SUBMITTED, JobState.RUNNING, JobState.BATCH_SUBMITTED, JobState.BATCH_RUNNING,
    } == lifecycle.IN_SCHEDULER  # fmt: skip
    assert set(STATES) - lifecycle.REACHABLE_BY_RUNNER == {
        JobState.WAITING, JobState.PAUSED, JobState.USER_STOPPED,
    }  # fmt: skip


def test_events_and_aliases_are_unique_words() -> None:
    words = EVENTS + [alias for row in TABLE for alias in row.aliases]
    assert len(words) == len(set(words))
    assert lifecycle.transition("resume") is lifecycle.transition("play")


@pytest.mark.parametrize("row", TABLE, ids=EVENTS)
def test_rows_are_well_formed(row: lifecycle.Transition) -> None:
    assert row.sources
    assert row.targets
    assert row.help
    assert not row.sources & row.forced
    assert (row.step is None) == (row.role is None)
    assert row.step is None or row.actor is Actor.RUNNER


@pytest.mark.parametrize("row", TABLE, ids=EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_check_allowed_refuses_exactly_what_the_table_does_not_list(
    row: lifecycle.Transition, state: JobState
) -> None:
    for force in (False, True):
        expected = state in row.sources or (force and state in row.forced)
        assert lifecycle.allows(row.event, state, force=force) is expected
        if expected:
            lifecycle.check_allowed(row.event, state, force=force)
            continue
        with pytest.raises(NotAllowedError) as caught:
            lifecycle.check_allowed(row.event, state, force=force, what="job 7")
        assert f"job 7: it is {state.value}, and" in caught.value.message
        assert (caught.value.hint is not None) == (state in row.forced)


def test_a_refusal_says_what_would_be_possible() -> None:
    with pytest.raises(NotAllowedError) as caught:
        lifecycle.check_allowed("pause", JobState.COMPLETED, what="job 3")
    assert caught.value.message == (
        "cannot pause job 3: it is COMPLETED, and pause takes WAITING, READY, BATCH_SUBMITTED"
    )
    assert caught.value.hint is None
    with pytest.raises(ValueError, match="cannot rerun the job: it is COMPLETED") as insisted:
        lifecycle.check_allowed("rerun", JobState.COMPLETED)
    assert isinstance(insisted.value, NotAllowedError)
    assert insisted.value.hint == "it is possible with --force"


def test_allows_looks_at_the_target() -> None:
    assert lifecycle.allows("submit", JobState.UPLOADED, JobState.BATCH_SUBMITTED)
    assert not lifecycle.allows("submit", JobState.UPLOADED, JobState.RUNNING)
    assert lifecycle.allows("retry", JobState.REMOTE_ERROR, JobState.UPLOADED)
    assert lifecycle.allows("set_state", JobState.COMPLETED, JobState.WAITING)


def test_run_finished_is_another_name_of_terminated() -> None:
    assert JobState("RUN_FINISHED") is JobState.TERMINATED
    assert JobState.__members__["RUN_FINISHED"] is JobState.TERMINATED
    assert JobState["RUN_FINISHED"] is JobState.TERMINATED
    assert JobState.TERMINATED.value == "TERMINATED"
    with pytest.raises(ValueError, match="NO_STATE"):
        JobState("NO_STATE")


def test_short_names_are_short_and_unique() -> None:
    short = [state.short_value for state in JobState]
    assert len(set(short)) == len(STATES)
    assert max(map(len, short)) <= 4


def test_states_are_their_values() -> None:
    for kind in (JobState, FlowState, BatchState):
        assert all(str(state) == state.value == state.name for state in kind)
