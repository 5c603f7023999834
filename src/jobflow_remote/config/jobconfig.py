"""Saying, in a flow, where and how its jobs run. jobflow is imported by those who have a flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from jobflow_remote.config.project import ExecutionConfig

if TYPE_CHECKING:
    from jobflow import Flow, Job, JobStore
    from qtoolkit.core.data_objects import QResources

_FlowOrJob = TypeVar("_FlowOrJob", bound="Flow | Job")


def set_run_config(
    flow_or_job: _FlowOrJob,
    name_filter: str | None = None,
    function_filter: Callable[..., Any] | None = None,
    exec_config: str | dict[str, Any] | ExecutionConfig | None = None,
    resources: dict[str, Any] | QResources | None = None,
    priority: int | None = None,
    worker: str | None = None,
    dynamic: bool = True,
    overwrite: bool = False,
) -> _FlowOrJob:
    """Set worker, resources, execution configuration or priority of (some of) the jobs of a flow.

    Parameters
    ----------
    flow_or_job
        Changed in place, and returned.
    name_filter
        Only jobs with this text in their name.
    function_filter
        Only jobs with this function.
    exec_config, resources, priority, worker
        What is not given stays as it is.
    dynamic
        Jobs that these jobs create while they run get the same.
    overwrite
        Forget everything else that was set for the jobs before.

    Examples
    --------
    >>> flow = Flow([add(1, 2)])
    >>> flow = set_run_config(flow, name_filter="add", worker="local_shell", resources={"ntasks": 4})
    >>> flow.jobs[0].config.manager_config["worker"]
    'local_shell'
    """
    given: dict[str, Any] = {
        "exec_config": _plain(exec_config) if exec_config else None,
        "resources": resources,  # an empty one says: none, whatever the worker's default
        "worker": worker or None,
        "priority": priority,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return flow_or_job
    if overwrite:
        config: dict[str, Any] = {"manager_config": given}
    else:
        config = {"_set": {f"manager_config->{name}": value for name, value in given.items()}}
    flow_or_job.update_config(
        config=config,
        name_filter=name_filter,
        function_filter=function_filter,
        dynamic=dynamic,
        dict_mod=not overwrite,
    )
    return flow_or_job


def _plain(exec_config: str | dict[str, Any] | ExecutionConfig) -> str | dict[str, Any]:
    # as data: the flow can then be read where our configuration is not installed
    if isinstance(exec_config, str | dict):
        return exec_config
    return exec_config.model_dump(mode="json", exclude_none=True)


def load_job_store(project: str | None = None) -> JobStore:
    """The JobStore of a project, not connected."""
    from jobflow_remote.config.manager import ConfigManager

    store: JobStore = ConfigManager().get_project(project).get_jobstore()
    return store
