"""What people do to hold jobs back and to let them go on: pause, play, stop, set a state.

Each decision holds for the state and the attempt of the record that it was made from. When the job has moved
meanwhile the queue database refuses it, and whoever asked reads again and decides again. Otherwise the person wins
over the runner: no claim is asked for, and the step that the runner has in hand is refused when it wants to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.graph import Settlement, edge_is_settled, settlement
from jobflow_remote.model.records import JobRecord, reset_fields, tolerates_missing
from jobflow_remote.model.states import JobState

_NOT_BEGUN = frozenset({JobState.WAITING, JobState.READY})


def named(record: JobRecord) -> str:
    """How messages call a job."""
    return f"job {record.db_id}"


def has_process(record: JobRecord) -> bool:
    """Whether there may be a process to cancel once the job has been taken from the runner."""
    if record.state in lifecycle.IN_PILOT:  # whichever has it
        return True
    return record.state in lifecycle.IN_SCHEDULER and (record.process_id is not None or record.is_forked)


def change_by_person(
    record: JobRecord,
    event: str,
    to: JobState | None,
    *,
    who: str,
    why: str | None = None,
    fields: Mapping[str, Any] | None = None,
) -> JobChange:
    """A person's change to the record as it was read."""
    return JobChange(
        uuid=record.uuid,
        index=record.index,
        expect=frozenset({record.state}),
        to=to,
        fields=dict(fields or {}),
        attempt=record.attempt,
        event=event,
        who=who,
        why=why,
    )


def wait_again(
    record: JobRecord, *, who: str, why: str, fields: Mapping[str, Any] | None = None
) -> JobChange:
    """The job waits for its parents once more; the queue database says when they are done.

    Between WAITING and READY it may change meanwhile: that is the runner's bookkeeping, not progress.
    """
    expect = _NOT_BEGUN if record.state in _NOT_BEGUN else frozenset({record.state})
    return JobChange(
        uuid=record.uuid,
        index=record.index,
        expect=expect,
        to=JobState.WAITING,
        fields=dict(fields or {}),
        attempt=record.attempt,
        event="wait_again",
        who=who,
        why=why,
    )


def decide_pause(record: JobRecord, *, who: str, why: str | None = None) -> ChangeSet:
    """Hold the job back until somebody plays it.

    A BATCH_SUBMITTED job must have been withdrawn from the pilots before this is applied.
    """
    lifecycle.check_allowed("pause", record.state, what=named(record))
    return ChangeSet(
        record.flow_uuid, (change_by_person(record, "pause", JobState.PAUSED, who=who, why=why),)
    )


def decide_play(
    record: JobRecord, *, who: str, children: Iterable[JobRecord] = (), why: str | None = None
) -> ChangeSet:
    """Let a paused or stopped job go on: WAITING, from where the queue database makes it READY when it may start.

    Parameters
    ----------
    children
        Jobs that have it among their parents. Those that were let go without its output, and have not begun, wait
        for it again.
    """
    lifecycle.check_allowed("play", record.state, what=named(record))
    change = change_by_person(record, "play", JobState.WAITING, who=who, why=why, fields=reset_fields())
    let_go = []
    if settlement(record.state) is Settlement.MISSING:
        let_go = [
            wait_again(child, who=who, why=f"{named(record)} goes on")
            for child in children
            if child.state in _NOT_BEGUN
            and child.flow_uuid == record.flow_uuid
            and edge_is_settled(Settlement.MISSING, tolerant=tolerates_missing(child.job))
        ]
    return ChangeSet(record.flow_uuid, (change, *let_go))


def decide_stop(record: JobRecord, *, who: str, why: str | None = None) -> ChangeSet:
    """Stop the job, also where it runs: once this is applied, cancel its process (:func:`has_process`)."""
    lifecycle.check_allowed("stop", record.state, what=named(record))
    return ChangeSet(
        record.flow_uuid, (change_by_person(record, "stop", JobState.USER_STOPPED, who=who, why=why),)
    )


_KEPT = frozenset(
    {
        "uuid", "index", "db_id", "db_number", "flow_uuid", "state", "parents", "superseded", "generated_by", "attempt",
        "history", "created_on", "updated_on", "claim", "lock_id", "lock_time", "job.uuid", "job.index", "job.hosts",
    }
)  # fmt: skip
"""Fields that something else follows from, or that say what the job is."""


def decide_set_fields(
    record: JobRecord,
    fields: Mapping[str, Any],
    *,
    who: str,
    states: Iterable[JobState] | None = None,
    event: str = "set_fields",
) -> ChangeSet:
    """Write fields (dotted paths) that nothing follows from; the state stays.

    ``states``: refused in others.
    """
    kept = sorted(
        path
        for path in fields
        if path in _KEPT or path.split(".")[0] in _KEPT or path.startswith("job.config")
    )
    if kept:
        raise NotAllowedError(
            f"these fields of {named(record)} cannot be written: {', '.join(kept)}",
            hint="`jf job set-state` writes a state; the others follow from what happens to the job",
        )
    allowed = frozenset(JobState) if states is None else frozenset(states)
    if record.state not in allowed:
        raise NotAllowedError(
            f"{named(record)} is {record.state.value}, not {lifecycle.describe(allowed)}",
        )
    change = change_by_person(record, event, None, who=who, why=", ".join(sorted(fields)), fields=fields)
    return ChangeSet(record.flow_uuid, (change,))


def decide_unlock(record: JobRecord, *, who: str, why: str | None = None) -> ChangeSet:
    """Take the job from the session that holds it; it keeps its state, and the live session takes it up again."""
    if record.claim is None:
        raise NotAllowedError(
            f"{named(record)} is not locked: it is {record.state.value}, and no runner has it"
        )
    fields = {"claim": None, "lock_id": None, "lock_time": None}
    change = change_by_person(record, "unlock", None, who=who, why=why, fields=fields)
    return ChangeSet(record.flow_uuid, (change,))


def decide_set_state(record: JobRecord, state: JobState, *, who: str, why: str | None = None) -> ChangeSet:
    """Write a state without any check. What follows from it (children, the flow's state) follows all the same."""
    change = change_by_person(record, "set_state", state, who=who, why=why, fields=reset_fields())
    return ChangeSet(record.flow_uuid, (change,))
