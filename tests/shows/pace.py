"""How fast many jobs go over a slow link, and how many round trips that takes: ours, and a reference beside it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.home import Home
from tests.services.fakeslurm import FakeSlurm
from tests.services.mongod import Mongod
from tests.services.slowproxy import SlowProxy
from tests.services.sshd import Sshd
from tests.shows.farhome import JOBS_FOLDER, ROOT, counts, drive, far_home, logs, wait_for

_SUBMITTED = frozenset({"SUBMITTED", "RUNNING", "RUN_FINISHED", "TERMINATED", "DOWNLOADED", "COMPLETED"})


@dataclass(frozen=True)
class Pace:
    """Figures of one way through the link."""

    jobs: int
    seconds: float
    turns: int

    @property
    def per_second(self) -> float:
        return self.jobs / self.seconds if self.seconds else float("inf")


@dataclass
class Link:
    """A server behind a slow proxy."""

    server: Sshd
    proxy: SlowProxy
    slurm: FakeSlurm

    def worker(self, **more: Any) -> dict[str, Any]:
        """A worker with the pretended scheduler."""
        return {
            "type": "remote",
            "scheduler_type": "slurm",
            "host": "127.0.0.1",
            "port": self.proxy.port,
            "user": self.server.user,
            "key_filename": str(self.server.user_key),
            "work_dir": "@FOLDER@/far",
            "login_shell": False,
            "execution_cmd": self.slurm.execution_cmd,
            **more,
        }


@contextmanager
def slow_link(folder: Path, *, delay_ms: float) -> Iterator[Link]:
    """A real SSH server behind a link that delays; its ``sbatch`` takes everything at once."""
    slurm = FakeSlurm(folder / "slurm")
    path = f"PATH={slurm.bin}:/usr/local/bin:/usr/bin:/bin"
    server = Sshd(folder / "sshd", options={"SetEnv": path}).start()
    proxy = SlowProxy(("127.0.0.1", server.port), delay_ms=delay_ms)
    try:
        yield Link(server, proxy, slurm)
    finally:
        proxy.close()
        server.stop()


def measure(link: Link, jobs: int) -> tuple[Pace, Pace]:
    """READY to SUBMITTED, then from the first job that has ended to the last COMPLETED."""
    with far_home({"far": link.worker()}) as home:
        drive(home, "adds", "far", jobs)
        before = link.proxy.counts()["turns"]
        home.start()
        states = wait_for_states(home, jobs, _SUBMITTED, 60 + jobs)
        after = link.proxy.counts()["turns"]
        there = Pace(jobs, _between(states, "CHECKED_OUT", "SUBMITTED"), after - before)
        home.shut_down()
        link.slurm.run_all(pythonpath=f"{ROOT}:{ROOT}/src:{JOBS_FOLDER}")
        before = link.proxy.counts()["turns"]
        home.start()
        states = wait_for_states(home, jobs, {"COMPLETED"}, 60 + jobs)
        after = link.proxy.counts()["turns"]
        return there, Pace(jobs, _between(states, "TERMINATED", "COMPLETED"), after - before)


def wait_for_states(
    home: Home, jobs: int, wanted: frozenset[str] | set[str], seconds: float
) -> list[dict[str, Any]]:
    """Stories of all jobs, once they are in one of these states."""

    def arrived() -> bool:
        listed = counts(home)
        return sum(number for state, number in listed.items() if state in wanted) >= jobs

    try:
        wait_for(f"{jobs} jobs are {', '.join(sorted(wanted))}", arrived, seconds, every_seconds=1)
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {counts(home)}\n{logs(home)}") from error
    stories: list[dict[str, Any]] = drive(home, "stories")
    return stories


def _between(stories: list[dict[str, Any]], first: str, last: str) -> float:
    begins = [_when(entry) for job in stories for entry in job["history"] if entry["state"] == first]
    ends = [_when(entry) for job in stories for entry in job["history"] if entry["state"] == last]
    return (max(ends) - min(begins)).total_seconds()


def _when(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(str(entry["when"]))


def measure_reference(link: Link, jobs: int, *, bin_folder: Path, folder: Path) -> Pace:
    """READY to SUBMITTED with another release, on MongoDB, as it comes."""
    server = Mongod(folder / "mongod").start()
    try:
        worker = link.worker()
        with far_home(
            {"far": worker}, server=server, bin=bin_folder, label="reference", pythonpath=""
        ) as home:
            home.jf("admin", "reset", "-y")
            home.drive("submit", "wide", str(jobs))
            return _time_reference(home, server, link, jobs)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _time_reference(home: Home, server: Mongod, link: Link, jobs: int) -> Pace:
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]](server.uri) as client:
        collection = client["far"]["jobs"]

        def waiting(*states: str) -> int:
            return int(collection.count_documents({"state": {"$in": list(states)}}))

        before = link.proxy.counts()["turns"]
        home.jf("runner", "start")
        wait_for("the first job is checked out", lambda: waiting("READY") < jobs, 120, every_seconds=0.05)
        started = time.monotonic()
        unsent = ("READY", "CHECKED_OUT", "UPLOADED")
        wait_for("all jobs are submitted", lambda: not waiting(*unsent), 1200, every_seconds=0.2)
        seconds = time.monotonic() - started
        failed = waiting("REMOTE_ERROR", "FAILED")
        if failed:
            raise RuntimeError(f"{failed} jobs failed with the reference")
        return Pace(jobs, seconds, link.proxy.counts()["turns"] - before)
