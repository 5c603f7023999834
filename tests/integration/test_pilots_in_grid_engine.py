"""A pilot inside of a job of a real Grid Engine, with an agent that ``qrsh -inherit`` starts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.missing import or_skip
from tests.services.sge import GridEngine

from jobflow_remote.execution.pilot.ticket import Needs, Ticket, render_bundle
from jobflow_remote.outputs.jobfiles import read_output_documents, render_input

_JOB = """#!/bin/bash
# one host has to do: it passes for another one
export SLURMD_NODENAME=elsewhere PYTHONPATH={folder}
cd {folder}
exec {python} {folder}/pilot.py
"""
_PILOT = """
import json, selectors, time
from pathlib import Path
from jobflow_remote.execution.pilot.agents import Agents
from jobflow_remote.execution.pilot.allocation import Allocation, read_allocation
from jobflow_remote.execution.pilot.handledir import HandleDir
from jobflow_remote.execution.pilot.options import PilotOptions
from jobflow_remote.execution.pilot.pilot import Pilot
from jobflow_remote.execution.pilot.placement import NodeShare, Placement
from jobflow_remote.execution.pilot.timing import TimeBook

given = read_allocation()
nodes = (NodeShare("elsewhere", (0,), pins=False), *given.nodes)
allocation = Allocation(nodes, given.ends_at, given.scheduler, given.job_id)
told = [(n.name, len(n.cores)) for n in given.nodes], given.ends_at - time.time(), given.scheduler
Path("allocation").write_text(json.dumps(told))
options = PilotOptions("runs", "handle", "p1", max_wait=1)
handle = HandleDir("handle", "p1")
handle.enter()
agents = Agents(allocation, options, selectors.DefaultSelector())
agents.open()
Pilot(options, allocation, handle, Placement(nodes, None, packs=True), agents, TimeBook()).run()
agents.close()
"""
_FUNCTION = """
import os
def place(): return {name: os.environ.get(name) for name in ("JFREMOTE_NODES", "QRSH_PORT", "PYTHONPATH")}
"""


@pytest.fixture
def engine() -> Iterator[GridEngine]:
    """A cell with a parallel environment whose jobs may start processes on their nodes."""
    folder = Path(tempfile.mkdtemp(prefix="jfg"))
    made = GridEngine(folder / "sge")
    try:
        or_skip(made.start)
        made.add_parallel_environment("mpi")
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def make_job(folder: Path, name: str, cores: int) -> Ticket:
    run_dir = folder / "runs" / name
    run_dir.mkdir(parents=True)
    job = {
        "@module": "jobflow.core.job", "@class": "Job", "uuid": name, "index": 1, "name": name,
        "function": {"@module": "grid_jobs", "@callable": "place", "@bound": None},
        "function_args": [], "function_kwargs": {}, "hosts": [], "metadata": {},
    }  # fmt: skip
    content = render_input({"db_id": name}, job=job, store_names=[], attempt=name)
    (run_dir / "jfremote_in.json").write_bytes(content)
    return Ticket(name, str(run_dir), name, 1, needs=Needs(cores=cores))


def test_an_agent_is_started_by_the_launcher_of_grid_engine(engine: GridEngine, tmp_path: Path) -> None:
    (tmp_path / "handle" / "new").mkdir(parents=True)
    tickets = [make_job(tmp_path, "large", 4), make_job(tmp_path, "small", 1)]
    (tmp_path / "handle" / "new" / "1-1-a.jobs").write_text(render_bundle(tickets))
    (tmp_path / "grid_jobs.py").write_text(_FUNCTION)
    (tmp_path / "pilot.py").write_text(_PILOT)
    script = tmp_path / "job.sh"
    script.write_text(_JOB.format(folder=tmp_path, python=sys.executable))
    began = time.time()
    words = ["qsub", "-sync", "y", "-pe", "mpi", "4", "-l", "h_rt=600", "-S", "/bin/bash", "-j", "y"]
    done = subprocess.run(
        [*words, "-o", str(tmp_path / "out"), str(script)], capture_output=True, text=True, check=False
    )
    said = (tmp_path / "out").read_text(errors="replace")
    assert done.returncode == 0, (done, said)
    nodes, seconds_left, scheduler = json.loads((tmp_path / "allocation").read_text())
    assert (nodes, scheduler) == ([[engine.host, 4]], "sge")
    assert 600 - (time.time() - began) - 5 < seconds_left <= 600
    large, small = (read_output_documents(Path(each.run_dir))[0]["output"] for each in tickets)
    assert large["JFREMOTE_NODES"] == engine.host
    assert large["QRSH_PORT"], "not a task of Grid Engine"
    assert large["PYTHONPATH"] == str(tmp_path)
    assert small["JFREMOTE_NODES"] in ("elsewhere", engine.host)
