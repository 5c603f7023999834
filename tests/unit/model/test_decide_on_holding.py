from __future__ import annotations

from collections.abc import Callable

import pytest

from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.decide.hold import (
    decide_pause,
    decide_play,
    decide_set_state,
    decide_stop,
    has_process,
)
from jobflow_remote.model.records import JobRecord, reset_fields
from jobflow_remote.model.states import JobState

MakeRecord = Callable[..., JobRecord]
DECISIONS: dict[str, tuple[Callable[..., ChangeSet], JobState]] = {
    "pause": (decide_pause, JobState.PAUSED),
    "play": (decide_play, JobState.WAITING),
    "stop": (decide_stop, JobState.USER_STOPPED),
}


@pytest.mark.parametrize("event", DECISIONS)
@pytest.mark.parametrize("state", JobState)
def test_the_table_says_when(make_record: MakeRecord, event: str, state: JobState) -> None:
    decide, to = DECISIONS[event]
    record = make_record(state=state)
    if not lifecycle.allows(event, state):
        with pytest.raises(NotAllowedError, match=f"cannot {event} job x1: it is {state.value}"):
            decide(record, who="ada")
        return
    decided = decide(record, who="ada", why="lunch")
    assert decided.flow_uuid == "flow"
    (change,) = decided.changes
    assert change == JobChange(
        uuid="a",
        index=1,
        expect=frozenset({state}),
        to=to,
        fields=reset_fields() if event == "play" else {},
        holder=None,
        attempt="t1",
        event=event,
        who="ada",
        why="lunch",
    )
    assert lifecycle.allows(event, state, to)


@pytest.mark.parametrize("state", JobState)
def test_an_administrator_may_write_any_state(make_record: MakeRecord, state: JobState) -> None:
    (change,) = decide_set_state(make_record(state=JobState.COMPLETED), state, who="root").changes
    assert change.to is state
    assert change.expect == {JobState.COMPLETED}
    assert change.fields == reset_fields()
    assert change.event == "set_state"


@pytest.mark.parametrize(
    "state, process_id, expected",
    [
        (JobState.SUBMITTED, "42", True),
        (JobState.RUNNING, "42", True),
        (JobState.BATCH_RUNNING, "42", True),
        (JobState.SUBMITTED, None, False),
        (JobState.READY, "42", False),  # that of the attempt before
        (JobState.DOWNLOADED, "42", False),
    ],
)
def test_what_there_is_to_cancel(
    make_record: MakeRecord, state: JobState, process_id: str | None, expected: bool
) -> None:
    assert has_process(make_record(state=state, remote={"process_id": process_id})) is expected


def test_children_let_go_without_the_output_wait_for_it_again(make_record: MakeRecord) -> None:
    tolerant = {"on_missing_references": "none"}
    parent = make_record(state=JobState.USER_STOPPED)
    ready = make_record("r", JobState.READY, parents=["a"], config=tolerant)
    waiting = make_record("w", JobState.WAITING, parents=["a"], config=tolerant)
    others = [
        make_record("begun", JobState.RUNNING, parents=["a"], config=tolerant),
        make_record("patient", JobState.WAITING, parents=["a"]),
        make_record("elsewhere", JobState.READY, parents=["a"], config=tolerant, flow_uuid="g"),
    ]
    played, *again = decide_play(parent, who="ada", children=[ready, waiting, *others]).changes
    assert played.uuid == "a"
    assert [change.uuid for change in again] == ["r", "w"]
    for change in again:
        # whichever of the two it is by now
        assert change.expect == {JobState.READY, JobState.WAITING}
        assert (change.to, change.event) == (JobState.WAITING, "wait_again")
        assert change.why == "job x1 goes on"


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.STOPPED])
def test_nobody_was_let_go_by_a_job_that_was_only_held_back(make_record: MakeRecord, state: JobState) -> None:
    child = make_record("r", JobState.READY, parents=["a"], config={"on_missing_references": "none"})
    assert len(decide_play(make_record(state=state), who="ada", children=[child]).changes) == 1
