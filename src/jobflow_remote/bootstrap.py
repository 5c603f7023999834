"""The one place that puts adapters together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobflow_remote.config.snapshot import ProjectSnapshot, load_snapshot
from jobflow_remote.errors import ConfigError
from jobflow_remote.queuedb import open_queue_database
from jobflow_remote.queuedb.port import QueueDatabase

if TYPE_CHECKING:
    from jobflow import JobStore
    from maggma.core import Store

    from jobflow_remote.config.project import Project
    from jobflow_remote.config.workers import WorkerBase
    from jobflow_remote.hosts.port import Host
    from jobflow_remote.outputs.jobstore import OutputStore
    from jobflow_remote.schedulers.port import Scheduler
    from jobflow_remote.services.opened import Services


def open_queue(project_name: str | None = None) -> tuple[ProjectSnapshot, QueueDatabase]:
    """The queue database of a project, without reading more of the project than listings need."""
    snapshot = load_snapshot(project_name)
    return snapshot, open_queue_database(snapshot.queue_spec)


def open_services(project_name: str | None = None) -> Services:
    """Everything that submitting, running and inspecting needs; adapters connect on first use.

    Raises
    ------
    ConfigError
        If the project cannot be found or read.
    """
    from jobflow_remote.config.manager import ConfigManager

    return services_of(ConfigManager().get_project(project_name))


def services_of(project: Project) -> Services:
    """Services for a project that has been read."""
    from jobflow_remote.services.opened import Services

    return Services(
        project=project,
        queue=open_queue_database(project.queue_spec()),
        make_host=make_host,
        make_scheduler=make_scheduler,
        make_outputs=make_outputs,
    )


def make_host(worker: WorkerBase) -> Host:
    """The host that a worker's configuration describes."""
    if worker.is_local:
        from jobflow_remote.hosts.local import LocalHost

        return LocalHost()
    from jobflow_remote.hosts.pool import POOL

    return POOL.host(worker)


def make_scheduler(worker: WorkerBase) -> Scheduler:
    """The scheduler that a worker's configuration names."""
    from jobflow_remote.schedulers.qtoolkit import make_scheduler as make
    from jobflow_remote.schedulers.qtoolkit import options_of

    return make(worker.scheduler_type, options_of(worker))


def make_outputs(project: Project, name: str | None = None) -> OutputStore:
    """The output store of a project (``name``: one of its ``optional_jobstores``)."""
    from jobflow_remote.outputs.jobstore import OutputStore

    spec = project.jobstore_spec(name)
    if spec is None:
        raise ConfigError(
            f"project {project.name} has an empty `jobstore`, so that outputs cannot be stored or read",
            hint="leave `jobstore` out to keep outputs in files in the folder of the project",
        )
    return OutputStore.from_spec(spec)


def make_queue_store(project: Project) -> Store:
    """The collection of the jobs as a maggma store, not connected; for scripts of jobflow-remote 1.0.1."""
    from jobflow_remote.outputs.jobstore import store_from_spec

    return store_from_spec(project.queue.store)


def make_jobstore(project: Project, name: str | None = None) -> JobStore | None:
    """The JobStore of a project (``name``: an optional one), not connected; None if it keeps no outputs."""
    from jobflow_remote.outputs.jobstore import jobstore_from_spec

    spec = project.jobstore_spec(name)
    return None if spec is None else jobstore_from_spec(spec)
