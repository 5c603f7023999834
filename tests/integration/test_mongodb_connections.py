"""How many connections a process has to a MongoDB server: counted by the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from tests.services.mongod import Mongod

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.outputs.jobstore import OutputStore
from jobflow_remote.queuedb import open_queue_database
from jobflow_remote.queuedb.mongo import clients
from jobflow_remote.queuedb.port import QueueDatabase


@pytest.fixture
def description(mongod_behind: Mongod) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": mongod_behind.port, "database": f"c_{uuid4().hex[:8]}"}


@pytest.fixture
def both(description: dict[str, Any]) -> Iterator[tuple[QueueDatabase, OutputStore]]:
    """A queue and an output store with an additional store, described alike."""
    queue = open_queue_database(QueueSpec("MongoStore", description))
    spec = {
        "docs_store": {"type": "MongoStore", "collection_name": "outputs", **description},
        "additional_stores": {"data": {"type": "GridFSStore", "collection_name": "blobs", **description}},
    }
    outputs = OutputStore.from_spec(spec)
    yield queue, outputs
    outputs.close()
    queue.close()


def work(queue: QueueDatabase, outputs: OutputStore) -> None:
    """What completing a job asks of both."""
    uuid = str(uuid4())
    blob = {"blob_uuid": f"b-{uuid}", "job_uuid": uuid, "job_index": 1, "data": "x" * 1000}
    outputs.store_output({"uuid": uuid, "index": 1, "output": 3}, {"data": [blob]}, db_id="1")
    queue.set_auxiliary("tests", uuid)
    assert queue.get_auxiliary("tests") == uuid


def connections(server: Mongod) -> dict[str, int]:
    """``current`` and ``totalCreated`` besides that of this question (and those that it needs to be asked)."""
    found: dict[str, int] = server.command("serverStatus")["connections"]
    return found


def test_fifty_completed_jobs_open_no_connection(
    mongod_behind: Mongod, both: tuple[QueueDatabase, OutputStore]
) -> None:
    work(*both)
    before = connections(mongod_behind)
    asking = connections(mongod_behind)["totalCreated"] - before["totalCreated"]
    for _ in range(50):
        work(*both)
    after = connections(mongod_behind)
    # asked three times; the driver's own second look at the server may come within the time
    assert after["totalCreated"] - before["totalCreated"] <= 2 * asking + 1


def test_queue_and_outputs_share_a_client_until_the_last_is_closed(
    mongod_behind: Mongod, both: tuple[QueueDatabase, OutputStore]
) -> None:
    queue, outputs = both
    before = len(clients._open)
    work(queue, outputs)
    assert len(clients._open) == before == 1
    outputs.jobstore.close()  # as a user may do
    queue.set_auxiliary("tests", 1)
    outputs.close()
    work(queue, outputs)
    queue.close()
    uuid = str(uuid4())
    outputs.store_output({"uuid": uuid, "index": 1, "output": 3}, {}, db_id="1")
    assert outputs.get_output(uuid) == 3
    outputs.close()
    assert not clients._open


def test_what_is_described_differently_has_its_own_client(
    description: dict[str, Any], both: tuple[QueueDatabase, OutputStore]
) -> None:
    other = {**description, "mongoclient_kwargs": {"appname": "other"}}
    queue = open_queue_database(QueueSpec("MongoStore", other))
    assert len(clients._open) == 2
    queue.close()
    assert len(clients._open) == 1


def test_a_queue_that_does_not_open_leaves_no_client(mongod_behind: Mongod) -> None:
    options = {"host": "127.0.0.1", "port": 9, "database": "d", "mongoclient_kwargs": {}}
    options["mongoclient_kwargs"] = {"serverSelectionTimeoutMS": 200}
    with pytest.raises(JobflowRemoteError, match="does not answer: Connection refused"):
        open_queue_database(QueueSpec("MongoStore", options))
    assert not clients._open


def test_outputs_are_in_the_journal_when_they_are_stored(both: tuple[QueueDatabase, OutputStore]) -> None:
    jobstore: Any = both[1].jobstore
    for collection in (
        jobstore.docs_store._collection,
        jobstore.additional_stores["data"]._files_collection,
    ):
        assert collection.write_concern.document == {"w": "majority", "j": True}
