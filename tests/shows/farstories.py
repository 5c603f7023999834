"""The stories of the clusters, at any size: each sets things up, lets them happen, and tells what came of it."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from benchmarks.home import Home
from tests.services.cluster import Cluster
from tests.services.sshd import Sshd
from tests.shows.farhome import JOBS_FOLDER, ROOT, counts, drive, far_home, logs, wait_for

PRE_RUN = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={ROOT}/src:{JOBS_FOLDER}"
"""What a user writes to have Python and their jobs on the worker."""
SLURM: dict[str, Any] = {"scheduler_type": "slurm", "resources": {"mem": 500}}
"""What a user writes for a Slurm that gives jobs little memory by itself."""


def all_completed(home: Home, number: int, worker: str = "") -> Callable[[], bool]:
    """Whether so many jobs (of a worker) are COMPLETED."""
    return lambda: counts(home, worker) == {"COMPLETED": number}


# -- one flow, many ways -------------------------------------------------------------------------------------------


@dataclass
class Demo:
    """The demo flow through one worker."""

    state: str
    same_numbers: bool
    seconds: float
    figure: str = ""


def demo(home: Home, worker: str, expected: Any, *, points: int) -> Demo:
    """Submit it, wait for it, compare its numbers."""
    started = time.monotonic()
    found = drive(home, "demo", worker, points)
    if found["state"] != "COMPLETED":
        print(home.jf("job", "list", check=False).stdout, logs(home), file=sys.stderr)
    return Demo(found["state"], found["output"] == expected, time.monotonic() - started)


def open_session(home: Home, cluster: Cluster, worker: str) -> None:
    """What a user does for ``transport: openssh``: log in once, by hand."""
    (home.folder / ".ssh").mkdir(mode=0o700, exist_ok=True)
    path = drive(home, "control_socket", worker)
    command = ["ssh", "-F", str(cluster.ssh_config), "-M", "-N", "-f", "-o", f"ControlPath={path}", "hpc"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def close_session(home: Home, cluster: Cluster, worker: str) -> None:
    """Log out again."""
    path = drive(home, "control_socket", worker)
    command = ["ssh", "-F", str(cluster.ssh_config), "-o", f"ControlPath={path}", "-O", "exit", "hpc"]
    subprocess.run(command, check=False, capture_output=True)


# -- whose workers are away ----------------------------------------------------------------------------------------


@dataclass
class Isolation:
    """How a healthy worker fared beside two that are not."""

    alone_seconds: float
    beside_seconds: float
    reasons: dict[str, str]
    """What `jf worker list` said of the others meanwhile."""
    states: dict[str, dict[str, int]]
    """Jobs of the others by state meanwhile."""
    afterwards: dict[str, dict[str, int]] = field(default_factory=dict)


def isolation(cluster: Cluster, folder: Path, *, jobs: int, others: int) -> Isolation:
    """One worker behind a cable that swallows, one whose key is refused, one healthy."""
    healthy, locked = Sshd(folder / "healthy").start(), Sshd(folder / "locked").start()
    try:
        locked_key = folder / "other_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(locked_key)], check=True)
        near = {
            "type": "remote", "scheduler_type": "shell", "host": "127.0.0.1", "user": healthy.user,
            "work_dir": "@FOLDER@/far", "pre_run": PRE_RUN, "max_jobs": 4,
        }  # fmt: skip
        workers = {
            "healthy": {**near, "port": healthy.port, "key_filename": str(healthy.user_key)},
            "locked": {**near, "port": locked.port, "key_filename": str(locked_key)},
            "swallowed": cluster.worker(pre_run=PRE_RUN, connect_timeout=5, keepalive=5),
        }
        with far_home(workers) as home:
            return _isolate(home, cluster, locked, locked_key, jobs=jobs, others=others)
    finally:
        healthy.stop()
        locked.stop()


def _isolate(
    home: Home, cluster: Cluster, locked: Sshd, locked_key: Path, *, jobs: int, others: int
) -> Isolation:
    home.start()
    mark = home.folder / "marks"
    drive(home, "marks", "healthy", jobs, mark)
    alone = _time_marks(mark, home, jobs)
    cluster.black_hole()
    for name in ("locked", "swallowed"):
        drive(home, "marks", name, others, home.folder / "others" if name == "locked" else "/scratch/marks")
    wait_for("both have trouble", lambda: len(_reasons(home)) == 2, 90)
    mark.unlink()
    drive(home, "marks", "healthy", jobs, mark)
    beside = _time_marks(mark, home, 2 * jobs)
    found = Isolation(alone, beside, _reasons(home), {n: counts(home, n) for n in ("locked", "swallowed")})
    cluster.black_hole(on=False)
    locked.add_user_key(locked_key.with_suffix(".pub").read_text())
    for name in ("locked", "swallowed"):
        try:
            wait_for(f"{name} goes on", all_completed(home, others, name), 240, every_seconds=1)
        except TimeoutError as error:
            print(error, logs(home), file=sys.stderr)
        found.afterwards[name] = counts(home, name)
    return found


def _time_marks(path: Path, home: Home, completed: int) -> float:
    """From the first mark to the moment at which all are COMPLETED; the home's database is asked rarely."""
    wait_for("the first job runs", path.is_file, 120, every_seconds=0.05)
    started = time.monotonic()
    wait_for("all are COMPLETED", all_completed(home, completed, "healthy"), 600, every_seconds=0.2)
    return time.monotonic() - started


def _reasons(home: Home) -> dict[str, str]:
    """Why workers are down."""
    listed = home.json("worker", "list", "-v")
    return {row["name"]: row["troubles"][0]["why"] for row in listed if row["troubles"]}


# -- trouble of all kinds ------------------------------------------------------------------------------------------


@dataclass
class Troubled:
    """What became of jobs while everything failed from time to time."""

    jobs: int
    states: dict[str, int]
    not_once: dict[str, int]
    """Jobs that left another number of lines than one."""
    events: dict[str, int]
    seconds: float
    problems: list[str] = field(default_factory=list)


_FLAKY_SBATCH = """#!/bin/bash
# accepts, and now and then does not say so
answer=$({real} "$@" 2>&1); code=$?
if [ $code = 0 ] && [ $((RANDOM % {one_in})) = 0 ]; then
  echo x >> {folder}/timeouts
  echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1
fi
echo "$answer"; exit $code
"""


def troubles(
    cluster: Cluster, *, jobs: int, seed: int, events: Sequence[str], away_seconds: float, one_in: int = 8
) -> Troubled:
    """Jobs on Slurm while connections, servers, the controller and the runner go and come at random."""
    wrapper = cluster.folder / "flaky" / "sbatch"
    wrapper.parent.mkdir()
    real = shutil.which("sbatch")
    wrapper.write_text(_FLAKY_SBATCH.format(real=real, one_in=one_in, folder=wrapper.parent))
    wrapper.chmod(0o755)
    cluster.add_to_profile(f"export PATH={wrapper.parent}:$PATH")
    chance = random.Random(seed)  # not for secrets
    happened: Counter[str] = Counter()
    worker = cluster.worker(**SLURM, pre_run=PRE_RUN, keepalive=5, connect_timeout=5)
    with far_home({"slurm": worker}, runner={"delay_check_run_status": 5}) as home:
        started = time.monotonic()
        home.start()
        half = jobs // 2
        drive(home, "marks", "slurm", half, "/scratch/marks")
        drive(home, "marks", "slurm", jobs - half, "/scratch/marks", half)
        for event in events:
            time.sleep(chance.uniform(0.5, 5))
            _EVENTS[event](cluster, home, away_seconds)
            happened[event] += 1
        problems = []
        try:
            wait_for("all are COMPLETED", all_completed(home, jobs), 120 + 6 * jobs, every_seconds=2)
        except TimeoutError:
            problems.append(f"{counts(home)}\n{logs(home)}")
        happened["timed out after acceptance"] = _lines(wrapper.parent / "timeouts")
        lines = Counter(cluster.node.run("cat", "/scratch/marks", check=False).split())
        wrong = {str(n): lines[str(n)] for n in range(jobs) if lines[str(n)] != 1}
        seconds = time.monotonic() - started
        return Troubled(jobs, counts(home), wrong, dict(happened), seconds, problems)


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.is_file() else 0


def _cut(cluster: Cluster, home: Home, away_seconds: float) -> None:
    cluster.node.call("login", "drop")


def _restart_sshd(cluster: Cluster, home: Home, away_seconds: float) -> None:
    cluster.node.call("login", "stop")
    time.sleep(min(away_seconds, 5))
    cluster.node.call("login", "start")


def _stop_controller(cluster: Cluster, home: Home, away_seconds: float) -> None:
    cluster.node.call("slurm", "stop_controller")
    time.sleep(away_seconds)
    cluster.node.call("slurm", "start_controller")


def _swallow(cluster: Cluster, home: Home, away_seconds: float) -> None:
    cluster.black_hole()
    time.sleep(min(away_seconds, 20))
    cluster.black_hole(on=False)


def _kill_runner(cluster: Cluster, home: Home, away_seconds: float) -> None:
    """All its processes at once, as soon as a job has been submitted that the database does not know of."""
    processes = home.runner_processes()
    for process in processes:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=20)
    home.start()


_EVENTS: dict[str, Callable[[Cluster, Home, float], None]] = {
    "connection cut": _cut,
    "sshd restarted": _restart_sshd,
    "slurmctld stopped": _stop_controller,
    "network swallows": _swallow,
    "runner killed": _kill_runner,
}
EVENTS = tuple(_EVENTS)


# -- how jobs are ended ----------------------------------------------------------------------------------------------


@dataclass
class Ended:
    """A job that somebody or something ended."""

    how: str
    state: str
    text: str
    """What `jf job info` says."""
    expected: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Expected words that it does not say."""
        said = " ".join(self.text.split()).lower()
        return [word for word in self.expected if word.lower() not in said]


WORDS = "Basis set 42 exploded"
"""What the jobs say on their error stream before they are ended."""


def endings(cluster: Cluster, ways: Sequence[str]) -> list[Ended]:
    """Jobs on Slurm that are ended in these ways: ``walltime``, ``memory``, ``scancel``, ``node``."""
    worker = cluster.worker(**SLURM, pre_run=PRE_RUN)
    with far_home({"slurm": worker}, runner={"delay_check_run_status": 5}) as home:
        home.start()
        ids = {way: _submit_for(home, way) for way in ways}
        numbers: dict[str, str] = {}

        def all_speak() -> bool:
            for job in drive(home, "stories"):
                if job["state"] == "RUNNING" and _has_spoken(cluster, job):
                    numbers[job["db_id"]] = str(job["remote"]["process_id"])
            return set(ids.values()) - {ids.get("memory")} <= set(numbers)

        wait_for("all jobs speak", all_speak, 120)
        for way, end in _ENDS.items():
            if way in ids and end is not None:
                end(cluster, numbers[ids[way]])
        wait_for("all have ended", lambda: set(counts(home)) <= {"REMOTE_ERROR", "FAILED"}, 240)
        return [_tell(home, way, ids[way]) for way in ways]


def _submit_for(home: Home, way: str) -> str:
    node = "n1" if way == "node" else "n2"
    resources = f'{{"qverbatim": "#SBATCH --nodelist={node}"'
    if way == "memory":
        resources += ', "mem": 150}'
        return str(drive(home, "filling", "slurm", WORDS, 600, resources)[0])
    return str(drive(home, "complaining", "slurm", WORDS, 600, resources + "}")[0])


def _has_spoken(cluster: Cluster, job: dict[str, Any]) -> bool:
    return WORDS in cluster.node.run("cat", f"{job['run_dir']}/queue.err", check=False)


def _tell(home: Home, way: str, db_id: str) -> Ended:
    info = home.json("job", "info", db_id, "-v")
    text = home.jf("job", "info", db_id).stdout
    expected = {
        "walltime": ("time limit",),
        "memory": ("memory",),
        "scancel": ("cancelled by root",),
        "node": ("node failure", "n1"),
    }[way]
    plain = text.replace("│", " ")
    return Ended(way, info["state"], plain, (*expected, WORDS))


_ENDS: dict[str, Callable[[Cluster, str], Any] | None] = {
    "walltime": lambda cluster, number: cluster.node.call("slurm", "expire", number),
    "memory": None,
    "scancel": lambda cluster, number: cluster.node.run(
        "env", f"SLURM_CONF={cluster.folder}/slurm/slurm.conf", "scancel", number
    ),
    "node": lambda cluster, number: cluster.node.call("slurm", "crash_node", "n1"),
}
