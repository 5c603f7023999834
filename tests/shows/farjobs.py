"""What a user's script does in the home of a show: ``python -m tests.shows.farjobs VERB …`` prints JSON at the end."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

from jobflow_remote import JobController, submit_flow


def demo(worker: str, points: str = "7", timeout: str = "600") -> dict[str, Any]:
    """The flow of ``make demo``, submitted and waited for."""
    from jobflow_remote.demo.copper import equation_of_state

    submitted = submit_flow(equation_of_state(int(points)), worker=worker)
    state = submitted.wait(float(timeout), progress=False)
    return {"state": state.name, "output": submitted.output() if state.name == "COMPLETED" else None}


def demo_here(points: str = "7") -> dict[str, Any]:
    """Its numbers when everything runs in this process."""
    from jobflow import JobStore, run_locally
    from maggma.stores import MemoryStore

    from jobflow_remote.demo.copper import equation_of_state

    flow = equation_of_state(int(points))
    store = JobStore(MemoryStore())
    run_locally(flow, store=store, ensure_success=True)
    return {"state": "COMPLETED", "output": flow.output.resolve(store=store)}


def marks(worker: str, number: str, path: str, first: str = "0", seconds: str = "0") -> list[str]:
    """Jobs that each leave a line on the node; their ids."""
    from cluster_jobs import leave_mark
    from jobflow import Flow

    start = int(first)
    jobs = [leave_mark(path, each, float(seconds)) for each in range(start, start + int(number))]
    return list(submit_flow(Flow(jobs), worker=worker))


def adds(worker: str, number: str) -> list[str]:
    """Jobs that add two numbers; their ids."""
    from jobflow import Flow

    from jobflow_remote.testing.jobs import add

    return list(submit_flow(Flow([add(each, 1) for each in range(int(number))]), worker=worker))


def ending_once(worker: str, number: str, path: str, seconds: str) -> int:
    """Jobs that each leave a line when they are through."""
    from jobflow import Flow
    from pilot_jobs import ends_once

    jobs = [ends_once(path, each, float(seconds)) for each in range(int(number))]
    return len(submit_flow(Flow(jobs), worker=worker))


def mixed_bag(worker: str, number: str, path: str) -> int:
    """Jobs of one core, four cores, a GPU, and whole nodes."""
    from jobflow import Flow
    from pilot_jobs import occupies

    from jobflow_remote import set_run_config

    kinds: list[dict[str, Any]] = [
        {"cores": 1}, {"cores": 1}, {"cores": 1}, {"cores": 4}, {"cores": 4}, {"cores": 1, "gpus": 1},
        {"cores": 2, "gpus": 1}, {"cores": 1}, {"cores": 4}, {"nodes": 1, "exclusive": True},
    ]  # fmt: skip
    jobs = []
    for each in range(int(number)):
        made = occupies(path, 5.0 + (each * 7 % 10) / 1.25)
        set_run_config(made, resources=kinds[each % len(kinds)])
        jobs.append(made)
    return len(submit_flow(Flow(jobs), worker=worker))


def harmful(worker: str, neighbours: str) -> dict[str, Any]:
    """Jobs that do harm, among others that do not; their ids."""
    import pilot_jobs
    from jobflow import Flow

    from jobflow_remote.testing.jobs import add

    kinds = ("leaks_a_gigabyte", "kills_its_group", "closes_descriptors", "forks_a_daemon")
    bad = [getattr(pilot_jobs, kind)() for kind in kinds]
    good = [add(each, 1) for each in range(int(neighbours))]
    part = len(good) // len(bad)
    jobs = [job for k, one in enumerate(bad) for job in (*good[k * part : (k + 1) * part], one)]
    ids = dict(zip([job.uuid for job in jobs], submit_flow(Flow(jobs), worker=worker), strict=True))
    return {
        "harmful": {kind: ids[job.uuid] for kind, job in zip(kinds, bad, strict=True)},
        "neighbours": [ids[job.uuid] for job in good],
    }


def complaining(worker: str, words: str, seconds: str, resources: str) -> list[str]:
    """A job that says ``words`` on its error stream and sleeps; its id."""
    from cluster_jobs import complain_and_sleep

    return list(
        submit_flow(complain_and_sleep(words, float(seconds)), worker=worker, resources=json.loads(resources))
    )


def filling(worker: str, words: str, megabytes: str, resources: str) -> list[str]:
    """A job that uses much memory; its id."""
    from cluster_jobs import fill_memory

    return list(
        submit_flow(fill_memory(words, int(megabytes)), worker=worker, resources=json.loads(resources))
    )


def counts(worker: str = "") -> dict[str, int]:
    """Number of jobs by state."""
    found = JobController.from_project_name().get_jobs({"worker": worker} if worker else {}, ["state"])
    return dict(Counter(job["state"] for job in found))


def stories(worker: str = "") -> list[dict[str, Any]]:
    """Each job's state, history, error and process."""
    fields = ["db_id", "uuid", "state", "history", "remote", "run_dir"]
    found = JobController.from_project_name().get_jobs({"worker": worker} if worker else {}, fields)
    return [json.loads(json.dumps(job, default=str)) for job in found]


def control_socket(worker: str) -> str:
    """Where the session of a worker with ``transport: openssh`` listens."""
    from jobflow_remote import bootstrap
    from jobflow_remote.config.workers import BaseRemoteWorker
    from jobflow_remote.hosts import openssh
    from jobflow_remote.hosts.login import login_of

    with bootstrap.open_services() as services:
        config = services.worker(worker)
        assert isinstance(config, BaseRemoteWorker)
        return str(openssh.control_socket(login_of(config)))


def answering_runner(password: str) -> int:
    """A runner in the foreground, with somebody beside it who answers the questions of logins."""
    from tests.services.logins import one_time_code

    from jobflow_remote.engine.runner import run_runner
    from jobflow_remote.hosts.pool import POOL
    from jobflow_remote.hosts.questions import Questions

    async def answer(questions: Questions) -> list[str]:
        return [
            one_time_code() if "code" in prompt.text.lower() else password for prompt in questions.prompts
        ]

    POOL.answerer = answer
    return run_runner()


def main() -> None:
    """Call a function of this module by name."""
    verb, *words = sys.argv[1:]
    print(json.dumps(globals()[verb](*words), default=str))


if __name__ == "__main__":
    main()
