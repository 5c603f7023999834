"""What people do to have something done once more: retry a step, rerun a job with all that hangs on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.decide import pilots
from jobflow_remote.model.decide.hold import change_by_person, named, wait_again
from jobflow_remote.model.decide.runsettings import AS_IS, RunSettings
from jobflow_remote.model.records import JobRecord, reset_fields
from jobflow_remote.model.states import JobState

_BATCH = frozenset({JobState.BATCH_SUBMITTED, JobState.BATCH_RUNNING})
_NOT_SUBMITTED = frozenset({JobState.CHECKED_OUT, JobState.UPLOADED})


# -- retry -----------------------------------------------------------------------------------------------------


def decide_retry(
    record: JobRecord, *, who: str, why: str | None = None, settings: RunSettings = AS_IS
) -> ChangeSet:
    """Try the failed step again: REMOTE_ERROR goes back to the state it had, an active job forgets its failures.

    A job that a batch worker lost is submitted to the pilots again: they have no trace of it left. ``settings`` are for
    jobs that were not submitted yet; on another worker the inputs have to be uploaded first.
    """
    lifecycle.check_allowed("retry", record.state, what=named(record))
    if record.state in lifecycle.ACTIVE:
        settings.check_settable(record)
        cleared = {"remote.step_attempts": 0, "remote.retry_time_limit": None, "remote.error": None}
        cleared |= settings.fields(record)
        change = change_by_person(record, "retry", None, who=who, why=why, fields=cleared)
        return ChangeSet(record.flow_uuid, (change,))
    before = record.previous_state
    if before not in lifecycle.ACTIVE:
        raise NotAllowedError(
            f"cannot retry {named(record)}: the state that it had before REMOTE_ERROR is not known",
            hint=f"`jf job rerun {record.db_id}` starts it from the beginning",
        )
    fields = reset_fields()
    if before in _BATCH:
        before, fields = JobState.UPLOADED, fields | pilots.another_try(record)
    if settings.touches_the_run and before not in _NOT_SUBMITTED:
        raise NotAllowedError(
            f"cannot change how {named(record)} runs by a retry: it was submitted already (it was {before.value})",
            hint=f"`jf job rerun {record.db_id}` takes the same options, and starts it from the beginning",
        )
    fields |= settings.fields(record)
    if settings.worker not in (None, record.worker):
        before = JobState.CHECKED_OUT
    change = change_by_person(record, "retry", before, who=who, why=why, fields=fields)
    return ChangeSet(record.flow_uuid, (change,))


# -- rerun -----------------------------------------------------------------------------------------------------


def _again_fields(record: JobRecord, *, keep_files: bool) -> dict[str, Any]:
    began = record.run_dir is not None and not keep_files
    return {
        **reset_fields(),
        "start_time": None,
        "end_time": None,
        "stored_data": None,
        "remote.prerun_cleanup": began or bool(record.remote.get("prerun_cleanup")),
    }


@dataclass(frozen=True, slots=True)
class _Family:
    """A job and those of its flow that count: its descendants, and what their responses brought about."""

    record: JobRecord
    jobs: Sequence[JobRecord]
    affected: list[JobRecord] = field(default_factory=list)
    """Descendants that run again."""
    waiting: list[JobRecord] = field(default_factory=list)
    """Descendants that were about to begin: they keep what they are, but wait again."""
    superseded: list[JobRecord] = field(default_factory=list)
    """Jobs that a former run brought about: the next one will bring about its own."""

    @classmethod
    def of(cls, record: JobRecord, jobs: Iterable[JobRecord]) -> _Family:
        counting = [
            job
            for job in jobs
            if job.flow_uuid == record.flow_uuid and not job.superseded and job.key != record.key
        ]
        return cls(record, counting)

    def children_of(self, uuids: set[str]) -> list[JobRecord]:
        """Jobs that wait or waited for any of ``uuids``."""
        return [job for job in self.jobs if not uuids.isdisjoint(job.parents)]

    def with_children(self) -> _Family:
        """Only the jobs that wait for this one are affected."""
        superseded = self._generated_by([self.record])
        children = [job for job in self.children_of({self.record.uuid}) if job.key not in superseded]
        superseded |= self._generated_by(children)
        affected = [job for job in children if job.key not in superseded]
        beyond = set(self._descendants()) - set(superseded) - {job.key for job in affected}
        waiting = [job for job in self.jobs if job.key in beyond and job.state is JobState.READY]
        return _Family(self.record, self.jobs, affected, waiting, list(superseded.values()))

    def with_descendants(self) -> _Family:
        """All that hangs on the job is affected."""
        found = self._descendants()
        superseded = self._generated_by([self.record, *found.values()])
        affected = [job for key, job in found.items() if key not in superseded]
        return _Family(self.record, self.jobs, affected, [], list(superseded.values()))

    def others(self) -> list[JobRecord]:
        """Jobs that neither run again nor are superseded."""
        known = {job.key for job in [*self.affected, *self.superseded]}
        return [job for job in self.jobs if job.key not in known]

    def _descendants(self) -> dict[tuple[str, int], JobRecord]:
        found: dict[tuple[str, int], JobRecord] = {}
        frontier = {self.record.uuid}
        while frontier:
            new = [job for job in self.children_of(frontier) if job.key not in found]
            found |= {job.key: job for job in new}
            frontier = {job.uuid for job in new}
        found.pop(self.record.key, None)
        return found

    def _generated_by(self, origins: Sequence[JobRecord]) -> dict[tuple[str, int], JobRecord]:
        found: dict[tuple[str, int], JobRecord] = {}
        frontier = {job.db_id for job in origins}
        while frontier:
            new = [job for job in self.jobs if job.generated_by in frontier and job.key not in found]
            found |= {job.key: job for job in new}
            frontier = {job.db_id for job in new}
        return found


def decide_rerun(
    record: JobRecord,
    jobs: Iterable[JobRecord],
    *,
    who: str,
    force: bool = False,
    descendants: bool | None = None,
    keep_files: bool = False,
    fields: Mapping[str, Any] | None = None,
    why: str | None = None,
) -> ChangeSet:
    """Run the job again from the beginning; what depends on it waits for it again.

    Without ``force`` only jobs that nothing has built upon: their children have not begun. With it the children are
    reset whatever they did. Jobs that a job which runs again brought about (replacements, detours, additions) are
    *superseded*: they count for nothing any more, since the new run brings about its own.

    Once this is applied: cancel the processes of the jobs in the change set that had one
    (:func:`~jobflow_remote.model.decide.hold.has_process`), remove the outputs of those superseded.

    Parameters
    ----------
    jobs
        The jobs of its flow, all of them or at least: all indices of its uuid, its descendants, and what was brought
        about by any of these.
    descendants
        Whether all that hangs on the job runs again, or its children only: what lies behind them keeps its results
        then, and merely waits again where it has not begun. By default as ``force`` says.
    keep_files
        Leave the run folders as they are; otherwise each is emptied before the job starts again.
    fields
        What else changes with the job (dotted paths): worker, resources, inputs, …

    Raises
    ------
    NotAllowedError
        In a state that ``rerun`` does not take; if the job has been replaced; if its children have begun.
    """
    lifecycle.check_allowed("rerun", record.state, force=force, what=named(record))
    family = _Family.of(record, jobs)
    if record.state not in lifecycle.ACTIVE:  # nothing can have built upon a job that has not ended
        deep = force if descendants is None else descendants
        family = family.with_descendants() if deep else family.with_children()
    _check_latest(record, family)
    _check_descendants(family, force=force)
    change = change_by_person(
        record,
        "rerun",
        JobState.WAITING,
        who=who,
        why=why,
        fields={**_again_fields(record, keep_files=keep_files), **(fields or {})},
    )
    return ChangeSet(
        record.flow_uuid,
        (
            change,
            *_affected(family, who=who, keep_files=keep_files),
            *_superseded(family, who=who),
        ),
    )


def check_new_parents(record: JobRecord, jobs: Iterable[JobRecord], uuids: Iterable[str]) -> None:
    """Refuse new inputs that refer to the output of the job itself, or of one that waits for it.

    Raises
    ------
    NotAllowedError
        The message names it.
    """
    below = {job.uuid: named(job) for job in _Family.of(record, jobs).with_descendants().affected}
    below[record.uuid] = "itself"
    for uuid in uuids:
        if uuid in below:
            raise NotAllowedError(f"{named(record)} cannot wait for {below[uuid]}, which waits for it")


def _check_latest(record: JobRecord, family: _Family) -> None:
    others = [job for job in family.others() if job.uuid == record.uuid]
    later = max(others, key=lambda job: job.index, default=record)
    if later.index > record.index:
        raise NotAllowedError(
            f"cannot rerun {named(record)}: it was replaced, and {named(later)} (index {later.index}) has taken its "
            "place",
            hint=f"rerun {named(later)}, or with --force a job that {named(record)} depends on",
        )


def _check_descendants(family: _Family, *, force: bool) -> None:
    begun = [job for job in family.affected if job.state not in lifecycle.sources("wait_again", force=force)]
    if begun:
        listed = ", ".join(f"{job.db_id} ({job.state.value})" for job in begun[:5])
        more = f" and {len(begun) - 5} more" if len(begun) > 5 else ""
        raise NotAllowedError(
            f"cannot rerun {named(family.record)}: jobs that depend on it have begun or were stopped: {listed}{more}",
            hint="--force runs them again as well",
        )
    indices = Counter(job.uuid for job in family.affected)
    replaced = next((job for job in family.affected if indices[job.uuid] > 1), None)
    if replaced is not None:
        raise NotAllowedError(
            f"cannot rerun {named(family.record)}: {named(replaced)}, which depends on it, was replaced in a way that "
            "this release did not record",
            hint="submit the flow again",
        )


def _affected(family: _Family, *, who: str, keep_files: bool) -> list[JobChange]:
    gone = {job.uuid for job in family.superseded} - {
        job.uuid for job in [family.record, *family.affected, *family.others()]
    }
    why = f"{named(family.record)} runs again"
    changes = []
    for job in family.affected:
        fields = {**_again_fields(job, keep_files=keep_files), **_kept_parents(job, gone)}
        changes.append(wait_again(job, who=who, why=why, fields=fields))
    waiting = {job.key for job in family.waiting}
    for job in family.others():
        fields = _kept_parents(job, gone)
        if job.key in waiting:
            changes.append(wait_again(job, who=who, why=why, fields=fields))
        elif fields:
            changes.append(change_by_person(job, "", None, who=who, fields=fields))
    return changes


def _kept_parents(job: JobRecord, gone: set[str]) -> dict[str, Any]:
    """The field ``parents`` without jobs that count for nothing any more; nothing if there is none among them."""
    kept = [parent for parent in job.parents if parent not in gone]
    return {"parents": kept} if len(kept) < len(job.parents) else {}


def _superseded(family: _Family, *, who: str) -> list[JobChange]:
    changes = []
    for job in family.superseded:
        stops = job.state in lifecycle.sources("stop")
        changes.append(
            change_by_person(
                job,
                "stop" if stops else "supersede",
                JobState.USER_STOPPED if stops else None,
                who=who,
                why=f"{named(family.record)} runs again and brings about its own",
                fields={"superseded": True},
            )
        )
    return changes
