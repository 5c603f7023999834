"""The actions of the JobController, by the names of jobflow-remote 1.0.1, over :mod:`jobflow_remote.control`.

``wait`` and ``break_lock`` are accepted and mean nothing: a person wins over the runner, and nobody waits for locks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobflow_remote.control import act, flows, ids
from jobflow_remote.errors import NotAllowedError, NotFoundError
from jobflow_remote.jobs import querying
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

    def _many(self, decide: act.Decide, criteria: Mapping[str, Any], *, raise_on_error: bool) -> list[str]:
        query: Raw = querying.job_selection(self.queue, **criteria).to_filter()
        found = self.queue.find_jobs(query, fields=("uuid", "index"), sort=(("db_number", 1),))
        changed: list[str] = []
        for outcome in act.act_on_jobs(
            self._needs_project(),
            [(job["uuid"], job["index"]) for job in found],
            decide,
            on_progress=_raise_refusal if raise_on_error else lambda outcome: None,
        ):
            changed += [db_id for db_id in outcome.changed if db_id not in changed]
        return changed

    def rerun_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        force: bool = False,
        wait: int | None = None,
        break_lock: bool = False,
        delete_files: bool = True,
    ) -> list[str]:
        """Run a job again from the beginning; returns the ``db_id`` of all jobs that were changed."""
        decide = act.run_again(force=force, keep_files=not delete_files)
        return list(self._one(decide, job_id, db_id, job_index).changed)

    def rerun_jobs(
        self,
        *,
        raise_on_error: bool = True,
        force: bool = False,
        wait: int | None = None,
        break_lock: bool = False,
        delete_files: bool = True,
        **criteria: Any,
    ) -> list[str]:
        """Run jobs again; ``criteria`` are those of :meth:`get_jobs_info`."""
        decide = act.run_again(force=force, keep_files=not delete_files)
        return self._many(decide, criteria, raise_on_error=raise_on_error)

    def retry_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        wait: int | None = None,
        break_lock: bool = False,
    ) -> str:
        """Try the failed step of a job again."""
        return self._one(act.retry(), job_id, db_id, job_index).db_id

    def retry_jobs(
        self,
        *,
        raise_on_error: bool = True,
        wait: int | None = None,
        break_lock: bool = False,
        **criteria: Any,
    ) -> list[str]:
        """Try the failed step of jobs again."""
        return self._many(act.retry(), criteria, raise_on_error=raise_on_error)

    def pause_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        wait: int | None = None,
    ) -> str:
        """Hold a job back that has not begun."""
        return self._one(act.pause(), job_id, db_id, job_index).db_id

    def pause_jobs(
        self, *, raise_on_error: bool = True, wait: int | None = None, **criteria: Any
    ) -> list[str]:
        """Hold jobs back that have not begun."""
        return self._many(act.pause(), criteria, raise_on_error=raise_on_error)

    def resume_job(
        self,
        job_id: str | None = None,
        db_id: str | None = None,
        job_index: int | None = None,
        wait: int | None = None,
        break_lock: bool = False,
    ) -> str:
        """Let a paused or stopped job go on."""
        return self._one(act.play(), job_id, db_id, job_index).db_id

    def resume_jobs(
        self,
        *,
        raise_on_error: bool = True,
        wait: int | None = None,
        break_lock: bool = False,
        **criteria: Any,
    ) -> list[str]:
        """Let paused and stopped jobs go on."""
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
        """Stop a job, also where it runs."""
        return self._one(act.stop(), job_id, db_id, job_index).db_id

    def stop_jobs(
        self,
        *,
        raise_on_error: bool = True,
        wait: int | None = None,
        break_lock: bool = False,
        **criteria: Any,
    ) -> list[str]:
        """Stop jobs, also where they run."""
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
        """Write the state of a job without any check."""
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
        """Write the state of jobs without any check."""
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
        """Set how jobs run; ``update`` keeps the keys of resources and exec_config that are not given."""
        services = self._needs_project()
        if worker is not None:
            services.worker(worker)
        decide = act.set_properties(
            worker=worker,
            exec_config=_plain(exec_config),
            resources=_plain(resources),
            priority=priority,
            merge=update,
        )
        return self._many(decide, criteria, raise_on_error=raise_on_error)

    # -- flows ---------------------------------------------------------------------------------------

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
        """Let all paused and stopped jobs of a flow go on; returns how many."""
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
        """Remove a flow with its jobs; False if there is none."""
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
        """Remove flows with their jobs (None: all of them); returns the uuids. ``max_limit`` 0: any number."""
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
