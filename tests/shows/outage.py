"""A MongoDB that goes away while jobs run: nothing may be lost, nothing done twice, and nobody has to repair anything.

:func:`interrupt` works on the project that the environment selects, whose queue is on the server that it is given;
``python -m tests.shows.outage --folder FOLDER --port PORT`` starts one there and prints the report as JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

from tests.services.mongod import Mongod
from tests.shows.killing import MakeJob
from tests.shows.verdict import Verdict, at_most, is_true

from jobflow_remote.bootstrap import open_queue
from jobflow_remote.errors import QueueDatabaseAwayError
from jobflow_remote.queuedb.port import QueueDatabase

ROOT = Path(__file__).parents[2]
JOBS_FOLDER = ROOT / "tests" / "acceptance" / "jobs"
_NOTICED_SECONDS = 25.0
"""A server that takes connections and answers nothing is known to be away only when the driver gives up."""
_ENDED = ("COMPLETED", "FAILED", "REMOTE_ERROR")
_AWAY = re.compile(r"database is away since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_BACK = re.compile(r"database is back after \d+ s")

_PROJECT = """\
name: {{name}}
workers:
  local:
    type: local
    scheduler_type: shell
    work_dir: {{{{folder}}}}/runs
    pre_run: export PYTHONPATH={{jobs}}
queue:
  store:
{store}
    collection_name: jobs
jobstore:
  docs_store:
{store}
    collection_name: outputs
""".format(
    store="""\
    type: MongoStore
    host: 127.0.0.1
    port: {port}
    database: outage"""
)


@dataclass(frozen=True)
class Outage:
    """One way for a database to go away, and to come back after ``seconds``."""

    name: str
    leave: Callable[[], object]
    come_back: Callable[[], object]
    seconds: float


@dataclass
class Seen:
    """What was seen of one outage."""

    name: str
    in_flight: int
    """Jobs that had not ended when it began."""
    ran_on: int
    """Jobs that began or ended while the database was away."""
    seconds: float
    said_by_status: str
    """What ``jf runner status`` said."""
    said_by_list: str
    """What ``jf job list`` said (on stderr)."""
    list_seconds: float
    back_at_work_seconds: float | None = None
    """From the return of the database to the next job that ended; None: none was left."""


@dataclass
class Report:
    """What became of the jobs."""

    jobs: int
    seen: list[Seen] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    not_once: dict[str, int] = field(default_factory=dict)
    """Jobs that ran never, or more than once, and how often."""
    helped: list[str] = field(default_factory=list)
    """Jobs that had to be submitted or completed again, or that somebody had to help."""
    away_lines: int = 0
    back_lines: int = 0
    """Lines of the log that say so."""
    tracebacks: int = 0
    restarts: int = 0
    """Processes of the runner that had to be started again."""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def all_completed_once(self) -> bool:
        """Whether each job is COMPLETED, has run exactly once, and needed no help."""
        whole = self.states == {"COMPLETED": self.jobs}
        return whole and not (self.not_once or self.helped or self.problems)


@dataclass
class _Scene:
    queue: QueueDatabase
    flow_uuid: str
    trace: Path
    log_dir: Path
    random: Random
    deadline: float

    def ended(self) -> int:
        """Jobs that have ended."""
        try:
            counts: dict[str, int] = self.queue.find_flows({"uuid": self.flow_uuid}, fields=["counts"])[0][
                "counts"
            ]
        except QueueDatabaseAwayError:
            return -1
        return sum(counts.get(state, 0) for state in _ENDED)

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        while not holds():
            if time.monotonic() > self.deadline:
                raise AssertionError(f"it did not happen in time: {what}\n{self.logs()[-4000:]}")
            time.sleep(0.05)

    def logs(self) -> str:
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.log_dir.glob("runner*.log*"))
        )


def interrupt(
    *,
    make_job: MakeJob,
    folder: Path,
    outages: Sequence[Outage],
    jobs: int,
    seed: int = 0,
    job_seconds: float = 1.0,
    options: tuple[str, ...] = (),
    timeout_seconds: float = 900,
) -> Report:
    """Submit ``jobs`` jobs at once and let the database go away, in one way after the other, while they run.

    Parameters
    ----------
    folder
        Where the jobs leave their traces.
    job_seconds
        How long a job takes, on average (besides starting an interpreter).
    options
        Of ``jf runner start`` (``--single``).
    """
    from jobflow import Flow

    from jobflow_remote import submit_flow

    random, began = Random(seed), time.monotonic()
    trace = folder / "trace.txt"
    trace.touch()
    lines = [f"job {number}" for number in range(jobs)]
    made = [make_job(str(trace), line, random.uniform(0, 2 * job_seconds)) for line in lines]
    submitted = submit_flow(Flow(made))
    report = Report(jobs)
    snapshot, queue = open_queue()
    scene = _Scene(
        queue, submitted.flow_uuid, trace, Path(snapshot.log_dir), random, time.monotonic() + timeout_seconds
    )
    try:
        _jf("runner", "start", *options, check=True)
        for number, outage in enumerate(outages):
            share = jobs * (number + 1) // (len(outages) + 2)
            scene.wait(lambda share=share: scene.ended() >= share, f"{share} jobs have ended")  # type: ignore[misc]
            report.seen.append(_let_go_away(scene, outage, jobs))
        scene.wait(lambda: scene.ended() == jobs, "all jobs have ended")
        _judge(report, scene, Counter(trace.read_text().splitlines()), lines)
    finally:
        queue.close()
    report.seconds = time.monotonic() - began
    return report


def _let_go_away(scene: _Scene, outage: Outage, jobs: int) -> Seen:
    time.sleep(scene.random.uniform(0, 0.5))  # a random moment within what the runner does
    ended, ran = scene.ended(), len(scene.trace.read_text().splitlines())
    outage.leave()
    began = time.monotonic()
    listing = _jf("job", "list")
    took = time.monotonic() - began
    status = _jf("runner", "status")
    while time.monotonic() < began + outage.seconds:
        if not _AWAY.search(status.stdout):
            status = _jf("runner", "status")
        time.sleep(0.1)
    ran = len(scene.trace.read_text().splitlines()) - ran
    outage.come_back()
    back = time.monotonic()
    seen = Seen(
        outage.name, jobs - ended, ran, outage.seconds, status.stdout.strip(), listing.stderr.strip(), took
    )
    if ended < jobs:
        scene.wait(lambda: scene.ended() > ended, f"the runner goes on after the database was {outage.name}")
        seen.back_at_work_seconds = time.monotonic() - back
    return seen


def _jf(*words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("jf")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=180)


def _judge(report: Report, scene: _Scene, traces: Counter[str], lines: list[str]) -> None:
    fields = ["state", "db_id", "index", "history", "remote.error", "error"]
    documents = scene.queue.find_jobs({"flow_uuid": scene.flow_uuid}, fields=fields)
    report.states = dict(Counter(document["state"] for document in documents))
    report.not_once = {
        line: traces[line] for line in [*lines, *(traces.keys() - set(lines))] if traces[line] != 1
    }
    report.helped = [
        f"job {document['db_id']}: {said}" for document in documents if (said := _help(document))
    ]
    report.problems = [
        f"job {document['db_id']} is {document['state']}: "
        f"{document.get('error') or (document.get('remote') or {}).get('error')}"
        for document in documents
        if document["state"] != "COMPLETED"
    ]
    report.problems += scene.queue.check_integrity()
    logs = scene.logs()
    report.away_lines, report.back_lines = len(_AWAY.findall(logs)), len(_BACK.findall(logs))
    report.tracebacks = logs.count("Traceback")
    supervisor = (scene.log_dir / "supervisord.log").read_text(errors="replace")
    report.restarts = len(re.findall(r"exited: .*(not expected|unexpected)", supervisor))


def _help(document: dict[str, Any]) -> str:
    """What somebody had to do for a job: its story tells."""
    states = Counter(entry["state"] for entry in document["history"])
    again = [state for state in ("CHECKED_OUT", "SUBMITTED", "COMPLETED") if states[state] != 1]
    if document["index"] != 1 or again or states["REMOTE_ERROR"]:
        return f"index {document['index']}, {dict(states)}"
    return ""


# -- at full size ------------------------------------------------------------------------------------------------


def stopped_and_killed(*, jobs: int, away_seconds: float, folder: Path, seed: int) -> list[Verdict]:
    """A MongoDB that is stopped for so long, frozen for so long, and killed and started again, while jobs run."""
    from benchmarks.home import PROJECT, Home

    port = Mongod(folder).port
    text = _PROJECT.format(name=PROJECT, jobs=JOBS_FOLDER, port=port)
    home = Home(project_file=text, pythonpath=f"{ROOT}:{JOBS_FOLDER}", folder=folder / "home")
    command = [sys.executable, "-m", "tests.shows.outage", "--folder", str(home.folder), "--port", str(port)]
    command += ["--jobs", str(jobs), "--away-seconds", str(away_seconds), "--seed", str(seed)]
    with home:
        done = subprocess.run(command, cwd=ROOT, env=home.env, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        return [is_true("MongoDB goes away", False, figure="the experiment failed", bound="a report")]
    return verdicts_of(json.loads(done.stdout.splitlines()[-1]))


def verdicts_of(report: dict[str, Any]) -> list[Verdict]:
    """The report beside what is promised."""
    for problem in [*report["problems"], *report["helped"]]:
        print(problem, file=sys.stderr)
    seen = report["seen"]
    noticed = [each for each in seen if each["name"] == "stopped" or each["seconds"] >= _NOTICED_SECONDS]
    ways = ", ".join(each["name"] for each in seen)
    once = report["states"] == {"COMPLETED": report["jobs"]} and not report["not_once"]
    back = max((each["back_at_work_seconds"] or 0.0 for each in seen), default=0.0)
    return [
        is_true(
            f"MongoDB {ways}: all COMPLETED, each exactly once",
            once and not report["problems"],
            figure=f"{report['states']}, not once: {report['not_once'] or 'none'}",
            bound=f"{report['jobs']}, none",
        ),
        is_true(
            "jobs that needed help, or something done twice",
            not report["helped"],
            figure=str(len(report["helped"])),
            bound="0",
        ),
        is_true(
            "outages that met jobs in flight",
            all(each["in_flight"] for each in seen),
            figure=", ".join(str(each["in_flight"]) for each in seen),
            bound="all",
        ),
        is_true(
            "the log says that the database is away, and that it is back",
            report["away_lines"] >= len(noticed) and report["back_lines"] == report["away_lines"],
            figure=f"{report['away_lines']} and {report['back_lines']} times, {report['tracebacks']} tracebacks",
            bound="as often, 0",
        ),
        is_true(
            "jf runner status says since when",
            all(_AWAY.search(each["said_by_status"]) for each in noticed),
            figure=", ".join(each["name"] for each in noticed if _AWAY.search(each["said_by_status"])),
            bound=", ".join(each["name"] for each in noticed),
        ),
        at_most("back at work after the database is back, slowest", back, 20, "s"),
        is_true(
            "processes of the runner that ended",
            not report["restarts"],
            figure=str(report["restarts"]),
            bound="0",
        ),
    ]


def main() -> int:
    """Print a report as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows.outage")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--job", default="trouble_jobs:appends_line", help="module:function")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--away-seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, required=True, help="of the server that is started")
    words = parser.parse_args()
    module, _, name = words.job.partition(":")
    server = Mongod(words.folder / "mongod")
    server.port = words.port
    server.start()
    try:
        report = interrupt(
            make_job=getattr(import_module(module), name),
            folder=words.folder,
            outages=[
                Outage("stopped", server.stop, server.start, words.away_seconds),
                Outage("frozen", server.freeze, server.thaw, words.away_seconds),
                Outage("killed", server.kill, server.start, 0.0),
            ],
            jobs=words.jobs,
            seed=words.seed,
        )
        _jf("runner", "shutdown", "--wait")
    finally:
        server.stop()
    print(json.dumps(asdict(report)))
    return 0 if report.all_completed_once else 1


if __name__ == "__main__":
    sys.exit(main())
