from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from jobflow_remote.model import clock
from jobflow_remote.model.records import (
    JobRecord,
    RunnerSession,
    history_entry,
    new_flow_document,
    new_job_document,
    remote_defaults,
    reset_fields,
    tolerates_missing,
)
from jobflow_remote.model.states import JobState

MakeJob = Callable[..., dict[str, Any]]


def test_a_new_job_has_every_field_and_its_first_line_of_history(make_job: MakeJob, now: datetime) -> None:
    document = new_job_document(
        make_job("u", index=2),
        flow_uuid="f",
        worker="w",
        parents=["p", "q", "p"],
        now=now,
        who="ada",
        priority=4,
    )
    assert document["uuid"] == "u"
    assert document["index"] == 2
    assert document["parents"] == ["p", "q"]
    assert document["state"] == "WAITING"
    assert document["remote"] == remote_defaults()
    assert document["created_on"] == document["updated_on"] == now
    assert document["history"] == [{"state": "WAITING", "when": now, "event": "submit_flow", "who": "ada"}]
    record = JobRecord.from_document({**document, "db_id": "7", "db_number": 7})
    assert record.key == ("u", 2)
    assert record.parents == ("p", "q")
    assert (record.name, record.worker, record.priority, record.flow_uuid) == ("add", "w", 4, "f")
    assert record.state is JobState.WAITING
    assert (record.process_id, record.step_attempts, record.previous_state) == (None, 0, None)
    assert record.generated_by is None
    assert not record.superseded


def test_a_job_that_is_born_stopped_says_so(make_job: MakeJob, now: datetime) -> None:
    document = new_job_document(
        make_job(), flow_uuid="f", worker="w", parents=(), now=now, who="job 3", state=JobState.STOPPED
    )
    assert document["state"] == "STOPPED"
    assert document["history"][0]["event"] == "halt"


def test_a_document_of_1_0_1_can_be_read(now: datetime) -> None:
    old = {
        "job": {"name": "add", "hosts": ["inner", "outer"]},
        "uuid": "u", "index": 1, "db_id": "5", "worker": "w", "state": "RUN_FINISHED",
        "previous_state": "RUN_FINISHED", "remote": {"process_id": "42", "step_attempts": 2},
        "parents": None, "created_on": now, "updated_on": now,
    }  # fmt: skip
    record = JobRecord.from_document(old)
    assert record.state is JobState.TERMINATED
    assert record.previous_state is JobState.TERMINATED
    assert record.flow_uuid == "outer"
    assert record.db_number == 0
    assert record.process_id == "42"
    assert record.step_attempts == 2
    assert record.remote["prerun_cleanup"] is False
    assert record.history == ()
    bare = {key: value for key, value in old.items() if key not in ("job", "remote", "previous_state")}
    assert JobRecord.from_document(bare).flow_uuid == ""
    assert JobRecord.from_document({**bare, "remote": {"step_attempts": None}}).step_attempts == 0


def test_what_is_reset_exists_and_what_tells_of_the_last_attempt_is_kept(
    make_job: MakeJob, now: datetime
) -> None:
    document = new_job_document(make_job(), flow_uuid="f", worker="w", parents=(), now=now, who="x")
    for path, value in reset_fields().items():
        outer, _, inner = path.partition(".")
        assert (document[outer][inner] if inner else document[outer]) == value
    assert not {"remote.process_id", "run_dir", "history", "attempt"} & set(reset_fields())


@pytest.mark.parametrize(
    "value, expected",
    [
        (None, False), ("error", False), ("ERROR", False), ("none", True), ("pass", True), ("NONE", True),
        ({"@class": "OnMissing", "value": "none"}, True), ({"@class": "OnMissing", "value": "error"}, False),
    ],
)  # fmt: skip
def test_jobs_that_tolerate_a_missing_reference(make_job: MakeJob, value: Any, expected: bool) -> None:
    assert tolerates_missing(make_job(on_missing_references=value)) is expected


def test_a_job_without_configuration_does_not_tolerate() -> None:
    assert not tolerates_missing({})
    assert not tolerates_missing({"config": None})


def test_history_entries_leave_out_an_empty_reason(now: datetime) -> None:
    assert "why" not in history_entry(JobState.READY, now, event="e", who="w")
    assert history_entry(JobState.READY, now, event="e", who="w", why="so")["why"] == "so"


def test_a_new_flow(now: datetime) -> None:
    flow = new_flow_document(uuid="f", name="n", now=now)
    assert (flow["state"], flow["metadata"], flow["jobstore"]) == ("READY", {}, None)
    assert new_flow_document(uuid="f", name="n", now=now, metadata={"a": 1}, jobstore="s")["jobstore"] == "s"


def test_a_session_lives_until_its_lease_ends(now: datetime) -> None:
    session = RunnerSession("t", {}, now, now, now + timedelta(seconds=60))
    assert session.is_live(now + timedelta(seconds=59))
    assert not session.is_live(now + timedelta(seconds=60))


@pytest.fixture
def five_hours_west(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XYZ+5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_stored_moments_are_naive_utc_in_milliseconds() -> None:
    east = timezone(timedelta(hours=2))
    assert clock.to_stored(datetime(2026, 1, 1, 12, 0, 0, 1999, tzinfo=east)) == datetime(
        2026, 1, 1, 10, 0, 0, 1000
    )
    assert clock.to_stored(datetime(2026, 1, 1, 12)) == datetime(2026, 1, 1, 12)
    now = clock.utcnow()
    assert now.tzinfo is None
    assert now.microsecond % 1000 == 0


@pytest.mark.usefixtures("five_hours_west")
def test_what_people_type_and_read_is_local_time() -> None:
    stored = clock.local_to_stored(datetime(2026, 1, 1, 12))
    assert stored == datetime(2026, 1, 1, 17)
    assert clock.local_to_stored(datetime(2026, 1, 1, 12, tzinfo=UTC)) == datetime(2026, 1, 1, 12)
    shown = clock.to_local(stored)
    assert (shown.hour, shown.utcoffset()) == (12, timedelta(hours=-5))
