"""Output stores on real servers: MongoDB, with blobs in GridFS, in S3, in Azure Blob, and in collections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from tests.services.azurite import Azurite
from tests.services.missing import or_skip
from tests.services.mongod import Mongod
from tests.services.objectstore import CREDENTIALS, ObjectStore

from jobflow_remote.errors import ConfigError, OutputStoreAwayError
from jobflow_remote.outputs.jobstore import OutputStore

Spec = dict[str, Any]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    server = or_skip(ObjectStore(tmp_path_factory.mktemp("objects")).start)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    server = or_skip(Azurite(tmp_path_factory.mktemp("azurite")).start)
    yield server
    server.stop()


@pytest.fixture
def database(mongo_standalone: Mongod) -> Iterator[str]:
    name = f"outputs_{uuid4().hex[:12]}"
    yield name
    client: MongoClient[Any] = MongoClient(mongo_standalone.uri)
    client.drop_database(name)
    client.close()


def mongo_store(server: Mongod, database: str, collection: str, kind: str = "MongoStore") -> Spec:
    place = {"type": kind, "database": database, "collection_name": collection}
    return place | ({"uri": server.uri} if "URI" in kind else {"host": "127.0.0.1", "port": server.port})


def s3_store(server: Mongod, database: str, objects: ObjectStore, bucket: str) -> Spec:
    return {
        "type": "S3Store",
        "bucket": bucket,
        "endpoint_url": objects.url,
        "s3_profile": dict(CREDENTIALS),
        "index": mongo_store(server, database, "s3_index"),
    }


def azure_store(server: Mongod, database: str, azurite: Azurite, container: str) -> Spec:
    return {
        "type": "AzureBlobStore",
        "container_name": container,
        "azure_client_info": {"connection_string": azurite.connection_string},
        "index": mongo_store(server, database, "azure_index"),
    }


@pytest.fixture(
    params=[
        "MongoStore",
        "MongoURIStore",
        "GridFSStore",
        "GridFSURIStore",
        "compressed GridFSStore",
        "S3Store",
        "AzureBlobStore",
    ]
)
def store(request: pytest.FixtureRequest, mongo_standalone: Mongod, database: str) -> Iterator[OutputStore]:
    """Outputs in MongoDB, blobs in a store of each kind."""
    *compressed, kind = request.param.split()
    name = f"jf-{uuid4().hex[:12]}"
    if kind == "AzureBlobStore":
        azurite: Azurite = request.getfixturevalue("azurite")
        blobs = azure_store(mongo_standalone, database, azurite, azurite.make_container(name))
    elif kind == "S3Store":
        objects: ObjectStore = request.getfixturevalue("objects")
        blobs = s3_store(mongo_standalone, database, objects, objects.make_bucket(name))
    else:
        blobs = mongo_store(mongo_standalone, database, "blobs", kind) | (
            {"compression": True} if compressed else {}
        )
    docs = mongo_store(
        mongo_standalone, database, "outputs", kind if kind == "MongoURIStore" else "MongoStore"
    )
    made = OutputStore.from_spec({"docs_store": docs, "additional_stores": {"data": blobs}})
    yield made
    made.close()


def document(uuid: str, blob_uuid: str | None, index: int = 1) -> dict[str, Any]:
    output: dict[str, Any] = {"length": 3}
    if blob_uuid:
        output["values"] = {"@module": "", "@class": "", "store": "data", "blob_uuid": blob_uuid}
    return {"uuid": uuid, "index": index, "output": output, "metadata": {}, "hosts": [], "name": "n"}


def blob(name: str, uuid: str, data: Any, index: int = 1) -> dict[str, Any]:
    return {
        "@module": "",
        "@class": "",
        "blob_uuid": name,
        "data": data,
        "job_uuid": uuid,
        "job_index": index,
    }


def number_of_blobs(store: OutputStore) -> int:
    return int(store.jobstore.additional_stores["data"].count())


def test_outputs_and_blobs_are_stored_once_and_read_with_and_without_them(store: OutputStore) -> None:
    for _ in range(2):  # a runner that was killed stores them again
        store.store_output(document("u", "b"), {"data": [blob("b", "u", [1, 2.5, "é"])]}, db_id="7")
    assert store.jobstore.docs_store.count() == number_of_blobs(store) == 1
    assert store.get_output("u")["values"]["blob_uuid"] == "b"
    assert store.get_output("u", load=True) == {"length": 3, "values": [1, 2.5, "é"]}
    assert store.read_latest(["u", "nobody"]) == {"u": store.get_output("u")}
    assert store.read_blobs("data", ["b", "nobody"]) == {"b": [1, 2.5, "é"]}
    assert store.jobstore.query_one({"uuid": "u"}, load=True)["output"]["values"] == [1, 2.5, "é"]


def test_removing_outputs_removes_their_blobs(store: OutputStore) -> None:
    for number, uuid in enumerate(("u", "v")):
        store.store_output(
            document(uuid, f"b{number}"), {"data": [blob(f"b{number}", uuid, number)]}, db_id="1"
        )
    # of an attempt that was killed before its output was stored
    store.store_output(document("w", None), {"data": [blob("lost", "w", 5)]}, db_id="1")
    assert number_of_blobs(store) == 3
    for _ in range(2):
        store.remove_outputs([("u", 1), ("w", 1)])
        assert number_of_blobs(store) == 1
        assert list(store.read_latest(["u", "v", "w"])) == ["v"]
    assert store.read_blobs("data", ["b1"]) == {"b1": 1}


def test_blobs_of_a_store_that_knows_no_jobs_are_removed_too(store: OutputStore) -> None:
    additional = store.jobstore.additional_stores["data"]
    if hasattr(additional, "searchable_fields"):  # what jobflow adds nowadays
        additional.searchable_fields.clear()
    store.store_output(document("u", "b"), {"data": [blob("b", "u", 5)]}, db_id="1")
    store.remove_outputs([("u", 1)])
    assert number_of_blobs(store) == 0


def test_objects_go_with_their_blobs(mongo_standalone: Mongod, database: str, objects: ObjectStore) -> None:
    bucket = objects.make_bucket("jf-objects")
    store = OutputStore.from_spec({
        "docs_store": mongo_store(mongo_standalone, database, "outputs"),
        "additional_stores": {"data": s3_store(mongo_standalone, database, objects, bucket)},
    })  # fmt: skip
    store.store_output(document("u", "b"), {"data": [blob("b", "u", 5)]}, db_id="1")
    assert objects.keys(bucket) == ["b"]
    store.remove_outputs([("u", 1)])
    assert objects.keys(bucket) == []
    store.close()


def test_blobs_in_azure_go_too(mongo_standalone: Mongod, database: str, azurite: Azurite) -> None:
    container = azurite.make_container("jf-blobs")
    store = OutputStore.from_spec({
        "docs_store": mongo_store(mongo_standalone, database, "outputs"),
        "additional_stores": {"data": azure_store(mongo_standalone, database, azurite, container)},
    })  # fmt: skip
    store.store_output(document("u", "b"), {"data": [blob("b", "u", 5)]}, db_id="1")
    assert azurite.names(container) == ["b"]
    store.remove_outputs([("u", 1)])
    assert azurite.names(container) == []
    store.close()


def test_connections_do_not_grow_with_the_number_of_outputs(
    store: OutputStore, mongo_standalone: Mongod
) -> None:
    client: MongoClient[Any] = MongoClient(mongo_standalone.uri)

    def made() -> int:
        return int(client.admin.command("serverStatus")["connections"]["totalCreated"])

    def work(number: int) -> None:
        for _ in range(number):
            name = uuid4().hex
            store.store_output(document(name, name), {"data": [blob(name, name, 5)]}, db_id="1")
            store.read_latest([name])

    work(1)
    before = made()
    work(12)
    assert made() - before <= 4, "those that watch the server may come late; one for each output would be 12"
    client.close()


def test_an_object_store_that_is_away_is_weather(
    tmp_path: Path, mongo_standalone: Mongod, database: str
) -> None:
    server = or_skip(ObjectStore(tmp_path).start)
    bucket = server.make_bucket("jf-away")
    store = OutputStore.from_spec({
        "docs_store": mongo_store(mongo_standalone, database, "outputs"),
        "additional_stores": {
            "data": s3_store(mongo_standalone, database, server, bucket)
            | {"s3_resource_kwargs": {"config": _no_retries()}}
        },
    })  # fmt: skip
    store.store_output(document("u", "b"), {"data": [blob("b", "u", 5)]}, db_id="1")
    server.stop()
    with pytest.raises(OutputStoreAwayError):
        store.store_output(document("v", "c"), {"data": [blob("c", "v", 5)]}, db_id="2")
    assert store.read_latest(["u", "v"]).keys() == {"u"}
    store.close()


def _no_retries() -> Any:
    from botocore.config import Config

    return Config(retries={"max_attempts": 0}, connect_timeout=2)


@pytest.mark.parametrize("where", ["docs_store", "additional_stores"])
def test_memory_is_refused(where: str, tmp_path: Path) -> None:
    kept = {"type": "SQLiteStore", "path": str(tmp_path / "outputs.db")}
    gone = {"type": "MemoryStore"}
    spec = {"docs_store": gone} if where == "docs_store" else {"docs_store": kept, where: {"data": gone}}
    with pytest.raises(ConfigError, match="MemoryStore"):
        OutputStore.from_spec(spec)


def test_a_file_of_json_is_read_again(tmp_path: Path) -> None:
    spec = {"docs_store": {"type": "JSONStore", "paths": str(tmp_path / "o.json"), "read_only": False}}
    writer, reader = OutputStore.from_spec(spec), OutputStore.from_spec(spec)
    writer.store_output(document("u", None), {}, db_id="1")
    assert reader.get_output("u") == {"length": 3}
    writer.store_output(document("v", None), {}, db_id="2")
    assert reader.read_latest(["u", "v"]).keys() == {"u", "v"}
