"""The output store, as the runner and people use it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jobflow import JobStore, OutputReference
from maggma.stores import MemoryStore, MongoStore

from jobflow_remote.errors import (
    ConfigError,
    Failure,
    NotFoundError,
    OutputStoreAwayError,
    OutputStoreError,
)
from jobflow_remote.outputs.jobstore import OutputStore, jobstore_from_spec
from jobflow_remote.outputs.sqlitestore import SQLiteStore


def spec_in(folder: Path) -> dict[str, Any]:
    return {
        "docs_store": {"type": "SQLiteStore", "path": str(folder / "outputs.db")},
        "additional_stores": {"data": {"type": "SQLiteStore", "path": str(folder / "blobs.db")}},
    }


@pytest.fixture(name="store")
def make_store(tmp_path: Path) -> Iterator[OutputStore]:
    store = OutputStore.from_spec(spec_in(tmp_path))
    yield store
    store.close()


def document(uuid: str, index: int = 1, output: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "_id": "x",
        "uuid": uuid,
        "index": index,
        "output": output,
        "metadata": metadata,
        "hosts": [],
        "name": "n",
    }


def blob(name: str, uuid: str = "u", index: int = 1) -> dict[str, Any]:
    return {
        "blob_uuid": name,
        "data": [1, 2],
        "job_uuid": uuid,
        "job_index": index,
        "@class": "",
        "@module": "",
    }


def marker(name: str) -> dict[str, Any]:
    return {"blob_uuid": name, "store": "data", "@class": "", "@module": ""}


# -- opening ---------------------------------------------------------------------------------------------------


def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    store = OutputStore.from_spec(spec_in(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert store.store_names == ["data"]
    assert store.jobstore.count() == 0
    store.close()
    store.close()
    assert store.jobstore.count() == 0
    store.close()


def test_both_forms_of_description(tmp_path: Path) -> None:
    made = jobstore_from_spec(spec_in(tmp_path))
    again = jobstore_from_spec(made.as_dict())
    assert isinstance(again, JobStore)
    assert again.docs_store == made.docs_store == SQLiteStore(tmp_path / "outputs.db")
    assert again.additional_stores == made.additional_stores


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"docs_store": {"type": "NoSuchStore"}}, "NoSuchStore"),
        ({"docs_store": {"type": "SQLiteStore"}}, "path"),
        ({"docs_store": {"type": "SQLiteStore", "path": "x", "nonsense": 1}}, "nonsense"),
        ({"docs_store": {"type": "SQLiteStore", "path": "x", "synchronous": "OFF"}}, "synchronous"),
        ({"additional_stores": {}}, "made from its description"),
        ({"@module": "no_such_module", "@class": "Store"}, "described as a Store"),
        ({"@module": "maggma.stores.mongolike", "@class": "MemoryStore"}, "described as a MemoryStore"),
    ],
)
def test_wrong_descriptions(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        OutputStore.from_spec(spec)


# -- storing ---------------------------------------------------------------------------------------------------


def test_an_output_is_stored_once_however_often_it_is_stored(store: OutputStore) -> None:
    for _ in range(2):
        store.store_output(document("u", output={"big": marker("b")}), {"data": [blob("b")]}, db_id="p-1")
    (found,) = store.jobstore.query()
    assert found["metadata"] == {"db_id": "p-1"}
    assert found["_id"] != "x"
    assert store.jobstore.additional_stores["data"].count() == 1
    assert store.get_output("u") == {"big": marker("b")}
    assert store.get_output("u", load=True) == {"big": [1, 2]}


def test_a_db_id_of_the_user_is_kept(store: OutputStore) -> None:
    given = document("u", db_id="mine", tag=1)
    store.store_output(given, {}, db_id="p-1")
    assert store.jobstore.query_one({})["metadata"] == {"db_id": "mine", "tag": 1}
    assert given["metadata"] == {"db_id": "mine", "tag": 1}


def test_an_unknown_additional_store_is_refused_before_anything_is_written(store: OutputStore) -> None:
    with pytest.raises(ConfigError, match=r"no additional store elsewhere \(defined: data\)"):
        store.store_output(document("u"), {"data": [blob("b")], "elsewhere": [blob("c")]}, db_id="1")
    assert store.jobstore.count() == 0
    assert store.jobstore.additional_stores["data"].count() == 0


def test_missing_stores(store: OutputStore) -> None:
    assert store.missing_stores({"uuid": "u", "name": "n", "data": True, "@class": "Job"}) == []
    assert store.missing_stores({"uuid": "u", "data": True, "b": "x", "a": "y"}) == ["a", "b"]


def test_remove_outputs(store: OutputStore) -> None:
    for uuid, index in (("u", 1), ("u", 2), ("v", 1)):
        blobs = {"data": [blob(f"{uuid}{index}", uuid, index)]}
        store.store_output(document(uuid, index), blobs, db_id="1")
    store.remove_outputs([("u", 1), ("v", 1), ("nobody", 1)])
    assert [(found["uuid"], found["index"]) for found in store.jobstore.query()] == [("u", 2)]
    assert [found["blob_uuid"] for found in store.jobstore.additional_stores["data"].query()] == ["u2"]
    store.remove_outputs([(str(number), 1) for number in range(450)] + [("u", 2)])
    assert store.jobstore.count() == 0


# -- reading ---------------------------------------------------------------------------------------------------


def test_get_output(store: OutputStore) -> None:
    for index, output in ((1, "first"), (2, None), (3, "last")):
        store.store_output(document("u", index, output), {}, db_id="1")
    assert store.get_output("u") == "last"
    assert store.get_output("u", 1) == "first"
    assert store.get_output("u", 2) is None


def test_get_output_with_a_reference_in_it(store: OutputStore) -> None:
    store.store_output(document("a", output=5), {}, db_id="1")
    store.store_output(document("b", output={"x": OutputReference("a").as_dict()}), {}, db_id="2")
    assert store.get_output("b") == {"x": 5}


@pytest.mark.parametrize("index", [None, 2])
def test_no_output(store: OutputStore, index: int | None) -> None:
    if index is not None:
        store.store_output(document("u"), {}, db_id="1")
    with pytest.raises(NotFoundError, match="no output of job u"):
        store.get_output("u", index)


def test_a_missing_reference_in_an_output_is_an_error_of_the_store(store: OutputStore) -> None:
    store.store_output(document("b", output=OutputReference("gone").as_dict()), {}, db_id="2")
    with pytest.raises(OutputStoreError, match="gone"):
        store.get_output("b")


def test_read_latest_asks_for_many_at_once(store: OutputStore) -> None:
    for number in range(5):
        for index in (3, 1, 12, 2):
            store.store_output(document(str(number), index, [number, index]), {}, db_id="1")
    found = store.read_latest([str(number) for number in range(450)])
    assert found == {str(number): [number, 12] for number in range(5)}


def test_read_latest_of_any_store() -> None:
    store = OutputStore(JobStore(MemoryStore()))
    store.store_output(document("u", output=None), {}, db_id="1")
    assert store.read_latest(["u", "v"]) == {"u": None}


# -- errors ----------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_weather() -> None:
    mongo = MongoStore(
        "db", "outputs", host="127.0.0.1", port=9, mongoclient_kwargs={"serverSelectionTimeoutMS": 20}
    )
    store = OutputStore(JobStore(mongo))
    with pytest.raises(OutputStoreAwayError) as caught:
        store.store_output(document("u"), {}, db_id="1")
    assert caught.value.failure is Failure.WEATHER
    store.close()


def test_a_folder_that_cannot_be_made_is_weather(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = OutputStore.from_spec(
        {"docs_store": {"type": "SQLiteStore", "path": str(tmp_path / "file" / "o.db")}}
    )
    with pytest.raises(OutputStoreAwayError, match=r"o\.db"):
        _ = store.jobstore


def test_a_file_that_is_locked_for_too_long_is_weather(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    store = OutputStore.from_spec(
        {"docs_store": {"type": "SQLiteStore", "path": str(path), "busy_timeout_seconds": 0.01}}
    )
    assert store.jobstore.count() == 0
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutputStoreAwayError, match="locked"):
        store.store_output(document("u"), {}, db_id="1")
    other.execute("ROLLBACK")
    store.store_output(document("u"), {}, db_id="1")
    other.close()
    store.close()


def test_a_document_that_is_refused_is_a_step_that_failed(store: OutputStore) -> None:
    with pytest.raises(OutputStoreError, match="cannot be stored") as caught:
        store.store_output(document("u", output=2**70), {}, db_id="1")
    assert caught.value.failure is Failure.STEP


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "o.db").write_text("no database at all, but long enough to be looked at " * 100)
    store = OutputStore.from_spec({"docs_store": {"type": "SQLiteStore", "path": str(tmp_path / "o.db")}})
    with pytest.raises(OutputStoreError, match="not a database") as caught:
        _ = store.jobstore
    assert caught.value.failure is Failure.STEP
