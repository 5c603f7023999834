"""A runner that is killed again and again while jobs are in flight: nothing may be lost, nothing done twice.

Works on the project that the environment selects, through ``jf`` and public names; the queue database is only read.
``python -m tests.shows.killing --folder FOLDER`` prints the report as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import psutil

from jobflow_remote.bootstrap import open_queue
from jobflow_remote.model.clock import utcnow
from jobflow_remote.queuedb.port import QueueDatabase

MakeJob = Callable[[str, str, float], Any]
"""``(path, line, seconds)`` → a Job that appends the line to the file and then takes so many seconds."""


@dataclass
class Round:
    """One life of the runner."""

    start_seconds: float
    """How long ``jf runner start`` took."""
    back_at_work_seconds: float | None
    """From the command to the first change of a job; None if it was killed before there was one."""
    in_flight: int
    """Jobs that had not ended when it was killed."""
    killed: int
    """Processes that were killed."""


@dataclass
class Report:
    """What became of the jobs."""

    jobs: int
    kills: int
    rounds: list[Round] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    not_once: dict[str, int] = field(default_factory=dict)
    """Jobs that ran never, or more than once, and how often."""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def all_completed_once(self) -> bool:
        """Whether each job is COMPLETED and has run exactly once."""
        return self.states == {"COMPLETED": self.jobs} and not self.not_once

    @property
    def slowest_return_seconds(self) -> float:
        """The longest time from a restart to the first change of a job."""
        return max(
            (r.back_at_work_seconds for r in self.rounds if r.back_at_work_seconds is not None), default=0.0
        )

    @property
    def kills_in_flight(self) -> int:
        """Kills that met jobs in flight."""
        return sum(1 for r in self.rounds[: self.kills] if r.in_flight)


@dataclass
class _Scene:
    """What a round works with."""

    queue: QueueDatabase
    pid_file: Path
    flow_uuid: str
    options: tuple[str, ...]
    random: Random

    def unfinished(self) -> int:
        counts: dict[str, int] = self.queue.find_flows({"uuid": self.flow_uuid}, fields=["counts"])[0][
            "counts"
        ]
        return sum(
            number for state, number in counts.items() if state not in ("COMPLETED", "FAILED", "REMOTE_ERROR")
        )

    def last_change(self) -> datetime:
        found = self.queue.find_jobs(
            {"flow_uuid": self.flow_uuid}, fields=["updated_on"], sort=[("updated_on", -1)], limit=1
        )
        when: datetime = found[0]["updated_on"]
        return when


def kill_rounds(
    *,
    make_job: MakeJob,
    folder: Path,
    jobs: int = 50,
    kills: int = 30,
    seed: int = 0,
    job_seconds: float = 2.0,
    longest_life_seconds: float = 2.5,
    options: tuple[str, ...] = (),
    timeout_seconds: float = 600,
) -> Report:
    """Submit ``jobs`` jobs at once, kill the runner ``kills`` times at random moments, start it again each time.

    Parameters
    ----------
    folder
        Where the jobs leave their traces.
    job_seconds
        How long a job takes, on average: long enough that jobs are left when the last kill comes.
    longest_life_seconds
        The runner is killed at a random moment up to so long after ``jf runner start`` has returned.
    options
        Of ``jf runner start`` (``--single``).
    """
    from jobflow import Flow

    from jobflow_remote import submit_flow

    random, began = Random(seed), time.monotonic()
    trace = folder / "trace.txt"
    trace.touch()
    lines = [f"job {number}" for number in range(jobs)]
    seconds = [random.uniform(0.0, 2 * job_seconds) for _ in lines]
    submitted = submit_flow(
        Flow([make_job(str(trace), line, s) for line, s in zip(lines, seconds, strict=True)])
    )
    report = Report(jobs, kills)
    snapshot, queue = open_queue()
    try:
        pid_file = Path(snapshot.daemon_dir) / "supervisord.pid"
        scene = _Scene(queue, pid_file, submitted.flow_uuid, options, random)
        for number in range(kills):
            patient = number % 3 == 0  # in these rounds it lives at least until it is at work
            report.rounds.append(_round(scene, longest_life_seconds, patient=patient))
        report.rounds.append(_last_round(scene, timeout_seconds))
        _judge(report, queue, submitted.flow_uuid, Counter(trace.read_text().splitlines()), lines)
    finally:
        queue.close()
    report.seconds = time.monotonic() - began
    return report


def _start(scene: _Scene) -> tuple[float, datetime]:
    """Start the runner; the duration of the command, and when it was given."""
    began, when = time.monotonic(), utcnow()
    command = [str(Path(sys.executable).with_name("jf")), "runner", "start", *scene.options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise AssertionError(f"the runner does not start again: {done.stdout}{done.stderr}")
    return time.monotonic() - began, when


def _return_seconds(scene: _Scene, since: datetime, until: float) -> float | None:
    """Seconds from ``since`` to the first change of a job after it, as the database has it."""
    while True:
        changed = scene.last_change()
        if changed > since:
            return (changed - since).total_seconds()
        if time.monotonic() > until or not scene.unfinished():
            return None
        time.sleep(0.02)


def _round(scene: _Scene, longest_life_seconds: float, *, patient: bool) -> Round:
    took, when = _start(scene)
    life = scene.random.uniform(0.0, longest_life_seconds)
    ends = time.monotonic() + life
    back = _return_seconds(scene, when, ends + (60 if patient else 0))
    time.sleep(max(0.0, ends - time.monotonic()))
    in_flight = scene.unfinished()
    return Round(took, back, in_flight, _kill_all(scene))


def _kill_all(scene: _Scene) -> int:
    """``kill -9`` of supervisord and of each process that it keeps; jobs are none of them."""
    supervisor = psutil.Process(int(scene.pid_file.read_text()))
    processes = [supervisor, *supervisor.children()]
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)
    return len(processes)


def _last_round(scene: _Scene, timeout_seconds: float) -> Round:
    """Nobody kills this one; it finishes the work."""
    took, when = _start(scene)
    end = time.monotonic() + timeout_seconds
    back = _return_seconds(scene, when, time.monotonic() + 60)
    while scene.unfinished() and time.monotonic() < end:
        time.sleep(0.05)
    return Round(took, back, scene.unfinished(), 0)


def _judge(
    report: Report, queue: QueueDatabase, flow_uuid: str, traces: Counter[str], lines: list[str]
) -> None:
    documents = queue.find_jobs({"flow_uuid": flow_uuid}, fields=["state", "db_id", "remote.error", "error"])
    report.states = dict(Counter(document["state"] for document in documents))
    report.not_once = {
        line: traces[line] for line in [*lines, *(traces.keys() - set(lines))] if traces[line] != 1
    }
    report.problems = [
        f"job {document['db_id']} is {document['state']}: "
        f"{document.get('error') or (document.get('remote') or {}).get('error')}"
        for document in documents
        if document["state"] != "COMPLETED"
    ]
    report.problems += queue.check_integrity()


def main() -> int:
    """Print a report as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows.killing")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument(
        "--job", default="trouble_jobs:appends_line", help="module:function, importable on the worker"
    )
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--job-seconds", type=float, default=2.0)
    parser.add_argument("--single", action="store_true")
    words = parser.parse_args()
    module, _, name = words.job.partition(":")
    report = kill_rounds(
        make_job=getattr(import_module(module), name),
        folder=words.folder,
        jobs=words.jobs,
        kills=words.kills,
        seed=words.seed,
        job_seconds=words.job_seconds,
        options=("--single",) if words.single else (),
    )
    print(json.dumps(asdict(report)))
    return 0 if report.all_completed_once else 1


if __name__ == "__main__":
    sys.exit(main())
