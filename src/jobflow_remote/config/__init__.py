"""Configuration: settings of the user, project files, and what is in them. Loading a project opens nothing.

The names are loaded on first use, so that the listings of the command line can read a snapshot of the project
(:mod:`jobflow_remote.config.snapshot`) without paying for pydantic and the YAML reader.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobflow_remote.config.manager import ConfigManager, ProjectData
    from jobflow_remote.config.project import Project
    from jobflow_remote.config.runner_options import RunnerOptions
    from jobflow_remote.config.workers import LocalWorker, RemoteWorker
    from jobflow_remote.errors import ConfigError

__all__ = [
    "ConfigError",
    "ConfigManager",
    "LocalWorker",
    "Project",
    "ProjectData",
    "RemoteWorker",
    "RunnerOptions",
]

_HOMES = {
    "ConfigError": "jobflow_remote.errors",
    "ConfigManager": "jobflow_remote.config.manager",
    "LocalWorker": "jobflow_remote.config.workers",
    "Project": "jobflow_remote.config.project",
    "ProjectData": "jobflow_remote.config.manager",
    "RemoteWorker": "jobflow_remote.config.workers",
    "RunnerOptions": "jobflow_remote.config.runner_options",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
