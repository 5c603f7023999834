"""A project: workers, queue database, output store, options. Loading one opens nothing."""

from __future__ import annotations

import os
from typing import Any, Self, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator

from jobflow_remote.config.loglevel import LogLevel
from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.config.runner_options import RunnerOptions
from jobflow_remote.config.settings import get_settings
from jobflow_remote.config.stores import (
    check_jobstore,
    check_remote_jobstore,
    check_store,
    default_jobstore,
    queue_spec,
    resolve_jobstore,
)
from jobflow_remote.config.workers import BaseRemoteWorker, WorkerConfig, _Shown, host_key
from jobflow_remote.errors import CapabilityMissingError

Stores: TypeAlias = dict[str, dict[str, Any]]

DEFAULT_JOBSTORE: dict[str, Any] = {"docs_store": {"type": "MemoryStore"}}
"""Default of jobflow-remote 1.0.1, kept for its name: without ``jobstore`` outputs now go to files."""


class ExecutionConfig(_Shown):
    """Settings of the environment in which a job runs, under a name that jobs refer to."""

    modules: list[str] | None = None
    """Environment modules to load."""
    export: dict[str, Any] | None = None
    """Variables to export."""
    pre_run: str | None = None
    """Lines of shell before the job, after those of the worker."""
    post_run: str | None = None
    """Lines of shell after the job, after those of the worker."""


class QueueConfig(_Shown):
    """Which database holds the jobs. Nothing said: an embedded one in the project's folder."""

    store: dict[str, Any] = Field(default_factory=dict)
    """``type`` and options of the database; the collection of a MongoStore is that of the jobs."""
    flows_collection: str = "flows"
    """Collection of the flows (MongoDB)."""
    auxiliary_collection: str = "jf_auxiliary"
    """Collection of counters and the like (MongoDB)."""
    batches_collection: str = "batches"
    """Collection of the pilots of batch workers (MongoDB)."""
    db_id_prefix: str | None = None
    """Text before the number in the ids of jobs."""

    @field_validator("store")
    @classmethod
    def _check_store(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value:
            check_store(value, "store")
        return value


class Project(_Shown):
    """What is written in a project file."""

    name: str
    """Name of the project; the file need not be called so."""
    base_dir: str = Field(default="", validate_default=True)
    """Folder of the project; ``<projects folder>/<name>`` if not given."""
    tmp_dir: str = Field(default="", validate_default=True)
    """Folder for files on their way."""
    log_dir: str = Field(default="", validate_default=True)
    """Folder for logs."""
    daemon_dir: str = Field(default="", validate_default=True)
    """Folder for the files of the daemon."""
    log_level: LogLevel = LogLevel.INFO
    """How much the runner logs if it is not told otherwise."""
    runner: RunnerOptions = Field(default_factory=RunnerOptions)
    """How the runner works."""
    workers: dict[str, WorkerConfig] = Field(default_factory=dict)
    """Where jobs run, by name."""
    queue: QueueConfig = Field(default_factory=QueueConfig)
    """Which database holds the jobs; a file in ``base_dir`` if not given."""
    exec_config: dict[str, ExecutionConfig] = Field(default_factory=dict)
    """Environments in which jobs run, by name."""
    jobstore: dict[str, Any] = Field(default_factory=lambda data: default_jobstore(data["base_dir"]))
    """Where outputs go; files in ``base_dir`` if not given, nowhere if empty. JOB_STORE is its older name."""
    remote_jobstore: dict[str, Any] | None = None
    """Format of the files through which outputs come back from workers."""
    metadata: dict[str, Any] | None = None
    """Anything; not used by us."""
    optional_jobstores: Stores | None = Field(default_factory=dict)
    """Other output stores, which a flow can ask for by name."""

    @model_validator(mode="before")
    @classmethod
    def _rename_job_store(cls, data: Any) -> Any:
        if isinstance(data, dict) and "JOB_STORE" in data:
            if "jobstore" in data:
                raise ValueError("`jobstore` is given twice: JOB_STORE is an older name for it")
            data = {**data, "jobstore": data["JOB_STORE"]}
            del data["JOB_STORE"]
        return data

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not value or value in {".", ".."} or "/" in value or "\0" in value:
            raise ValueError(f"{value!r} cannot be the name of a project: it is also the name of a folder")
        return value

    @field_validator("base_dir", mode="before")
    @classmethod
    def _fill_base_dir(cls, value: Any, info: ValidationInfo) -> Any:
        return _folder(value, os.path.join(get_settings().projects_folder, info.data.get("name", "")))

    @field_validator("tmp_dir", "log_dir", "daemon_dir", mode="before")
    @classmethod
    def _fill_folder(cls, value: Any, info: ValidationInfo) -> Any:
        own_name = str(info.field_name).removesuffix("_dir")
        return _folder(value, os.path.join(info.data.get("base_dir", ""), own_name))

    @field_validator("jobstore", mode="before")
    @classmethod
    def _fill_jobstore(cls, value: Any, info: ValidationInfo) -> Any:
        return default_jobstore(info.data.get("base_dir", "")) if value is None else value

    @field_validator("jobstore")
    @classmethod
    def _check_jobstore(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value:
            check_jobstore(value)
        return value

    @field_validator("optional_jobstores")
    @classmethod
    def _check_optional_jobstores(cls, value: Stores | None) -> Stores | None:
        for name, jobstore in (value or {}).items():
            try:
                check_jobstore(jobstore)
            except ValueError as exc:
                raise ValueError(f"store `{name}` {exc}") from None
        return value

    @field_validator("remote_jobstore")
    @classmethod
    def _check_remote_jobstore(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            check_remote_jobstore(value)
        return value

    @model_validator(mode="after")
    def _check_handle_dirs(self) -> Self:
        taken: dict[tuple[object, str], str] = {}
        for name, worker in self.workers.items():
            if worker.batch is None:
                continue
            folder = os.path.normpath(worker.batch.jobs_handle_dir)
            other = taken.setdefault((host_key(worker), folder), name)
            if other != name:
                raise ValueError(
                    f"the batch workers {other} and {name} are on the same host and share their "
                    f"`jobs_handle_dir` {folder}: each needs one of its own"
                )
        return self

    @property
    def has_interactive_workers(self) -> bool:
        """Whether a login may ask the user something."""
        remote = (worker for worker in self.workers.values() if isinstance(worker, BaseRemoteWorker))
        return any(worker.interactive_login for worker in remote)

    def queue_spec(self) -> QueueSpec:
        """Which queue database, as plain data with absolute paths."""
        return queue_spec(
            self.queue.store,
            self.base_dir,
            flows_collection=self.queue.flows_collection,
            auxiliary_collection=self.queue.auxiliary_collection,
            batches_collection=self.queue.batches_collection,
            db_id_prefix=self.queue.db_id_prefix or "",
        )

    def jobstore_spec(self, name: str | None = None) -> dict[str, Any] | None:
        """The output store, or the optional one called ``name``, as plain data with absolute paths.

        None if the project keeps no outputs.

        Raises
        ------
        ValueError
            If no optional store has this name.
        """
        if not name:
            return resolve_jobstore(self.jobstore, self.base_dir) if self.jobstore else None
        optional = self.optional_jobstores or {}
        if name not in optional:
            known = ", ".join(optional) or "none is defined"
            raise ValueError(f"no optional job store is called {name!r} in project {self.name} ({known})")
        return resolve_jobstore(optional[name], self.base_dir)

    def additional_store_names(self, name: str | None = None) -> tuple[str, ...]:
        """Names of the additional stores (for blobs) of the output store, or of an optional one."""
        return tuple((self.jobstore_spec(name) or {}).get("additional_stores") or ())

    # What follows opens things when they are called: the one exception to the layers.

    def get_jobstore(self, name: str | None = None) -> Any:
        """The JobStore of the project, not connected; None if the project has none."""
        from jobflow_remote import bootstrap

        return bootstrap.make_jobstore(self, name)

    def get_queue_store(self) -> Any:
        """The collection of the jobs as a maggma store, which only a queue in MongoDB can be.

        Raises
        ------
        CapabilityMissingError
            If the queue database is another one.
        """
        if self.queue_spec().kind in ("MongoStore", "MongoURIStore"):
            from jobflow_remote import bootstrap

            return bootstrap.make_queue_store(self)
        raise CapabilityMissingError(
            f"the queue of project {self.name} is in {self.queue_spec().kind}, which is no maggma store",
            hint="get_job_controller() gives an object with get_jobs, get_jobs_info and the like",
        )

    def get_job_controller(self) -> Any:
        """The JobController of the project."""
        from jobflow_remote.jobs.jobcontroller import JobController

        return JobController.from_project(self)


def _folder(value: Any, default: str) -> Any:
    if value is None or value == "":
        return default
    if not isinstance(value, str | os.PathLike):
        return value  # the type is refused by pydantic, with its own words
    folder = os.path.expanduser(os.fspath(value))
    if not os.path.isabs(folder):
        raise ValueError(f"must be an absolute path (~ is understood), not {folder!r}")
    return folder
