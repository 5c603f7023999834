"""A home on the workstation whose workers are elsewhere, and what a user does there, one command after the other."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.home import PROJECT, Home
from tests.services.mongod import Mongod

ROOT = Path(__file__).resolve().parents[2]
JOBS_FOLDER = ROOT / "tests" / "acceptance" / "jobs"


def far_home(
    workers: Mapping[str, Mapping[str, Any]],
    *,
    server: Mongod | None = None,
    runner: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    **options: Any,
) -> Home:
    """An isolated home with these workers; the queue is in SQLite, or on ``server``."""
    project: dict[str, Any] = {
        "name": PROJECT,
        "workers": {name: dict(worker) for name, worker in workers.items()},
        "runner": dict(runner or {}),
        **(more or {}),
    }
    if server is not None:
        store = {"type": "MongoStore", "database": "far", "collection_name": "jobs"}
        project["queue"] = {"store": {**store, "host": "127.0.0.1", "port": server.port}}
    text = json.dumps(project, indent=2)  # YAML, too
    escaped = text.replace("{", "{{").replace("}", "}}").replace("@FOLDER@", "{folder}")
    return Home(project_file=escaped, **{"pythonpath": f"{ROOT}:{ROOT}/src:{JOBS_FOLDER}", **options})


def drive(home: Home, *words: object, timeout: float = 1200) -> Any:
    """Run :mod:`.farjobs` in the home; what it prints last, as data."""
    command = [home.python, "-m", "tests.shows.farjobs", *map(str, words)]
    done = subprocess.run(
        command, env=home.env, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"{words} ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def answering_runner(home: Home, password: str) -> Iterator[None]:
    """A runner whose logins are answered with a password and one-time codes, for the time of a ``with``."""
    command = [home.python, "-m", "tests.shows.farjobs", "answering_runner", password]
    with (home.folder / "runner.log").open("ab") as log:
        process = subprocess.Popen(command, env=home.env, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def counts(home: Home, worker: str = "") -> dict[str, int]:
    """How many jobs are in which state (of one worker)."""
    found: dict[str, int] = drive(home, "counts", worker)
    return found


def wait_for(what: str, holds: Callable[[], bool], seconds: float, *, every_seconds: float = 0.5) -> float:
    """Wait until something holds; the seconds that it took."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every_seconds)
    return time.monotonic() - started


def logs(home: Home, size: int = 4000) -> str:
    """The ends of all logs of the runner."""
    files = sorted((home.base_dir / "log").glob("*"))
    return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-size:]}" for path in files)
