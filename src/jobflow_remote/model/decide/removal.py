"""What people do to forget a job: delete it from its flow, with what follows for those that need its output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, JobRemoval
from jobflow_remote.model.decide.hold import change_by_person, named
from jobflow_remote.model.graph import Settlement, settlement
from jobflow_remote.model.records import JobRecord, tolerates_missing
from jobflow_remote.model.states import JobState

_NOT_BEGUN = frozenset({JobState.WAITING, JobState.READY})


def decide_delete(
    record: JobRecord, jobs: Iterable[JobRecord], *, who: str, keeps_output: bool, why: str | None = None
) -> ChangeSet:
    """Forget the job; jobs that have not begun and can never have its output any more are stopped.

    Once this is applied: cancel its process (:func:`~jobflow_remote.model.decide.hold.has_process`).

    Parameters
    ----------
    jobs
        The jobs of its flow.
    keeps_output
        Whether its output, if there is one, stays in the output store.

    Raises
    ------
    NotAllowedError
        While a pilot has the job; if no other job of the flow would be left.
    """
    try:
        lifecycle.check_allowed("delete", record.state, what=named(record))
    except NotAllowedError as refused:
        raise NotAllowedError(refused.message, hint=f"`jf job stop {record.db_id}` first") from None
    others = [job for job in jobs if not job.superseded and job.key != record.key]
    if not others:
        raise NotAllowedError(
            f"cannot delete {named(record)}: it is the only job of its flow",
            hint=f"delete the flow: `jf flow delete -did {record.db_id}`",
        )
    stopped = [] if _leaves_output(record, others, keeps_output=keeps_output) else _needing(record, others)
    changes = [
        change_by_person(
            job,
            "stop",
            JobState.USER_STOPPED,
            who=who,
            why=f"{named(record)}, whose output it needs, was deleted",
        )
        for job in stopped
    ]
    removal = JobRemoval(record.uuid, record.index, frozenset({record.state}), record.attempt)
    return ChangeSet(record.flow_uuid, tuple(changes), removals=(removal,))


def _leaves_output(record: JobRecord, others: Sequence[JobRecord], *, keeps_output: bool) -> bool:
    """Whether jobs that refer to it can still hope for an output."""
    if record.superseded or any(job.uuid == record.uuid for job in others):
        return True
    return keeps_output and settlement(record.state) is Settlement.DONE


def _needing(record: JobRecord, others: Sequence[JobRecord]) -> list[JobRecord]:
    return [
        job
        for job in others
        if record.uuid in job.parents and job.state in _NOT_BEGUN and not tolerates_missing(job.job)
    ]
