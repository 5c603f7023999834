"""A changed project file during a run: it takes effect without a restart, an invalid one does not and is told of.

A daemon in the split layout, on each database; jobs are submitted right after each change of the file and must be
rendered by what it said then.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from benchmarks.home import Home
from benchmarks.measure import wait_until
from tests.services.mongod import Mongod
from tests.shows.verdict import Verdict, is_true

_JOBS = 12
_WAIT_SECONDS = 900.0
_SUBMIT = """
import json, sys
from jobflow import Flow
from jobflow_remote import submit_flow
from jobflow_remote.testing import add_sleep, check_env_var
words = json.loads(sys.argv[1])
kind, number = words.pop("kind"), words.pop("number")
jobs = []
for each in range(number):
    if kind == "chain":
        jobs.append(add_sleep(jobs[-1].output if jobs else 0, 0.5))
    else:
        jobs.append(check_env_var() if kind == "read" else add_sleep(each, 1))
print(json.dumps(list(submit_flow(Flow(jobs), **words))))
"""


class Story:
    """One project whose file is changed again and again."""

    def __init__(self, home: Home, queue: dict[str, Any] | None, rng: random.Random) -> None:
        self.home, self.rng = home, rng
        self.file = home.projects_folder / "bench.yaml"
        self.project: dict[str, Any] = {
            "name": "bench",
            "workers": {"local": self._worker("first", max_jobs=1)},
            "exec_config": {},
            **({"queue": {"store": queue}} if queue else {}),
        }
        self.write()

    def _worker(self, mark: str, **more: Any) -> dict[str, Any]:
        return {
            "type": "local",
            "scheduler_type": "shell",
            "work_dir": str(self.home.folder / "runs"),
            "pre_run": f"export TESTING_ENV_VAR={mark}",
            **more,
        }

    def write(self, text: str | None = None) -> None:
        """Change the file (JSON is YAML, too)."""
        self.file.write_text(text if text is not None else json.dumps(self.project), encoding="utf-8")

    def word(self) -> str:
        return f"w{self.rng.randrange(10**6)}"

    def submit(self, kind: str, number: int, **options: Any) -> list[str]:
        """Submit jobs; their ids."""
        words = json.dumps({"kind": kind, "number": number, **options})
        done = subprocess.run(
            [self.home.python, "-c", _SUBMIT, words],
            env=self.home.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        ids: list[str] = json.loads(done.stdout.splitlines()[-1])
        return ids

    def documents(self, ids: list[str]) -> list[dict[str, Any]]:
        """The jobs, once they are through."""
        words = [word for each in ids for word in ("-did", each)]
        found: list[dict[str, Any]] = []

        def through() -> bool:
            found[:] = self.home.json("job", "list", "-m", "0", *words)
            return all(job["state"] in ("COMPLETED", "FAILED", "REMOTE_ERROR") for job in found)

        wait_until(through, timeout_seconds=_WAIT_SECONDS, what=f"{len(ids)} jobs end", every_seconds=0.5)
        return found

    def outputs(self, ids: list[str]) -> list[Any]:
        """What the jobs returned."""
        self.documents(ids)
        script = (
            "import json, sys; from jobflow_remote import JobController as C; c = C.from_project_name(); "
            "print(json.dumps([c.get_job_output(db_id=each) for each in sys.argv[1:]]))"
        )
        done = subprocess.run(
            [self.home.python, "-c", script, *ids],
            env=self.home.env,
            capture_output=True,
            text=True,
            check=True,
        )
        values: list[Any] = json.loads(done.stdout.splitlines()[-1])
        return values

    def told(self) -> dict[str, Any]:
        """What `jf runner info --json` says of the configuration."""
        return dict(self.home.json("runner", "info")["configuration"] or {})

    def pids(self) -> set[int]:
        """Of the daemon and the runner's processes, without jobs that are below them."""
        found = set()
        for process in self.home.runner_processes():
            with suppress(psutil.Error):
                if {"supervisor.supervisord", "jobflow_remote.engine"} & set(process.cmdline()):
                    found.add(process.pid)
        return found


def _mark_verdict(story: Story, what: str, ids: list[str], mark: str) -> Verdict:
    values = story.outputs(ids)
    right = sum(value == mark for value in values)
    return is_true(what, right == len(ids), figure=f"{right} of {len(ids)} jobs", bound="all")


def _changes(story: Story) -> list[Verdict]:
    """Valid ones: each is followed at once by jobs that need it."""
    workers, verdicts = story.project["workers"], []
    mark = story.word()
    workers["second"] = story._worker(mark)
    story.write()
    ids = story.submit("read", _JOBS, worker="second")
    verdicts.append(_mark_verdict(story, "jobs for a worker that was added a moment ago", ids, mark))
    mark = story.word()
    workers["second"] = story._worker(mark)
    story.write()
    ids = story.submit("read", _JOBS, worker="second")
    verdicts.append(_mark_verdict(story, "jobs after its pre_run was changed", ids, mark))
    for what in ("added", "changed"):
        mark = story.word()
        story.project["exec_config"]["marked"] = {"export": {"TESTING_ENV_VAR": mark}}
        story.write()
        ids = story.submit("read", _JOBS, worker="second", exec_config="marked")
        verdicts.append(_mark_verdict(story, f"jobs with an exec_config that was {what}", ids, mark))
    return verdicts


def _limits(story: Story) -> list[Verdict]:
    """``max_jobs``, by how many jobs ran at a time."""
    verdicts = []
    for limit, least in ((1, 1), (4, 2)):
        story.project["workers"]["local"]["max_jobs"] = limit
        story.write()
        most = _most_at_once(story, story.submit("sleep", 8, worker="local"))
        verdicts.append(
            is_true(
                f"jobs at a time after max_jobs was set to {limit}",
                least <= most <= limit,
                figure=str(most),
                bound=f"{least}–{limit}",
            )
        )
    return verdicts


def _most_at_once(story: Story, ids: list[str]) -> int:
    events: list[tuple[datetime, int]] = []
    story.documents(ids)
    for each in ids:
        info = story.home.json("job", "info", each)
        events += [
            (datetime.fromisoformat(info["start_time"]), 1),
            (datetime.fromisoformat(info["end_time"]), -1),
        ]
    running = most = 0
    for _, step in sorted(events):
        running += step
        most = max(most, running)
    return most


def _broken(story: Story) -> list[Verdict]:
    """Invalid ones, while a chain of jobs is on its way."""
    before = story.told()
    chain = story.submit("chain", 12, worker="second")
    valid = story.file.read_text()
    queue = {**story.project, "queue": {"store": {"type": "SQLiteStore", "path": "elsewhere.db"}}}
    cases: list[tuple[str, str, str]] = [
        ("an unknown key", valid.replace("work_dir", "work_dri"), "work_dri"),
        ("a file that is no YAML", "name: bench\nworkers: [", "line"),
        ("a file that is gone", "", "no project"),
        ("another queue database", json.dumps(queue), "jf runner restart"),
    ]
    verdicts = []
    for what, text, words in cases:
        if text:
            story.write(text)
        else:
            story.file.unlink()
        verdicts.append(_refused(story, what, words, before["digest"]))
    story.write(valid)
    states = [job["state"] for job in story.documents(chain)]
    verdicts.append(_all_completed("a chain of jobs went on meanwhile", states))
    mark = story.word()
    story.project["workers"]["second"] = story._worker(mark)
    story.write()
    ids = story.submit("read", _JOBS, worker="second")
    verdicts.append(_mark_verdict(story, "jobs after a valid file followed", ids, mark))
    verdicts.append(
        is_true("and `jf runner info` has no complaint any more", story.told()["problem"] is None)
    )
    return verdicts


def _refused(story: Story, what: str, words: str, digest: str) -> Verdict:
    told: dict[str, Any] = {}

    def says() -> bool:
        told.update(story.told())
        return words in str(told.get("problem"))

    try:
        wait_until(says, timeout_seconds=60, what="it is told of", every_seconds=0.2)
    except TimeoutError:
        pass
    shown = words in story.home.jf("runner", "info").stdout
    holds = says() and shown and told["digest"] == digest
    return is_true(
        f"{what}: `jf runner info` says why it is not used",
        holds,
        figure=" ".join(str(told.get("problem")).split())[-90:],
    )


def _all_completed(what: str, states: list[str]) -> Verdict:
    done = states.count("COMPLETED")
    return is_true(what, done == len(states), figure=f"{done} of {len(states)} COMPLETED", bound="all")


def _recorded(story: Story) -> list[Verdict]:
    """The configuration in the record of each job."""
    (one,) = story.submit("read", 1, worker="local")
    story.documents([one])
    told, info = story.told(), story.home.json("job", "info", one)
    digest = info["remote"]["configuration"]
    shown = digest in story.home.jf("job", "info", one).stdout
    jobs = story.home.json("job", "list", "-m", "0")
    return [
        is_true("a job names the configuration in use", digest == told["digest"] and shown, figure=digest),
        _all_completed("all jobs of all changes", [job["state"] for job in jobs]),
    ]


def _tell(database: str, queue: dict[str, Any] | None, seed: int) -> list[Verdict]:
    with Home() as home:
        story = Story(home, queue, random.Random(seed))
        home.start()
        pids = story.pids()
        verdicts: list[Verdict] = []
        parts: list[Callable[[Story], list[Verdict]]] = [_changes, _limits, _broken, _recorded]
        for part in parts:
            found = part(story)
            for each in found:
                print(f"{database}: {each.word} {each.what}: {each.figure}", file=sys.stderr, flush=True)
            verdicts += found
        same = story.pids() == pids
        verdicts.append(is_true("the processes of the runner are the same ones", same, figure=f"{len(pids)}"))
    return [
        Verdict(f"{database}: {each.what}", each.figure, each.bound, each.held, each.run) for each in verdicts
    ]


def measure(folder: Path, seed: int) -> list[Verdict]:
    """On the embedded database and on MongoDB."""
    print(f"seed {seed}", file=sys.stderr)
    verdicts = _tell("SQLite", None, seed)
    server = Mongod(folder / "mongod").start()
    try:
        store = {
            "type": "MongoStore",
            "host": "127.0.0.1",
            "port": server.port,
            "database": "reload",
            "collection_name": "jobs",
        }
        return verdicts + _tell("MongoDB", store, seed)
    finally:
        server.stop()
