"""What people do to forget jobs: they leave the queue first, then their processes, folders and outputs go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from jobflow_remote.control import act, flows
from jobflow_remote.control.flows import Deleted, Deletion
from jobflow_remote.control.who import whoami
from jobflow_remote.model.changes import ChangeSet
from jobflow_remote.model.decide.removal import decide_delete
from jobflow_remote.model.records import Document, JobRecord
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.services.opened import Services


@dataclass
class DeletedJobs(Deleted):
    """What was deleted (``db_id``), what could not be, and what became of each job."""

    outcomes: list[act.JobOutcome] = field(default_factory=list)


def delete_jobs(
    services: Services,
    keys: Iterable[act.Key],
    what: Deletion,
    *,
    why: str | None = None,
    dry_run: bool = False,
    on_progress: Callable[[act.JobOutcome], None] = lambda outcome: None,
) -> DeletedJobs:
    """Remove jobs from their flows, each on its own; one that refuses is no reason to leave out the others.

    Jobs that can never have the output of a deleted one any more are stopped. What cannot be reached on a worker is
    named, and stays.
    """
    last: dict[act.Key, JobRecord] = {}

    def decide(record: JobRecord, queue: QueueDatabase) -> ChangeSet:
        last[record.key] = record
        found = queue.find_jobs({"flow_uuid": record.flow_uuid})
        jobs = [JobRecord.from_document(document) for document in found]
        return decide_delete(record, jobs, who=whoami(), keeps_output=not what.outputs, why=why)

    done = DeletedJobs()
    done.outcomes = act.act_on_jobs(services, keys, decide, dry_run=dry_run, on_progress=on_progress)
    gone = [last[outcome.uuid, outcome.index] for outcome in done.outcomes if outcome.done]
    done.deleted = [record.db_id for record in gone]
    if not dry_run:
        _clear(services, gone, what, done)
    return done


def _clear(services: Services, gone: Sequence[JobRecord], what: Deletion, done: DeletedJobs) -> None:
    folders: list[Document] = [
        {"worker": record.worker, "run_dir": record.run_dir} for record in gone if record.run_dir
    ]
    if what.files and folders:
        asyncio.run(flows.clear_workers(services, folders, Deletion(files=True, cancel=False), done))
    if what.outputs:
        of_flow: dict[str, list[act.Key]] = {}
        for record in gone:
            of_flow.setdefault(record.flow_uuid, []).append(record.key)
        for uuid, keys in of_flow.items():
            services.outputs(services.store_name(uuid)).remove_outputs(keys)
