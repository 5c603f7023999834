"""The main job with the queue in MongoDB; the outputs stay in files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobflow import Flow
from tests.services.mongod import Mongod, ServiceMissingError
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


@pytest.fixture(params=[None, "story"], ids=["standalone", "replica set"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mongod]:
    """A server that may be killed."""
    try:
        server = Mongod(tmp_path / "mongod", replica_set=request.param).start()
    except ServiceMissingError as exc:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"CI has to have a mongod: {exc}")
        pytest.skip(f"no mongod: {exc}")
    yield server
    server.stop()


@pytest.fixture
def mongo_home(server: Mongod, home: Home) -> Iterator[Home]:
    """A home whose queue is in MongoDB."""
    home.write_project(more=QUEUE.format(port=server.port))
    yield home
    home.jf("runner", "shutdown", "--wait", check=False)


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
