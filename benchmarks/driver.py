"""What a user's script does, for either release: only names that jobflow-remote 1.0.1 has too.

Runs in the environment that is measured, so it imports nothing of :mod:`benchmarks`. The last line that it prints is
the result as JSON. ``python driver.py COMMAND …``
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobflow import Flow

from jobflow_remote import JobController, submit_flow
from jobflow_remote.utils.examples import add

_LOOK_SECONDS = 0.01


def make_flow(shape: str, size: int) -> Any:
    """``wide``: jobs that do not depend on each other; ``chain``: each needs the one before."""
    jobs: list[Any] = []
    for number in range(size):
        jobs.append(add(number, 1) if shape == "wide" or not jobs else add(jobs[-1].output, 1))
    return Flow(jobs)


def submit(shape: str, size: str) -> dict[str, Any]:
    """Time that ``submit_flow`` takes; the flow is made before."""
    flow = make_flow(shape, int(size))
    if shape == "wide" and int(size) == 1:
        submit_flow(add(1, 1))  # what is imported and connected on first use is not counted for one job
    started = time.perf_counter()
    db_ids = submit_flow(flow)
    return {"seconds": time.perf_counter() - started, "db_ids": list(db_ids)[:10]}


def run(shape: str, size: str, timeout: str = "600") -> dict[str, Any]:
    """From the call of ``submit_flow`` to the moment at which the flow's last job is COMPLETED."""
    controller = JobController.from_project_name()
    flow = make_flow(shape, int(size))
    started = time.perf_counter()
    db_ids = list(submit_flow(flow))
    done = _wait(controller, db_ids, started, float(timeout))
    return {"seconds": time.perf_counter() - started, "done": done, "of": int(size), "db_ids": db_ids}


def scripts(*db_ids: str) -> dict[str, Any]:
    """Seconds that the scripts of jobs which have run take by hand, one after the other."""
    controller = JobController.from_project_name()
    return {"seconds": [run_by_hand(controller, db_id) for db_id in db_ids]}


def _wait(controller: Any, db_ids: list[str], started: float, timeout: float) -> int:
    """Wait until all jobs are COMPLETED or the time is over; returns how many are."""
    while True:
        done = int(controller.count_jobs(query={"db_id": {"$in": db_ids}, "state": "COMPLETED"}))
        late = time.perf_counter() - started > timeout
        if done == len(db_ids) or late:
            return done
        time.sleep(_LOOK_SECONDS)


def latency(times: str, timeout: str = "600") -> dict[str, Any]:
    """One ``add`` from ``submit_flow`` to COMPLETED, and its script by hand, in turn."""
    controller = JobController.from_project_name()
    through: list[float] = []
    by_hand: list[float] = []
    for _ in range(int(times)):
        started = time.perf_counter()
        db_ids = list(submit_flow(add(1, 2)))
        done = _wait(controller, db_ids, started, float(timeout))
        through.append(time.perf_counter() - started)
        if not done:
            return {"through": through, "by_hand": by_hand, "timed_out": True}
        by_hand.append(run_by_hand(controller, db_ids[0]))
    return {"through": through, "by_hand": by_hand, "timed_out": False}


def run_by_hand(controller: Any, db_id: str) -> float:
    """Seconds that the script of a job takes in a copy of its folder, with nothing around it."""
    folder = Path(controller.get_job_info(db_id=db_id).run_dir)
    copy = folder.with_name(folder.name + "-by-hand")
    copy.mkdir()
    for name in ("jfremote_in.json", "submit.sh"):
        text = (folder / name).read_text(encoding="utf-8")
        (copy / name).write_text(text.replace(str(folder), str(copy)), encoding="utf-8")
    with open(copy / "queue.out", "w") as out, open(copy / "queue.err", "w") as err:
        started = time.perf_counter()
        subprocess.run(["bash", "submit.sh"], cwd=copy, stdout=out, stderr=err, check=True)
        seconds = time.perf_counter() - started
    if not (copy / "jfremote_out.json").is_file():
        raise RuntimeError(f"the script left no result in {copy}")
    shutil.rmtree(copy)
    return seconds


def main() -> None:
    """Run one command."""
    commands: dict[str, Callable[..., dict[str, Any]]] = {
        "submit": submit,
        "run": run,
        "scripts": scripts,
        "latency": latency,
    }
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
