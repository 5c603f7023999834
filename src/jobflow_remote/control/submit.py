"""``submit_flow``: put a flow into the queue."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jobflow_remote.bootstrap import open_services
from jobflow_remote.control.runsettings import check_exec_config
from jobflow_remote.control.submitted import SubmittedFlow
from jobflow_remote.control.who import whoami
from jobflow_remote.errors import (
    ConfigError,
    JobflowRemoteError,
    NotFoundError,
    QueueDatabaseAwayError,
)
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide.submission import (
    GeneratedJob,
    RunProperties,
    decide_submission,
    run_properties,
)
from jobflow_remote.model.records import Document, NewFlow
from jobflow_remote.services.opened import Services

if TYPE_CHECKING:
    from jobflow import Flow, Job
    from qtoolkit.core.data_objects import QResources

    from jobflow_remote.config.base import ExecutionConfig


def submit_flow(
    flow: Flow | Job | list[Job],
    worker: str | None = None,
    project: str | None = None,
    exec_config: str | dict[str, Any] | ExecutionConfig | None = None,
    resources: dict[str, Any] | QResources | None = None,
    priority: int = 0,
    allow_external_references: bool = False,
    jobstore: str | None = None,
) -> SubmittedFlow:
    """Put a flow into the queue; the runner does the rest.

    Parameters
    ----------
    flow
        A Flow, a Job or a list of Jobs. Their functions must be importable on the worker.
    worker
        Name of the worker for jobs that do not name one themselves; by default the first of the project.
    project
        Name of the project; by default the selected one.
    exec_config
        Name of an execution configuration of the project, or one written out.
    resources
        What the scheduler is asked for: its own keywords, or a QResources.
    priority
        Jobs with a higher one start first.
    allow_external_references
        Whether jobs may refer to outputs of jobs outside of the flow.
    jobstore
        One of the project's ``optional_jobstores``, for the outputs of this flow.

    Returns
    -------
    SubmittedFlow
        The ``db_id`` of each job (a list of strings), in an order in which parents come first; with ``.wait()`` and
        ``.output()``.

    Raises
    ------
    ConfigError
        If the worker, exec_config or additional store is not in the project.
    ValueError
        If a job refers to one that is not in the flow, or the flow was submitted before.

    Examples
    --------
    >>> first = add(1, 2)
    >>> flow = Flow([first, add(first.output, 3)], name="sums")
    >>> submit_flow(flow, worker="local_shell", priority=5)
    ['6', '7']
    """
    with open_services(project) as services:
        return submit_with(
            services,
            flow,
            worker=worker,
            exec_config=exec_config,
            resources=resources,
            priority=priority,
            allow_external_references=allow_external_references,
            jobstore=jobstore,
        )


def submit_with(
    services: Services,
    flow: Flow | Job | list[Job],
    *,
    worker: str | None = None,
    exec_config: str | dict[str, Any] | ExecutionConfig | None = None,
    resources: dict[str, Any] | QResources | None = None,
    priority: int = 0,
    allow_external_references: bool = False,
    jobstore: str | None = None,
) -> SubmittedFlow:
    """:func:`submit_flow` with services that are open already."""
    from jobflow.core.flow import get_flow

    from jobflow_remote.execution.jobfields import flow_names

    defaults = RunProperties(
        worker=_worker(services, worker),
        exec_config=as_plain(exec_config),
        resources=as_plain(resources),
        priority=priority,
    )
    stores = store_names(services, jobstore)
    whole = get_flow(flow, allow_external_references=True)  # its own check serialises all jobs once more
    jobs = list(_serialise(whole))
    if not allow_external_references:
        _check_references(jobs)
    _check(services, jobs, defaults, stores)
    new = decide_submission(
        jobs,
        flow_uuid=whole.uuid,
        flow_name=whole.name,
        flow_metadata=dict(getattr(whole, "metadata", None) or {}),
        flow_names=flow_names(whole),
        defaults=defaults,
        now=utcnow(),
        who=whoami(),
        jobstore=jobstore,
    )
    db_ids = _insert(services, new)
    services.ring(["checkout"])
    return SubmittedFlow(
        db_ids,
        flow_uuid=whole.uuid,
        project=services.project.name,
        uuids=[new_job.job["uuid"] for new_job in jobs],
        result=whole.output,
    )


def _insert(services: Services, new: NewFlow) -> list[str]:
    try:
        return services.queue.insert_flow(new)
    except QueueDatabaseAwayError as error:
        raise QueueDatabaseAwayError(
            f"the flow was not submitted: {error.message}",
            hint="it is stored as a whole or not at all; if the answer was lost on the way, submitting the same "
            "flow object again says so",
        ) from error


def as_plain(value: Any) -> Any:
    """A QResources, ExecutionConfig or the like as a dictionary; strings, dictionaries and None as they are."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    raise ConfigError(f"expected a name or a dictionary, not {type(value).__name__}: {value!r}")


def _worker(services: Services, name: str | None) -> str:
    if name is None:
        if not services.project.workers:
            raise ConfigError(
                f"project {services.project.name} has no workers",
                hint="add one under `workers:` in the project file",
            )
        return str(next(iter(services.project.workers)))
    services.worker(name)
    return name


def store_names(services: Services, jobstore: str | None) -> set[str]:
    """Additional stores of one of the ``optional_jobstores`` (None: of the project's own store).

    Raises
    ------
    NotFoundError
        If the project has no such store.
    """
    if jobstore is not None and jobstore not in (services.project.optional_jobstores or {}):
        raise NotFoundError(
            f"project {services.project.name} has no jobstore {jobstore!r}",
            hint=f"its optional_jobstores: {', '.join(services.project.optional_jobstores or {}) or 'none'}",
        )
    return set(services.project.additional_store_names(jobstore))


def _serialise(flow: Flow) -> Iterator[GeneratedJob]:
    """Each job as a dictionary with its parents, parents first."""
    from jobflow_remote.execution.jobfields import serialise_job

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some jobs are not connected")  # they need not be
        ordered = list(flow.iterflow())
    for job, parents in ordered:
        try:
            yield GeneratedJob(serialise_job(job), tuple(parents))
        except Exception as error:
            raise JobflowRemoteError(
                f"the inputs of job {job.name!r} ({job.uuid}) cannot be stored: {type(error).__name__}: {error}",
                hint="arguments must be JSON types or objects with as_dict/from_dict (MSONable)",
            ) from error


def _check(services: Services, jobs: list[GeneratedJob], defaults: RunProperties, stores: set[str]) -> None:
    """Refuse what could never run, before anything is stored."""
    from jobflow_remote.execution.jobfields import stores_used

    missing: set[str] = set()
    for new in jobs:
        properties = run_properties(new.job, defaults)
        if properties.worker not in services.project.workers:
            services.worker(properties.worker)
        if isinstance(properties.exec_config, str):
            check_exec_config(services.project, properties.exec_config)
        _check_function(new.job)
        missing |= stores_used(new.job) - stores
    if missing:
        raise ConfigError(
            f"additional stores that the output store does not have: {', '.join(sorted(missing))}",
            hint=f"it has {', '.join(sorted(stores)) or 'none'}; add them under jobstore.additional_stores",
        )


def _check_references(jobs: list[GeneratedJob]) -> None:
    """Refuse jobs that refer to jobs outside of the flow."""
    from jobflow_remote.outputs.references import referred_uuids

    known = {new.job["uuid"] for new in jobs}
    for new in jobs:
        missing = sorted(referred_uuids(new.job) - known)
        if missing:
            raise NotFoundError(
                f"job {new.job['name']!r} ({new.job['uuid']}) refers to outputs of jobs that are not in the flow: "
                f"{', '.join(missing)}",
                hint="add them to the flow, or pass allow_external_references=True if they were submitted before",
            )


def _check_function(job: Document) -> None:
    function = job.get("function") or {}
    bound = function.get("@bound") if isinstance(function, Mapping) else None
    module = str((bound or {}).get("@module") or function.get("@module") or "")
    if module == "__main__":
        raise JobflowRemoteError(
            f"the function of job {job.get('name')!r} is defined in __main__ (a script or notebook), "
            "so that a worker cannot import it",
            hint="move the function to a module that is installed where the job runs, and import it from there",
        )
