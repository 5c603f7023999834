"""Flows on a real batch system: jobs that end well, wait, and are ended by somebody else."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobflow import Flow
from tests.services.debian import run
from tests.services.missing import or_skip
from tests.services.slurm import Slurm
from tests_home import Home, Wait
from trouble_jobs import waits_for_file

from jobflow_remote import submit_flow
from jobflow_remote.testing.jobs import add


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """A cluster on this machine."""
    folder = Path(tempfile.mkdtemp(prefix="jf"))
    cluster = Slurm(folder)
    try:
        or_skip(cluster.start)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def on_slurm(slurm: Slurm, home: Home) -> Home:
    """A home whose worker is that cluster, with a runner."""
    path = home.folder / "test.yaml"
    path.write_text(path.read_text().replace("scheduler_type: shell", "scheduler_type: slurm"))
    home.jf("runner", "start", "--single")
    return home


def info(home: Home, job_id: str) -> str:
    """What ``jf job info`` says, on one line."""
    return " ".join(home.jf("job", "info", job_id).stdout.replace("│", " ").split())


def test_a_flow_runs_on_slurm(on_slurm: Home) -> None:
    first = add(1, 2)
    second = add(first.output, 3)
    submitted = submit_flow(Flow([first, second, *(add(n, n) for n in range(4))], output=second.output))
    assert submitted.wait(60, progress=False).name == "COMPLETED"
    assert submitted.output() == 6
    assert len({on_slurm.json("job", "info", db_id)["remote"]["process_id"] for db_id in submitted}) == 6


def test_what_the_scheduler_says_is_told(on_slurm: Home, wait_for: Wait) -> None:
    (waiting,) = submit_flow(Flow([add(1, 2)]), resources={"partition": "down"})
    (running,) = submit_flow(Flow([waits_for_file("/nonexistent/file")]))
    wait_for(lambda: "PartitionDown" in info(on_slurm, waiting))
    wait_for(lambda: "RUNNING" in info(on_slurm, running))
    process_id = on_slurm.json("job", "info", running)["remote"]["process_id"]
    run(["scancel", process_id])
    wait_for(lambda: "REMOTE_ERROR" in info(on_slurm, running))
    told = info(on_slurm, running)
    assert "cancelled" in told
    assert f"JOB {process_id} ON n1 CANCELLED" in told
    (refused,) = submit_flow(Flow([add(1, 2)]), resources={"partition": "nope"})
    wait_for(lambda: "invalid partition specified: nope" in info(on_slurm, refused))
    on_slurm.jf("job", "stop", waiting)
    wait_for(lambda: run(["squeue", "-h"]).strip() == "")


def test_the_check_sends_a_job_through_the_scheduler(slurm: Slurm, home: Home) -> None:
    path = home.folder / "test.yaml"
    path.write_text(path.read_text().replace("scheduler_type: shell", "scheduler_type: slurm"))
    done = home.jf("project", "check", "--run", "-v")
    assert "the scheduler (slurm) answers" in done.stdout
    assert "a job ran on" in done.stdout
    assert list((home.folder / "runs").iterdir()) == []
    path.write_text(path.read_text().replace("max_jobs:", "resources: {partition: down}"))
    waiting = home.jf("project", "check", "--run", "--timeout", "2", "--worker", "local", check=False)
    assert waiting.returncode == 1
    assert "is still PENDING: PartitionDown after 2 s, and was cancelled" in waiting.stdout
