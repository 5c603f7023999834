"""How far a flow is, and what is in its way: numbers and errors, read cheaply whatever the size of the flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobflow_remote.control.inspect import flow_summary
from jobflow_remote.model import lifecycle
from jobflow_remote.model.records import Document
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase


@dataclass(frozen=True, slots=True)
class FlowProgress:
    """How far a flow is: numbers only, whatever its size."""

    uuid: str
    name: str
    state: FlowState
    counts: Mapping[str, int]

    def number(self, states: frozenset[JobState]) -> int:
        """Number of jobs in ``states``."""
        return sum(self.counts.get(state.value, 0) for state in states)

    @property
    def total(self) -> int:
        """Number of jobs that count (those that a rerun has replaced do not)."""
        return sum(self.counts.values())

    @property
    def settled(self) -> int:
        """Number of jobs with which nothing will happen unless a person acts."""
        return self.number(lifecycle.FINAL)

    @property
    def in_hand(self) -> int:
        """Number of jobs that the runner works on."""
        return self.number(lifecycle.ACTIVE)

    @property
    def blocked(self) -> int:
        """Number of jobs that wait for one that was stopped or did not succeed, and so for a person."""
        moving = self.in_hand or self.counts.get(JobState.READY, 0)
        held = self.number(lifecycle.FINAL - {JobState.COMPLETED})
        return self.counts.get(JobState.WAITING, 0) if held and not moving else 0

    @property
    def finished(self) -> bool:
        """Whether nothing will happen any more unless a person acts."""
        return self.number(lifecycle.UNFINISHED) == self.blocked

    @property
    def succeeded(self) -> bool:
        """Whether all that was asked of the flow is there."""
        return self.finished and self.state is FlowState.COMPLETED


def flow_progress(queue: QueueDatabase, flow_uuid: str) -> FlowProgress:
    """How far a flow is; one small read."""
    flow = flow_summary(queue, flow_uuid)
    counts = {str(state): number for state, number in (flow.get("counts") or {}).items() if number}
    return FlowProgress(uuid=flow_uuid, name=flow["name"], state=FlowState(flow["state"]), counts=counts)


def jobs_in_trouble(queue: QueueDatabase, flow_uuid: str, *, limit: int = 20) -> list[Document]:
    """Jobs of a flow that did not succeed, with their errors, oldest first."""
    states = sorted(lifecycle.FINAL - {JobState.COMPLETED})
    return queue.find_jobs(
        {"flow_uuid": flow_uuid, "state": {"$in": states}},
        fields=["uuid", "index", "db_id", "state", "job.name", "error", "remote.error"],
        sort=(("db_number", 1),),
        limit=limit,
    )


def last_line(document: Mapping[str, Any]) -> str:
    """The line of a job's error that says what happened."""
    text = document.get("error") or (document.get("remote") or {}).get("error") or ""
    return next((line.strip() for line in reversed(str(text).splitlines()) if line.strip()), "")
