"""Queue and outputs on servers: documents in MongoDB, blobs in GridFS and in S3, end to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jobflow import Flow
from pymongo import MongoClient
from tests.services.missing import or_skip
from tests.services.mongod import Mongod
from tests.services.objectstore import CREDENTIALS, ObjectStore
from tests_home import Home, Wait

from jobflow_remote import submit_flow
from jobflow_remote.control.submitted import SubmittedFlow
from jobflow_remote.model.states import FlowState
from jobflow_remote.testing import add, add_big
from jobflow_remote.testing.scenario_jobs import big, total

BUCKET = "jf-blobs"
PROJECT = """\
queue:
  store: &place {{type: MongoStore, database: story, collection_name: jobs, host: 127.0.0.1, port: {port}}}
jobstore:
  docs_store: {{<<: *place, collection_name: outputs}}
  additional_stores:
    data: {{<<: *place, type: GridFSStore, collection_name: blobs}}
    big_data:
      type: S3Store
      bucket: {bucket}
      endpoint_url: {url}
      s3_profile: {profile}
      index: {{<<: *place, collection_name: objects}}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mongod]:
    server = or_skip(Mongod(tmp_path / "mongod").start)
    yield server
    server.stop()


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[ObjectStore]:
    objects = or_skip(ObjectStore(tmp_path / "objects").start)
    objects.make_bucket(BUCKET)
    yield objects
    objects.stop()


def _connections(client: MongoClient[Any]) -> int:
    return int(client.admin.command("serverStatus")["connections"]["totalCreated"])


def _flow() -> Flow:
    """Blobs of both kinds, and jobs that use them."""
    array, numbers = big(100), add_big(0, 1)
    uses = [total(array.output["array"]), add(numbers.output["data"][0], numbers.output["result"])]
    return Flow([array, numbers, *uses])


@pytest.fixture
def home_with_servers(home: Home, server: Mongod, objects: ObjectStore) -> Iterator[Home]:
    """A runner that works with both servers."""
    home.write_project(
        more=PROJECT.format(port=server.port, bucket=BUCKET, url=objects.url, profile=CREDENTIALS)
    )
    home.jf("runner", "start", "--single")
    yield home
    home.jf("runner", "shutdown", "--wait", check=False)


def test_blobs_go_to_gridfs_and_s3_over_connections_that_are_kept(
    home_with_servers: Home, server: Mongod, objects: ObjectStore, wait_for: Wait
) -> None:
    home = home_with_servers
    client: MongoClient[Any] = MongoClient(server.uri)
    first = submit_flow(_flow())
    assert first.wait(100, progress=False) is FlowState.COMPLETED, home.logs()
    second = submit_flow(_flow())
    before = _connections(client)  # from here on nobody but the runner opens any
    wait_for(lambda: client["story"]["flows"].count_documents({"state": "COMPLETED"}) == 2)
    made = _connections(client) - before
    assert made <= 3, f"{made} connections for four more jobs: none should be made for a job"
    assert len(objects.keys(BUCKET)) == client["story"]["objects"].count_documents({}) == 2
    assert client["story"]["blobs.files"].count_documents({}) == 2
    names = {job["db_id"]: job["name"] for job in home.json("job", "list")}
    _check_outputs(second, {names[db_id]: db_id for db_id in reversed(second)})
    client.close()


def _check_outputs(submitted: SubmittedFlow, jobs: dict[str, str]) -> None:
    array, numbers, summed, added = (jobs[name] for name in ("big", "add_big", "total", "add"))
    plain = submitted.output(array, load=False)
    assert plain["n"] == 100
    assert plain["array"]["store"] == "data"
    assert submitted.output(array)["array"] == [float(number) for number in range(100)]
    assert submitted.output(summed) == sum(range(100))
    loaded = submitted.output(numbers)
    assert loaded["result"] == 1
    assert len(loaded["data"]) == 5000
    assert submitted.output(numbers, load=False)["data"]["store"] == "big_data"
    assert submitted.output(added) == loaded["data"][0] + 1
