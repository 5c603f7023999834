"""The actions of the JobController, by the names of jobflow-remote 1.0.1, over :mod:`jobflow_remote.control`.

``wait`` and ``break_lock`` are accepted and mean nothing: a person wins over the runner, and nobody waits for locks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobflow_remote.control import act, flows, ids, removing
from jobflow_remote.control.runsettings import check_settings
from jobflow_remote.errors import CapabilityMissingError, NotAllowedError, NotFoundError
from jobflow_remote.jobs import querying
from jobflow_remote.jobs.data import JobInfo
from jobflow_remote.jobs.querying import Raw
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.services.opened import Services


class Actions:
    """What people do to jobs and flows. Single forms return the ``db_id``, plural ones those that were changed."""

    queue: QueueDatabase

    def _needs_project(self) -> Services:
        raise NotImplementedError

    # -- one job, several jobs -----------------------------------------------------------------------

    def _key(self, job_id: str | None, db_id: str | None, job_index: int | None) -> act.Key:
        if (job_id is None) == (db_id is None):
            raise ValueError("give either job_id or db_id")
        return ids.resolve_job(self.queue, str(db_id if job_id is None else job_id), job_index)

    def _one(
        self, decide: act.Decide, job_id: str | None, db_id: str | None, job_index: int | None
    ) -> act.JobOutcome:
        return act.act_on_job(self._needs_project(), self._key(job_id, db_id, job_index), decide)

    def _chosen(self, criteria: Mapping[str, Any]) -> list[act.Key]:
        query: Raw = querying.job_selection(self.queue, **criteria).to_filter()
        found = self.queue.find_jobs(query, fields=("uuid", "index"), sort=(("db_number", 1),))
        return [(job["uuid"], job["index"]) for job in found]

    def _many(self, decide: act.Decide, criteria: Mapping[str, Any], *, raise_on_error: bool) -> list[str]:
        changed: list[str] = []
        for outcome in act.act_on_jobs(
            self._needs_project(),
            self._chosen(criteria),
            decide,
            on_progress=_raise_refusal if raise_on_error else lambda outcome: None,
        ):
            changed += [db_id for db_id in outcome.changed if db_id not in changed]
        return changed

    def _settings(
        self,
        worker: str | None,
        exec_config: Any,
        resources: Any,
        priority: int | None,
        *,
        merge: bool = True,
    ) -> act.RunSettings:
        found = act.RunSettings(worker, _plain(exec_config), _plain(resources), priority, merge=merge)
        check_settings(self._needs_project().project, found)
        return found

    def rerun_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        force: bool = False,
        wait: int | None = None,
        break_lock: bool = False,
        delete_files: bool = True,
        *,
        descendants: bool | None = None,
        inputs: Mapping[str, Any] | None = None,
        worker: str | None = None,
        exec_config: Any = None,
        resources: Any = None,
        priority: int | None = None,
    ) -> list[str]:
        """Run a job again from the beginning; returns the ``db_id`` of all jobs that were changed.

        ``inputs`` are new arguments: a name, or the number of a positional one as text → value. ``descendants``:
        whether all that depends on the job runs again, or what refers to it only; by default all with ``force``.

        >>> jc.rerun_job(db_id="3", priority=1)
        ['3']
        """
        settings = self._settings(worker, exec_config, resources, priority)
        decide = act.run_again(
            force=force,
            descendants=descendants,
            keep_files=not delete_files,
            settings=settings,
            inputs=inputs,
        )
        return list(self._one(decide, job_id, db_id, job_index).changed)

    def rerun_jobs(
        self,
        *,
        raise_on_error: bool = True,
        force: bool = False,
        wait: int | None = None,
        break_lock: bool = False,
        delete_files: bool = True,
        descendants: bool | None = None,
        inputs: Mapping[str, Any] | None = None,
        worker: str | None = None,
        exec_config: Any = None,
        resources: Any = None,
        priority: int | None = None,
        **criteria: Any,
    ) -> list[str]:
        """Run jobs again; ``criteria`` are those of :meth:`get_jobs_info`, the rest as for :meth:`rerun_job`.

        >>> jc.rerun_jobs(states=JobState.FAILED)
        ['3']
        """
        settings = self._settings(worker, exec_config, resources, priority)
        decide = act.run_again(
            force=force,
            descendants=descendants,
            keep_files=not delete_files,
            settings=settings,
            inputs=inputs,
        )
        return self._many(decide, criteria, raise_on_error=raise_on_error)

    def retry_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        wait: int | None = None,
        break_lock: bool = False,
        *,
        worker: str | None = None,
        exec_config: Any = None,
        resources: Any = None,
        priority: int | None = None,
    ) -> str:
        """Try the failed step of a job again; how it runs may be changed if it was not submitted yet.

        >>> jc.set_job_state(JobState.SUBMITTED, db_id="4")
        '4'
        >>> jc.retry_job(db_id="4")
        '4'
        """
        settings = self._settings(worker, exec_config, resources, priority)
        return self._one(act.retry(settings=settings), job_id, db_id, job_index).db_id

    def retry_jobs(
        self,
        *,
        raise_on_error: bool = True,
        wait: int | None = None,
        break_lock: bool = False,
        worker: str | None = None,
        exec_config: Any = None,
        resources: Any = None,
        priority: int | None = None,
        **criteria: Any,
    ) -> list[str]:
        """Try the failed step of jobs again, as :meth:`retry_job` does.

        >>> jc.retry_jobs(states=JobState.REMOTE_ERROR)
        []
        """
        settings = self._settings(worker, exec_config, resources, priority)
        return self._many(act.retry(settings=settings), criteria, raise_on_error=raise_on_error)

    def pause_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        wait: int | None = None,
    ) -> str:
        """Hold a job back that has not begun.

        >>> jc.pause_job(db_id="4")
        '4'
        """
        return self._one(act.pause(), job_id, db_id, job_index).db_id

    def pause_jobs(
        self, *, raise_on_error: bool = True, wait: int | None = None, **criteria: Any
    ) -> list[str]:
        """Hold jobs back that have not begun.

        >>> jc.pause_jobs(states=[JobState.READY, JobState.WAITING])
        ['4', '5']
        """
        return self._many(act.pause(), criteria, raise_on_error=raise_on_error)

    def resume_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        wait: int | None = None,
        break_lock: bool = False,
    ) -> str:
        """Let a paused or stopped job go on.

        >>> jc.pause_job(db_id="4")
        '4'
        >>> jc.resume_job(db_id="4")
        '4'
        """
        return self._one(act.play(), job_id, db_id, job_index).db_id

    def resume_jobs(
        self,
        *,
        raise_on_error: bool = True,
        wait: int | None = None,
        break_lock: bool = False,
        **criteria: Any,
    ) -> list[str]:
        """Let paused and stopped jobs go on.

        >>> jc.pause_jobs(db_ids=["4", "5"])
        ['4', '5']
        >>> jc.resume_jobs(states=JobState.PAUSED)
        ['4', '5']
        """
        return self._many(act.play(), criteria, raise_on_error=raise_on_error)

    play_job, play_jobs = resume_job, resume_jobs

    def stop_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        wait: int | None = None,
        break_lock: bool = False,
    ) -> str:
        """Stop a job, also where it runs.

        >>> jc.stop_job(db_id="4")
        '4'
        """
        return self._one(act.stop(), job_id, db_id, job_index).db_id

    def stop_jobs(
        self,
        *,
        raise_on_error: bool = True,
        wait: int | None = None,
        break_lock: bool = False,
        **criteria: Any,
    ) -> list[str]:
        """Stop jobs, also where they run.

        >>> jc.stop_jobs(states=[JobState.READY, JobState.RUNNING])
        ['4']
        """
        return self._many(act.stop(), criteria, raise_on_error=raise_on_error)

    def set_job_state(
        self,
        state: JobState,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        wait: int | None = None,
        break_lock: bool = False,
    ) -> str:
        """Write the state of a job without any check.

        >>> jc.set_job_state(JobState.PAUSED, db_id="5")
        '5'
        """
        return self._one(act.set_state(state), job_id, db_id, job_index).db_id

    def set_jobs_state(
        self,
        state: JobState,
        *,
        raise_on_error: bool = True,
        wait: int | None = None,
        break_lock: bool = False,
        **criteria: Any,
    ) -> list[str]:
        """Write the state of jobs without any check.

        >>> jc.set_jobs_state(JobState.PAUSED, db_ids=["4", "5"])
        ['4', '5']
        """
        return self._many(act.set_state(state), criteria, raise_on_error=raise_on_error)

    def set_job_run_properties(
        self,
        worker: str | None = None,
        exec_config: Any = None,
        resources: Any = None,
        priority: int | None = None,
        update: bool = True,
        raise_on_error: bool = True,
        **criteria: Any,
    ) -> list[str]:
        """Set how jobs run; ``update`` keeps the keys of resources and exec_config that are not given.

        >>> jc.set_job_run_properties(priority=5, db_ids=["4"])
        ['4']
        """
        settings = self._settings(worker, exec_config, resources, priority, merge=update)
        return self._many(act.set_properties(settings), criteria, raise_on_error=raise_on_error)

    def set_job_doc_properties(
        self,
        values: Mapping[str, Any],
        db_id: str | None = None,
        job_id: str | None = None,
        job_index: int | None = None,
        wait: int | None = None,
        break_lock: bool = False,
        acceptable_states: Sequence[JobState] | None = None,
        use_pipeline: bool = False,
    ) -> str:
        """Write fields of a job's document (dotted paths) that nothing follows from.

        >>> jc.set_job_doc_properties({"stored_data": {"checked": True}}, db_id="2")
        '2'
        """
        if use_pipeline:
            raise CapabilityMissingError(
                "values that the database works out (use_pipeline) are not possible",
                hint="read the job, work them out, and write them",
            )
        return self._one(act.set_fields(values, states=acceptable_states), job_id, db_id, job_index).db_id

    def delete_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        delete_output: bool = False,
        delete_files: bool = False,
        wait: int | None = None,
        break_lock: bool = False,
    ) -> str:
        """Remove a job from its flow.

        >>> jc.delete_job(db_id="5")
        '5'
        """
        what = flows.Deletion(outputs=delete_output, files=delete_files)
        key = self._key(job_id, db_id, job_index)
        (outcome,) = removing.delete_jobs(self._needs_project(), [key], what).outcomes
        _raise_refusal(outcome)
        return outcome.db_id

    def delete_jobs(
        self,
        *,
        raise_on_error: bool = True,
        max_limit: int = 10,
        delete_output: bool = False,
        delete_files: bool = False,
        wait: int | None = None,
        break_lock: bool = False,
        **criteria: Any,
    ) -> list[str]:
        """Remove jobs from their flows; returns the ``db_id`` of those removed. ``max_limit`` 0: any number.

        >>> jc.delete_jobs(states=JobState.WAITING)
        ['5']
        """
        keys = self._chosen(criteria)
        if max_limit and len(keys) > max_limit:
            raise NotAllowedError(
                f"this would delete {len(keys)} jobs, and max_limit is {max_limit}", hint="raise max_limit"
            )
        refused: list[act.JobOutcome] = []
        done = removing.delete_jobs(
            self._needs_project(),
            (key for key in keys if not (raise_on_error and refused)),
            flows.Deletion(outputs=delete_output, files=delete_files),
            on_progress=lambda outcome: None if outcome.done else refused.append(outcome),
        )
        if raise_on_error and refused:
            _raise_refusal(refused[0])
        return done.deleted

    def safe_delete_files(self, jobs_info: Sequence[JobInfo]) -> list[JobInfo]:
        """Remove the run folders of jobs from their workers; returns the jobs whose folder was there and went.

        >>> jc.safe_delete_files(jc.get_jobs_info(states=JobState.READY))
        []
        """
        jobs = [{"worker": job.worker, "run_dir": job.run_dir} for job in jobs_info if job.run_dir]
        gone = set(flows.remove_folders(self._needs_project(), jobs))
        return [job for job in jobs_info if job.run_dir in gone]

    def unlock_jobs(self, **criteria: Any) -> int:
        """Take jobs from the runner that holds them; returns how many. Nobody needs it.

        >>> jc.unlock_jobs()
        0
        """
        keys = self._chosen({**criteria, "locked": True})
        return sum(outcome.done for outcome in act.act_on_jobs(self._needs_project(), keys, act.unlock()))

    # -- flows ---------------------------------------------------------------------------------------

    def set_flow_store(
        self,
        store: str | None,
        db_id: str | None = None,
        job_id: str | None = None,
        flow_id: str | None = None,
    ) -> None:
        """Set which of the ``optional_jobstores`` keeps the outputs of a flow that has not begun (None: its own).

        >>> jc.set_flow_store(None, db_id="4")
        """
        flows.set_store(self._needs_project(), self._flow(flow_id, job_id, db_id), store)

    def _flow(self, flow_id: str | None, job_id: str | None, db_id: str | None) -> str:
        given = [each for each in (flow_id, job_id, db_id) if each is not None]
        if len(given) != 1:
            raise ValueError("give one of flow_id, job_id and db_id")
        return ids.resolve_flow(self.queue, str(given[0]), is_job=flow_id is None)

    def resume_flow(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        flow_id: str | None = None,
        wait: int | None = None,
        break_lock: bool = False,
    ) -> int:
        """Let all paused and stopped jobs of a flow go on; returns how many.

        >>> jc.pause_job(db_id="4")
        '4'
        >>> jc.resume_flow(db_id="4")
        1
        """
        return flows.resume_flow(self._needs_project(), self._flow(flow_id, job_id, db_id))

    def delete_flow(
        self,
        flow_id: str,
        delete_output: bool = False,
        delete_files: bool = False,
        cancel_processes: bool = True,
        wait: int | None = None,
        break_lock: bool = False,
    ) -> bool:
        """Remove a flow with its jobs; False if there is none.

        >>> jc.delete_flow("4")
        True
        """
        try:
            uuid = ids.resolve_flow(self.queue, flow_id)
        except NotFoundError:
            return False
        what = flows.Deletion(outputs=delete_output, files=delete_files, cancel=cancel_processes)
        return bool(flows.delete_flows(self._needs_project(), [uuid], what).deleted)

    def delete_flows(
        self,
        flow_ids: str | Sequence[str] | None = None,
        max_limit: int = 10,
        delete_output: bool = False,
        delete_files: bool = False,
        cancel_processes: bool = True,
        wait: int | None = None,
        break_lock: bool = False,
        raise_on_error: bool = False,
    ) -> list[str]:
        """Remove flows with their jobs (None: all of them); returns the uuids. ``max_limit`` 0: any number.

        >>> (flow,) = jc.get_flows_info(db_ids=["4"])
        >>> jc.delete_flows([flow.flow_id]) == [flow.flow_id]
        True
        """
        query: Raw = {} if flow_ids is None else {"uuid": {"$in": querying.as_list(flow_ids)}}
        uuids = [flow["uuid"] for flow in self.queue.find_flows(query, fields=["uuid"])]
        if max_limit and len(uuids) > max_limit:
            raise NotAllowedError(
                f"this would delete {len(uuids)} flows, and max_limit is {max_limit}", hint="raise max_limit"
            )
        what = flows.Deletion(outputs=delete_output, files=delete_files, cancel=cancel_processes)
        return flows.delete_flows(self._needs_project(), uuids, what).deleted


def _raise_refusal(outcome: act.JobOutcome) -> None:
    if not outcome.done:
        raise NotAllowedError(outcome.refusal or "", hint=outcome.hint)


def _plain(value: Any) -> Any:
    """Objects of qtoolkit and of ours as the dictionaries that are stored."""
    for method in ("as_dict", "model_dump"):
        if hasattr(value, method):
            return getattr(value, method)()
    return value
