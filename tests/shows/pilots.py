"""Pilots: many small jobs inside of one allocation, each line of what issue 6 promises, at full size."""

from __future__ import annotations

import argparse
import ast
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.home import Home
from tests.services.mongod import Mongod
from tests.services.slowproxy import SlowProxy
from tests.services.slurm import Slurm
from tests.services.sshd import Sshd
from tests.shows import old_release
from tests.shows.farhome import JOBS_FOLDER, ROOT, drive, far_home, logs, wait_for
from tests.shows.verdict import Verdict, at_most, is_true, print_verdicts

from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase

_PATHS = f"{ROOT}:{ROOT}/src:{JOBS_FOLDER}"
_PRE_RUN = f"export PYTHONPATH={_PATHS} PATH={Path(sys.executable).parent}:$PATH"


@dataclass(frozen=True)
class Yard:
    """A home with one batch worker."""

    home: Home
    queue: SQLiteQueueDatabase

    @property
    def handle(self) -> Path:
        return self.home.folder / "handle"

    def counts(self) -> dict[str, int]:
        return self.queue.count_job_states()

    def wait(self, number: int, seconds: float, *states: str) -> None:
        """Wait until so many jobs are in one of these states (COMPLETED)."""
        wanted = states or ("COMPLETED",)

        def arrived() -> bool:
            found = self.counts()
            return sum(found.get(state, 0) for state in wanted) >= number

        try:
            wait_for(f"{number} jobs are {wanted}", arrived, seconds, every_seconds=0.25)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.counts()}\n{logs(self.home)}") from error

    def pace(self) -> float:
        """Jobs a second, from the first insertion to the last COMPLETED."""
        jobs = self.queue.find_jobs({}, fields=["created_on", "updated_on"])
        began: datetime = min(job["created_on"] for job in jobs)
        ended: datetime = max(job["updated_on"] for job in jobs)
        return len(jobs) / (ended - began).total_seconds()

    def pilots(self) -> list[dict[str, Any]]:
        return self.queue.find_batches({})

    def processes(self) -> list[int]:
        """Pilots that run on this machine."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if b"run-batch" in words and str(self.handle).encode() in words:
                    found.append(int(folder.name))
        return found


@contextlib.contextmanager
def yard(
    batch: Mapping[str, Any],
    worker: Mapping[str, Any] | None = None,
    *,
    more: Mapping[str, Any] | None = None,
) -> Iterator[Yard]:
    """A home, started later; whatever ran in it is ended."""
    configured = {
        "type": "local",
        "scheduler_type": "shell",
        "work_dir": "@FOLDER@/runs",
        "max_jobs": 1,
        "pre_run": _PRE_RUN,
        "batch": {
            "jobs_handle_dir": "@FOLDER@/handle",
            "work_dir": "@FOLDER@/pilots",
            "max_wait": 20,
            **batch,
        },
        **(worker or {}),
    }
    with tempfile.TemporaryDirectory(prefix="jfp-") as folder:
        store = {"type": "SQLiteStore", "path": f"{folder}/queue.db"}
        outputs = {"docs_store": {"type": "SQLiteStore", "path": f"{folder}/outputs.db"}}
        project = {"queue": {"store": store}, "jobstore": outputs, **(more or {})}
        with far_home({"pilots": configured}, more=project) as home:
            made = Yard(home, SQLiteQueueDatabase(f"{folder}/queue.db"))
            try:
                yield made
            finally:
                made.home.shut_down()
                for process in made.processes():
                    with contextlib.suppress(OSError):
                        os.kill(process, signal.SIGKILL)
                made.queue.close()


class Shows:
    """The lines; each gives its verdicts."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder

    # -- 1: speed ----------------------------------------------------------------------------------------------

    def speed(self) -> list[Verdict]:
        """5,000 additions through one pilot with two places, on this machine and through Slurm."""
        number = self.options.jobs or 5000
        local = self._speed(number, {"reuse": True}, 150, "reused processes")
        forked = self._speed(number, {}, 60, "a fork each")
        verdicts = [local[0], forked[0]]
        with self._slurm(nodes=1):
            worker = {"scheduler_type": "slurm", "resources": {"ntasks": 2, "mem": 2000}}
            slurm = self._speed(number, {"reuse": True}, 0.8 * local[1], "the same in Slurm", worker)
        verdicts.append(slurm[0])
        theirs = self._reference(200)
        times = f"{local[1] / theirs:.0f} times (reuse), {forked[1] / theirs:.0f} times (forks)"
        figure = f"{theirs:.2f} jobs/s: {times}"
        verdicts.append(is_true("1.0.1 beside it, on 200", theirs < forked[1], figure=figure, bound="slower"))
        return verdicts

    def _speed(
        self,
        number: int,
        batch: Mapping[str, Any],
        bound: float,
        what: str,
        worker: Mapping[str, Any] | None = None,
    ) -> tuple[Verdict, float]:
        with yard({"parallel_jobs": 2, **batch}, worker) as place:
            place.home.start()
            drive(place.home, "adds", "pilots", number)
            place.wait(number, 60 + number / 5)
            pace = place.pace()
            pilots = len(place.pilots())
        figure = f"{pace:.0f} jobs/s ({number} jobs, {pilots} pilot{'s' if pilots > 1 else ''})"
        return is_true(f"add, {what}", pace >= bound, figure=figure, bound=f"≥ {bound:.0f} jobs/s"), pace

    def _reference(self, number: int) -> float:
        """Jobs a second of release 1.0.1 with a batch worker as it comes, looking around every second."""
        from pymongo import MongoClient

        server = Mongod(self.folder / "mongod").start()
        batch = {
            "jobs_handle_dir": "@FOLDER@/handle", "work_dir": "@FOLDER@/pilots", "parallel_jobs": 2,
            "max_wait": 20, "sleep_time": 1,
        }  # fmt: skip
        worker = {
            "type": "local", "scheduler_type": "shell", "work_dir": "@FOLDER@/runs", "max_jobs": 1, "batch": batch,
        }  # fmt: skip
        place = {"host": "127.0.0.1", "port": server.port, "database": "far", "collection_name": "outputs"}
        outputs = {"jobstore": {"docs_store": {"type": "MongoStore", **place}}}
        delays = {
            f"delay_{name}": 1 for name in ("checkout", "check_run_status", "advance_status", "update_batch")
        }
        there = self.options.reference or old_release.install("1.0.1", self.folder / "reference")
        bin_folder = Path(there).resolve() / "bin"
        try:
            with far_home(
                {"pilots": worker},
                server=server,
                runner=delays,
                bin=bin_folder,
                label="1.0.1",
                pythonpath="",
                more=outputs,
            ) as home:
                if not home.version().startswith("1.0"):
                    raise RuntimeError(f"{bin_folder} has {home.version()}")
                home.jf("admin", "reset", "-y")
                home.jf("runner", "start")
                started = time.monotonic()
                home.drive("submit", "wide", str(number))
                with MongoClient[dict[str, Any]](server.uri) as client:
                    jobs = client["far"]["jobs"]
                    wait_for(
                        f"{number} jobs of 1.0.1 are COMPLETED",
                        lambda: jobs.count_documents({"state": "COMPLETED"}) >= number,
                        60 + 10 * number,
                    )
                return number / (time.monotonic() - started)
        finally:
            server.stop()

    @contextlib.contextmanager
    def _slurm(self, **options: Any) -> Iterator[Slurm]:
        with tempfile.TemporaryDirectory(prefix="jfs-") as folder:
            slurm = Slurm(Path(folder) / "slurm", **options)
            try:
                slurm.start()
                yield slurm
            finally:
                slurm.stop()

    # -- 2: a slow link ----------------------------------------------------------------------------------------

    def link(self) -> list[Verdict]:
        """2,000 jobs over a round trip of 50 ms."""
        number = self.options.jobs or 2000
        server = Sshd(self.folder / "sshd").start()
        proxy = SlowProxy(("127.0.0.1", server.port), delay_ms=25)
        far = {
            "type": "remote", "host": "127.0.0.1", "port": proxy.port, "user": server.user,
            "key_filename": str(server.user_key), "login_shell": False,
        }  # fmt: skip
        try:
            with yard({"parallel_jobs": 2, "reuse": True}, far) as place:
                drive(place.home, "adds", "pilots", number)
                before = proxy.counts()["turns"]
                place.home.start()
                place.wait(number, 120 + number / 5)
                turns = proxy.counts()["turns"] - before
                pace = place.pace()
        finally:
            proxy.close()
            server.stop()
        note = f"{turns} for {number} jobs, {pace:.0f} jobs/s"
        return [at_most("round trips, logins and polls included", turns / number, 0.05, "per job", note=note)]

    # -- 3: trouble --------------------------------------------------------------------------------------------

    def trouble(self) -> list[Verdict]:
        """Everything that can go wrong, at random, over 2,000 jobs in Slurm."""
        number = self.options.jobs or 2000
        dice = random.Random(self.options.seed)
        marks = self.folder / "marks"
        with self._slurm(nodes=3) as slurm:
            worker = {
                "scheduler_type": "slurm",
                "max_jobs": 3,
                "resources": {"ntasks": 4, "mem": 800, "time": "00:02:00"},
            }
            with yard({"parallel_jobs": 4, "max_wait": 30}, worker) as place:
                drive(place.home, "ending_once", "pilots", number, marks, 0.5)
                place.home.start()
                troubles = Troubles(place, slurm, dice)
                end = time.monotonic() + 120 + number
                while place.counts().get("COMPLETED", 0) < number and time.monotonic() < end:
                    time.sleep(dice.uniform(3, 8))
                    troubles.one()
                    if sum(place.counts().get(state, 0) for state in ("REMOTE_ERROR", "FAILED")):
                        break
                troubles.over()
                counts = place.counts()
                jobs = place.queue.find_jobs({}, fields=["remote", "state"])
                pilots = len(place.pilots())
        runs = read_runs(marks.read_text() if marks.exists() else "")
        overlapping, twice, cut = judge_runs(runs, troubles.kills)
        interrupted = sum(1 for job in jobs if job["remote"].get("interruptions"))
        figure = f"{counts.get('COMPLETED', 0)} of {number}; {dict(troubles.done)}, {pilots} pilots, "
        figure += f"{interrupted} jobs interrupted"
        once = f"{len(runs)} jobs, {twice} twice; {cut} killed between their last line and their result"
        return [
            is_true("COMPLETED without repair", counts == {"COMPLETED": number}, figure=figure, bound="all"),
            is_true("ran to the end exactly once", len(runs) == number and not twice, figure=once),
            is_true("no two runs of a job at a time", not overlapping, figure=f"{overlapping}", bound="0"),
        ]

    # -- 4: a mixed bag ----------------------------------------------------------------------------------------

    def mixed(self) -> list[Verdict]:
        """Jobs of one core, four cores, a GPU and whole nodes in one allocation of two nodes."""
        number = self.options.jobs or 150
        told = self.folder / "told"
        with self._slurm(nodes=2) as slurm:
            self._add_gpus(slurm)
            resources = {"nodes": 2, "ntasks_per_node": 16, "mem": 3000, "gres": "gpu:4"}
            worker = {
                "scheduler_type": "slurm",
                "resources": resources,
            }
            with yard({"pack": True}, worker) as place:
                drive(place.home, "mixed_bag", "pilots", number, told)
                place.home.start()
                place.wait(number, 600, "COMPLETED", "REMOTE_ERROR", "FAILED")
                counts = place.counts()
                pilots = place.pilots()
        places = [ast.literal_eval(line) for line in told.read_text().splitlines()]
        overlaps, used, span = judge_places(places)
        return [
            is_true(
                "COMPLETED", counts == {"COMPLETED": number}, figure=f"{counts}, {len(pilots)} allocation"
            ),
            is_true(
                "places never overlap", overlaps == 0, figure=f"{overlaps} overlaps of {len(places)} places"
            ),
            is_true(
                "cores in use while jobs wait",
                used >= 0.9,
                figure=f"{used:.0%} over {span:.0f} s",
                bound="≥ 90 %",
            ),
        ]

    def _add_gpus(self, slurm: Slurm) -> None:
        """Files stand for devices."""
        conf = slurm.folder / "slurm.conf"
        devices = " ".join(str(slurm.folder / f"gpu{number}") for number in range(4))
        for device in devices.split():
            Path(device).touch()
        text = (
            conf.read_text()
            .replace("CPUS=16", "CPUS=16")
            .replace("RealMemory=4096", "RealMemory=4096 Gres=gpu:4")
        )
        conf.write_text(f"GresTypes=gpu\n{text}")
        (slurm.folder / "gres.conf").write_text(f"Name=gpu File={slurm.folder}/gpu[0-3]\n")
        slurm.restart_all()

    # -- 5: harmful jobs ---------------------------------------------------------------------------------------

    def harm(self) -> list[Verdict]:
        """A job that leaks, one that kills its group, one that closes descriptors, one that leaves a daemon."""
        verdicts = []
        for name, batch in (("forks", {}), ("reuse", {"reuse": True})):
            with yard({"parallel_jobs": 2, **batch}) as place:
                place.home.start()
                ids = drive(place.home, "harmful", "pilots", 20)
                place.wait(24, 180, "COMPLETED", "REMOTE_ERROR", "FAILED")
                jobs = {job["db_id"]: job for job in place.queue.find_jobs({})}
                neighbours = [jobs[each]["state"] for each in ids["neighbours"]]
                states = {kind: jobs[each]["state"] for kind, each in ids["harmful"].items()}
                said = place.home.jf("job", "info", ids["harmful"]["kills_its_group"]).stdout
                for process in place.queue.find_jobs({"job.name": "forks_a_daemon"}):
                    _end_daemon(place.home, process)
                one = len({job["remote"].get("process_id") for job in jobs.values()}) == 1
            wanted = {"kills_its_group": "REMOTE_ERROR"}
            well = all(state == wanted.get(kind, "COMPLETED") for kind, state in states.items())
            verdicts += [
                is_true(
                    f"{name}: neighbours",
                    set(neighbours) == {"COMPLETED"} and one,
                    figure=str(Counter(neighbours)),
                ),
                is_true(f"{name}: each ends as it must", well, figure=str(states)),
                is_true(
                    f"{name}: cause in `jf job info`",
                    "SIGKILL" in said,
                    figure="SIGKILL" if "SIGKILL" in said else said[-200:],
                ),
            ]
        return verdicts


def _end_daemon(home: Home, job: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        pid = int(home.json("job", "output", job["db_id"]))
        os.kill(pid, signal.SIGKILL)


class Troubles:
    """Things that go wrong."""

    def __init__(self, place: Yard, slurm: Slurm, dice: random.Random) -> None:
        self.place, self.slurm, self.dice = place, slurm, dice
        self.done: Counter[str] = Counter()
        self.kills: list[float] = []
        self._kinds: list[Callable[[], None]] = [
            self.kill_pilot, self.kill_pilot, self.fail_node, self.reach_walltime, self.forbid_folder, self.kill_runner,
        ]  # fmt: skip

    def one(self) -> None:
        """One of them."""
        kind = self.dice.choice(self._kinds)
        self.kills.append(time.time())
        kind()
        self.done[kind.__name__] += 1

    def kill_pilot(self) -> None:
        processes = self.place.processes()
        if processes:
            os.kill(self.dice.choice(processes), signal.SIGKILL)

    def fail_node(self) -> None:
        """The node is set down: Slurm ends what runs there. A moment later it is back."""
        node = f"n{self.dice.randint(1, self.slurm.nodes)}"
        _scontrol("update", f"NodeName={node}", "State=DOWN", "Reason=trouble")
        time.sleep(2)
        _scontrol("update", f"NodeName={node}", "State=RESUME")

    def reach_walltime(self) -> None:
        running = [pilot["process_id"] for pilot in self.place.pilots() if pilot["batch_state"] == "RUNNING"]
        if running:
            self.slurm.expire(self.dice.choice(running))

    def forbid_folder(self) -> None:
        """Nothing can be written into the folder for some seconds; not even by root."""
        folders = [str(self.place.handle / name) for name in ("new", "taken", "reports", "pilots")]
        _chattr("+i", folders)
        time.sleep(self.dice.uniform(1, 8))
        _chattr("-i", folders)

    def kill_runner(self) -> None:
        for process in self.place.home.runner_processes():
            with contextlib.suppress(Exception):
                process.kill()
        time.sleep(60 if not self.done["kill_runner"] else 3)
        self.place.home.jf("runner", "start")

    def over(self) -> None:
        """Leave everything in order."""
        _chattr("-i", [str(path) for path in self.place.handle.glob("*") if path.is_dir()])


def _scontrol(*words: str) -> None:
    subprocess.run(["scontrol", *words], check=False, capture_output=True)


def _chattr(flag: str, folders: Sequence[str]) -> None:
    subprocess.run(["chattr", flag, *folders], check=False, capture_output=True)


def read_runs(text: str) -> dict[str, list[tuple[float, float]]]:
    """By job: from when to when it ran, each time that it came to the end of its function."""
    runs: dict[str, list[tuple[float, float]]] = {}
    for words in map(str.split, text.splitlines()):
        runs.setdefault(words[0], []).append((float(words[1]), float(words[2])))
    return runs


def judge_runs(
    runs: Mapping[str, Sequence[tuple[float, float]]], kills: Sequence[float]
) -> tuple[int, int, int]:
    """Jobs with overlapping runs; that ran twice; that were killed between the end of the function and the result.

    Nobody can tell whether a process that was killed at such a moment has done its work.
    """
    overlapping = twice = cut = 0
    for spans in runs.values():
        for first, second in itertools.pairwise(sorted(spans)):
            overlapping += second[0] < first[1]
            under_way = any(first[1] - 1 < kill < first[1] + 2 for kill in kills)
            cut += under_way
            twice += not under_way
    return overlapping, twice, cut


def judge_places(places: Sequence[Mapping[str, Any]]) -> tuple[int, float, float]:
    """How many pairs of jobs had a core or a GPU at the same time; the part of the cores that was in use, for how long.

    The time counts from when the first job began until no job was left to be started.
    """
    taken: dict[str, list[tuple[float, float]]] = {}
    for place in places:
        for node in place["JFREMOTE_NODES"].split(","):
            for core in place["JFREMOTE_CORES"].split(","):
                taken.setdefault(f"{node}/core{core}", []).append((place["began"], place["ended"]))
            for gpu in filter(None, (place["JFREMOTE_GPUS"] or "").split(",")):
                taken.setdefault(f"{node}/gpu{gpu}", []).append((place["began"], place["ended"]))
    overlaps = 0
    for spans in taken.values():
        spans.sort()
        overlaps += sum(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))
    began, ended = min(place["began"] for place in places), max(place["began"] for place in places)
    cores = {name: spans for name, spans in taken.items() if "/core" in name}
    busy = sum(min(last, ended) - first for spans in cores.values() for first, last in spans if first < ended)
    return overlaps, busy / (32 * (ended - began)), ended - began


LINES: dict[int, str] = {1: "speed", 2: "link", 3: "trouble", 4: "mixed", 5: "harm"}


def main(words: Sequence[str]) -> int:
    """Run lines; the exit code is 0 if all held."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows pilots")
    parser.add_argument("--line", type=int, action="append", choices=LINES, help="only this line")
    parser.add_argument("--jobs", type=int, help="another number of jobs, for a quick look")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--reference", help="environment of 1.0.1 (default: made)")
    options = parser.parse_args(words)
    results = []
    with tempfile.TemporaryDirectory(prefix="jfp-") as folder:
        for number in options.line or LINES:
            place = Path(folder) / str(number)
            place.mkdir()
            verdicts = getattr(Shows(options, place), LINES[number])()
            results.append((number, verdicts))
            print(json.dumps([number, [[v.what, v.figure, v.word] for v in verdicts]]), flush=True)
    return 0 if print_verdicts("pilots", results) else 1
