"""The queue of a project for scripts and notebooks, with the names of jobflow-remote 1.0.1.

No rule of its own: each method says what is meant to the queue database or a function of
:mod:`jobflow_remote.control`, and gives back the models of :mod:`jobflow_remote.jobs.data`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.project import Project
from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.control import admin, backup, inspect
from jobflow_remote.control.submit import submit_with
from jobflow_remote.control.trends import get_trends
from jobflow_remote.errors import CapabilityMissingError, ConfigError, NotFoundError
from jobflow_remote.jobs import querying
from jobflow_remote.jobs.acting import Actions
from jobflow_remote.jobs.batching import Batches
from jobflow_remote.jobs.data import (
    DbCollection,
    FlowInfo,
    JobDoc,
    JobInfo,
    projection_flow_info_jobs,
    projection_job_info,
)
from jobflow_remote.jobs.display import FlowList, JobList
from jobflow_remote.jobs.querying import Raw, get_flow_leafs
from jobflow_remote.jobs.upkeep import Upkeep
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.outputs.jobstore import OutputStore
from jobflow_remote.queuedb import open_queue_database
from jobflow_remote.queuedb.port import BackupOptions, QueueDatabase
from jobflow_remote.services.opened import Services
from jobflow_remote.services.pings import add_ping, get_pings, remove_pings

__all__ = ["JobController", "get_flow_leafs"]

JobIds = tuple[str, int] | list[tuple[str, int]]
Texts = str | list[str]
Sort = list[tuple[str, int]]


class JobController(Actions, Upkeep, Batches):
    """Ask for jobs, flows and outputs of a project, and put flows into its queue.

    ``JobController.from_project_name()`` is the usual way to get one. Close it when it is no longer needed; it is a
    context manager too.

    Parameters
    ----------
    queue_store
        The queue database: an opened one, or its description.
    jobstore
        The output store, a jobflow JobStore.
    project
        The project, for what needs its workers.
    optional_jobstores
        Further output stores by name.
    """

    def __init__(
        self,
        queue_store: Any,
        jobstore: Any,
        flows_collection: str = "flows",
        auxiliary_collection: str = "jf_auxiliary",
        batches_collection: str = "batches",
        project: Project | None = None,
        optional_jobstores: dict[str, Any] | None = None,
    ) -> None:
        self.queue = _opened(queue_store)
        self.queue_store = queue_store
        self.flows_collection = flows_collection
        self.auxiliary_collection = auxiliary_collection
        self.batches_collection = batches_collection
        self.project = project
        self.optional_jobstores = dict(optional_jobstores or {})
        self._jobstore = jobstore
        self._services: Services | None = None

    @classmethod
    def from_project_name(cls, project_name: str | None = None) -> Self:
        """The controller of a project, by its name; None: the selected project.

        Examples
        --------
        >>> with JobController.from_project_name("mine") as controller:
        ...     controller.count_jobs()
        5
        """
        from jobflow_remote.config.manager import ConfigManager

        return cls.from_project(ConfigManager().get_project(project_name))

    @classmethod
    def from_project(cls, project: Project) -> Self:
        """The controller of a project. The output stores are opened when they are needed.

        Examples
        --------
        >>> project = ConfigManager().get_project("mine")
        >>> with JobController.from_project(project) as controller:
        ...     controller.count_flows()
        3
        """
        services = services_of(project)
        controller = cls(services.queue, None, project=project)
        controller._services = services
        return controller

    def close(self) -> None:
        """Close the stores and the database; may be called twice.

        Examples
        --------
        >>> jc.close()
        """
        if self._services is not None:
            self._services.close()
        self.queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what was opened -----------------------------------------------------------------------------

    @property
    def jobstore(self) -> Any:
        """The output store as a jobflow JobStore, connected."""
        return self._jobstore if self._services is None else self._open_outputs(None).jobstore

    @property
    def queue_supports_transactions(self) -> bool:
        """Whether changes to several documents are one: always true of what this package writes."""
        return True

    @property
    def db(self) -> Any:
        """The MongoDB database, where the queue is in one."""
        if "collections" in self.queue.capabilities:
            return self.jobs.database
        raise self._no_collection("db")

    @property
    def jobs(self) -> Any:
        """The collection of the jobs, where the queue is in MongoDB."""
        return self.get_collection(DbCollection.JOBS)

    @property
    def flows(self) -> Any:
        """The collection of the flows, where the queue is in MongoDB."""
        return self.get_collection(DbCollection.FLOWS)

    @property
    def auxiliary(self) -> Any:
        """The collection of auxiliary documents, where the queue is in MongoDB."""
        return self.get_collection(DbCollection.AUX)

    def get_collection(self, collection: DbCollection) -> Any:
        """A collection of MongoDB.

        Raises
        ------
        CapabilityMissingError
            If the queue is in another database.

        Examples
        --------
        >>> jc.get_collection(DbCollection.JOBS)
        Traceback (most recent call last):
        jobflow_remote.errors.CapabilityMissingError: the queue is ...
        """
        if "collections" in self.queue.capabilities:
            name = "auxiliary" if collection is DbCollection.AUX else collection.value
            return getattr(self.queue, name)
        raise self._no_collection(collection.value)

    def _no_collection(self, name: str) -> CapabilityMissingError:
        return CapabilityMissingError(
            f"the queue is a {self.queue.describe()}, which has no collection `{name}` of MongoDB",
            hint="get_jobs(query), get_jobs_info(…) and get_flows_info(…) work on every queue database",
        )

    def _open_outputs(self, name: str | None) -> OutputStore:
        if self._services is not None:
            return self._services.outputs(name)
        store = self._jobstore if name is None else self.optional_jobstores[name]
        return OutputStore(store)

    # -- jobs ----------------------------------------------------------------------------------------

    def _job_filter(self, **criteria: Any) -> Raw:
        return querying.job_selection(self.queue, **criteria).to_filter()

    @staticmethod
    def generate_job_id_query(
        db_id: str | None = None, job_id: str | None = None, job_index: int | None = None
    ) -> tuple[Raw, Sort | None]:
        """Filter and order that find one job.

        Examples
        --------
        >>> jc.generate_job_id_query(db_id="2")
        ({'db_id': '2'}, None)
        """
        return querying.job_id_query(db_id, job_id, job_index)

    def get_jobs_info_query(self, query: dict[str, Any] | None = None, **kwargs: Any) -> list[JobInfo]:
        """Jobs that match a Mongo filter; further arguments are those of pymongo's ``find``.

        Examples
        --------
        >>> [job.db_id for job in jc.get_jobs_info_query({"state": "COMPLETED"}, sort=[("db_id", -1)])]
        ['2', '1']
        """
        kwargs["projection"] = projection_job_info
        found = querying.find_jobs(self.queue, query, with_inputs=False, **kwargs)
        return JobList(JobInfo.from_query_output(document) for document in found)

    def get_jobs_info(
        self,
        custom_query: dict[str, Any] | None = None,
        job_ids: JobIds | None = None,
        db_ids: Texts | None = None,
        flow_ids: Texts | None = None,
        states: JobState | list[JobState] | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        workers: Texts | None = None,
        locked: bool = False,
        sort: Sort | None = None,
        limit: int = 0,
        skip: int = 0,
    ) -> list[JobInfo]:
        """Jobs for which all criteria hold, without their inputs.

        Examples
        --------
        >>> [job.name for job in jc.get_jobs_info(states=JobState.COMPLETED, workers="local_shell")]
        ['add', 'add']
        >>> jc.get_jobs_info(db_ids=["1", "3"], sort=[("db_id", 1)])[1].state
        <JobState.FAILED: 'FAILED'>
        """
        query = self._job_filter(
            custom_query=custom_query, job_ids=job_ids, db_ids=db_ids, flow_ids=flow_ids, states=states,
            start_date=start_date, end_date=end_date, name=name, metadata=metadata, workers=workers, locked=locked,
        )  # fmt: skip
        return self.get_jobs_info_query(query, sort=sort, limit=limit, skip=skip)

    def get_jobs_doc_query(self, query: dict[str, Any] | None = None, **kwargs: Any) -> list[JobDoc]:
        """Jobs that match a Mongo filter, with their inputs.

        Examples
        --------
        >>> (document,) = jc.get_jobs_doc_query({"db_id": "1"})
        >>> document.job.function_args
        [1, 2]
        """
        kwargs.pop("projection", None)
        return [
            JobDoc.model_validate(document) for document in querying.find_jobs(self.queue, query, **kwargs)
        ]

    def get_jobs_doc(
        self,
        custom_query: dict[str, Any] | None = None,
        job_ids: JobIds | None = None,
        db_ids: Texts | None = None,
        flow_ids: Texts | None = None,
        states: JobState | list[JobState] | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        workers: Texts | None = None,
        locked: bool = False,
        sort: Sort | None = None,
        limit: int = 0,
        skip: int = 0,
    ) -> list[JobDoc]:
        """Jobs for which all criteria hold, with their inputs as jobflow Jobs.

        Examples
        --------
        >>> [document.job.name for document in jc.get_jobs_doc(states=JobState.FAILED)]
        ['always_fails']
        """
        query = self._job_filter(
            custom_query=custom_query, job_ids=job_ids, db_ids=db_ids, flow_ids=flow_ids, states=states,
            start_date=start_date, end_date=end_date, name=name, metadata=metadata, workers=workers, locked=locked,
        )  # fmt: skip
        return self.get_jobs_doc_query(query, sort=sort, limit=limit, skip=skip)

    def _find_one(self, query: Raw, sort: Any, **options: Any) -> Raw | None:
        return next(iter(querying.find_jobs(self.queue, query, sort=sort, limit=1, **options)), None)

    def get_job_info(
        self, job_id: str | None = None, db_id: str | None = None, job_index: int | None = None
    ) -> JobInfo | None:
        """One job without its inputs; of several indexes the highest.

        Examples
        --------
        >>> jc.get_job_info(db_id="2").state
        <JobState.COMPLETED: 'COMPLETED'>
        >>> jc.get_job_info(db_id="99") is None
        True
        """
        query, sort = querying.job_id_query(db_id, job_id, job_index)
        found = self._find_one(query, sort, projection=projection_job_info, with_inputs=False)
        return JobInfo.from_query_output(found) if found else None

    def get_job_doc(
        self, job_id: str | None = None, db_id: str | None = None, job_index: int | None = None
    ) -> JobDoc | None:
        """One job with its inputs; of several indexes the highest.

        Examples
        --------
        >>> jc.get_job_doc(db_id="1").job.function_args
        [1, 2]
        """
        query, sort = querying.job_id_query(db_id, job_id, job_index)
        found = self._find_one(query, sort)
        return JobDoc.model_validate(found) if found else None

    def get_job_info_by_pid(self, pid: int | str) -> JobInfo | None:
        """The job to which the scheduler gave this id.

        Examples
        --------
        >>> process_id = jc.get_job_info(db_id="1").remote.process_id
        >>> jc.get_job_info_by_pid(process_id).db_id
        '1'
        """
        query = {"remote.process_id": str(pid)}
        found = self._find_one(query, [("db_id", -1)], projection=projection_job_info, with_inputs=False)
        return JobInfo.from_query_output(found) if found else None

    def get_job_info_by_job_uuid(
        self,
        job_uuid: str,
        job_index: int | str = "last",
        projection: list[str] | dict[str, Any] | None = None,
    ) -> Raw | None:
        """The document of one job, as it is stored.

        Examples
        --------
        >>> uuid = jc.get_job_info(db_id="1").uuid
        >>> jc.get_job_info_by_job_uuid(uuid, projection=["state"])["state"]
        'COMPLETED'
        """
        if isinstance(job_index, str) and job_index != "last":
            raise ValueError(f'job_index is a number or "last", not {job_index!r}')
        index = None if isinstance(job_index, str) else job_index
        query, sort = querying.job_id_query(None, job_uuid, index)
        return self._find_one(query, sort, projection=projection)

    def get_jobs(
        self, query: dict[str, Any] | None = None, projection: list[str] | dict[str, Any] | None = None
    ) -> list[Raw]:
        """Documents that match a Mongo filter, as they are stored.

        Examples
        --------
        >>> jc.get_jobs({"job.name": "always_fails"}, projection=["db_id", "priority"])
        [{'db_id': '3', 'priority': 0}]
        """
        return querying.find_jobs(self.queue, query, projection=projection)

    def get_jobs_info_by_flow_uuid(
        self, flow_uuid: str, projection: list[str] | dict[str, Any] | None = None
    ) -> list[Raw]:
        """Documents of the jobs of a flow, as they are stored.

        Examples
        --------
        >>> (flow,) = jc.get_flows_info(name="sums")
        >>> sorted(job["db_id"] for job in jc.get_jobs_info_by_flow_uuid(flow.flow_id))
        ['1', '2']
        """
        return querying.find_jobs(self.queue, {"flow_uuid": flow_uuid}, projection=projection)

    def get_job_output(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        load: bool = False,
    ) -> Any:
        """Output of a job; ``load``: with the data of additional stores.

        Raises
        ------
        ValueError
            If there is no such job or output.

        Examples
        --------
        >>> jc.get_job_output(db_id="2")
        6
        """
        query, sort = querying.job_id_query(db_id, job_id, job_index)
        found = self._find_one(query, sort, projection=["uuid", "index"])
        if found is None:
            raise NotFoundError(f"there is no job {db_id or job_id}")
        return inspect.get_job_output(
            self.queue, self._open_outputs, found["uuid"], found["index"], load=load
        )

    def count_jobs(
        self,
        query: dict[str, Any] | None = None,
        job_ids: JobIds | None = None,
        db_ids: Texts | None = None,
        flow_ids: Texts | None = None,
        states: JobState | list[JobState] | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        workers: Texts | None = None,
        locked: bool = False,
    ) -> int:
        """Number of jobs for which all criteria hold.

        Examples
        --------
        >>> jc.count_jobs(states=[JobState.READY, JobState.WAITING])
        2
        >>> jc.count_jobs({"priority": {"$gt": 0}})
        0
        """
        return self.queue.count_jobs(
            self._job_filter(
                custom_query=query, job_ids=job_ids, db_ids=db_ids, flow_ids=flow_ids, states=states,
                start_date=start_date, end_date=end_date, name=name, metadata=metadata, workers=workers,
                locked=locked,
            )
        )  # fmt: skip

    def count_jobs_states(self, states: list[JobState], worker: str | None = None) -> dict[JobState, int]:
        """State → number of jobs, zeros included.

        Examples
        --------
        >>> jc.count_jobs_states([JobState.COMPLETED, JobState.RUNNING])
        {<JobState.COMPLETED: 'COMPLETED'>: 2, <JobState.RUNNING: 'RUNNING'>: 0}
        """
        found = self.queue.count_job_states(worker=worker)
        return {state: found.get(state.value, 0) for state in states}

    # -- flows ---------------------------------------------------------------------------------------

    @staticmethod
    def generate_flow_id_query(
        db_id: str | None = None, job_id: str | None = None, flow_id: str | None = None
    ) -> Raw:
        """Filter that finds one flow.

        Examples
        --------
        >>> jc.generate_flow_id_query(flow_id="0bcfe83a-501d-41ee-b3ca-d738e14fbf05")
        {'uuid': '0bcfe83a-501d-41ee-b3ca-d738e14fbf05'}
        """
        return querying.flow_id_query(db_id, job_id, flow_id)

    def get_flows_info(
        self,
        job_ids: Texts | None = None,
        db_ids: Texts | None = None,
        flow_ids: Texts | None = None,
        states: FlowState | list[FlowState] | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        locked: bool = False,
        sort: Sort | None = None,
        limit: int = 0,
        skip: int = 0,
        jobs_sort: Sort | None = None,
        with_jobs_info: bool | list[str] = False,
    ) -> list[FlowInfo]:
        """Flows for which all criteria hold; ``with_jobs_info``: with states, names and workers of their jobs.

        Examples
        --------
        >>> (flow,) = jc.get_flows_info(name="sums", with_jobs_info=True)
        >>> flow.state, flow.db_ids, flow.job_names
        (<FlowState.COMPLETED: 'COMPLETED'>, ['1', '2'], ['add', 'add'])
        """
        selection = querying.flow_selection(
            self.queue, job_ids=job_ids, db_ids=db_ids, flow_ids=flow_ids, states=states, start_date=start_date,
            end_date=end_date, name=name, metadata=metadata, locked=locked,
        )  # fmt: skip
        flows = querying.find_flows(self.queue, selection.to_filter(), sort=sort, limit=limit, skip=skip)
        if with_jobs_info:
            more = with_jobs_info if isinstance(with_jobs_info, list) else []
            self._add_jobs(
                flows, "jobs_list", [*projection_job_info, *projection_flow_info_jobs, *more], jobs_sort
            )
        return FlowList(FlowInfo.from_query_dict(flow) for flow in flows)

    def _add_jobs(self, flows: Sequence[Raw], key: str, fields: Any, sort: Sort | None = None) -> None:
        """Put the documents of its jobs into each flow."""
        by_flow: dict[str, list[Raw]] = {flow["uuid"]: [] for flow in flows}
        wanted, left_out = querying.take_fields(fields)
        if wanted is not None:
            wanted = list(dict.fromkeys([*wanted, "uuid", "index", "db_id", "flow_uuid"]))
        found = self.queue.find_jobs(
            {"flow_uuid": {"$in": list(by_flow)}},
            fields=wanted,
            sort=querying.to_sort(sort or [("db_id", 1)]),
        )
        for job in querying.without(found, left_out):
            by_flow[job["flow_uuid"]].append(job)
        for flow in flows:
            flow[key] = by_flow[flow["uuid"]]

    def get_flow_job_aggreg(
        self,
        query: dict[str, Any] | None = None,
        projection_flow: dict[str, Any] | list[str] | None = None,
        projection_job: dict[str, Any] | list[str] | None = None,
        sort: Sort | None = None,
        jobs_sort: Sort | None = None,
        limit: int = 0,
    ) -> list[Raw]:
        """Documents of flows with those of their jobs in ``jobs_list``.

        Examples
        --------
        >>> (flow,) = jc.get_flow_job_aggreg({"name": "sums"}, projection_job=["state"])
        >>> [job["state"] for job in flow["jobs_list"]]
        ['COMPLETED', 'COMPLETED']
        """
        flows = self._flows_with_uuid(query, projection_flow, sort, limit)
        self._add_jobs(flows, "jobs_list", projection_job, jobs_sort)
        return flows

    def get_flow_jobs_data(
        self,
        query: dict[str, Any] | None = None,
        projection: dict[str, Any] | list[str] | None = None,
        sort: Sort | None = None,
        limit: int = 0,
    ) -> list[Raw]:
        """Documents of flows with those of their jobs in ``jobs``.

        Examples
        --------
        >>> (flow,) = jc.get_flow_jobs_data({"name": "sums"})
        >>> [job["db_id"] for job in flow["jobs"]]
        ['1', '2']
        """
        flows = self._flows_with_uuid(query, projection, sort, limit)
        self._add_jobs(flows, "jobs", None)
        return flows

    def _flows_with_uuid(self, query: Any, projection: Any, sort: Any, limit: int) -> list[Raw]:
        fields, left_out = querying.take_fields(projection)
        wanted = None if fields is None else list(dict.fromkeys([*fields, "uuid"]))
        flows = querying.find_flows(self.queue, query, projection=wanted, sort=sort, limit=limit)
        return querying.without(flows, left_out)

    def get_flow_info_by_flow_uuid(
        self, flow_uuid: str, projection: list[str] | dict[str, Any] | None = None
    ) -> Raw | None:
        """The document of one flow, as it is stored.

        Examples
        --------
        >>> (flow,) = jc.get_flows_info(name="sums")
        >>> jc.get_flow_info_by_flow_uuid(flow.flow_id, ["state"])["state"]
        'COMPLETED'
        """
        return next(iter(querying.find_flows(self.queue, {"uuid": flow_uuid}, projection=projection)), None)

    def get_flow_info_by_job_uuid(
        self, job_uuid: str, projection: list[str] | dict[str, Any] | None = None
    ) -> Raw | None:
        """The document of the flow of a job, as it is stored.

        Examples
        --------
        >>> jc.get_flow_info_by_job_uuid(jc.get_job_info(db_id="1").uuid, ["name"])["name"]
        'sums'
        """
        job = self._find_one({"uuid": job_uuid}, None, projection=["flow_uuid"])
        return self.get_flow_info_by_flow_uuid(job["flow_uuid"], projection) if job else None

    def get_job_uuids(self, flow_uuids: list[str]) -> list[str]:
        """uuids of the jobs of some flows.

        Examples
        --------
        >>> (flow,) = jc.get_flows_info(name="sums")
        >>> jc.get_job_uuids([flow.flow_id]) == flow.job_ids
        True
        """
        query = {"flow_uuid": {"$in": list(flow_uuids)}}
        found = querying.find_jobs(self.queue, query, projection=["uuid"], sort=[("db_id", 1)])
        return list(dict.fromkeys(job["uuid"] for job in found))

    def get_flow_store(self, flow_id: str) -> str | None:
        """Name of the optional output store that a flow uses; None: the project's own.

        Raises
        ------
        ValueError
            If there is no such flow.

        Examples
        --------
        >>> (flow,) = jc.get_flows_info(name="sums")
        >>> jc.get_flow_store(flow.flow_id) is None
        True
        """
        name: str | None = inspect.flow_summary(self.queue, flow_id).get("jobstore")
        return name

    def count_flows(
        self,
        query: dict[str, Any] | None = None,
        job_ids: Texts | None = None,
        db_ids: Texts | None = None,
        flow_ids: Texts | None = None,
        states: FlowState | list[FlowState] | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        locked: bool = False,
    ) -> int:
        """Number of flows for which all criteria hold; ``query`` replaces them.

        Examples
        --------
        >>> jc.count_flows(states=FlowState.COMPLETED)
        1
        """
        if query is not None:
            return self.queue.count_flows(query)
        selection = querying.flow_selection(
            self.queue, job_ids=job_ids, db_ids=db_ids, flow_ids=flow_ids, states=states, start_date=start_date,
            end_date=end_date, name=name, metadata=metadata, locked=locked,
        )  # fmt: skip
        return self.queue.count_flows(selection.to_filter())

    def count_flows_states(self, states: list[FlowState]) -> dict[FlowState, int]:
        """State → number of flows, zeros included.

        Examples
        --------
        >>> jc.count_flows_states([FlowState.COMPLETED, FlowState.FAILED])
        {<FlowState.COMPLETED: 'COMPLETED'>: 1, <FlowState.FAILED: 'FAILED'>: 1}
        """
        found = self.queue.count_flow_states()
        return {state: found.get(state.value, 0) for state in states}

    def get_trends(
        self,
        states: list[JobState] | list[FlowState],
        interval: str = "days",
        num_intervals: int | None = None,
        interval_timezone: str = "UTC",
    ) -> dict[str, dict[str, int]]:
        """Label of an interval → state → how many jobs or flows came to it then.

        Examples
        --------
        >>> trends = jc.get_trends([JobState.COMPLETED], interval="days", num_intervals=1)
        >>> [sum(counts.values()) for counts in trends.values()]
        [2]
        """
        return get_trends(
            self.queue, states, interval=interval, num_intervals=num_intervals, zone=interval_timezone
        )

    # -- flows in, and the whole database ------------------------------------------------------------

    def _needs_project(self) -> Services:
        if self._services is None:
            raise ConfigError(
                "this needs the workers of a project", hint="use JobController.from_project_name(…)"
            )
        return self._services

    def add_flow(
        self,
        flow: Any,
        worker: str,
        allow_external_references: bool = False,
        exec_config: Any = None,
        resources: Any = None,
        priority: int = 0,
        jobstore: str | None = None,
    ) -> list[str]:
        """Put a flow into the queue; returns the ``db_id`` of its jobs. ``submit_flow`` is the usual way.

        Examples
        --------
        >>> jc.add_flow(Flow([add(1, 2)]), worker="local_shell")
        ['6']
        """
        return submit_with(
            self._needs_project(),
            flow,
            worker=worker,
            exec_config=exec_config,
            resources=resources,
            priority=priority,
            allow_external_references=allow_external_references,
            jobstore=jobstore,
        )

    def reset(self, reset_output: bool = False, max_limit: int = 25, validation: str | None = None) -> bool:
        """Remove all jobs and flows; returns whether it was done.

        It is not done where there are ``max_limit`` flows or more, unless ``validation`` is today's date. With
        ``reset_output`` the outputs of these jobs are removed too (and no others).

        Examples
        --------
        >>> jc.reset(max_limit=25)
        True
        >>> jc.count_jobs()
        0
        """
        services = self._needs_project()
        return admin.reset(
            services.daemon_dir,
            self.queue,
            open_outputs=self._open_outputs if reset_output else None,
            max_limit=max_limit,
            validation=validation,
        )

    def backup_dump(
        self,
        dir_path: str | Path = ".",
        mongo_bin_path: str | Path | None = None,
        compress: bool = False,
        python: bool = False,
    ) -> dict[str, int]:
        """Write a backup of the queue database; returns the number of documents by collection.

        ``python``: as BSON files, without ``mongodump`` (which is looked for in ``mongo_bin_path`` or the PATH).

        Examples
        --------
        >>> jc.backup_dump("backup", python=True)["jobs"]
        5
        """
        options = BackupOptions(compress, python, Path(mongo_bin_path) if mongo_bin_path else None)
        return backup.create_backup(self.queue, Path(dir_path), options, daemon_dir=self._daemon_dir())

    def backup_restore(
        self,
        dir_path: str | Path = ".",
        mongo_bin_path: str | Path | None = None,
        compress: bool | None = None,
        python: bool = False,
    ) -> dict[str, int]:
        """Put a backup into this queue database, which must be empty; returns the number of documents by collection.

        Whether the files are compressed is seen by their names.

        Examples
        --------
        >>> counts = jc.backup_dump("backup", python=True)
        >>> jc.reset()
        True
        >>> jc.backup_restore("backup", python=True)["jobs"]
        5
        """
        options = BackupOptions(bson=python, tools=Path(mongo_bin_path) if mongo_bin_path else None)
        return backup.restore_backup(self.queue, Path(dir_path), options, daemon_dir=self._daemon_dir())

    def _daemon_dir(self) -> Path | None:
        return None if self._services is None else self._services.daemon_dir

    def get_running_runner(self) -> Mapping[str, Any] | None:
        """Who works on the queue, where and since when; None: nobody.

        Examples
        --------
        >>> jc.get_running_runner() is None
        True
        """
        session = self.queue.get_session()
        if session is None:
            return None
        return {**session.owner, "start_time": session.started_on, "last_pinged": session.renewed_on}

    def clean_running_runner(self, break_lock: bool = False) -> None:
        """Forget the runner that is registered (an administrator's act).

        Examples
        --------
        >>> jc.clean_running_runner()
        """
        self.queue.clear_session()

    def ping_running_runner(self, data: Mapping[str, Any] | None = None) -> tuple[bool, list[dict[str, Any]]]:
        """Remember that a runner was at work (``data``: which one), for people.

        Returns whether a runner is registered, and the pings that were remembered before. It prolongs no lease: that is
        the heartbeat's business.

        Examples
        --------
        >>> jc.ping_running_runner()[0]
        False
        """
        known = add_ping(self.queue, data or {})
        return self.queue.get_session() is not None, known

    def get_runner_pings(self) -> list[dict[str, Any]]:
        """Which runners were at work and when, the oldest first; 50 at most.

        Examples
        --------
        >>> {ping["project_name"] for ping in jc.get_runner_pings()}
        {'mine'}
        """
        return get_pings(self.queue)

    def clean_runner_pings(self) -> None:
        """Forget which runners were at work.

        Examples
        --------
        >>> jc.clean_runner_pings()
        """
        remove_pings(self.queue)


def _opened(queue_store: Any) -> QueueDatabase:
    if isinstance(queue_store, QueueDatabase):
        return queue_store
    if isinstance(queue_store, QueueSpec):
        return open_queue_database(queue_store)
    raise CapabilityMissingError(
        f"a {type(queue_store).__name__} is no queue database",
        hint="use JobController.from_project_name(…), or pass what open_queue_database gives",
    )
