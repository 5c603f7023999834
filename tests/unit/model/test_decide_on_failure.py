from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from jobflow_remote import errors
from jobflow_remote.errors import Failure, HostUnreachableError, JobKilledError, SchedulerError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.decide.failure import decide_failure, failure_of
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.retry import RetryPolicy
from jobflow_remote.model.states import JobState

MakeRecord = Callable[..., JobRecord]
POLICY = RetryPolicy(max_attempts=3, delays_seconds=(30, 300))


def test_classes_of_errors() -> None:
    assert failure_of(HostUnreachableError("x")) is Failure.WEATHER
    assert failure_of(SchedulerError("x")) is Failure.STEP
    assert failure_of(JobKilledError("x")) is Failure.PERMANENT
    assert failure_of(KeyError("x")) is Failure.STEP


def test_every_error_of_ours_has_a_class_and_an_exit_code() -> None:
    found = [
        e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.JobflowRemoteError)
    ]
    assert len(found) > 10
    for error in found:
        assert isinstance(error.failure, Failure)
        assert error.exit_code > 0


@pytest.mark.parametrize("before, seconds", [(0, 30), (1, 300), (2, 300)])
def test_a_failed_step_is_tried_again_after_a_pause(
    make_record: MakeRecord, now: datetime, before: int, seconds: int
) -> None:
    record = make_record(state=JobState.UPLOADED, remote={"step_attempts": before})
    (change,) = decide_failure(
        record, SchedulerError("no"), message="no\nbecause  \n", policy=POLICY, holder="t", now=now
    ).changes
    assert change.to is None
    assert change.event == "attempt_failed"
    assert change.fields["remote.step_attempts"] == before + 1
    assert change.fields["remote.retry_time_limit"] == now + timedelta(seconds=seconds)
    assert change.fields["remote.error"] == "no\nbecause  \n"
    assert "previous_state" not in change.fields
    assert change.why == "because"
    assert (change.expect, change.holder, change.attempt) == (frozenset({JobState.UPLOADED}), "t", "t1")


@pytest.mark.parametrize("state", sorted(lifecycle.ACTIVE))
@pytest.mark.parametrize("error, before", [(SchedulerError("no"), 3), (JobKilledError("killed"), 0)])
def test_then_or_when_it_cannot_help_the_runner_gives_up_and_remembers(
    make_record: MakeRecord, now: datetime, state: JobState, error: Exception, before: int
) -> None:
    record = make_record(state=state, remote={"step_attempts": before})
    (change,) = decide_failure(
        record, error, message="", policy=POLICY, holder="t", now=now, extra={"remote.queue_err": "oom"}
    ).changes
    assert change.to is JobState.REMOTE_ERROR
    assert lifecycle.allows(change.event, state, change.to)
    assert change.fields["previous_state"] == state.value
    assert change.fields["remote.retry_time_limit"] is None
    assert change.fields["remote.queue_err"] == "oom"
    assert change.why is None


def test_the_last_delay_is_repeated_and_none_means_at_once(now: datetime) -> None:
    assert POLICY.next_try(3, now) == now + timedelta(seconds=300)
    assert POLICY.next_try(4, now) is None
    assert RetryPolicy(max_attempts=1, delays_seconds=()).next_try(1, now) == now
    assert RetryPolicy(max_attempts=0).next_try(1, now) is None
    assert RetryPolicy() == RetryPolicy(3, (30.0, 300.0, 1200.0))
