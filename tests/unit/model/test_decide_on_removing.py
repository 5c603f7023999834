"""Deleting jobs, new inputs, fields that people write, locks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.decide.hold import decide_set_fields, decide_unlock
from jobflow_remote.model.decide.inputs import change_inputs, changed_parents
from jobflow_remote.model.decide.removal import decide_delete
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState as S

MakeRecord = Callable[..., JobRecord]


@pytest.mark.parametrize("state", S)
def test_the_table_says_what_can_be_deleted(make_record: MakeRecord, state: S) -> None:
    record, other = make_record(state=state), make_record("z", S.READY)
    if not lifecycle.allows("delete", state):
        with pytest.raises(NotAllowedError, match=f"cannot delete job x1: it is {state.value}") as caught:
            decide_delete(record, [record, other], who="ada", keeps_output=True)
        assert caught.value.hint == "`jf job stop x1` first"
        return
    decided = decide_delete(record, [record, other], who="ada", keeps_output=True)
    (removal,) = decided.removals
    assert (removal.uuid, removal.index, removal.expect, removal.attempt) == (
        "a",
        1,
        frozenset({state}),
        "t1",
    )
    assert decided.changes == ()


def test_the_only_job_stays(make_record: MakeRecord) -> None:
    record, gone = make_record(), make_record("z", S.COMPLETED, superseded=True)
    with pytest.raises(NotAllowedError, match="the only job of its flow"):
        decide_delete(record, [record, gone], who="ada", keeps_output=True)
    assert decide_delete(gone, [record, gone], who="ada", keeps_output=True).removals


@pytest.mark.parametrize(
    "state, keeps, expected",
    [(S.COMPLETED, True, set()), (S.COMPLETED, False, {"w", "r"}), (S.FAILED, True, {"w", "r"})],
)
def test_who_needs_the_output_is_stopped(
    make_record: MakeRecord, state: S, keeps: bool, expected: set[str]
) -> None:
    record = make_record(state=state)
    jobs = [
        record,
        make_record("w", S.WAITING, parents=["a", "b"]),
        make_record("r", S.READY, parents=["a"]),
        make_record("p", S.PAUSED, parents=["a"]),
        make_record("t", S.WAITING, parents=["a"], config={"on_missing_references": "none"}),
        make_record("b", S.WAITING),
        make_record("s", S.WAITING, parents=["a"], superseded=True),
    ]
    changes = decide_delete(record, jobs, who="ada", keeps_output=keeps).changes
    assert {change.uuid for change in changes} == expected
    assert {(change.to, change.event) for change in changes} <= {(S.USER_STOPPED, "stop")}


def test_an_earlier_index_has_the_output_instead(make_record: MakeRecord) -> None:
    first, second = make_record(state=S.COMPLETED), make_record(state=S.FAILED, index=2)
    child = make_record("c", S.WAITING, parents=["a"])
    assert decide_delete(second, [first, second, child], who="ada", keeps_output=False).changes == ()


@pytest.mark.parametrize(
    "inputs, args, kwargs",
    [
        ({}, [1, 2], {"x": 3}),
        ({"0": "new", "x": None}, ["new", 2], {"x": None}),
        ({"y": [1]}, [1, 2], {"x": 3, "y": [1]}),
    ],
)
def test_inputs_by_name_and_number(inputs: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> None:
    before = ([1, 2], {"x": 3})
    assert change_inputs(*before, inputs) == (args, kwargs)
    assert before == ([1, 2], {"x": 3})


def test_a_number_beyond_the_arguments() -> None:
    with pytest.raises(NotAllowedError, match="no positional argument 2: it has 0 to 1") as caught:
        change_inputs([1, 2], {"x": 3}, {"2": 0})
    assert "x" in (caught.value.hint or "")
    with pytest.raises(NotAllowedError, match="it has none"):
        change_inputs([], {}, {"0": 0})


def test_parents_follow_the_references() -> None:
    assert changed_parents(["a", "b", "c"], before={"a", "b"}, after={"b", "d"}) == ["b", "c", "d"]
    assert changed_parents(["a"], before=set(), after={"a"}) == ["a"]


@pytest.mark.parametrize("path", ["state", "parents", "job.hosts", "history", "claim", "job.config.x"])
def test_fields_that_something_follows_from(make_record: MakeRecord, path: str) -> None:
    with pytest.raises(NotAllowedError, match=path):
        decide_set_fields(make_record(), {path: 1}, who="ada")


def test_fields_are_written_in_the_states_that_are_allowed(make_record: MakeRecord) -> None:
    (change,) = decide_set_fields(make_record(), {"stored_data.x": 1}, who="ada", states=[S.READY]).changes
    assert (change.to, change.fields, change.event) == (None, {"stored_data.x": 1}, "set_fields")
    with pytest.raises(NotAllowedError, match="READY, not PAUSED"):
        decide_set_fields(make_record(), {"priority": 1}, who="ada", states=[S.PAUSED])


def test_unlocking(make_record: MakeRecord) -> None:
    with pytest.raises(NotAllowedError, match="is not locked"):
        decide_unlock(make_record(), who="ada")
    (change,) = decide_unlock(make_record(state=S.RUNNING, claim="token"), who="ada").changes
    assert (change.to, change.fields["claim"], change.event) == (None, None, "unlock")
