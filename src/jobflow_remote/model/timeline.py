"""What a job spent its time on, from its history: waiting for other jobs, queued, running, being finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from jobflow_remote.model.lifecycle import ACTIVE
from jobflow_remote.model.states import JobState

FIELDS = (
    "db_id", "db_number", "uuid", "index", "state", "worker", "created_on", "updated_on", "start_time", "end_time",
    "superseded", "history", "job.name",
)  # fmt: skip
"""Fields of a job document that its timeline is made of."""


class Activity(StrEnum):
    """What happens to a job."""

    WAITING = "waiting"
    """For the outputs of other jobs."""
    QUEUED = "queued"
    """Ready: the runner prepares it, or the scheduler has not started it yet."""
    RUNNING = "running"
    FINISHING = "finishing"
    """It has run, and its results are fetched and stored."""
    HELD = "held"
    """Paused, stopped, or in error, and taken up again later (or not yet)."""


_ACTIVITY = {
    JobState.WAITING: Activity.WAITING,
    JobState.READY: Activity.QUEUED,
    JobState.CHECKED_OUT: Activity.QUEUED,
    JobState.UPLOADED: Activity.QUEUED,
    JobState.SUBMITTED: Activity.QUEUED,
    JobState.BATCH_SUBMITTED: Activity.QUEUED,
    JobState.RUNNING: Activity.RUNNING,
    JobState.BATCH_RUNNING: Activity.RUNNING,
    JobState.TERMINATED: Activity.FINISHING,
    JobState.DOWNLOADED: Activity.FINISHING,
    JobState.PAUSED: Activity.HELD,
    JobState.STOPPED: Activity.HELD,
    JobState.USER_STOPPED: Activity.HELD,
    JobState.FAILED: Activity.HELD,
    JobState.REMOTE_ERROR: Activity.HELD,
    JobState.COMPLETED: Activity.HELD,
}
_STATES = {name: JobState(name) for name in (*JobState, "RUN_FINISHED")}
_LASTING = frozenset(_ACTIVITY) - {JobState.FAILED, JobState.REMOTE_ERROR, JobState.COMPLETED, JobState.STOPPED,
                                   JobState.USER_STOPPED}  # fmt: skip
"""States that last until now when a job is in them; in others it has come to an end."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time."""

    activity: Activity
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class JobTimeline:
    """One job's way through time."""

    db_id: str
    name: str
    index: int
    state: JobState
    worker: str
    spans: tuple[Span, ...]

    def seconds(self, activity: Activity) -> float:
        """How long it did something in all."""
        return self.totals()[activity]

    def totals(self) -> dict[Activity, float]:
        """How long it did each thing."""
        found = dict.fromkeys(Activity, 0.0)
        for span in self.spans:
            found[span.activity] += span.seconds
        return found


@dataclass(frozen=True, slots=True)
class FlowTimeline:
    """All jobs of a flow."""

    jobs: tuple[JobTimeline, ...]
    start: datetime
    end: datetime

    @property
    def duration_seconds(self) -> float:
        """From the first moment to the last."""
        return (self.end - self.start).total_seconds()

    def seconds(self, activity: Activity) -> float:
        """How long all jobs together did something."""
        return sum(job.seconds(activity) for job in self.jobs)


def make_timeline(jobs: Iterable[Mapping[str, Any]], now: datetime) -> FlowTimeline:
    """The timeline of the jobs of a flow, from their documents (:data:`FIELDS`), in the order in which they began."""
    lines = [_job_timeline(job, now) for job in jobs if not job.get("superseded")]
    lines.sort(key=_first_work)
    spans = [span for line in lines for span in line.spans]
    start = min((span.start for span in spans), default=now)
    return FlowTimeline(tuple(lines), start, max((span.end for span in spans), default=now))


def _first_work(line: JobTimeline) -> tuple[datetime, str]:
    """When the job was no longer waiting."""
    worked = [span.start for span in line.spans if span.activity is not Activity.WAITING]
    moment = min(worked) if worked else max((span.end for span in line.spans), default=datetime.max)
    return moment, line.db_id.rjust(20)


def _job_timeline(job: Mapping[str, Any], now: datetime) -> JobTimeline:
    return JobTimeline(
        db_id=job["db_id"],
        name=str((job.get("job") or {}).get("name") or ""),
        index=job["index"],
        state=_STATES[job["state"]],
        worker=str(job.get("worker") or ""),
        spans=_merge(_put_run_in(_spans_of_states(job, now), job, now)),
    )


def _moments(job: Mapping[str, Any]) -> list[tuple[JobState, datetime]]:
    """States and when they began. A document of an older release has no history: what its dates tell must do."""
    found = [
        (_STATES[entry["state"]], entry["when"]) for entry in job.get("history") or () if entry.get("state")
    ]
    if found:
        return found
    found = [(JobState.READY, job["created_on"])]
    if job.get("start_time"):
        found.append((JobState.RUNNING, job["start_time"]))
    if job.get("end_time"):
        found.append((JobState.TERMINATED, job["end_time"]))
    return [*found, (_STATES[job["state"]], job["updated_on"])]


def _spans_of_states(job: Mapping[str, Any], now: datetime) -> list[Span]:
    """What it did from state to state; states that mean the same are one span."""
    moments = _moments(job)
    spans: list[Span] = []
    activity, since = _ACTIVITY[moments[0][0]], moments[0][1]
    for state, start in moments[1:]:
        if _ACTIVITY[state] is not activity:
            spans.append(Span(activity, since, max(since, start)))
            activity, since = _ACTIVITY[state], start
    state, start = moments[-1]
    end = now if state in _LASTING else start
    if end > since:
        spans.append(Span(activity, since, end))
    return spans


def _put_run_in(spans: Sequence[Span], job: Mapping[str, Any], now: datetime) -> list[Span]:
    """The times that the job itself noted count; the runner may have seen it run late, or not at all."""
    start = job.get("start_time")
    if start is None:
        return list(spans)
    # a job that was lost while it ran has no end: the runner gave up on it then
    lost = _STATES[job["state"]] not in ACTIVE
    end = job.get("end_time") or (_moments(job)[-1][1] if lost else now)
    run = Span(Activity.RUNNING, start, max(start, end))
    parts = [part for span in spans for part in _around(span, run)]
    return sorted([*parts, run], key=lambda span: span.start)


_OF_THEMSELVES = (Activity.WAITING, Activity.HELD)
"""What a job does not do around its run."""


def _around(span: Span, run: Span) -> list[Span]:
    """What is left of a span before and after the run; what the runner saw as running gives way to it."""
    if span.end <= run.start or span.start >= run.end:
        overtaken = span.activity is Activity.RUNNING and span.start >= run.end
        return [Span(Activity.FINISHING, span.start, span.end)] if overtaken else [span]
    before, after = Activity.QUEUED, Activity.FINISHING
    if span.activity in _OF_THEMSELVES:
        before = after = span.activity
    parts = [Span(before, span.start, run.start)] if span.start < run.start else []
    return [*parts, Span(after, run.end, span.end)] if span.end > run.end else parts


def _merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for span in spans:
        if span.seconds <= 0:
            continue
        if merged and merged[-1].activity is span.activity and merged[-1].end >= span.start:
            merged[-1] = Span(span.activity, merged[-1].start, span.end)
        else:
            merged.append(span)
    return tuple(merged)
