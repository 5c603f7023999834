"""What people do to whole flows: delete, resume, clean up after them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jobflow_remote.control import act
from jobflow_remote.control.submit import store_names
from jobflow_remote.errors import ConfigError, JobflowRemoteError, NotAllowedError, NotFoundError
from jobflow_remote.execution.jobfields import stores_used
from jobflow_remote.model import lifecycle
from jobflow_remote.model.records import Document
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.schedulers.port import HostJob
from jobflow_remote.services.opened import Services

ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.REMOTE_ERROR})
"""States in which the folder of a job may be removed."""
NOT_BEGUN = frozenset({FlowState.READY, FlowState.WAITING})
"""States of a flow none of whose jobs has begun."""
_FIELDS = (
    "uuid",
    "index",
    "db_id",
    "state",
    "worker",
    "run_dir",
    "remote",
    "flow_uuid",
    "attempt",
    "job.name",
)


@dataclass(frozen=True, slots=True)
class Deletion:
    """What goes with a flow."""

    outputs: bool = False
    files: bool = False
    cancel: bool = True
    """End the processes of its jobs."""


@dataclass
class Deleted:
    """What was deleted, and what could not be."""

    deleted: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class Cleaned:
    """Folders that were removed, and jobs whose folder was left."""

    folders: list[str] = field(default_factory=list)
    skipped: list[Document] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def delete_flows(
    services: Services,
    uuids: Sequence[str],
    what: Deletion,
    *,
    on_progress: Callable[[str], None] = lambda uuid: None,
) -> Deleted:
    """Remove flows with all their jobs, each as a whole.

    They leave the queue first, so that the runner takes them up no more; then their processes are ended, their
    folders and outputs removed. What cannot be reached is named, and stays.
    """
    done = Deleted()
    for uuid in uuids:
        jobs = services.queue.find_jobs({"flow_uuid": uuid}, fields=_FIELDS)
        store = services.store_name(uuid)
        if services.queue.delete_flows([uuid]):
            done.deleted.append(uuid)
            asyncio.run(clear_workers(services, jobs, what, done))
            if what.outputs:
                services.outputs(store).remove_outputs([(job["uuid"], job["index"]) for job in jobs])
        on_progress(uuid)
    services.ring()
    return done


async def clear_workers(services: Services, jobs: Sequence[Document], what: Deletion, done: Deleted) -> None:
    """End the processes of jobs and remove their run folders; what cannot be reached goes into ``done.problems``."""

    async def on_worker(worker: str, there: Sequence[Document]) -> None:
        try:
            host = services.host(worker)
            running = [_host_job(job) for job in there if what.cancel and _may_run(job)]
            if running:
                command = services.render_cancel(worker, running)
                await host.run(command, timeout_seconds=services.worker(worker).timeout_execute)
            folders = [job["run_dir"] for job in there if what.files and job.get("run_dir")]
            if folders:
                done.folders += sorted(await host.remove_run_folders(folders))
        except JobflowRemoteError as error:
            done.problems.append(f"worker {worker}: {error.message}")

    try:
        await asyncio.gather(*(on_worker(*each) for each in _by_worker(jobs).items()))
    finally:
        await services.close_hosts()


def _by_worker(jobs: Sequence[Document]) -> Mapping[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for job in jobs:
        found.setdefault(job["worker"], []).append(job)
    return found


def _may_run(job: Document) -> bool:
    state = JobState(job["state"])
    remote = job["remote"]
    return state in lifecycle.IN_PILOT or (
        state in lifecycle.IN_SCHEDULER and (bool(remote.get("process_id")) or remote.get("launch") == "fork")
    )


def _host_job(job: Document) -> HostJob:
    return HostJob(job.get("run_dir") or "", job.get("attempt") or "0", job["remote"].get("process_id"))


def remove_folders(services: Services, jobs: Sequence[Document]) -> list[str]:
    """Remove run folders (``worker`` and ``run_dir`` of each job); returns those that were there and went."""
    done = Deleted()
    asyncio.run(clear_workers(services, jobs, Deletion(files=True, cancel=False), done))
    return done.folders


def resume_flow(services: Services, uuid: str, *, why: str | None = None) -> int:
    """Let all paused and stopped jobs of a flow go on; returns how many.

    Raises
    ------
    NotAllowedError
        If no job of the flow is held back.
    """
    held = sorted(state.value for state in lifecycle.sources("play"))
    found = services.queue.find_jobs(
        {"flow_uuid": uuid, "state": {"$in": held}, "superseded": {"$ne": True}},
        fields=("uuid", "index"),
        sort=(("db_number", 1),),
    )
    if not found:
        raise NotAllowedError(
            f"flow {uuid} has no job that could be resumed",
            hint=f"resume takes jobs that are {', '.join(held)}",
        )
    outcomes = act.act_on_jobs(services, [(job["uuid"], job["index"]) for job in found], act.play(why))
    return sum(outcome.done for outcome in outcomes)


def set_store(services: Services, uuid: str, name: str | None) -> None:
    """Have the outputs of a flow kept in one of the project's ``optional_jobstores`` (None: in its own store).

    Raises
    ------
    NotFoundError
        If the project has no such store, or there is no such flow.
    NotAllowedError
        If a job of the flow has begun: its output would be looked for elsewhere.
    ConfigError
        If a job wants an additional store that it does not have.
    """
    stores = store_names(services, name)
    missing: set[str] = set()
    for job in services.queue.find_jobs({"flow_uuid": uuid}, with_inputs=True):
        missing |= stores_used(job["job"]) - stores
    if missing:
        raise ConfigError(
            f"jobs of the flow want additional stores that {name or 'the output store'} does not have: "
            f"{', '.join(sorted(missing))}",
            hint=f"it has {', '.join(sorted(stores)) or 'none'}",
        )
    if services.queue.change_flow(uuid, {"jobstore": name}, expect=NOT_BEGUN):
        return
    found = services.queue.find_flows({"uuid": uuid}, fields=["state"])
    if not found:
        raise NotFoundError(f"there is no flow {uuid}")
    raise NotAllowedError(
        f"flow {uuid} is {found[0]['state']}: its store can be set before its first job begins",
        hint="that is while the flow is READY or WAITING",
    )


def clean_flows(services: Services, uuids: Sequence[str], *, all_states: bool = False) -> Cleaned:
    """Remove the run folders of jobs that have ended (``all_states``: of all jobs); the queue stays as it is."""
    done = Cleaned()
    found: list[Document] = []
    for uuid in uuids:
        for job in services.queue.find_jobs({"flow_uuid": uuid}, fields=_FIELDS):
            if not job.get("run_dir"):
                continue
            (found if all_states or JobState(job["state"]) in ENDED else done.skipped).append(job)
    deleted = Deleted()
    asyncio.run(clear_workers(services, found, Deletion(files=True, cancel=False), deleted))
    done.folders, done.problems = deleted.folders, deleted.problems
    gone = set(deleted.folders)
    done.skipped += [job for job in found if job["run_dir"] not in gone]
    return done
