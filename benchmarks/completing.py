"""Completing a job of a small flow and of a large one: the cost must not grow with the flow."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.filling import made_flow, open_queue_of
from benchmarks.home import Home
from benchmarks.measure import Figure, cpu_seconds, wait_until
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide.completion import JobResponse, JobResult, decide_completion
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase

TOPIC = "completing"
SMALL, LARGE = 10, 10_000
_OWNER = {"hostname": "benchmark", "user": "benchmark", "pid": 0, "daemon_dir": "-", "project_name": "bench"}


@dataclass
class Completions:
    """Duration and number of statements of single completions."""

    seconds: list[float] = field(default_factory=list)
    statements: list[int] = field(default_factory=list)


@contextmanager
def count_statements() -> Iterator[list[str]]:
    """The SQL statements of connections that are opened within."""
    seen: list[str] = []
    genuine = sqlite3.connect

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = genuine(*args, **kwargs)
        connection.set_trace_callback(seen.append)
        return connection

    sqlite3.connect = connect  # type: ignore[assignment]
    try:
        yield seen
    finally:
        sqlite3.connect = genuine


def measure(home: Home, *, completions: int = 100) -> list[Figure]:
    """Median duration and statements of one completion, by size and shape of the flow."""
    figures = []
    for shape in ("wide", "chain"):
        for size, seen in by_size(home, shape, completions=completions).items():
            name = f"one completion, {shape} flow of {size:,}"
            figures.append(Figure(TOPIC, name, 1000 * statistics.median(seen.seconds), "ms"))
            figures.append(Figure(TOPIC, f"{name} (statements)", statistics.median(seen.statements), ""))
    return figures


def by_size(home: Home, shape: str, *, completions: int = 100) -> dict[int, Completions]:
    """Completions in small flows and in a large one, in turn, within one database."""
    seen = {SMALL: Completions(), LARGE: Completions()}
    with count_statements() as statements:
        queue = open_queue_of(home)
        try:
            # each has a worker of its own: a claim takes the oldest, of whatever flow
            queue.insert_flow(made_flow(LARGE, shape=shape, worker=f"large-{shape}"))
            session = queue.open_session(_OWNER, lease_seconds=3600, override=True)
            large = _Finisher(queue, session.token, f"large-{shape}", statements, seen[LARGE])
            small = _Finisher(queue, session.token, f"small-{shape}", statements, seen[SMALL])
            large.take(completions)
            for _ in range(completions // SMALL):
                queue.insert_flow(made_flow(SMALL, shape=shape, worker=f"small-{shape}"))
                small.take(SMALL)
                for _ in range(SMALL):
                    small.complete_one()
                    large.complete_one()
            queue.close_session(session.token)
        finally:
            queue.close()
    return seen


class _Finisher:
    """Completes jobs that it has claimed, one at a time, as the runner's last step does."""

    def __init__(
        self, queue: QueueDatabase, token: str, worker: str, statements: list[str], seen: Completions
    ) -> None:
        self.queue, self.token, self.worker = queue, token, worker
        self.statements, self.seen = statements, seen
        self.records: list[JobRecord] = []

    def take(self, number: int) -> None:
        """Claim jobs; of a chain there is only one at a time."""
        self.records += self.queue.claim(self.token, worker=self.worker, limit=number)

    def complete_one(self) -> None:
        """Complete one job, and count what that took."""
        if not self.records:
            self.take(1)
        record = self._advance(self.records.pop(0))
        result = JobResult(JobResponse(), None, start_time=utcnow(), end_time=utcnow())
        change = decide_completion(record, result, holder=self.token, now=utcnow())
        before, started = len(self.statements), time.perf_counter()
        (applied,) = self.queue.apply([change])
        self.seen.seconds.append(time.perf_counter() - started)
        self.seen.statements.append(len(self.statements) - before)
        if not applied.applied:
            raise RuntimeError(f"the completion was refused: {applied.refusal}")

    def _advance(self, record: JobRecord) -> JobRecord:
        """Bring a job that was checked out to DOWNLOADED."""
        change = JobChange(
            uuid=record.uuid,
            index=record.index,
            expect=frozenset({JobState.CHECKED_OUT}),
            to=JobState.DOWNLOADED,
            holder=self.token,
        )
        (applied,) = self.queue.apply([ChangeSet(record.flow_uuid, (change,))])
        document = self.queue.get_job(record.uuid, record.index)
        if not applied.applied or document is None:
            raise RuntimeError(f"the job could not be advanced: {applied.refusal}")
        return JobRecord.from_document(document)


def runner_cpu_per_job(home: Home, size: int, *, jobs: int = 20) -> float:
    """CPU of the runner's processes for one job, while the first ``jobs`` of a wide flow of ``size`` are completed.

    There is a backlog in either case (as many flows as it takes), since the runner prepares jobs ahead.
    """
    queue = open_queue_of(home)
    try:
        home.start()
        home.drive("run", "wide", "2", "240")
        for _ in range(max(1, 10 * jobs // size)):
            queue.insert_flow(made_flow(size))
        before, done = cpu_seconds(home.runner_processes()), _completed(queue)
        wait_until(
            lambda: _completed(queue) >= done + jobs, timeout_seconds=600, what=f"{jobs} jobs completed"
        )
        used, number = cpu_seconds(home.runner_processes()) - before, _completed(queue) - done
        home.shut_down()
        return used / number
    finally:
        queue.close()


def _completed(queue: QueueDatabase) -> int:
    return queue.count_job_states().get("COMPLETED", 0)
