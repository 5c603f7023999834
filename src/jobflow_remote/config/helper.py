"""Projects to begin with, and whether a project works.

The functions that open something import :mod:`jobflow_remote.bootstrap` when they are called.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jobflow_remote.config.project import ExecutionConfig, Project, QueueConfig
from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.config.settings import get_settings
from jobflow_remote.config.stores import EMBEDDED, default_jobstore, queue_spec
from jobflow_remote.config.workers import (
    LocalWorker,
    RemoteWorker,
    WorkerBase,
    host_key,
)
from jobflow_remote.errors import ConfigError, JobflowRemoteError

# -- projects to begin with ----------------------------------------------------------------------------------


def generate_dummy_project(name: str, full: bool = False) -> Project:
    """A project that works at once on this machine: a local worker, everything in files.

    ``full`` adds an example of every other part, to be edited: a cluster, an execution configuration, the
    databases spelt out.
    """
    base_dir = os.path.join(get_settings().projects_folder, name)
    local = LocalWorker(scheduler_type="shell", work_dir=os.path.join(base_dir, "jobs"))
    if not full:
        return Project(name=name, workers={"local_shell": local})
    return Project(
        name=name,
        base_dir=base_dir,
        log_level="debug",
        workers={"local_shell": local, "example_worker": generate_dummy_worker()},
        exec_config={"example_config": generate_dummy_exec_config()},
        queue=QueueConfig(store={"type": EMBEDDED, "path": os.path.join(base_dir, "queue.db")}),
        jobstore=default_jobstore(base_dir),
        metadata={},
    )


def generate_dummy_worker(
    scheduler_type: str = "slurm", host_type: Literal["local", "remote"] = "remote"
) -> LocalWorker | RemoteWorker:
    """A worker to be edited."""
    values: dict[str, Any] = {
        "scheduler_type": scheduler_type,
        "work_dir": "/path/to/run/folder",
        "timeout_execute": 60,
        "pre_run": "source /path/to/python/environment/activate",
    }
    if host_type == "local":
        return LocalWorker(**values)
    if host_type != "remote":
        raise ConfigError(f"an example of a worker can be local or remote, not {host_type!r}")
    return RemoteWorker(**values, host="remote.host.net", user="username")


def generate_dummy_jobstore() -> dict[str, Any]:
    """An output store in MongoDB, to be edited."""
    server = {"host": "host.mongodb.com", "port": 27017, "username": "username", "password": "password"}
    return {
        "docs_store": {"type": "MongoStore", "database": "db_name", **server, "collection_name": "outputs"},
        "additional_stores": {
            "data": {
                "type": "GridFSStore",
                "database": "db_name",
                **server,
                "collection_name": "outputs_blobs",
            }
        },
    }


def generate_dummy_queue() -> dict[str, Any]:
    """A queue database in MongoDB, to be edited."""
    return {
        "type": "MongoStore",
        "host": "localhost",
        "database": "db_name",
        "username": "username",
        "password": "password",
        "collection_name": "jobs",
    }


def generate_dummy_exec_config() -> ExecutionConfig:
    """An execution configuration to be edited."""
    return ExecutionConfig(
        modules=["GCC/10.2.0", "OpenMPI/4.0.5-GCC-10.2.0"],
        export={"PATH": "/path/to/binaries:$PATH"},
        pre_run="conda activate env_name",
    )


# -- does it work? -------------------------------------------------------------------------------------------


def check_worker(
    worker: WorkerBase, full_check: bool = False, *, with_traceback: bool = False
) -> tuple[str | None, str | None]:
    """Whether jobs can run on a worker: (errors, warnings), each None if there is nothing to say.

    ``full_check`` compares all installed packages of the worker with ours.
    """
    from jobflow_remote.control.checks import worker as checks
    from jobflow_remote.control.checks.findings import Level, Report

    options = checks.CheckOptions(all_packages=full_check)
    report = Report("worker", tuple(asyncio.run(checks.check_worker(worker, options=options))))
    traces = [each.traceback for each in report.findings if each.traceback]
    if with_traceback and traces:
        return "\n".join(traces), report.describe(Level.WARNING)
    return report.describe(Level.ERROR), report.describe(Level.WARNING)


def check_queue_store(store: Any, *, with_traceback: bool = False) -> str | None:
    """What is wrong with a queue database (None: nothing).

    ``store``: a QueueSpec, the content of ``queue.store``, or a maggma store.
    """
    if isinstance(store, Mapping):
        store = queue_spec(store, os.getcwd())
    try:
        if isinstance(store, QueueSpec):
            _open_queue(store)
        else:
            store.connect()
            store.count({})
    except Exception as exc:  # noqa: BLE001 - whatever a database's library raises is the answer
        return _tell(exc, with_traceback)
    return None


def _open_queue(spec: QueueSpec) -> None:
    from jobflow_remote.queuedb import open_queue_database

    queue = open_queue_database(spec)
    try:
        queue.count_jobs({})
        queue.get_session()
    finally:
        queue.close()


def check_jobstore(jobstore: Any, *, with_traceback: bool = False) -> str | None:
    """What is wrong with an output store (None: nothing)."""
    try:
        jobstore.connect()
        jobstore.query_one({}, {"uuid": 1})
    except Exception as exc:  # noqa: BLE001 - whatever a store raises is the answer
        return _tell(exc, with_traceback)
    finally:
        _close_quietly(jobstore)
    return None


def _close_quietly(jobstore: Any) -> None:
    try:
        jobstore.close()
    except Exception:  # noqa: BLE001, S110 - it was opened to look at it, and that is over
        pass


def _tell(exc: BaseException, with_traceback: bool = False) -> str:
    if with_traceback:
        return "".join(traceback.format_exception(exc)).rstrip()
    hint = getattr(exc, "hint", None)
    text = str(exc).strip() or type(exc).__name__
    if not isinstance(exc, JobflowRemoteError):
        text = f"{type(exc).__name__}: {text}"
    return f"{text} ({hint})" if hint else text


# -- do projects get in each other's way? --------------------------------------------------------------------


@dataclass(frozen=True)
class ConflictIssue:
    """Something that several projects claim for themselves."""

    kind: str
    """``jobs_handle_dir``, ``queue_collection`` or ``directory``."""
    message: str
    projects: list[str]


def check_projects_conflicts(projects: Iterable[Project] | Mapping[str, Project]) -> list[ConflictIssue]:
    """What several projects use, and only one of them can."""
    members = list(projects.values() if isinstance(projects, Mapping) else projects)
    claims: dict[tuple[str, str], list[str]] = {}
    for project in members:
        for claim in dict.fromkeys(_claims(project)):
            claims.setdefault(claim, []).append(project.name)
    return [
        ConflictIssue(kind, f"{_CONFLICTS[kind]} {what} is used by the projects {', '.join(names)}", names)
        for (kind, what), names in claims.items()
        if len(names) > 1
    ]


_CONFLICTS = {
    "jobs_handle_dir": "jobs_handle_dir",
    "queue_collection": "the queue database",
    "directory": "the folder",
}


def _claims(project: Project) -> Iterable[tuple[str, str]]:
    for worker in project.workers.values():
        if worker.batch is not None:
            host = host_key(worker)[0] or "this machine"
            yield "jobs_handle_dir", f"{os.path.normpath(worker.batch.jobs_handle_dir)} on {host}"
    yield "queue_collection", _queue_identity(project.queue_spec())
    for folder in (project.base_dir, project.tmp_dir, project.log_dir, project.daemon_dir):
        yield "directory", os.path.realpath(folder)


def _queue_identity(spec: QueueSpec) -> str:
    return _store_identity(spec.kind, spec.options)


def _store_identity(kind: str, options: Mapping[str, Any]) -> str:
    """Two descriptions of the same collection have the same identity, as far as that can be told from them."""
    if kind == EMBEDDED:
        return os.path.realpath(str(options["path"]))
    if "uri" in options:
        server = str(options["uri"]).split("://", 1)[-1].rsplit("@", 1)[-1]
    else:
        server = f"{options.get('host') or 'localhost'}:{options.get('port') or 27017}"
    return f"{server}/{options.get('database')}/{options.get('collection_name')}"


def outputs_are_in_queue(project: Project) -> bool:
    """Whether the outputs would be stored in the very collection of the jobs."""
    jobstore = project.jobstore_spec()
    docs_store = (jobstore or {}).get("docs_store")
    if docs_store is None:
        return False
    kind = str(docs_store.get("type") or docs_store.get("@class"))
    return _store_identity(kind, docs_store) == _queue_identity(project.queue_spec())
