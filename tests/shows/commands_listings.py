"""Each listing, info and report with 100,000 jobs in 5,000 flows, on both queue databases, as real ``jf`` processes.

A process is started by a small one of its own, which reads its peak of resident memory (``ru_maxrss``, an upper bound
of PSS): what forks inherits the size of its parent. Wall time is the median of several runs after one that warms up;
CPU time stands beside it, because it is what remains when the machine is busy.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.services.mongod import Mongod
from tests.shows.verdict import Verdict, is_true

JOBS, FLOWS = 100_000, 5_000
SECONDS, DEFAULT_SECONDS, MEGABYTES = 0.5, 0.3, 150.0
RUNS = 5

PROJECT = """\
name: many
base_dir: {folder}/many
workers:
  alpha: {{type: local, scheduler_type: shell, work_dir: {folder}/run}}
  beta: {{type: local, scheduler_type: shell, work_dir: {folder}/run}}
  gamma: {{type: local, scheduler_type: shell, work_dir: {folder}/run}}
  local_shell: {{type: local, scheduler_type: shell, work_dir: {folder}/run}}
exec_config:
  vasp: {{modules: [vasp]}}
queue:
  store: {store}
jobstore:
  docs_store: {{type: SQLiteStore, path: {folder}/outputs.sqlite}}
"""

COMMANDS = (
    "job list",
    "job list -v", "job list -vv", "job list --json", "job list --count", "job list -m 1000",
    "job list -s COMPLETED", "job list -e", "job list --running", "job list -wk beta", "job list -l",
    "job list -n relax", "job list -n re*", "job list -s FAILED -wk alpha", "job list -s READY --count",
    "job list --sort db_id", "job list --sort created_on", "job list --sort created_on -revs", "job list -revs",
    "job list -ds 1", "job list -hs 2 --count", "job list -lf 5", "job list -fid {flow}", "job list -did {db_id}",
    "job list -jid {uuid}:1", "job list -did {prefix}", "job list -col",
    "job info {db_id}", "job info {uuid}", "job info {prefix}", "job info --pid {pid}", "job info {db_id} -vv",
    "explain {db_id}", "explain {failed}",
    "flow list", "flow list -v", "flow list --json", "flow list --count", "flow list -s FAILED", "flow list -ds 1",
    "flow list -n flow*", "flow list --sort db_id", "flow list --sort created_on", "flow list -did {db_id}",
    "flow info {flow}", "flow info -j {db_id}", "flow info {flow} -v", "flow info {flow} --report",
    "job report", "job report hours", "job report months", "job report years", "flow report", "flow report years",
    "worker list -v --no-connect", "batch list", "runner info", "runner status",
    "project list", "project worker list", "project exec_config list",
)  # fmt: skip
"""What is measured; names in braces are those of a job and a flow in the middle of the queue."""

WHOLE_TABLE = frozenset({"job list --count", "flow list --count"})
"""Commands of which the answer needs a look at every row (of an index, where there is one)."""

_LAUNCHER = """\
import json, os, sys, time
words, runs = json.loads(sys.argv[1]), int(sys.argv[2])
told = []
for _ in range(runs + 1):
    begin = time.perf_counter()
    pid = os.posix_spawn(words[0], words, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, sys.argv[3] + ".err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)])
    _, status, usage = os.wait4(pid, 0)
    told.append([time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024,
                 os.waitstatus_to_exitcode(status)])
print(json.dumps(told[1:]))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took: medians of seconds, and the highest peak of memory."""

    command: str
    wall: float
    cpu: float
    megabytes: float
    exit_codes: frozenset[int]

    @property
    def bound(self) -> float:
        """Seconds that it may take."""
        return DEFAULT_SECONDS if self.command == "job list" else SECONDS

    @property
    def holds(self) -> bool:
        """Whether it answered, in time and without much memory."""
        return self.exit_codes == {0} and self.wall <= self.bound and self.megabytes <= MEGABYTES


def run(words: str, *, environment: Mapping[str, str], runs: int = RUNS) -> Cost:
    """Run ``jf`` several times."""
    command = [sys.executable, "-m", "jobflow_remote.cli.main", *words.split()]
    with tempfile.NamedTemporaryFile() as output:
        launcher = [sys.executable, "-S", "-E", "-c", _LAUNCHER, json.dumps(command), str(runs), output.name]
        done = subprocess.run(launcher, env=environment, capture_output=True, text=True, check=True)
        complaint = Path(f"{output.name}.err")
        told: list[list[float]] = json.loads(done.stdout)
        codes = frozenset(int(each[3]) for each in told)
        if codes != {0}:
            print(f"jf {words}: exit codes {set(codes)}: {complaint.read_text()[-500:]}", file=sys.stderr)
        complaint.unlink()
    wall, cpu, memory = (([each[position] for each in told]) for position in range(3))
    return Cost(words, statistics.median(wall), statistics.median(cpu), max(memory), codes)


def _fill(folder: Path, jobs: int, flows: int, seed: int) -> dict[str, str]:
    """Fill the queue of the project in this folder by a process of its own; names of some of what is in it."""
    code = (
        "import json, sys\n"
        "from tests.shows.commands_listings import fill_here\n"
        "print(json.dumps(fill_here(*map(int, sys.argv[1:]))))"
    )
    words = [sys.executable, "-c", code, str(jobs), str(flows), str(seed)]
    done = subprocess.run(words, env=_environment(folder), stdout=subprocess.PIPE, text=True, check=True)
    names: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return names


def fill_here(jobs: int, flows: int, seed: int) -> dict[str, str]:
    """Fill the queue of the selected project; names of a job and a flow in the middle of it."""
    from tests.shows.manyjobs import ManyJobs

    from jobflow_remote.config.snapshot import load_snapshot
    from jobflow_remote.queuedb import open_queue_database

    queue = open_queue_database(load_snapshot().queue_spec)
    try:
        now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
        ManyJobs(jobs, flows, seed, now).fill(queue)
        (job,) = queue.find_jobs({"db_number": jobs // 2}, limit=1)
        (failed,) = queue.find_jobs({"state": "FAILED"}, limit=1)
        return {
            "db_id": job["db_id"], "uuid": job["uuid"], "prefix": job["uuid"][:12], "flow": job["flow_uuid"],
            "pid": job["remote"]["process_id"], "failed": failed["db_id"],
        }  # fmt: skip
    finally:
        queue.close()


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("JFREMOTE_")}
    root = str(Path(__file__).parents[2])
    return kept | {
        "JFREMOTE_PROJECTS_FOLDER": str(folder / "projects"), "JFREMOTE_CONFIG_FILE": str(folder / "none.yaml"),
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [kept.get("PYTHONPATH")])]),
    }  # fmt: skip


def make_project(folder: Path, store: str) -> None:
    """A project whose queue is in this store, with a file old enough to be believed."""
    projects = folder / "projects"
    projects.mkdir(parents=True)
    file = projects / "many.yaml"
    file.write_text(PROJECT.format(folder=folder, store=store))
    os.utime(file, (1e9, 1e9))


def costs(folder: Path, names: Mapping[str, str], *, runs: int = RUNS) -> Iterator[Cost]:
    """Each command, one after the other."""
    for words in COMMANDS:
        yield run(words.format_map(names), environment=_environment(folder), runs=runs)


def _judge(database: str, found: list[Cost]) -> list[Verdict]:
    first, *others = found
    verdicts = [_verdict(f"{database}: jf job list", first)]
    slowest = max(others, key=lambda cost: cost.wall)
    largest = max(found, key=lambda cost: cost.megabytes)
    verdicts.append(_verdict(f"{database}: slowest of {len(others)} others: jf {slowest.command}", slowest))
    verdicts.append(
        is_true(
            f"{database}: most memory: jf {largest.command}", largest.megabytes <= MEGABYTES,
            figure=f"{largest.megabytes:.0f} MB", bound=f"≤ {MEGABYTES:g} MB",
        )
    )  # fmt: skip
    broken = [cost.command for cost in found if cost.exit_codes != {0}]
    verdicts.append(is_true(f"{database}: commands that failed", not broken, figure=", ".join(broken) or "none",
                            bound="none"))  # fmt: skip
    return verdicts


def _verdict(what: str, cost: Cost) -> Verdict:
    figure = f"{cost.wall:.2f} s ({cost.cpu:.2f} s of CPU)"
    return is_true(what, cost.wall <= cost.bound, figure=figure, bound=f"≤ {cost.bound:g} s")


def measure(folder: Path, seed: int, *, jobs: int = JOBS, flows: int = FLOWS) -> list[Verdict]:
    """The line at full size, on SQLite and on MongoDB."""
    verdicts = []
    for database in ("SQLite", "MongoDB"):
        own = folder / database
        server = Mongod(own / "mongod").start() if database == "MongoDB" else None
        try:
            store = f"{{type: SQLiteStore, path: {own}/queue.sqlite}}"
            if server is not None:
                store = (
                    f"{{type: MongoStore, host: 127.0.0.1, port: {server.port}, database: many, "
                    "collection_name: jobs}"
                )
            make_project(own, store)
            names = _fill(own, jobs, flows, seed)
            found = []
            for cost in costs(own, names):
                found.append(cost)
                mark = " " if cost.holds else "!"
                print(
                    f"{mark} {database:8} {cost.wall:6.3f} s {cost.cpu:6.3f} s CPU {cost.megabytes:5.0f} MB  "
                    f"jf {cost.command}",
                    file=sys.stderr,
                    flush=True,
                )
            verdicts += _judge(database, found)
        finally:
            if server is not None:
                server.stop()
    return verdicts
