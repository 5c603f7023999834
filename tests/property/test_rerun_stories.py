"""Stories that random histories meet too rarely: reruns of what was replaced, detoured or let go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.decide.completion import JobResponse, JobResult, decide_completion
from jobflow_remote.model.decide.hold import decide_play, decide_stop
from jobflow_remote.model.decide.rerun import decide_rerun
from jobflow_remote.model.decide.submission import GeneratedJob, RunProperties, decide_submission
from jobflow_remote.model.records import Document, JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase

NOW = datetime(2026, 1, 1)


def job(name: str, parents: Sequence[str] = (), *, index: int = 1, tolerant: bool = False) -> GeneratedJob:
    config = {"on_missing_references": "none" if tolerant else "error"}
    document: Document = {"uuid": uuid(name), "index": index, "name": name, "hosts": ["f"], "config": config}
    return GeneratedJob(document, tuple(uuid(parent) for parent in parents))


def uuid(name: str) -> str:
    return f"{name.encode().hex():0>8}-0000"


class Story:
    """A queue database and a runner that does as it is told."""

    def __init__(self, path: Path) -> None:
        self.queue = SQLiteQueueDatabase(path, clock=lambda: NOW)
        self.token = self.queue.open_session({}, lease_seconds=60).token

    def submit(self, *jobs: GeneratedJob) -> None:
        defaults = RunProperties("w")
        self.queue.insert_flow(
            decide_submission(jobs, flow_uuid="f", flow_name="f", defaults=defaults, now=NOW, who="ada")
        )

    def record(self, name: str, index: int | None = None) -> JobRecord:
        document = self.queue.get_job(uuid(name), index)
        assert document is not None
        return JobRecord.from_document(document)

    def records(self) -> list[JobRecord]:
        return [JobRecord.from_document(document) for document in self.queue.find_jobs({})]

    def apply(self, change_set: ChangeSet) -> None:
        (result,) = self.queue.apply([change_set])
        assert result.applied, result.refusal
        assert self.queue.check_integrity() == []

    def run(self, name: str, response: JobResponse | None = None) -> None:
        """Everything that is READY is claimed; this job runs to its end."""
        self.queue.claim(self.token, worker="w", limit=100)
        record = self.record(name)
        assert record.state is JobState.CHECKED_OUT
        change = JobChange(
            record.uuid, record.index, frozenset({record.state}), JobState.DOWNLOADED, holder=self.token
        )
        self.apply(ChangeSet("f", (change,)))
        result = JobResult(response or JobResponse(), None)
        self.apply(decide_completion(self.record(name), result, holder=self.token, now=NOW))

    def rerun(self, name: str) -> None:
        self.apply(decide_rerun(self.record(name), self.records(), who="ada", force=True))

    def states(self) -> dict[tuple[str, int], str]:
        return {(r.name, r.index): r.state.value for r in self.records() if not r.superseded}

    def flow_state(self) -> str:
        flow = self.queue.get_flow("f")
        assert flow is not None
        return str(flow["state"])


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    told = Story(tmp_path / "queue.sqlite")
    yield told
    told.queue.close()


def test_a_job_that_replaced_itself_may_do_so_again(story: Story) -> None:
    story.submit(job("a"), job("b", "a"), job("c", "b"))
    story.run("a")
    story.run("b", JobResponse(replace=(job("b", index=2),)))
    story.run("b")
    story.run("c")
    assert story.flow_state() == "COMPLETED"
    first = story.record("b", 2).db_id

    story.rerun("a")
    assert story.states() == {("a", 1): "READY", ("b", 1): "WAITING", ("c", 1): "WAITING"}
    assert story.flow_state() == "READY"
    assert story.record("b").index == 1
    assert story.record("b", 2).superseded

    story.run("a")
    story.run("b", JobResponse(replace=(job("b", index=2),)))
    assert story.record("b").index == 2
    assert story.record("b", 2).db_id != first
    assert story.record("c").state is JobState.WAITING
    story.run("b")
    story.run("c")
    assert story.flow_state() == "COMPLETED"
    assert len(story.records()) == 4


def test_a_detour_is_taken_anew(story: Story) -> None:
    story.submit(job("a"), job("b", "a"))
    story.run("a", JobResponse(detour=(job("d"), job("e", "d"))))
    assert story.record("b").parents == (uuid("a"), uuid("e"))
    story.run("d")

    story.rerun("a")
    assert story.record("d").superseded
    assert story.record("e").state is JobState.USER_STOPPED
    assert story.record("b").parents == (uuid("a"),)
    story.run("a", JobResponse(detour=(job("x"),)))
    assert story.record("b").parents == (uuid("a"), uuid("x"))
    assert story.record("b").state is JobState.WAITING
    story.run("x")
    story.run("b")
    assert story.flow_state() == "COMPLETED"


def test_a_superseded_job_in_the_hands_of_the_runner_is_taken_from_it(story: Story) -> None:
    story.submit(job("a"), job("b", "a"))
    story.run("a", JobResponse(addition=(job("n"),)))
    story.queue.claim(story.token, worker="w", limit=100)
    assert story.record("n").claim == story.token
    story.rerun("a")
    found = story.record("n")
    assert (found.state, found.claim, found.superseded) == (JobState.USER_STOPPED, None, True)
    assert story.queue.due(story.token, states=lifecycle.ACTIVE, worker="w", limit=10) == []
    story.run("a")
    story.run("b")
    assert story.flow_state() == "COMPLETED"


def test_a_job_let_go_without_an_output_waits_when_the_output_may_come_after_all(story: Story) -> None:
    story.submit(job("a"), job("b", "a", tolerant=True), job("c", "a"))
    story.apply(decide_stop(story.record("a"), who="ada"))
    assert story.record("b").state is JobState.READY
    assert story.record("c").state is JobState.WAITING
    children = [story.record("b"), story.record("c")]
    story.apply(decide_play(story.record("a"), who="ada", children=children))
    assert story.states() == {("a", 1): "READY", ("b", 1): "WAITING", ("c", 1): "WAITING"}


def test_the_step_in_hand_loses_against_a_person(story: Story) -> None:
    story.submit(job("a"))
    (taken,) = story.queue.claim(story.token, worker="w", limit=1)
    story.apply(decide_stop(story.record("a"), who="ada"))
    change = JobChange(
        taken.uuid, 1, frozenset({taken.state}), JobState.UPLOADED, holder=story.token, attempt=taken.attempt
    )
    (result,) = story.queue.apply([ChangeSet("f", (change,))])
    assert not result.applied
    assert "USER_STOPPED" in (result.refusal or "")
    story.rerun("a")
    (again,) = story.queue.claim(story.token, worker="w", limit=1)
    assert again.attempt != taken.attempt
    (result,) = story.queue.apply([ChangeSet("f", (change,))])
    assert not result.applied
    assert "another attempt" in (result.refusal or "")
