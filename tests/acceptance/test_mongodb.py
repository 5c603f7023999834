"""The main job with the queue in MongoDB; the outputs stay in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trouble_jobs
from jobflow import Flow
from tests.services.missing import or_skip
from tests.services.mongod import Mongod
from tests.shows.killing import kill_rounds
from tests_home import Home

from jobflow_remote import JobController, submit_flow
from jobflow_remote.model.states import FlowState
from jobflow_remote.testing import add
from jobflow_remote.testing.scenarios import SCENARIOS

QUEUE = """\
queue:
  store:
    type: MongoStore
    database: story
    collection_name: jobs
    host: 127.0.0.1
    port: {port}
"""


STANDALONE, REPLICA_SET = pytest.param(None, id="standalone"), pytest.param("story", id="replica set")
on_both = pytest.mark.parametrize("server", [STANDALONE, REPLICA_SET], indirect=True)
on_standalone = pytest.mark.parametrize("server", [STANDALONE], indirect=True)
on_replica_set = pytest.mark.parametrize("server", [REPLICA_SET], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mongod]:
    """A server that may be killed."""
    server = or_skip(Mongod(tmp_path / "mongod", replica_set=request.param).start)
    yield server
    server.stop()


@pytest.fixture
def mongo_home(server: Mongod, home: Home) -> Iterator[Home]:
    """A home whose queue is in MongoDB."""
    home.write_project(more=QUEUE.format(port=server.port))
    yield home
    home.jf("runner", "shutdown", "--wait", check=False)


@on_both
def test_flows_grow_and_complete(mongo_home: Home) -> None:
    mongo_home.jf("runner", "start")
    submitted = [submit_flow(SCENARIOS["diamond"]())]
    first = add(1, 2)
    chain = submit_flow(Flow([first, add(first.output, 3)]))
    for flow in [*submitted, chain]:
        assert flow.wait(100, progress=False) is FlowState.COMPLETED, mongo_home.logs()
    assert chain.output() == 6
    assert {flow["state"] for flow in mongo_home.json("flow", "list")} == {"COMPLETED"}
    controller = JobController.from_project_name()
    assert controller.jobs.count_documents({"state": "COMPLETED"}) == len(mongo_home.json("job", "list"))
    controller.close()


@on_standalone
def test_a_runner_that_is_killed_again_and_again_does_everything_once(mongo_home: Home) -> None:
    """As on the embedded database."""
    report = kill_rounds(
        make_job=trouble_jobs.appends_line,
        folder=mongo_home.folder,
        jobs=8,
        kills=4,
        seed=19,
        job_seconds=0.5,
        longest_life_seconds=1.5,
    )
    assert report.all_completed_once, f"{report}\n{mongo_home.logs()}"
    assert not report.problems
    assert report.kills_in_flight >= 2, "the kills came too late to mean anything"


@on_replica_set  # for a server alone it is among the outages
def test_a_server_that_is_killed_under_way_costs_nothing(mongo_home: Home, server: Mongod) -> None:
    mongo_home.jf("runner", "start", "--single")
    submitted = submit_flow(Flow([add(number, number) for number in range(6)]))
    server.kill()
    server.start()
    assert submitted.wait(100, progress=False) is FlowState.COMPLETED, mongo_home.logs()
    jobs = [mongo_home.json("job", "info", job["db_id"], "-vv") for job in mongo_home.json("job", "list")]
    assert len(jobs) == 6
    for job in jobs:
        states = [entry["state"] for entry in job["history"]]
        assert states.count("SUBMITTED") == states.count("COMPLETED") == 1
