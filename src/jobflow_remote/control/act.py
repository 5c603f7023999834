"""What people do to jobs: pause, play, stop, retry, rerun, set a state or how they run.

One function for each, for the command line, Python and the web pages alike. What an action means is decided by
:mod:`jobflow_remote.model.decide`; here it is asked of the queue database (again, when the job moved meanwhile), and
what follows outside of it is done: processes are cancelled, outputs that nobody stands for any more removed, the
runner woken.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from jobflow_remote.control.takingback import TakenBack
from jobflow_remote.control.who import whoami
from jobflow_remote.errors import JobflowRemoteError, NotAllowedError, NotFoundError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet
from jobflow_remote.model.decide import hold, rerun
from jobflow_remote.model.decide.inputs import change_inputs, changed_parents
from jobflow_remote.model.decide.runsettings import AS_IS as AS_IS
from jobflow_remote.model.decide.runsettings import SETTABLE as SETTABLE
from jobflow_remote.model.decide.runsettings import RunSettings as RunSettings
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.schedulers.port import HostJob
from jobflow_remote.services.opened import Services

T = TypeVar("T")
Key = tuple[str, int]
"""uuid and index of a job."""
Decide = Callable[[JobRecord, QueueDatabase], ChangeSet]
_TRIES = 10
_AT_ONCE = 200
"""Jobs that are taken back from pilots, or cancelled, by one command."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What an action does to one job."""

    db_id: str
    name: str
    event: str
    """In words: rerun, superseded, wait again, deleted, …"""
    before: JobState
    after: JobState | None
    """None: as it was."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What an action did to one job, or why it did nothing."""

    db_id: str
    uuid: str
    index: int
    name: str
    before: JobState | None
    effects: tuple[Effect, ...] = ()
    """What was done: to this one first, then to those that go with it."""
    changed: tuple[str, ...] = ()
    """``db_id`` of the jobs that changed, in the same order."""
    refusal: str | None = None
    hint: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether something was changed."""
        return self.refusal is None


@dataclass
class _Effects:
    """What is left to do outside of the queue database."""

    cancel: dict[str, list[JobRecord]] = field(default_factory=dict)
    outputs: dict[str, list[Key]] = field(default_factory=dict)
    """By uuid of the flow."""


# -- the actions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pause:
    """A class and not a function: whoever acts has to know that pilots must be asked first."""

    why: str | None

    def __call__(self, record: JobRecord, queue: QueueDatabase) -> ChangeSet:
        return hold.decide_pause(record, who=whoami(), why=self.why)


def pause(why: str | None = None) -> Decide:
    """Hold jobs back until somebody plays them."""
    return _Pause(why)


def play(why: str | None = None) -> Decide:
    """Let paused and stopped jobs go on."""

    def decide(record: JobRecord, queue: QueueDatabase) -> ChangeSet:
        children = [JobRecord.from_document(child) for child in queue.find_children([record.uuid])]
        return hold.decide_play(record, who=whoami(), children=children, why=why)

    return decide


def stop(why: str | None = None) -> Decide:
    """Stop jobs, also where they run: their processes are cancelled."""
    return lambda record, queue: hold.decide_stop(record, who=whoami(), why=why)


def retry(why: str | None = None, *, settings: RunSettings = AS_IS) -> Decide:
    """Try the failed step again; ``settings`` are changed in the same step."""
    return lambda record, queue: rerun.decide_retry(record, who=whoami(), why=why, settings=settings)


def set_state(state: JobState, why: str | None = None) -> Decide:
    """Write a state without any check (an administrator's act)."""
    return lambda record, queue: hold.decide_set_state(record, state, who=whoami(), why=why)


def unlock(why: str | None = None) -> Decide:
    """Take jobs from the runner session that holds them; whichever session is live takes them up again."""
    return lambda record, queue: hold.decide_unlock(record, who=whoami(), why=why)


def run_again(
    *,
    force: bool = False,
    descendants: bool | None = None,
    keep_files: bool = False,
    settings: RunSettings = AS_IS,
    inputs: Mapping[str, Any] | None = None,
    why: str | None = None,
) -> Decide:
    """Run jobs again from the beginning; what depends on them waits for them.

    Parameters
    ----------
    force
        Also jobs upon which others have built: they run again as well.
    descendants
        Whether all descendants run again, or the children only; by default as ``force`` says.
    keep_files
        Leave the files of the former run in its folder.
    settings
        Changed in the same step.
    inputs
        New arguments: name of a keyword argument, or number of a positional one → value (of JSON, or serialised).
    """

    def decide(record: JobRecord, queue: QueueDatabase) -> ChangeSet:
        found = queue.find_jobs({"flow_uuid": record.flow_uuid})
        jobs = [JobRecord.from_document(document) for document in found]
        fields = settings.fields(record)
        if inputs:
            fields |= _new_inputs(record, queue, jobs, inputs)
        return rerun.decide_rerun(
            record, jobs, who=whoami(), force=force, descendants=descendants, keep_files=keep_files,
            fields=fields, why=why,
        )  # fmt: skip

    return decide


def _new_inputs(
    record: JobRecord, queue: QueueDatabase, jobs: Sequence[JobRecord], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a job with other arguments, and with the parents that follow from them."""
    from jobflow_remote.outputs.references import referred_uuids

    document = queue.get_job(*record.key, with_inputs=True) or {}
    job = document.get("job") or {}
    args, kwargs = job.get("function_args") or [], job.get("function_kwargs") or {}
    new_args, new_kwargs = change_inputs(args, kwargs, inputs)
    before, after = referred_uuids([args, kwargs]), referred_uuids([new_args, new_kwargs])
    fields: dict[str, Any] = {}
    if new_args != args:
        fields["job.function_args"] = new_args
    if new_kwargs != kwargs:
        fields["job.function_kwargs"] = new_kwargs
    if after != before:
        rerun.check_new_parents(record, jobs, after - before)
        fields["parents"] = changed_parents(record.parents, before=before, after=after)
    return fields


def set_properties(settings: RunSettings) -> Decide:
    """Set how jobs run."""

    def decide(record: JobRecord, queue: QueueDatabase) -> ChangeSet:
        settings.check_settable(record)
        fields = settings.fields(record)
        if (
            fields.get("worker", record.worker) != record.worker
            and record.previous_state is JobState.UPLOADED
        ):
            fields["previous_state"] = JobState.CHECKED_OUT.value  # its inputs are on the other one
        return set_fields(fields, event="set_properties")(record, queue)

    return decide


def set_fields(
    fields: Mapping[str, Any], *, states: Iterable[JobState] | None = None, event: str = "set_fields"
) -> Decide:
    """Write fields of job documents (dotted paths) that nothing follows from.

    ``states``: only in these.
    """

    def decide(record: JobRecord, queue: QueueDatabase) -> ChangeSet:
        return hold.decide_set_fields(record, fields, who=whoami(), states=states, event=event)

    return decide


# -- acting ----------------------------------------------------------------------------------------------------


def act_on_jobs(
    services: Services,
    keys: Iterable[Key],
    decide: Decide,
    *,
    dry_run: bool = False,
    on_progress: Callable[[JobOutcome], None] = lambda outcome: None,
) -> list[JobOutcome]:
    """Do the same to several jobs, each on its own; one that refuses is no reason to leave out the others.

    With ``dry_run`` nothing is changed: the outcomes say what would be.
    """
    effects, taken = _Effects(), TakenBack(services)
    outcomes = []
    try:
        for some in _bundles(list(keys)):
            if isinstance(decide, _Pause) and not dry_run:
                _take_back(services, some, decide, taken)
            for key in some:
                outcome = _act(services, key, decide, effects, taken if not dry_run else None)
                on_progress(outcome)
                outcomes.append(outcome)
    finally:
        warnings = {} if dry_run else _carry_out(services, effects)
    return [replace(o, warnings=tuple(warnings.get((o.uuid, o.index), ()))) for o in outcomes]


def act_on_job(services: Services, key: Key, decide: Decide) -> JobOutcome:
    """Do something to one job.

    Raises
    ------
    NotFoundError
        If there is no such job.
    NotAllowedError
        If its state does not allow it.
    """
    outcome = act_on_jobs(services, [key], decide)[0]
    if outcome.before is None:
        raise NotFoundError(outcome.refusal or "", hint=outcome.hint)
    if outcome.refusal is not None:
        raise NotAllowedError(outcome.refusal, hint=outcome.hint)
    return outcome


def _act(
    services: Services, key: Key, decide: Decide, effects: _Effects, taken: TakenBack | None
) -> JobOutcome:
    """``taken`` None: change nothing, say what would be."""
    queue = services.queue
    for _ in range(_TRIES):
        document = queue.get_job(*key)
        if document is None:
            return JobOutcome("", key[0], key[1], "", None, refusal=f"there is no job {key[0]} ({key[1]})")
        record = JobRecord.from_document(document)
        outcome = JobOutcome(record.db_id, record.uuid, record.index, record.name, record.state)
        try:
            changes = decide(record, queue)
            if taken is not None and _has_to_be_taken_back(record, changes):
                taken.check(record)
        except JobflowRemoteError as error:
            return replace(outcome, refusal=error.message, hint=error.hint)
        before = _records(queue, changes, record)
        if taken is None or queue.apply([changes])[0].applied:
            _note(effects, changes, before)
            found = tuple(_effects(changes, before))
            return replace(outcome, effects=found, changed=tuple(effect.db_id for effect in found))
    return replace(
        outcome, refusal=f"{hold.named(record)} changes faster than it can be acted upon", hint="try again"
    )


def _bundles(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _take_back(services: Services, keys: Sequence[Key], decide: Decide, taken: TakenBack) -> None:
    """Take back from pilots, all together, those of the jobs that are to wait."""
    query = {"$or": [{"uuid": uuid, "index": index} for uuid, index in keys]}
    wanted = []
    for document in services.queue.find_jobs({"state": JobState.BATCH_SUBMITTED.value, **query}):
        record = JobRecord.from_document(document)
        with contextlib.suppress(JobflowRemoteError):  # it will be told when its turn comes
            if _has_to_be_taken_back(record, decide(record, services.queue)):
                wanted.append(record)
    taken.ask(wanted)


def _has_to_be_taken_back(record: JobRecord, changes: ChangeSet) -> bool:
    return record.state is JobState.BATCH_SUBMITTED and changes.changes[0].to is JobState.PAUSED


def _effects(changes: ChangeSet, before: Mapping[Key, JobRecord]) -> Iterator[Effect]:
    for removal in changes.removals:
        record = before[removal.uuid, removal.index]
        yield Effect(record.db_id, record.name, "deleted", record.state, None)
    for change in changes.changes:
        record = before[change.uuid, change.index]
        words = "superseded" if change.fields.get("superseded") else change.event.replace("_", " ")
        yield Effect(record.db_id, record.name, words or "other parents", record.state, change.to)


def _records(queue: QueueDatabase, changes: ChangeSet, record: JobRecord) -> dict[Key, JobRecord]:
    others = [(c.uuid, c.index) for c in changes.changes if (c.uuid, c.index) != record.key]
    found = {record.key: record}
    for start in range(0, len(others), 200):
        query = {"$or": [{"uuid": uuid, "index": index} for uuid, index in others[start : start + 200]]}
        for document in queue.find_jobs(query):
            other = JobRecord.from_document(document)
            found[other.key] = other
    return found


def _note(effects: _Effects, changes: ChangeSet, before: Mapping[Key, JobRecord]) -> None:
    for change in changes.changes:
        record = before[change.uuid, change.index]
        left = change.to is not None and change.to not in lifecycle.ACTIVE and hold.has_process(record)
        if left and not _has_to_be_taken_back(record, changes):  # which has been done
            effects.cancel.setdefault(record.worker, []).append(record)
        if change.fields.get("superseded"):
            effects.outputs.setdefault(record.flow_uuid, []).append(record.key)
    for removal in changes.removals:
        record = before[removal.uuid, removal.index]
        if hold.has_process(record):
            effects.cancel.setdefault(record.worker, []).append(record)


def _carry_out(services: Services, effects: _Effects) -> dict[Key, list[str]]:
    warnings: dict[Key, list[str]] = {}
    services.ring()
    if effects.cancel:
        asyncio.run(_cancel(services, effects.cancel, warnings))
    for flow_uuid, keys in effects.outputs.items():
        services.outputs(services.store_name(flow_uuid)).remove_outputs(keys)
    return warnings


async def _cancel(
    services: Services, jobs: Mapping[str, Sequence[JobRecord]], warnings: dict[Key, list[str]]
) -> None:
    async def on_worker(worker: str, records: Sequence[JobRecord]) -> None:
        for some in _bundles(records):
            await cancel(worker, some)

    async def cancel(worker: str, records: Sequence[JobRecord]) -> None:
        there = [HostJob(r.run_dir or "", r.attempt or "0", r.process_id) for r in records]
        try:
            command = services.render_cancel(worker, there)
            timeout = services.worker(worker).timeout_execute
            await services.host(worker).run(command, timeout_seconds=timeout)
        except JobflowRemoteError as error:
            for record in records:
                warnings.setdefault(record.key, []).append(
                    f"its process {record.process_id} on worker {worker} could not be cancelled: {error.message}"
                )

    try:
        await asyncio.gather(*(on_worker(worker, records) for worker, records in jobs.items()))
    finally:
        await services.close_hosts()
