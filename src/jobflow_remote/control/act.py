"""What people do to jobs: pause, play, stop, retry, rerun, set a state or how they run.

One function for each, for the command line, Python and the web pages alike. What an action means is decided by
:mod:`jobflow_remote.model.decide`; here it is asked of the queue database (again, when the job moved meanwhile), and
what follows outside of it is done: processes are cancelled, outputs that nobody stands for any more removed, the
runner woken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jobflow_remote.control.who import whoami
from jobflow_remote.errors import JobflowRemoteError, NotAllowedError, NotFoundError
from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.decide import hold, rerun
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.schedulers.handover import parse_take_back, render_take_back
from jobflow_remote.schedulers.port import HostJob
from jobflow_remote.services.opened import Services

Key = tuple[str, int]
"""uuid and index of a job."""
Decide = Callable[[JobRecord, QueueDatabase], ChangeSet]
_TRIES = 10

SETTABLE = frozenset(
    {
        JobState.READY, JobState.WAITING, JobState.COMPLETED, JobState.FAILED, JobState.PAUSED,
        JobState.REMOTE_ERROR, JobState.STOPPED, JobState.USER_STOPPED,
    }
)  # fmt: skip
"""States in which worker, exec_config and resources can be set: the runner has not the job in hand."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What an action did to one job, or why it did nothing."""

    db_id: str
    uuid: str
    index: int
    name: str
    before: JobState | None
    changed: tuple[str, ...] = ()
    """``db_id`` of the jobs that changed: this one first, then those that go with it."""
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


def pause(why: str | None = None) -> Decide:
    """Hold jobs back until somebody plays them."""
    return lambda record, queue: hold.decide_pause(record, who=whoami(), why=why)


def play(why: str | None = None) -> Decide:
    """Let paused and stopped jobs go on."""

    def decide(record: JobRecord, queue: QueueDatabase) -> ChangeSet:
        children = [JobRecord.from_document(child) for child in queue.find_children([record.uuid])]
        return hold.decide_play(record, who=whoami(), children=children, why=why)

    return decide


def stop(why: str | None = None) -> Decide:
    """Stop jobs, also where they run: their processes are cancelled."""
    return lambda record, queue: hold.decide_stop(record, who=whoami(), why=why)


def retry(why: str | None = None) -> Decide:
    """Try the failed step again."""
    return lambda record, queue: rerun.decide_retry(record, who=whoami(), why=why)


def set_state(state: JobState, why: str | None = None) -> Decide:
    """Write a state without any check (an administrator's act)."""
    return lambda record, queue: hold.decide_set_state(record, state, who=whoami(), why=why)


def run_again(
    *,
    force: bool = False,
    keep_files: bool = False,
    properties: Mapping[str, Any] | None = None,
    why: str | None = None,
) -> Decide:
    """Run jobs again from the beginning; what depends on them waits for them.

    Parameters
    ----------
    force
        Also jobs upon which others have built: all descendants run again as well.
    keep_files
        Leave the files of the former run in its folder.
    properties
        Changed in the same step: ``worker``, ``exec_config``, ``resources``, ``priority``.
    """

    def decide(record: JobRecord, queue: QueueDatabase) -> ChangeSet:
        found = queue.find_jobs({"flow_uuid": record.flow_uuid})
        jobs = [JobRecord.from_document(document) for document in found]
        changes = rerun.decide_rerun(record, jobs, who=whoami(), force=force, keep_files=keep_files, why=why)
        if not properties:
            return changes
        first, *others = changes.changes
        first = replace(first, fields={**first.fields, **properties})
        return replace(changes, changes=(first, *others))

    return decide


def set_properties(
    *,
    worker: str | None = None,
    exec_config: str | Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    priority: int | None = None,
    merge: bool = True,
) -> Decide:
    """Set how jobs run; ``merge`` keeps the keys of resources and exec_config that are not given."""

    def decide(record: JobRecord, queue: QueueDatabase) -> ChangeSet:
        restricted = worker is not None or exec_config is not None or resources is not None
        expect = SETTABLE if restricted else frozenset(JobState)
        if record.state not in expect:
            raise NotAllowedError(
                f"cannot change how {hold.named(record)} runs while it is {record.state.value}",
                hint=f"possible in {lifecycle.describe(SETTABLE)}; `jf job stop` or `jf job rerun` it first",
            )
        fields: dict[str, Any] = {}
        if worker is not None:
            fields["worker"] = worker
        if priority is not None:
            fields["priority"] = priority
        if exec_config is not None:
            fields["exec_config"] = _merged(record.exec_config, exec_config, merge=merge)
        if resources is not None:
            fields["resources"] = _merged(record.resources, resources, merge=merge)
        change = JobChange(
            uuid=record.uuid, index=record.index, expect=frozenset({record.state}), fields=fields,
            attempt=record.attempt, event="set_properties", who=whoami(), why=", ".join(sorted(fields)),
        )  # fmt: skip
        return ChangeSet(record.flow_uuid, (change,))

    return decide


def _merged(old: Any, new: Any, *, merge: bool) -> Any:
    if isinstance(new, str) or not merge or not isinstance(old, Mapping) or "@class" in new:
        return new if isinstance(new, str) else dict(new)
    return {**old, **new}


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
    effects = _Effects()
    outcomes = []
    try:
        for key in keys:
            outcome = _act(services, key, decide, effects, dry_run=dry_run)
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


def _act(services: Services, key: Key, decide: Decide, effects: _Effects, *, dry_run: bool) -> JobOutcome:
    queue = services.queue
    for _ in range(_TRIES):
        document = queue.get_job(*key)
        if document is None:
            return JobOutcome("", key[0], key[1], "", None, refusal=f"there is no job {key[0]} ({key[1]})")
        record = JobRecord.from_document(document)
        outcome = JobOutcome(record.db_id, record.uuid, record.index, record.name, record.state)
        try:
            changes = decide(record, queue)
            if not dry_run:
                _withdraw(services, record, changes)
        except JobflowRemoteError as error:
            return replace(outcome, refusal=error.message, hint=error.hint)
        before = _records(queue, changes, record)
        if dry_run or queue.apply([changes])[0].applied:
            _note(effects, changes, before)
            return replace(outcome, changed=tuple(before[c.uuid, c.index].db_id for c in changes.changes))
    return replace(
        outcome, refusal=f"{hold.named(record)} changes faster than it can be acted upon", hint="try again"
    )


def _withdraw(services: Services, record: JobRecord, changes: ChangeSet) -> None:
    """Take a job back from the pilots that is to wait.

    Raises
    ------
    NotAllowedError
        If one of them has begun it.
    """
    if record.state is not JobState.BATCH_SUBMITTED or changes.changes[0].to is not JobState.PAUSED:
        return
    job = HostJob(record.run_dir or "", record.attempt or "0")

    async def ask() -> CommandResult:
        try:
            timeout = services.worker(record.worker).timeout_execute
            host = services.host(record.worker)
            return await host.run(render_take_back([job]), timeout_seconds=timeout)
        finally:
            await services.close_hosts()

    if job.attempt not in parse_take_back(asyncio.run(ask())):
        raise NotAllowedError(
            f"cannot pause {hold.named(record)}: a pilot has begun it",
            hint=f"`jf job stop {record.db_id}` ends it",
        )


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
        if change.to is not None and change.to not in lifecycle.ACTIVE and hold.has_process(record):
            effects.cancel.setdefault(record.worker, []).append(record)
        if change.fields.get("superseded"):
            effects.outputs.setdefault(record.flow_uuid, []).append(record.key)


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
