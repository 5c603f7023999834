"""How the jobs, or the flows, of a project are: in which states, since when, on which workers.

Everything is counted by the queue database, from indexes; no document is read but those of the longest jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobflow_remote.control.ids import resolve_flow
from jobflow_remote.control.inspect import flow_summary, run_seconds
from jobflow_remote.control.trends import LOCAL, get_trends
from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import Document
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase

_LONGEST = 5
_RUNNING = (JobState.RUNNING, JobState.BATCH_RUNNING)
_RUNNING_FIELDS = (
    "db_id", "uuid", "index", "state", "worker", "start_time", "end_time", "created_on", "updated_on", "job.name",
    "job.metadata", "job.hosts", "parents", "remote", "priority", "run_dir", "flow_uuid",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trends:
    """How many came to an end in each interval, oldest first; each list has an item for each date."""

    interval: str
    """hours, days, weeks, months or years."""
    dates: list[str]
    completed: list[int]
    failed: list[int]

    @property
    def num_intervals(self) -> int:
        """How many intervals there are."""
        return len(self.dates)

    def series(self) -> dict[str, list[int]]:
        """What happened → how often, in each interval."""
        return {"completed": self.completed, "failed": self.failed}


@dataclass(frozen=True, slots=True)
class FlowTrends(Trends):
    """Flows that came to an end."""


@dataclass(frozen=True, slots=True)
class JobTrends(Trends):
    """Jobs that came to an end."""

    remote_error: list[int]

    def series(self) -> dict[str, list[int]]:
        """What happened → how often, in each interval."""
        return {"completed": self.completed, "failed": self.failed, "remote_error": self.remote_error}


@dataclass(frozen=True, slots=True)
class WorkerCounts:
    """Jobs of one worker."""

    ready: int
    active: int
    """The runner has them in hand; those that run are among them."""
    running: int
    completed: int
    error: int
    total: int


@dataclass(frozen=True)
class JobCounts:
    """Where all jobs are."""

    state_counts: dict[JobState, int]
    """Every state, zeros included."""
    trends: JobTrends
    longest_running: list[Any]
    """Jobs that run, the longest first; at most five. Documents, unless somebody made more of them."""
    worker_utilization: dict[str, int]
    """Worker → number of its jobs."""
    workers: dict[str, WorkerCounts]

    @property
    def running(self) -> int:
        """How many run."""
        return sum(self.state_counts[state] for state in _RUNNING)

    @property
    def completed(self) -> int:
        """How many are COMPLETED."""
        return self.state_counts[JobState.COMPLETED]

    @property
    def error(self) -> int:
        """How many are FAILED or REMOTE_ERROR."""
        return sum(self.state_counts[state] for state in lifecycle.ERRORS)

    @property
    def active(self) -> int:
        """How many the runner has in hand, those that run included."""
        return sum(self.state_counts[state] for state in lifecycle.ACTIVE)

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.state_counts.values())

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        from jobflow_remote.control.drawing.notebook import render_counts, render_trends

        trends = self.trends
        return render_counts(self.state_counts, caption=f"{self.total:,} jobs") + render_trends(
            trends.interval, trends.dates, trends.series()
        )


@dataclass(frozen=True)
class FlowCounts:
    """Where all flows are."""

    state_counts: dict[FlowState, int]
    """Every state, zeros included."""
    trends: FlowTrends

    @property
    def running(self) -> int:
        """How many are RUNNING."""
        return self.state_counts[FlowState.RUNNING]

    @property
    def completed(self) -> int:
        """How many are COMPLETED."""
        return self.state_counts[FlowState.COMPLETED]

    @property
    def error(self) -> int:
        """How many are FAILED."""
        return self.state_counts[FlowState.FAILED]

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.state_counts.values())

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        from jobflow_remote.control.drawing.notebook import render_counts, render_trends

        trends = self.trends
        return render_counts(self.state_counts, caption=f"{self.total:,} flows") + render_trends(
            trends.interval, trends.dates, trends.series()
        )


def report_jobs(
    queue: QueueDatabase, *, interval: str = "days", num_intervals: int | None = None, zone: str = LOCAL
) -> JobCounts:
    """Count all jobs.

    Raises
    ------
    JobflowRemoteError
        If there is no such interval or time zone.
    """
    ends = (JobState.COMPLETED, JobState.FAILED, JobState.REMOTE_ERROR)
    trends = get_trends(queue, ends, interval=interval, num_intervals=num_intervals, zone=zone)
    by_worker = queue.workload(states=frozenset(JobState))
    longest = queue.find_jobs(
        {"state": {"$in": [state.value for state in _RUNNING]}, "start_time": {"$ne": None}},
        fields=_RUNNING_FIELDS,
        sort=(("start_time", 1),),
        limit=_LONGEST,
    )
    workers = {name: _count_worker(by_worker, name) for name in sorted({name for name, _ in by_worker})}
    return JobCounts(
        state_counts=_sum_states(by_worker),
        trends=JobTrends(interval, *_columns(trends, ends)),
        longest_running=longest,
        worker_utilization={name: counts.total for name, counts in workers.items()},
        workers=workers,
    )


def report_flows(
    queue: QueueDatabase, *, interval: str = "days", num_intervals: int | None = None, zone: str = LOCAL
) -> FlowCounts:
    """Count all flows; raises as :func:`report_jobs`."""
    ends = (FlowState.COMPLETED, FlowState.FAILED)
    trends = get_trends(queue, ends, interval=interval, num_intervals=num_intervals, zone=zone)
    counts = queue.count_flow_states()
    return FlowCounts(
        state_counts={state: counts.get(state.value, 0) for state in FlowState},
        trends=FlowTrends(interval, *_columns(trends, ends)),
    )


def _columns(trends: Mapping[str, Mapping[str, int]], states: Sequence[str]) -> tuple[Any, ...]:
    return list(trends), *([row[state] for row in trends.values()] for state in states)


def _sum_states(by_worker: Mapping[tuple[str, JobState], int]) -> dict[JobState, int]:
    counts = dict.fromkeys(JobState, 0)
    for (_, state), number in by_worker.items():
        counts[state] += number
    return counts


def _count_worker(by_worker: Mapping[tuple[str, JobState], int], worker: str) -> WorkerCounts:
    mine = {state: number for (name, state), number in by_worker.items() if name == worker}

    def number_in(*states: JobState) -> int:
        return sum(mine.get(state, 0) for state in states)

    return WorkerCounts(
        ready=number_in(JobState.READY),
        active=number_in(*lifecycle.ACTIVE),
        running=number_in(*_RUNNING),
        completed=number_in(JobState.COMPLETED),
        error=number_in(*lifecycle.ERRORS),
        total=sum(mine.values()),
    )


@dataclass(frozen=True, slots=True)
class OneFlow:
    """How far one flow is, and how long it took."""

    uuid: str
    name: str
    state: FlowState
    state_counts: dict[JobState, int]
    """States that a job is in."""
    created_on: datetime
    started_on: datetime | None
    """When the first job began to run."""
    ended_on: datetime | None
    """When the flow came to its last state; None: it goes on."""
    run_seconds: float
    """How long its jobs ran, all together."""

    @property
    def total(self) -> int:
        """How many jobs it has."""
        return sum(self.state_counts.values())

    @property
    def completed(self) -> int:
        """How many of them are COMPLETED."""
        return self.state_counts.get(JobState.COMPLETED, 0)

    def elapsed_seconds(self, now: datetime) -> float:
        """From its first job's start (else its submission) to its end, or until now."""
        return ((self.ended_on or now) - (self.started_on or self.created_on)).total_seconds()


def report_flow(queue: QueueDatabase, identifier: str, *, is_job: bool = False) -> OneFlow:
    """How far the flow is that answers to an id.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    uuid = resolve_flow(queue, identifier, is_job=is_job)
    flow, now = flow_summary(queue, uuid), utcnow()
    jobs = queue.find_jobs({"flow_uuid": uuid}, fields=("state", "start_time", "end_time", "superseded"))
    counting = [job for job in jobs if not job.get("superseded")]
    starts = [job["start_time"] for job in counting if job.get("start_time")]
    counts = Counter(JobState(job["state"]) for job in counting)
    is_over = not any(state in lifecycle.UNFINISHED for state in counts)
    ran = [seconds[0] for job in counting if (seconds := run_seconds(job, now)) is not None]
    return OneFlow(
        uuid=uuid,
        name=flow["name"],
        state=FlowState(flow["state"]),
        state_counts={state: counts[state] for state in JobState if counts[state]},
        created_on=flow["created_on"],
        started_on=min(starts, default=None),
        ended_on=flow["updated_on"] if is_over else None,
        run_seconds=sum(ran),
    )


def as_plain(report: JobCounts | FlowCounts) -> Document:
    """A report as JSON takes it."""
    trends = report.trends
    plain: Document = {
        "total": report.total,
        "completed": report.completed,
        "running": report.running,
        "error": report.error,
        "state_counts": {state.value: number for state, number in report.state_counts.items()},
        "trends": {"interval": trends.interval, "dates": trends.dates, **trends.series()},
    }
    if isinstance(report, JobCounts):
        plain["active"] = report.active
        plain["workers"] = {
            name: {key: getattr(counts, key) for key in WorkerCounts.__slots__}
            for name, counts in report.workers.items()
        }
        plain["longest_running"] = [
            {
                "db_id": job["db_id"],
                "uuid": job["uuid"],
                "index": job["index"],
                "name": (job.get("job") or {}).get("name"),
                "worker": job["worker"],
                "start_time": job["start_time"],
            }
            for job in report.longest_running
        ]
    return plain
