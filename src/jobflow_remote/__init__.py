"""Run jobflow workflows on laptops and clusters: the public names, each loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobflow_remote.config.jobconfig import set_run_config
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.config.settings import JobflowRemoteSettings
    from jobflow_remote.jobs.jobcontroller import JobController
    from jobflow_remote.jobs.store import get_jobstore
    from jobflow_remote.jobs.submit import submit_flow

    SETTINGS: JobflowRemoteSettings
    __version__: str

__all__ = [
    "SETTINGS",
    "ConfigManager",
    "JobController",
    "JobflowRemoteSettings",
    "__version__",
    "get_jobstore",
    "set_run_config",
    "submit_flow",
]

_HOMES = {
    "ConfigManager": "jobflow_remote.config.manager",
    "JobController": "jobflow_remote.jobs.jobcontroller",
    "JobflowRemoteSettings": "jobflow_remote.config.settings",
    "get_jobstore": "jobflow_remote.jobs.store",
    "set_run_config": "jobflow_remote.config.jobconfig",
    "submit_flow": "jobflow_remote.jobs.submit",
}


def __getattr__(name: str) -> Any:
    if (
        name == "SETTINGS"
    ):  # not kept here: what a user assigns to this name is what `get_settings` then answers
        from jobflow_remote.config.settings import get_settings

        return get_settings()
    if name == "__version__":
        from importlib.metadata import version

        return version("jobflow-remote")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
