from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from jobflow_remote.model.changes import ChangeSet, ExtraParents, Halt, HaltScope
from jobflow_remote.model.decide.completion import JobResponse, JobResult, decide_completion
from jobflow_remote.model.decide.submission import GeneratedJob
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState

MakeRecord = Callable[..., JobRecord]
MakeJob = Callable[..., dict[str, Any]]


@pytest.fixture
def downloaded(make_record: MakeRecord) -> JobRecord:
    return make_record(
        "a",
        JobState.DOWNLOADED,
        parents=["p"],
        worker="w",
        exec_config="conf",
        resources={"nodes": 2},
        priority=3,
    )


@pytest.fixture
def complete(downloaded: JobRecord, now: datetime) -> Callable[..., ChangeSet]:
    def decide(response: JobResponse | None = None, *, error: str | None = None, **result: Any) -> ChangeSet:
        return decide_completion(
            downloaded, JobResult(response, error, **result), holder="token", now=now, extra={"remote.x": 1}
        )

    return decide


def test_a_plain_result_completes_the_job(complete: Callable[..., ChangeSet], now: datetime) -> None:
    started = now - timedelta(minutes=1)
    decided = complete(JobResponse(stored_data={"k": 1}), start_time=started, end_time=now)
    (change,) = decided.changes
    assert change.to is JobState.COMPLETED
    assert change.expect == {JobState.DOWNLOADED}
    assert (change.holder, change.attempt, change.event) == ("token", "t1", "complete")
    assert change.fields["stored_data"] == {"k": 1}
    assert (change.fields["start_time"], change.fields["end_time"]) == (started, now)
    assert change.fields["remote.x"] == 1
    assert change.fields["error"] is None
    assert (decided.new_jobs, decided.halts, decided.extra_parents) == ((), (), ())


def test_new_jobs_know_the_names_of_their_flows(
    make_record: MakeRecord, make_job: MakeJob, now: datetime
) -> None:
    record = make_record(
        "a", JobState.DOWNLOADED, job={"hosts": ["outer", "unnamed", "flow"]}, host_names=("elastic", "")
    )
    new = make_job("b") | {"hosts": ["new", "outer", "unnamed", "flow"]}
    response = JobResponse(addition=(GeneratedJob(new),), flow_names={"new": "strain"})
    decided = decide_completion(record, JobResult(response, None), holder="token", now=now)
    assert decided.new_jobs[0]["host_names"] == ["strain", "elastic", ""]


def test_times_that_the_job_did_not_tell(complete: Callable[..., ChangeSet], now: datetime) -> None:
    (change,) = complete(JobResponse()).changes
    assert (change.fields["start_time"], change.fields["end_time"]) == (None, now)
    assert "stored_data" not in change.fields


def test_a_function_that_raised_fails_the_job_and_nothing_else(complete: Callable[..., ChangeSet]) -> None:
    decided = complete(None, error="Traceback …")
    (change,) = decided.changes
    assert change.to is JobState.FAILED
    assert change.fields["error"] == "Traceback …"
    assert change.fields["remote.x"] == 1
    assert decided == ChangeSet("flow", (change,))


def test_replacements_start_after_the_parents_of_the_replaced_job(
    complete: Callable[..., ChangeSet], make_job: MakeJob, downloaded: JobRecord
) -> None:
    decided = complete(
        JobResponse(replace=(GeneratedJob(make_job("x")), GeneratedJob(make_job("a", index=2), ("x",))))
    )
    inner, replacement = decided.new_jobs
    assert inner["parents"] == ["p"]
    assert replacement["parents"] == ["x"]
    assert (replacement["uuid"], replacement["index"]) == ("a", 2)
    assert decided.extra_parents == ()
    for job in decided.new_jobs:
        assert (job["worker"], job["exec_config"], job["resources"], job["priority"]) == (
            "w",
            "conf",
            {"nodes": 2},
            3,
        )
        assert job["generated_by"] == downloaded.db_id
        assert job["state"] == "WAITING"


def test_children_wait_for_the_leaves_of_a_detour_and_not_for_an_addition(
    complete: Callable[..., ChangeSet], make_job: MakeJob
) -> None:
    decided = complete(
        JobResponse(
            addition=(GeneratedJob(make_job("n")),),
            detour=(
                GeneratedJob(make_job("d1")),
                GeneratedJob(make_job("d2"), ("d1",)),
                GeneratedJob(make_job("d3"), ("d1",)),
            ),
        )
    )
    assert decided.extra_parents == (ExtraParents("a", ("d2", "d3")),)
    assert {job["uuid"]: job["parents"] for job in decided.new_jobs} == {
        "n": ["a"], "d1": ["a"], "d2": ["d1"], "d3": ["d1"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "flags, scope",
    [
        ({"stop_children": True}, HaltScope.DESCENDANTS),
        ({"stop_jobflow": True}, HaltScope.FLOW),
        ({"stop_children": True, "stop_jobflow": True}, HaltScope.FLOW),
    ],
)
def test_a_wish_to_stop_holds_for_the_new_jobs_too(
    complete: Callable[..., ChangeSet], make_job: MakeJob, flags: dict[str, Any], scope: HaltScope
) -> None:
    decided = complete(JobResponse(addition=(GeneratedJob(make_job("n")),), **flags))
    assert decided.halts == (Halt(scope, "a"),)
    assert [job["state"] for job in decided.new_jobs] == ["STOPPED"]
    assert decided.changes[0].to is JobState.COMPLETED
