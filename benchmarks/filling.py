"""Fills the queue database of a home with jobs that were never run, through the port, as fast as it takes them."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

from benchmarks.home import Home
from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide.submission import GeneratedJob, RunProperties, decide_submission
from jobflow_remote.model.records import Document, NewFlow
from jobflow_remote.queuedb import open_queue_database
from jobflow_remote.queuedb.port import QueueDatabase

FLOW_SIZE = 100


def open_queue_of(home: Home) -> QueueDatabase:
    """The embedded queue database of a home."""
    home.base_dir.mkdir(parents=True, exist_ok=True)
    return open_queue_database(QueueSpec("SQLiteStore", {"path": str(home.base_dir / "queue.db")}))


def job_document(number: int, parent: str | None = None) -> Document:
    """A serialised ``add``, of the size of a real one."""
    first: object = number
    if parent is not None:
        first = {
            "@module": "jobflow.core.reference",
            "@class": "OutputReference",
            "uuid": parent,
            "attributes": [],
        }
    return {
        "@module": "jobflow.core.job",
        "@class": "Job",
        "@version": "0.4.0",
        "function": {"@module": "jobflow_remote.utils.examples", "@callable": "add", "@bound": None},
        "function_args": [first, 1],
        "function_kwargs": {},
        "output_schema": None,
        "uuid": str(uuid4()),
        "index": 1,
        "name": "add",
        "metadata": {},
        "config": {
            "@module": "jobflow.core.job",
            "@class": "JobConfig",
            "resolve_references": True,
            "on_missing_references": "error",
            "manager_config": {},
            "expose_store": False,
            "pass_manager_config": True,
            "response_manager_config": {},
        },
        "hosts": [],
        "metadata_updates": [],
        "config_updates": [],
        "name_updates": [],
    }


def made_flow(size: int, *, shape: str = "wide", worker: str = "local") -> NewFlow:
    """A flow of ``add`` jobs as ``submit_flow`` would hand it over; ``fan``: all but the first need the first."""
    jobs: list[GeneratedJob] = []
    for number in range(size):
        before = {"wide": None, "chain": jobs[-1:] or None, "fan": jobs[:1] or None}[shape]
        parent = before[0].job["uuid"] if before else None
        jobs.append(GeneratedJob(job_document(number, parent), (parent,) if parent else ()))
    flow_uuid = str(uuid4())
    for new in jobs:
        new.job["hosts"] = [flow_uuid]
    return decide_submission(
        jobs,
        flow_uuid=flow_uuid,
        flow_name="Flow",
        defaults=RunProperties(worker),
        now=utcnow(),
        who="benchmark",
    )


def _sizes(jobs: int) -> Iterator[int]:
    while jobs > 0:
        yield min(FLOW_SIZE, jobs)
        jobs -= FLOW_SIZE


def fill(home: Home, jobs: int) -> None:
    """Insert flows of 100 until the queue database has ``jobs`` jobs."""
    queue = open_queue_of(home)
    try:
        for size in _sizes(jobs - queue.count_jobs({})):
            queue.insert_flow(made_flow(size))
    finally:
        queue.close()
