"""Why a job is where it is: every state, and everything that can be in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from jobflow_remote.model import lifecycle
from jobflow_remote.model.decide.explain import (
    Finding,
    FlowFacts,
    JobFacts,
    Relative,
    Trouble,
    Weight,
    WorkerFacts,
    explain_flow,
    explain_job,
)
from jobflow_remote.model.records import RunnerSession
from jobflow_remote.model.states import FlowState, JobState

S = JobState
SOON = timedelta(minutes=5)


@pytest.fixture
def session(now: datetime) -> RunnerSession:
    return RunnerSession(
        token="s",
        owner={"user": "guido", "hostname": "here"},
        started_on=now,
        renewed_on=now,
        expires_on=now + SOON,
    )


@pytest.fixture
def facts(make_record: Callable[..., Any], now: datetime, session: RunnerSession) -> Callable[..., JobFacts]:
    """Facts of a job (DB id x1) for which all is well."""

    def make(state: JobState, *, record: dict[str, Any] | None = None, **more: Any) -> JobFacts:
        worker = more.pop("worker", WorkerFacts("w", known=("w",), limit=4))
        more.setdefault("session", session)
        return JobFacts(record=make_record(state=state, **(record or {})), now=now, worker=worker, **more)

    return make


def texts(found: list[Finding]) -> str:
    return "\n".join(f"{each.weight}: {each.text}" for each in found)


def commands(found: list[Finding]) -> list[str]:
    return [command for each in found for command in each.commands]


@pytest.mark.parametrize("state", S)
def test_every_state_is_explained(facts: Any, state: JobState) -> None:
    found = explain_job(facts(state))
    assert found
    assert all(each.text and each.about for each in found)
    runner = [each for each in found if each.about == "runner"]
    assert bool(runner) == (state in lifecycle.UNFINISHED)
    if state in lifecycle.FINAL - {S.COMPLETED}:
        assert found[0].weight is Weight.PROBLEM
        assert commands(found)


@pytest.mark.parametrize(
    ("state", "command"),
    [
        (S.FAILED, "rerun"),
        (S.REMOTE_ERROR, "retry"),
        (S.PAUSED, "play"),
        (S.STOPPED, "play"),
        (S.USER_STOPPED, "play"),
    ],
)
def test_a_job_waits_for_one_that_waits_for_a_person(facts: Any, state: JobState, command: str) -> None:
    parents = (Relative("7", "relax", state), Relative("8", "other", S.COMPLETED))
    found = explain_job(facts(S.WAITING, parents=parents, blockers=parents[:1]))
    assert found[0].text == f"it waits for 1 of 2 jobs: 7 (relax) {state.value}"
    assert found[1].weight is Weight.PROBLEM
    assert commands(found) == [f"jf job {command} 7"]
    assert "runner" not in [each.about for each in found]


def test_what_is_at_the_bottom_is_named(facts: Any) -> None:
    parents = (Relative("7", "b", S.WAITING),)
    below = (Relative("1", "a", S.RUNNING), *(Relative(str(n), "f", S.FAILED) for n in range(10, 17)))
    found = explain_job(facts(S.WAITING, parents=parents, blockers=below))
    assert "at the bottom of it: 1 (a) RUNNING" in texts(found)
    assert "14 (f) FAILED and 2 more is run again" in texts(found)
    assert commands(found) == ["jf job rerun -did 10 -did 11 -did 12 -did 13 -did 14"]
    same = explain_job(facts(S.WAITING, parents=below[:1], blockers=below[:1]))
    assert "at the bottom" not in texts(same)
    assert same[-1].about == "runner"


def test_tolerated_parents_are_not_waited_for(facts: Any) -> None:
    parents = (Relative("7", "b", S.FAILED),)
    tolerant = facts(S.WAITING, parents=parents, record={"config": {"on_missing_references": "none"}})
    assert "all jobs that it needs are done" in texts(explain_job(tolerant))


def test_a_ready_job(facts: Any) -> None:
    assert "takes it next" in texts(explain_job(facts(S.READY)))
    worker = WorkerFacts("w", limit=4, in_hand=1, ahead=3)
    assert "3 jobs of worker w come before it" in texts(explain_job(facts(S.READY, worker=worker)))
    assert "1 job of worker w comes before it" in texts(
        explain_job(facts(S.READY, worker=replace(worker, ahead=1)))
    )
    found = explain_job(facts(S.READY, worker=replace(worker, in_hand=4)))
    assert "runs 4 jobs at a time, and has 4 in hand" in found[0].text
    assert found[0].weight is Weight.WAIT


def test_a_worker_that_is_down(facts: Any, now: datetime) -> None:
    trouble = Trouble("upload", now, "host unreachable\ntry later", now + SOON)
    worker = WorkerFacts("w", known=("w",), troubles=(trouble,))
    moments = {"since upload": "10:00", "next_try upload": "10:05"}
    for state in (S.READY, S.CHECKED_OUT):
        found = explain_job(facts(state, worker=worker, moments=moments))
        assert found[0].text == "worker w is down since 10:00 (upload): host unreachable; next try 10:05"
        assert commands(found)[:2] == ["jf worker list -v", "jf project check -w w"]
    assert "down" not in texts(explain_job(facts(S.RUNNING, worker=worker)))
    silent = replace(worker, troubles=(Trouble("poll", now, " ", None),))
    assert "worker w is down (poll): the runner does not say why" in texts(
        explain_job(facts(S.RUNNING, worker=silent))
    )


def test_a_worker_that_the_project_does_not_have(facts: Any) -> None:
    found = explain_job(facts(S.READY, worker=WorkerFacts("w", exists=False, known=("a", "b"))))
    assert "no worker w; it has a, b" in found[0].text
    assert commands(found)[0] == "jf job set worker a -did x1"
    none = explain_job(facts(S.UPLOADED, worker=WorkerFacts("w", exists=False)))
    assert commands(none)[0] == "jf job set worker NAME -did x2"


def test_failed_attempts(facts: Any, now: datetime) -> None:
    remote = {"step_attempts": 2, "error": "quota exceeded\nmore", "retry_time_limit": now + SOON}
    found = explain_job(facts(S.UPLOADED, record={"remote": remote}, moments={"next_try": "10:05"}))
    assert found[0].text == "submit failed 2 times: quota exceeded; next try 10:05"
    assert commands(found) == ["jf job info x1", "jf job retry x1"]
    now_again = {**remote, "step_attempts": 1, "retry_time_limit": now}
    assert "failed 1 time: quota exceeded; it is tried again now" in texts(
        explain_job(facts(S.UPLOADED, record={"remote": now_again}))
    )
    waits = {"retry_time_limit": now + SOON}
    assert "goes on at 10:05" in texts(
        explain_job(facts(S.TERMINATED, record={"remote": waits}, moments={"next_try": "10:05"}))
    )


def test_what_the_scheduler_says(facts: Any) -> None:
    remote = {"process_id": "17", "queue_state": "PENDING", "reason": "Resources"}
    worker = WorkerFacts("w", limit=2, in_scheduler=5)
    found = explain_job(facts(S.SUBMITTED, record={"remote": remote}, worker=worker))
    assert (
        found[0].text
        == "the scheduler has it (queue id 17) and has not started it; it says PENDING: Resources"
    )
    assert "runs 2 jobs at a time, and has 5" in texts(found)
    running = explain_job(facts(S.RUNNING, record={"remote": remote}, moments={"start_time": "10:00"}))
    assert running[0].text == "it runs on w since 10:00 (PENDING: Resources)"


def test_errors(facts: Any) -> None:
    failed = explain_job(facts(S.FAILED, record={"error": "Traceback\nValueError: no\n"}, children=2))
    assert failed[0].text == "its function raised: ValueError: no"
    assert "2 jobs wait for it" in texts(failed)
    assert "1 job waits for it" in texts(explain_job(facts(S.FAILED, children=1)))
    assert "no error is on record" in texts(explain_job(facts(S.FAILED)))
    assert "wait for it" not in texts(explain_job(facts(S.COMPLETED, children=2)))
    remote = {"error": "killed\nqueue.err: …", "queue_state": "TIMEOUT"}
    lost = explain_job(facts(S.REMOTE_ERROR, record={"remote": remote, "previous_state": "RUNNING"}))
    assert lost[0].text == "the runner gave up on it when it was RUNNING: killed"
    assert "the scheduler said TIMEOUT" in texts(lost)


def test_held_jobs(facts: Any, now: datetime) -> None:
    entry = {"state": "PAUSED", "when": now, "event": "pause", "who": "anna@here", "why": "check first"}
    found = explain_job(facts(S.PAUSED, record={"history": [entry]}, moments={"since": "10:00"}))
    assert found[0].text == "it was paused by anna@here at 10:00: check first"
    stopped = explain_job(facts(S.STOPPED, record={"history": [{**entry, "state": "STOPPED"}]}))
    assert stopped[0].text == "it was stopped by another job: check first"


def test_superseded_jobs_count_for_nothing(facts: Any) -> None:
    (found,) = explain_job(facts(S.RUNNING, record={"superseded": True}))
    assert "was replaced" in found.text


def test_the_runner(facts: Any, session: RunnerSession, now: datetime) -> None:
    def about(session: RunnerSession | None, **record: Any) -> list[Finding]:
        found = explain_job(facts(S.UPLOADED, session=session, record=record, moments={"lease": "09:59"}))
        return [each for each in found if each.about in ("runner", "claim")]

    assert texts(about(session, claim="s")) == "fine: the runner of guido@here is active"
    (none,) = about(None)
    assert (none.weight, none.commands) == (Weight.PROBLEM, ("jf runner start",))
    (gone,) = about(replace(session, expires_on=now - SOON))
    assert gone.text == "the runner of guido@here has not been heard of since its lease ended at 09:59"
    (stopping,) = about(replace(session, stop_requested="stop"))
    assert "told to stop" in stopping.text
    assert "still belongs to a runner that has gone" in texts(about(session, claim="former"))
    assert explain_job(facts(S.READY, session=None))[0].text == "no runner works on this queue"


def test_flows(facts: Any, session: RunnerSession, now: datetime) -> None:
    def explain(state: FlowState, counts: dict[str, int], **more: Any) -> list[Finding]:
        return explain_flow(FlowFacts("u", state, counts=counts, now=now, session=session, **more))

    assert texts(explain(FlowState.COMPLETED, {"COMPLETED": 2, "FAILED": 0})) == "fine: 2 jobs: 2 COMPLETED"
    held = (Relative("3", "a", S.FAILED), Relative("4", "b", S.PAUSED), Relative("5", "c", S.PAUSED))
    found = explain(FlowState.FAILED, {"FAILED": 1, "PAUSED": 2, "WAITING": 1}, held=held)
    assert found[0].text == "4 jobs: 1 WAITING, 1 FAILED, 2 PAUSED"
    assert "3 (a) FAILED: it waits until it is run again" in texts(found)
    assert commands(found) == ["jf job rerun 3", "jf job play -did 4 -did 5"]
    assert found[-1].text == "nothing of it can go on by itself"
    done = explain(FlowState.COMPLETED, {"COMPLETED": 1, "FAILED": 1}, held=held[:1])
    assert commands(done) == []
    moving = (facts(S.READY), facts(S.READY), facts(S.UPLOADED, children=2))
    found = explain(FlowState.RUNNING, {"READY": 2, "UPLOADED": 1}, moving=moving)
    assert "job x3 (add) is UPLOADED: the runner hands it to the scheduler" in texts(found)
    assert "wait for it" not in texts(found)
    assert [each.about for each in found].count("runner") == 1
    assert texts(explain(FlowState.READY, {})) == "note: 0 jobs: none"
    twice = explain(FlowState.RUNNING, {"READY": 2}, moving=moving[:1] * 2)
    assert len([each for each in twice if each.about == "state"]) == 1
