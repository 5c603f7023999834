"""Results, for people: the project's JobStore as jobflow knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobflow_remote.errors import ConfigError

if TYPE_CHECKING:
    from jobflow import JobStore


def get_jobstore(project_name: str | None = None, jobstore_name: str | None = None) -> JobStore:
    """The JobStore of a project, not connected yet, or one of its ``optional_jobstores``.

    Parameters
    ----------
    project_name
        The project; by default the selected one.
    jobstore_name
        One of its ``optional_jobstores``; by default its own store.

    Raises
    ------
    ValueError
        If the project has no jobstore of that name.

    Examples
    --------
    >>> store = get_jobstore("mine")
    >>> store.connect()
    >>> store.query_one({"metadata.db_id": "2"}, ["output"])["output"]
    6
    """
    from jobflow_remote.bootstrap import make_jobstore
    from jobflow_remote.config.manager import ConfigManager

    project = ConfigManager().get_project(project_name)
    store = make_jobstore(project, jobstore_name)
    if store is None:
        raise ConfigError(f"project {project.name} keeps no outputs", hint="its `jobstore` is empty")
    return store
