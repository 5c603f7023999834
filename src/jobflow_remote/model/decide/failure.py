"""What happens to a job when a step of the runner fails."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jobflow_remote.errors import Failure, JobflowRemoteError
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.retry import RetryPolicy
from jobflow_remote.model.states import JobState


def failure_of(error: BaseException) -> Failure:
    """Class of an error raised by a step; one that is not ours is a failed step."""
    return error.failure if isinstance(error, JobflowRemoteError) else Failure.STEP


def decide_failure(
    record: JobRecord,
    error: BaseException,
    *,
    message: str,
    policy: RetryPolicy,
    holder: str,
    now: datetime,
    extra: dict[str, Any] | None = None,
) -> ChangeSet:
    """Try again later, or give up: REMOTE_ERROR with the cause, remembering the state for ``retry``.

    ``message`` is what people will read in ``remote.error``. Weather never comes here: it counts no attempt.
    """
    failures = record.step_attempts + 1
    next_try = policy.next_try(failures, now) if failure_of(error) is Failure.STEP else None
    fields: dict[str, Any] = {"remote.error": message, "remote.retry_time_limit": next_try, **(extra or {})}
    if next_try is None:
        fields["previous_state"] = record.state.value
    else:
        fields["remote.step_attempts"] = failures
    return ChangeSet(
        record.flow_uuid,
        (
            JobChange(
                uuid=record.uuid,
                index=record.index,
                expect=frozenset({record.state}),
                to=JobState.REMOTE_ERROR if next_try is None else None,
                fields=fields,
                holder=holder,
                attempt=record.attempt,
                event="give_up" if next_try is None else "attempt_failed",
                why=message.strip().splitlines()[-1][:300] if message.strip() else None,
            ),
        ),
    )
