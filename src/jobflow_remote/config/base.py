"""The configuration models under the import path of jobflow-remote 1.0.1."""

from __future__ import annotations

from jobflow_remote.config.loglevel import LogLevel
from jobflow_remote.config.project import DEFAULT_JOBSTORE, ExecutionConfig, Project, QueueConfig
from jobflow_remote.config.runner_options import RunnerOptions
from jobflow_remote.config.workers import (
    BaseRemoteWorker,
    BatchConfig,
    ConnectionData,
    LocalWorker,
    RemoteWorker,
    SeparatedTransferWorker,
    WorkerBase,
    WorkerConfig,
)
from jobflow_remote.errors import ConfigError, ProjectParsingError, ProjectUndefinedError

__all__ = [
    "DEFAULT_JOBSTORE",
    "BaseRemoteWorker",
    "BatchConfig",
    "ConfigError",
    "ConnectionData",
    "ExecutionConfig",
    "LocalWorker",
    "LogLevel",
    "Project",
    "ProjectParsingError",
    "ProjectUndefinedError",
    "QueueConfig",
    "RemoteWorker",
    "RunnerOptions",
    "SeparatedTransferWorker",
    "WorkerBase",
    "WorkerConfig",
]
