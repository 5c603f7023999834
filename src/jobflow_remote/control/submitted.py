"""What ``submit_flow`` returns: the ids of the jobs, and a handle on the flow for notebooks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from jobflow_remote.control.inspect import JOB_SUMMARY
from jobflow_remote.errors import JobflowRemoteError, NotFoundError
from jobflow_remote.model.lifecycle import ACTIVE
from jobflow_remote.model.states import FlowState, JobState

_LOOK_SECONDS = 0.1


class FlowNotCompletedError(JobflowRemoteError):
    """The flow came to an end without being completed, or did not in the time allowed."""


class SubmittedFlow(list[str]):
    """The ``db_id`` of each job of a flow, as ``submit_flow`` of jobflow-remote 1.0.1 returns them.

    Examples
    --------
    >>> submitted = submit_flow(flow)  # doctest: +SKIP
    >>> submitted.wait(timeout=600)  # doctest: +SKIP
    >>> submitted.output()  # doctest: +SKIP
    """

    def __init__(
        self,
        db_ids: Iterable[str],
        *,
        flow_uuid: str,
        project: str,
        uuids: Iterable[str] = (),
        result: Any = None,
    ) -> None:
        super().__init__(db_ids)
        self.flow_uuid = flow_uuid
        self.project = project
        self.uuids = tuple(uuids)
        """uuid of each job, in the order of the ids."""
        self._result = result

    def db_id(self, uuid: str) -> str:
        """Id of the job with this uuid."""
        return self[self.uuids.index(uuid)]

    @property
    def state(self) -> FlowState:
        """State of the flow now."""
        return FlowState(self._flow()["state"])

    def wait(self, timeout: float | None = None, progress: bool = True) -> FlowState:
        """Wait until nothing more can happen by itself, and return the state of the flow.

        Parameters
        ----------
        timeout
            Seconds; None waits for ever.
        progress
            Whether to show how many jobs are done.

        Raises
        ------
        FlowNotCompletedError
            After ``timeout``.
        """
        from jobflow_remote.bootstrap import open_queue

        end = None if timeout is None else time.monotonic() + timeout
        _, queue = open_queue(self.project)
        try:
            shown = ""
            while True:
                flow = self._flow(queue)
                shown = _show(flow, shown) if progress else shown
                if not can_move(flow["counts"]):
                    return FlowState(flow["state"])
                if end is not None and time.monotonic() > end:
                    raise FlowNotCompletedError(
                        f"flow {self.flow_uuid} is {flow['state']} after {timeout:g} s",
                        hint="is the runner running? `jf runner status`; `jf flow info` shows where the jobs are",
                    )
                time.sleep(_LOOK_SECONDS)
        finally:
            queue.close()

    def output(self, db_id: str | None = None, load: bool = True) -> Any:
        """The output of the flow: what its ``output`` refers to, or that of its last job where it has none.

        With ``db_id`` the output of that job. Raises NotFoundError if there is none (yet).
        """
        from jobflow_remote.bootstrap import open_services

        with open_services(self.project) as services:
            store = services.outputs(self._flow(services.queue).get("jobstore"))
            if db_id is None and self._result is not None:
                from jobflow.core.reference import find_and_resolve_references

                return find_and_resolve_references(self._result, store.jobstore)
            found = services.queue.find_jobs({"db_id": db_id or self[-1]}, fields=["uuid"])
            if not found:
                raise NotFoundError(f"there is no job {db_id or self[-1]}")
            return store.get_output(found[0]["uuid"], load=load)

    def _repr_html_(self) -> str:
        """How a notebook shows it: the flow and its jobs as they are now."""
        from jobflow_remote.bootstrap import open_queue
        from jobflow_remote.control.drawing.notebook import MANY, render_jobs, render_values

        order = (("db_number", 1),)
        try:
            _, queue = open_queue(self.project)
            try:
                flow = self._flow(queue)
                jobs = queue.find_jobs(
                    {"flow_uuid": self.flow_uuid}, fields=JOB_SUMMARY, sort=order, limit=MANY
                )
            finally:
                queue.close()
        except JobflowRemoteError as error:  # what is shown must not fail
            return render_values(
                {"flow id": self.flow_uuid, "jobs": ", ".join(self), "not shown": error.message}
            )
        counts = ", ".join(f"{number} {state}" for state, number in flow["counts"].items() if number)
        shown = {"state": flow["state"], "flow id": self.flow_uuid, "project": self.project, "jobs": counts}
        rows = [{**job, "name": (job.get("job") or {}).get("name")} for job in jobs]
        return render_values(shown, caption=flow["name"]) + render_jobs(rows)

    def _flow(self, queue: Any = None) -> dict[str, Any]:
        from jobflow_remote.bootstrap import open_queue

        opened = queue or open_queue(self.project)[1]
        try:
            flows: list[dict[str, Any]] = opened.find_flows({"uuid": self.flow_uuid})
        finally:
            if queue is None:
                opened.close()
        if not flows:
            raise FlowNotCompletedError(f"flow {self.flow_uuid} is no longer in the queue database")
        return flows[0]


def can_move(counts: dict[str, int]) -> bool:
    """Whether the runner has something to do for a flow with this many jobs in each state.

    WAITING jobs alone cannot move: what they wait for has failed or was stopped.
    """
    moving = {state.value for state in ACTIVE} | {JobState.READY.value}
    return any(number for state, number in counts.items() if state in moving)


def _show(flow: dict[str, Any], shown: str) -> str:
    done = flow["counts"].get(JobState.COMPLETED.value, 0)
    text = f"{flow['name']}: {done} of {flow['n_jobs']} jobs completed, {flow['state']}"
    if text != shown:
        print(f"\r{text:<{len(shown)}}", end="" if can_move(flow["counts"]) else "\n", flush=True)
    return text
