from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from jobflow_remote.model.decide.submission import (
    GeneratedJob,
    RunProperties,
    decide_submission,
    job_documents,
    run_properties,
)
from jobflow_remote.model.states import JobState

MakeJob = Callable[..., dict[str, Any]]
DEFAULTS = RunProperties("default", "conf", {"nodes": 1}, 5)


@pytest.mark.parametrize(
    "own, expected",
    [
        (None, DEFAULTS),
        ({}, DEFAULTS),
        ({"worker": "other"}, RunProperties("other", "conf", {"nodes": 1}, 5)),
        ({"worker": None, "exec_config": None, "resources": None, "priority": None}, DEFAULTS),
        ({"resources": {}}, RunProperties("default", "conf", {}, 5)),
        ({"resources": {"nodes": 2}}, RunProperties("default", "conf", {"nodes": 2}, 5)),
        ({"priority": 0}, RunProperties("default", "conf", {"nodes": 1}, 0)),
        ({"exec_config": {"modules": ["x"]}}, RunProperties("default", {"modules": ["x"]}, {"nodes": 1}, 5)),
    ],
)
def test_the_jobs_own_configuration_wins_key_by_key(
    make_job: MakeJob, own: dict[str, Any] | None, expected: RunProperties
) -> None:
    assert run_properties(make_job(manager_config=own), DEFAULTS) == expected


def test_a_job_without_configuration_runs_as_submitted() -> None:
    assert run_properties({}, DEFAULTS) == DEFAULTS


def test_only_roots_get_the_parents_of_the_whole(make_job: MakeJob, now: datetime) -> None:
    jobs = [GeneratedJob(make_job("a")), GeneratedJob(make_job("b"), ("a",))]
    root, child = job_documents(
        jobs, flow_uuid="f", defaults=DEFAULTS, root_parents=("p",), now=now, who="x",
        state=JobState.STOPPED, generated_by="12",
    )  # fmt: skip
    assert root["parents"] == ["p"]
    assert child["parents"] == ["a"]
    assert root["state"] == child["state"] == "STOPPED"
    assert root["generated_by"] == child["generated_by"] == "12"
    assert (root["worker"], root["exec_config"], root["resources"], root["priority"]) == (
        "default", "conf", {"nodes": 1}, 5,
    )  # fmt: skip


def test_a_submission_is_the_flow_and_its_jobs_in_their_order(make_job: MakeJob, now: datetime) -> None:
    new = decide_submission(
        iter([GeneratedJob(make_job("a")), GeneratedJob(make_job("b"), ("a",))]),
        flow_uuid="f", flow_name="name", defaults=DEFAULTS, now=now, who="ada",
        flow_metadata={"k": 1}, jobstore="s",
    )  # fmt: skip
    assert new.flow["uuid"] == "f"
    assert (new.flow["name"], new.flow["metadata"], new.flow["jobstore"]) == ("name", {"k": 1}, "s")
    assert [job["uuid"] for job in new.jobs] == ["a", "b"]
    assert {job["flow_uuid"] for job in new.jobs} == {"f"}
    assert new.jobs[0]["parents"] == []
    assert new.jobs[0]["history"][0]["who"] == "ada"
