"""Pilots in a real Slurm: one allocation of two nodes, jobs of all sizes, a node that fails."""

from __future__ import annotations

import ast
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobflow import Flow
from pilot_jobs import occupies, runs_a_step
from tests.acceptance.test_pilots import BATCH, states
from tests.services.debian import run
from tests.services.missing import or_skip
from tests.services.slurm import Slurm
from tests.shows.pilots import judge_places
from tests_home import Home, Wait

from jobflow_remote import set_run_config, submit_flow

_SIZES = ({"cores": 1}, {"cores": 6}, {"nodes": 1, "exclusive": True}, {"cores": 16}, {"nodes": 2})


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


def test_jobs_of_all_sizes_share_an_allocation_and_survive_its_end(
    slurm: Slurm, home: Home, wait_for: Wait
) -> None:
    more = BATCH.format(folder=home.folder).replace("parallel_jobs: 2", "pack: true")
    home.write_project(worker=f"resources: {{nodes: 2, ntasks_per_node: 16, mem: 2000}}\n    {more}")
    path = home.folder / "test.yaml"
    path.write_text(path.read_text().replace("scheduler_type: shell", "scheduler_type: slurm"))
    home.jf("runner", "start", "--single")
    told = home.folder / "told"
    jobs = []
    for number in range(20):
        jobs.append(occupies(str(told), 1.0))
        set_run_config(jobs[-1], resources=_SIZES[number % len(_SIZES)])
    submit_flow(Flow(jobs))
    wait_for(lambda: "BATCH_RUNNING" in states(home).values())
    (pilot,) = [batch["process_id"] for batch in home.json("batch", "list")]
    run(["scancel", pilot])
    wait_for(lambda: set(states(home).values()) == {"COMPLETED"})
    places = [ast.literal_eval(line) for line in told.read_text().splitlines()]
    assert judge_places(places)[0] == 0
    assert {node for place in places for node in place["JFREMOTE_NODES"].split(",")} == {"n1", "n2"}
    assert {len(place["JFREMOTE_CORES"].split(",")) for place in places} == {1, 6, 16}

    # launchers inside of jobs
    steps = [runs_a_step() for _ in range(3)]
    for step, size in zip(steps, ({"cores": 6}, {"nodes": 1, "exclusive": True}, {"nodes": 2}), strict=True):
        set_run_config(step, resources=size)
    ids = list(submit_flow(Flow(steps)))
    wait_for(lambda: set(states(home).values()) == {"COMPLETED"})
    ran = [home.json("job", "output", db_id) for db_id in ids]
    assert [(len(tasks), len(set(tasks))) for tasks in ran] == [(6, 1), (16, 1), (32, 2)]
    assert len(home.json("batch", "list")) == 2
