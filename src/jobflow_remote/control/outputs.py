"""Results, for people: the project's JobStore as jobflow knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobflow import JobStore


def get_jobstore(project_name: str | None = None, jobstore_name: str | None = None) -> JobStore:
    """The JobStore of a project, not connected yet, or one of its ``optional_jobstores``.

    Raises
    ------
    ValueError
        If the project has no jobstore of that name.
    """
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.outputs.jobstore import jobstore_from_spec

    project = ConfigManager().get_project(project_name)
    return jobstore_from_spec(project.jobstore_spec(jobstore_name))
