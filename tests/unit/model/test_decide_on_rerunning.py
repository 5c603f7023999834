from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import JobChange
from jobflow_remote.model.decide.rerun import check_new_parents, decide_rerun, decide_retry
from jobflow_remote.model.decide.runsettings import RunSettings
from jobflow_remote.model.lifecycle import ACTIVE
from jobflow_remote.model.records import JobRecord, reset_fields
from jobflow_remote.model.states import JobState as S

MakeRecord = Callable[..., JobRecord]


def by_uuid(changes: tuple[JobChange, ...]) -> dict[tuple[str, int], JobChange]:
    found = {(change.uuid, change.index): change for change in changes}
    assert len(found) == len(changes)
    return found


# -- retry -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(set(S) - ACTIVE - {S.REMOTE_ERROR}))
def test_there_is_nothing_to_retry(make_record: MakeRecord, state: S) -> None:
    with pytest.raises(NotAllowedError, match=f"cannot retry job x1: it is {state.value}"):
        decide_retry(make_record(state=state), who="ada")


@pytest.mark.parametrize("before", sorted(ACTIVE))
def test_a_remote_error_goes_back_to_where_it_was(make_record: MakeRecord, before: S) -> None:
    record = make_record(state=S.REMOTE_ERROR, previous_state=before.value)
    (change,) = decide_retry(record, who="ada", why="disk is free").changes
    batch = before in (S.BATCH_SUBMITTED, S.BATCH_RUNNING)
    assert change.to is (S.UPLOADED if batch else before)
    assert change.expect == {S.REMOTE_ERROR}
    assert change.fields == reset_fields() | ({"remote.tries": 1} if batch else {})
    assert (change.holder, change.event, change.who, change.why) == (None, "retry", "ada", "disk is free")


@pytest.mark.parametrize("before", [None, "COMPLETED", "READY"])
def test_a_state_that_cannot_be_gone_back_to(make_record: MakeRecord, before: str | None) -> None:
    with pytest.raises(NotAllowedError, match="is not known") as caught:
        decide_retry(make_record(state=S.REMOTE_ERROR, previous_state=before), who="ada")
    assert "jf job rerun x1" in (caught.value.hint or "")


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_an_active_job_forgets_its_failures_and_stays_with_the_runner(
    make_record: MakeRecord, state: S
) -> None:
    (change,) = decide_retry(make_record(state=state), who="ada").changes
    assert change.to is None
    assert change.fields == {
        "remote.step_attempts": 0, "remote.retry_time_limit": None, "remote.error": None,
    }  # fmt: skip


NEW = RunSettings(exec_config="gpu", resources={"nodes": 2}, priority=3)


@pytest.mark.parametrize("before", [S.CHECKED_OUT, S.UPLOADED, S.BATCH_SUBMITTED])
def test_how_a_job_runs_is_changed_before_it_is_submitted(make_record: MakeRecord, before: S) -> None:
    record = make_record(state=S.REMOTE_ERROR, previous_state=before.value, resources={"time": 1})
    (change,) = decide_retry(record, who="ada", settings=NEW).changes
    assert change.to is (before if before is S.CHECKED_OUT else S.UPLOADED)
    new = {"exec_config": "gpu", "resources": {"time": 1, "nodes": 2}, "priority": 3}
    assert new.items() <= change.fields.items()


@pytest.mark.parametrize("before", [S.CHECKED_OUT, S.UPLOADED])
def test_on_another_worker_inputs_are_uploaded_first(make_record: MakeRecord, before: S) -> None:
    record = make_record(state=S.REMOTE_ERROR, previous_state=before.value)
    (change,) = decide_retry(record, who="ada", settings=RunSettings(worker="other")).changes
    assert (change.to, change.fields["worker"]) == (S.CHECKED_OUT, "other")
    (same,) = decide_retry(record, who="ada", settings=RunSettings(worker="w")).changes
    assert same.to is before


@pytest.mark.parametrize("before", sorted(ACTIVE - {S.CHECKED_OUT, S.UPLOADED, *lifecycle.IN_PILOT}))
def test_a_retry_does_not_change_what_was_submitted(make_record: MakeRecord, before: S) -> None:
    record = make_record(state=S.REMOTE_ERROR, previous_state=before.value)
    with pytest.raises(NotAllowedError, match=f"submitted already .it was {before.value}") as caught:
        decide_retry(record, who="ada", settings=NEW)
    assert "jf job rerun x1" in (caught.value.hint or "")
    (change,) = decide_retry(record, who="ada", settings=RunSettings(priority=3)).changes
    assert (change.to, change.fields["priority"]) == (before, 3)


def test_a_retry_does_not_change_what_the_runner_has_in_hand(make_record: MakeRecord) -> None:
    with pytest.raises(NotAllowedError, match="cannot change how job x1 runs while it is RUNNING"):
        decide_retry(make_record(state=S.RUNNING), who="ada", settings=NEW)


# -- rerun: which states -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("force", [False, True])
def test_the_table_says_what_can_be_rerun(make_record: MakeRecord, state: S, force: bool) -> None:
    record = make_record(state=state)
    if not lifecycle.allows("rerun", state, force=force):
        with pytest.raises(NotAllowedError, match=f"cannot rerun job x1: it is {state.value}") as caught:
            decide_rerun(record, [record], who="ada", force=force)
        assert bool(caught.value.hint) == (state in lifecycle.transition("rerun").forced)
        return
    (change,) = decide_rerun(record, [record], who="ada", force=force).changes
    assert (change.to, change.event, change.holder) == (S.WAITING, "rerun", None)
    assert change.expect == {state}
    assert change.attempt == "t1"
    for path in ("start_time", "end_time", "stored_data", "error", "previous_state"):
        assert change.fields[path] is None
    assert change.fields["remote.step_attempts"] == 0


@pytest.mark.parametrize(
    "run_dir, pending, keep, expected",
    [
        (None, False, False, False),
        ("/w/a_1", False, False, True),
        ("/w/a_1", False, True, False),
        ("/w/a_1", True, True, True),  # an earlier rerun, not yet carried out, asked for it
    ],
)
def test_the_run_folder_is_emptied_before_the_job_starts_again(
    make_record: MakeRecord, run_dir: str | None, pending: bool, keep: bool, expected: bool
) -> None:
    record = make_record(state=S.FAILED, run_dir=run_dir, remote={"prerun_cleanup": pending})
    (change,) = decide_rerun(record, [], who="ada", keep_files=keep).changes
    assert change.fields["remote.prerun_cleanup"] is expected


def test_a_job_that_was_replaced_cannot_be_rerun_even_with_force(make_record: MakeRecord) -> None:
    record = make_record(state=S.COMPLETED)
    later = make_record(state=S.COMPLETED, index=3)
    middle = make_record(state=S.COMPLETED, index=2)
    with pytest.raises(NotAllowedError, match=r"job x2 \(index 3\) has taken its place") as caught:
        decide_rerun(record, [record, later, middle], who="ada", force=True)
    assert "rerun job x2" in (caught.value.hint or "")
    gone = make_record(state=S.COMPLETED, index=2, superseded=True)
    assert len(decide_rerun(record, [record, gone], who="ada", force=True).changes) == 1


# -- rerun: what depends on it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(ACTIVE - {S.BATCH_SUBMITTED, S.BATCH_RUNNING}))
def test_an_active_job_alone_is_reset_for_nothing_can_have_built_upon_it(
    make_record: MakeRecord, state: S
) -> None:
    record = make_record(state=state)
    child = make_record("c", S.USER_STOPPED, parents=["a"])
    assert len(decide_rerun(record, [record, child], who="ada").changes) == 1


def test_children_that_have_not_begun_wait_again(make_record: MakeRecord) -> None:
    record = make_record(state=S.FAILED)
    children = [
        make_record("w", S.WAITING, parents=["a"]),
        make_record("r", S.READY, parents=["a"]),
        make_record("p", S.PAUSED, parents=["z", "a"]),
    ]
    grandchild = make_record("g", S.WAITING, parents=["w"])
    decided = decide_rerun(record, [record, *children, grandchild], who="ada")
    changes = by_uuid(decided.changes)
    assert set(changes) == {("a", 1), ("w", 1), ("r", 1), ("p", 1)}
    for child in children:
        change = changes[child.key]
        assert (change.to, change.event) == (S.WAITING, "wait_again")
        assert lifecycle.allows("wait_again", child.state, S.WAITING)
        assert child.state in change.expect
        assert change.why == "job x1 runs again"
        assert "parents" not in change.fields
    assert changes["r", 1].expect == changes["w", 1].expect == {S.READY, S.WAITING}
    assert changes["p", 1].expect == {S.PAUSED}


@pytest.mark.parametrize("state", sorted(set(S) - {S.WAITING, S.READY, S.PAUSED}))
def test_children_that_have_begun_need_force(make_record: MakeRecord, state: S) -> None:
    record = make_record(state=S.FAILED)
    child = make_record("c", state, parents=["a"], run_dir="/w/c_1")
    with pytest.raises(NotAllowedError, match=rf"x2 \({state.value}\)$") as caught:
        decide_rerun(record, [record, child], who="ada")
    assert caught.value.hint == "--force runs them again as well"
    change = by_uuid(decide_rerun(record, [child], who="ada", force=True).changes)["c", 1]
    assert (change.to, change.expect) == (S.WAITING, frozenset({state}))
    assert change.fields["remote.prerun_cleanup"] is True


def test_a_long_refusal_is_cut(make_record: MakeRecord) -> None:
    record = make_record(state=S.FAILED)
    children = [make_record(f"c{n}", S.COMPLETED, parents=["a"]) for n in range(7)]
    with pytest.raises(NotAllowedError, match=r"x6 \(COMPLETED\) and 2 more$"):
        decide_rerun(record, children, who="ada")


def test_with_force_all_descendants_wait_again_and_nobody_else(make_record: MakeRecord) -> None:
    jobs = [
        record := make_record("a", S.COMPLETED),
        make_record("b", S.COMPLETED, parents=["a"]),
        make_record("c", S.RUNNING, parents=["a", "x"]),
        make_record("d", S.WAITING, parents=["b", "c"]),
        make_record("x", S.COMPLETED),
        make_record("y", S.COMPLETED, parents=["x"]),
        make_record("f", S.COMPLETED, parents=["b"], flow_uuid="another flow"),
    ]
    changes = by_uuid(decide_rerun(record, jobs, who="ada", force=True).changes)
    assert {uuid for uuid, _ in changes} == {"a", "b", "c", "d"}


def test_what_the_former_runs_brought_about_is_superseded(make_record: MakeRecord) -> None:
    jobs = [
        record := make_record("a", S.COMPLETED),
        detour := make_record("d", S.COMPLETED, parents=["a"], generated_by=record.db_id),
        leaf := make_record("e", S.RUNNING, parents=["d"], generated_by=record.db_id),
        child := make_record("b", S.COMPLETED, parents=["a", "e"]),
        replaced := make_record("b", S.READY, parents=["a", "e"], index=2, generated_by=child.db_id),
        added := make_record("n", S.STOPPED, parents=["e"], generated_by=leaf.db_id),
    ]
    decided = decide_rerun(record, jobs, who="ada", force=True)
    changes = by_uuid(decided.changes)
    assert set(changes) == {job.key for job in jobs}
    assert changes[child.key].to is S.WAITING
    # the detour's leaf will not run again, and its successor does not exist yet
    assert changes[child.key].fields["parents"] == ["a"]
    for job in (detour, leaf, replaced, added):
        assert changes[job.key].fields == {"superseded": True}
    for job in (leaf, replaced):
        assert (changes[job.key].to, changes[job.key].event) == (S.USER_STOPPED, "stop")
        assert lifecycle.allows("stop", job.state, S.USER_STOPPED)
    for job in (detour, added):
        assert (changes[job.key].to, changes[job.key].event) == (None, "supersede")


def test_a_replacement_that_was_not_recorded_as_one_is_not_guessed_at(make_record: MakeRecord) -> None:
    record = make_record("a", S.COMPLETED)
    old = [make_record("b", S.COMPLETED, parents=["a"], index=index) for index in (1, 2)]
    with pytest.raises(NotAllowedError, match="job x2, which depends on it, was replaced"):
        decide_rerun(record, old, who="ada", force=True)


# -- rerun: the children only ------------------------------------------------------------------------------------


def test_without_descendants_what_lies_behind_the_children_keeps_its_results(make_record: MakeRecord) -> None:
    jobs = [
        record := make_record("a", S.COMPLETED),
        child := make_record("b", S.COMPLETED, parents=["a"]),
        detour := make_record("d", S.COMPLETED, parents=["b"], generated_by=child.db_id),
        done := make_record("c", S.COMPLETED, parents=["b", "d"]),
        make_record("e", S.READY, parents=["b"]),
        make_record("f", S.WAITING, parents=["b", "x"]),
        make_record("g", S.READY, parents=["x"]),
        runs := make_record("h", S.RUNNING, parents=["c"]),
    ]
    decided = decide_rerun(record, jobs, who="ada", force=True, descendants=False)
    changes = by_uuid(decided.changes)
    assert set(changes) == {("a", 1), ("b", 1), ("d", 1), ("c", 1), ("e", 1)}
    assert (changes[child.key].to, changes["e", 1].to) == (S.WAITING, S.WAITING)
    assert "stored_data" not in changes["e", 1].fields
    assert changes[detour.key].fields == {"superseded": True}
    # the results stay, but the detour of the former run is nobody's parent any more
    assert (changes[done.key].to, dict(changes[done.key].fields)) == (None, {"parents": ["b"]})
    assert runs.key not in changes
    everything = by_uuid(decide_rerun(record, jobs, who="ada", force=True).changes)
    assert set(everything) == {job.key for job in jobs} - {("g", 1)}


def test_descendants_without_force_must_not_have_begun(make_record: MakeRecord) -> None:
    record = make_record("a", S.FAILED)
    jobs = [make_record("b", S.WAITING, parents=["a"]), make_record("c", S.PAUSED, parents=["b"])]
    changes = by_uuid(decide_rerun(record, jobs, who="ada", descendants=True).changes)
    assert set(changes) == {("a", 1), ("b", 1), ("c", 1)}
    jobs[1] = make_record("c", S.STOPPED, parents=["b"])
    with pytest.raises(NotAllowedError, match=r"\(STOPPED\)"):
        decide_rerun(record, jobs, who="ada", descendants=True)


def test_a_job_that_replaced_itself_is_run_again_in_place_of_its_successors(make_record: MakeRecord) -> None:
    first = make_record("a", S.COMPLETED)
    second = make_record("a", S.COMPLETED, index=2, generated_by=first.db_id)
    third = make_record("a", S.RUNNING, index=3, generated_by=second.db_id)
    child = make_record("b", S.WAITING, parents=["a"])
    jobs = [first, second, third, child]
    for descendants in (None, False):
        decided = decide_rerun(first, jobs, who="ada", force=True, descendants=descendants)
        changes = by_uuid(decided.changes)
        assert set(changes) == {job.key for job in jobs}
        assert changes[second.key].fields == changes[third.key].fields == {"superseded": True}
        assert changes[third.key].to is S.USER_STOPPED
    of_somebody = replace(third, generated_by=None)
    with pytest.raises(NotAllowedError, match=r"job x3 \(index 3\) has taken its place"):
        decide_rerun(second, [first, second, of_somebody], who="ada", force=True)


def test_other_fields_change_in_the_same_step(make_record: MakeRecord) -> None:
    record = make_record(state=S.FAILED)
    (change,) = decide_rerun(record, [], who="ada", fields={"worker": "v", "start_time": 1}).changes
    assert (change.fields["worker"], change.fields["start_time"], change.fields["error"]) == ("v", 1, None)


def test_new_inputs_may_not_refer_to_what_waits_for_the_job(make_record: MakeRecord) -> None:
    record = make_record("a", S.FAILED)
    jobs = [make_record("b", S.WAITING, parents=["a"]), make_record("c", S.WAITING, parents=["b"])]
    check_new_parents(record, jobs, ["x"])
    with pytest.raises(NotAllowedError, match="job x1 cannot wait for job x3, which waits for it"):
        check_new_parents(record, jobs, ["c"])
    with pytest.raises(NotAllowedError, match="cannot wait for itself"):
        check_new_parents(record, jobs, ["a"])
