"""The SQLite store answers as a maggma store in memory does, also to several processes at once."""

from __future__ import annotations

import copy
import os
import pickle
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from maggma.core import Sort
from maggma.core.validator import Validator
from maggma.stores import MemoryStore
from monty.json import MontyDecoder
from monty.serialization import dumpfn, loadfn

from jobflow_remote.errors import CapabilityMissingError, ConfigError, FilterError
from jobflow_remote.outputs.sqlitestore import SQLiteStore

DOCUMENTS: list[dict[str, Any]] = [
    {
        "uuid": "a",
        "index": 1,
        "name": "add",
        "output": {"energy": -1.5, "tags": ["x", "y"]},
        "when": datetime(2024, 1, 1),
    },
    {
        "uuid": "a",
        "index": 2,
        "name": "add",
        "output": {"energy": -2.5, "tags": []},
        "when": datetime(2024, 1, 2),
    },
    {"uuid": "b", "index": 1, "name": "mul", "output": {"energy": 3, "steps": [{"e": 1}, {"e": 2}]}},
    {"uuid": "c", "index": 1, "name": None, "output": None},
    {"uuid": "d", "index": 10, "output": "text", "metadata": {"a.b": 1}},
    {"uuid": "e", "index": 1.5, "name": "odd", "output": {"energy": 7.5}},
]
ODD: dict[str, Any] = {"uuid": ["a", "z"], "index": [1, 2], "name": {"first": "add"}, "output": 0}


@pytest.fixture(name="store")
def make_store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "sub" / "outputs.db", key="uuid")
    store.connect()
    yield store
    store.close()


def without_id(found: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in document.items() if key != "_id"} for document in found]


def filled_pair(store: SQLiteStore, documents: list[dict[str, Any]]) -> MemoryStore:
    memory = MemoryStore(key="uuid")
    memory.connect()
    for target in (store, memory):
        target.update(copy.deepcopy(documents), key=["uuid", "index"])
    return memory


CRITERIA: list[dict[str, Any]] = [
    {},
    {"uuid": "a"},
    {"uuid": "a", "index": 2},
    {"uuid": {"$in": ["a", "c", "nobody"]}},
    {"uuid": {"$ne": "a"}},
    {"uuid": {"$regex": "^[ab]"}},
    {"index": {"$gt": 1}},
    {"index": 1.0},
    {"name": None},
    {"name": {"$exists": False}},
    {"name": {"$nin": ["add", None]}},
    {"$or": [{"uuid": "b", "index": 1}, {"uuid": "a", "index": 2}]},
    {"$and": [{"uuid": "a"}, {"output.energy": {"$lt": -2}}]},
    {"output.energy": {"$lt": 0}},
    {"output.tags": "x"},
    {"output.steps.e": 2},
    {"when": {"$gte": datetime(2024, 1, 2)}},
    {"output": None},
    {"uuid": {"$not": {"$in": ["a", "b"]}}},
]


@pytest.mark.parametrize("criteria", CRITERIA, ids=str)
@pytest.mark.parametrize("odd", [False, True])
def test_query_and_count_as_in_memory(store: SQLiteStore, criteria: dict[str, Any], odd: bool) -> None:
    memory = filled_pair(store, [*DOCUMENTS, ODD] if odd else DOCUMENTS)
    assert without_id(store.query(criteria)) == without_id(memory.query(criteria))
    assert store.count(criteria) == len(list(memory.query(criteria)))


@pytest.mark.parametrize(
    "properties",
    [
        None,
        ["uuid"],
        ["uuid", "output.energy"],
        ["output.steps.e"],
        {"uuid": 1, "index": True},
        {"_id": 0, "uuid": 1},
        {"_id": 0},
        {"output": 0},
        {"_id": 0, "output": 0},
    ],
    ids=str,
)
def test_properties_as_in_memory(store: SQLiteStore, properties: Any) -> None:
    memory = filled_pair(store, DOCUMENTS)
    ours = list(store.query({}, copy.copy(properties)))
    theirs = list(memory.query({}, copy.copy(properties)))
    assert without_id(ours) == without_id(theirs)
    assert [("_id" in document) for document in ours] == [("_id" in document) for document in theirs]


def test_properties_within_arrays_of_numbers(store: SQLiteStore) -> None:
    store.update({"uuid": "a", "output": [1, {"e": 2, "f": 3}, [4]]})
    assert without_id(store.query({}, ["output.e"])) == [{"output": [{"e": 2}, []]}]  # as mongod
    assert without_id(store.query({}, {"output.e": 0, "uuid": 0})) == [{"output": [1, {"f": 3}, [4]]}]
    store.update({"uuid": "a", "output": None})
    assert without_id(store.query({}, {"output.e": 0})) == [{"uuid": "a", "output": None}]


@pytest.mark.parametrize("properties", [{"a": 1, "b": 0}, {"a": {"$slice": 1}}])
def test_properties_that_are_refused(store: SQLiteStore, properties: Any) -> None:
    with pytest.raises(FilterError):
        list(store.query({}, properties))


def test_filters_that_are_refused(store: SQLiteStore) -> None:
    with pytest.raises(FilterError):
        list(store.query({"uuid": {"$nonsense": 1}}))


@pytest.mark.parametrize(
    ("sort", "skip", "limit"),
    [
        ({"index": 1}, 0, 0),
        ({"index": -1}, 0, 1),
        ({"name": 1, "index": -1}, 0, 0),
        ({"uuid": Sort.Descending, "index": Sort.Ascending}, 1, 3),
        ({"output.energy": 1}, 0, 0),
        (None, 2, 2),
        (None, 0, 100),
    ],
    ids=str,
)
def test_sort_skip_and_limit_as_in_memory(store: SQLiteStore, sort: Any, skip: int, limit: int) -> None:
    memory = filled_pair(store, DOCUMENTS)
    arguments = {"sort": sort, "skip": skip, "limit": limit}
    assert without_id(store.query({}, **arguments)) == without_id(memory.query({}, **arguments))


@pytest.mark.parametrize("field", ["uuid", "index", "output.tags", "output.energy", "nothing"])
def test_distinct(store: SQLiteStore, field: str) -> None:
    memory = filled_pair(store, DOCUMENTS)
    assert sorted(store.distinct(field), key=str) == sorted(memory.distinct(field), key=str)


def test_distinct_with_criteria(store: SQLiteStore) -> None:
    filled_pair(store, DOCUMENTS)
    assert store.distinct("index", {"uuid": "a"}) == [1, 2]


@pytest.mark.parametrize(
    ("keys", "properties"), [("uuid", None), (["uuid", "index"], ["output"]), ("output.energy", ["uuid"])]
)
def test_groupby_as_in_memory(store: SQLiteStore, keys: Any, properties: Any) -> None:
    memory = filled_pair(store, DOCUMENTS)

    def groups(found: Any) -> list[Any]:
        return [(key, [document["uuid"] for document in members]) for key, members in found]

    chosen = [*(properties or []), "uuid"]
    assert groups(store.groupby(keys, properties=list(chosen))) == groups(
        memory.groupby(keys, properties=list(chosen))
    )


def test_groupby_of_values_that_python_cannot_order(store: SQLiteStore) -> None:
    store.update([{"uuid": str(n), "output": value} for n, value in enumerate([None, "a", 1, "a"])])
    assert [len(members) for _, members in store.groupby("output")] == [1, 1, 2]


def test_inherited_methods(store: SQLiteStore) -> None:
    store.update(
        [
            {"uuid": "a", "last_updated": datetime(2024, 1, 1)},
            {"uuid": "b", "last_updated": datetime(2024, 5, 1)},
        ]
    )
    assert store.last_updated == datetime(2024, 5, 1)
    found = store.query_one({"uuid": "a"})
    assert found["last_updated"] == datetime(2024, 1, 1)
    assert isinstance(found["_id"], ObjectId)
    assert store.query_one({"_id": found["_id"]})["uuid"] == "a"


# -- writing ---------------------------------------------------------------------------------------------------


def test_update_replaces_what_has_the_same_key(store: SQLiteStore) -> None:
    store.update(
        [{"uuid": "a", "index": 1, "x": 1}, {"uuid": "a", "index": 2, "x": 1}], key=["uuid", "index"]
    )
    identity = store.query_one({"uuid": "a", "index": 1})["_id"]
    store.update({"uuid": "a", "index": 1, "y": 2, "_id": "ignored"}, key=["uuid", "index"])
    assert store.query_one({"uuid": "a", "index": 1}) == {"_id": identity, "uuid": "a", "index": 1, "y": 2}
    assert store.count() == 2
    store.update({"uuid": "b"})
    store.update({"uuid": "b", "z": 1}, key="uuid")
    assert without_id(store.query({"uuid": "b"})) == [{"uuid": "b", "z": 1}]


def test_update_by_a_field_without_column(store: SQLiteStore) -> None:
    store.update([{"task_id": 1, "x": 1}, {"task_id": 1, "x": 2}], key="task_id")
    assert without_id(store.query()) == [{"task_id": 1, "x": 2}]


def test_update_is_all_or_nothing(store: SQLiteStore) -> None:
    with pytest.raises(ValueError, match="cannot be stored"):
        store.update([{"uuid": "a"}, {"uuid": "b", "x": 2**70}])
    with pytest.raises(KeyError):
        store.update([{"uuid": "a"}, {"index": 1}])
    assert store.count() == 0


def test_types_come_back_as_from_mongodb(store: SQLiteStore) -> None:
    document = {
        "uuid": "a",
        "naive": datetime(2024, 1, 2, 3, 4, 5, 678900),
        "aware": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "bytes": b"\x00",
        "id": ObjectId("0" * 24),
        "float": 1.0,
        "nan": float("nan"),
        "large": 2**40,
        "none": None,
        "empty": [{}, [], ""],
        "dots": {"a.b": 1, "$x": 2},
    }
    store.update(document)
    found = store.query_one({"uuid": "a"})
    assert found["naive"] == datetime(2024, 1, 2, 3, 4, 5, 678000)
    assert found["aware"] == datetime(2024, 1, 2, 3, 4, 5)
    assert found["nan"] != found["nan"]
    for key in ("bytes", "id", "float", "large", "none", "empty", "dots"):
        assert found[key] == document[key]
        assert type(found[key]) is type(document[key])


def test_remove_docs(store: SQLiteStore) -> None:
    filled_pair(store, DOCUMENTS)
    store.remove_docs({"uuid": {"$in": ["a", "b"]}})
    store.remove_docs({"output": "text"})
    assert store.distinct("uuid") == ["c", "e"]
    store.remove_docs({})
    assert store.count() == 0


@pytest.mark.parametrize("strict", [True, False])
def test_validator(tmp_path: Path, strict: bool) -> None:
    class NoB(Validator):  # type: ignore[misc]  # maggma has no types
        @property
        def strict(self) -> bool:
            return strict

        def is_valid(self, doc: dict[str, Any]) -> bool:
            return bool(doc["uuid"] != "b")

        def validation_errors(self, doc: dict[str, Any]) -> list[str]:
            return ["is b"]

    store = SQLiteStore(tmp_path / "o.db", key="uuid", validator=NoB())
    if strict:
        with pytest.raises(ValueError, match="is b"):
            store.update([{"uuid": "a"}, {"uuid": "b"}])
        assert store.count() == 0
    else:
        store.update([{"uuid": "a"}, {"uuid": "b"}])
        assert store.distinct("uuid") == ["a"]


def test_ensure_index(store: SQLiteStore) -> None:
    store.update([{"uuid": "a", "index": 1}, {"uuid": "a", "index": 2}], key=["uuid", "index"])
    assert store.ensure_index("uuid")
    assert not store.ensure_index("output.energy")
    assert not store.ensure_index("uuid", unique=True)
    assert store.ensure_index("index", unique=True)
    with pytest.raises(sqlite3.IntegrityError):
        store.update({"uuid": "b", "index": 2})


def test_what_jobflow_asks_is_answered_from_an_index(store: SQLiteStore) -> None:
    statements: list[str] = []
    connection = store._connection()
    connection.set_trace_callback(statements.append)
    list(store.query({"uuid": "a"}, sort={"index": -1}, limit=1))
    list(store.query({"uuid": {"$in": ["a", "b"]}}))
    list(store.query({"$or": [{"uuid": "a", "index": 1}, {"uuid": "b", "index": 2}]}))
    list(store.query({"blob_uuid": {"$in": ["a"]}}))
    store.remove_docs({"job_uuid": "a", "job_index": 1})
    store.update({"uuid": "a", "index": 1}, key=["uuid", "index"])
    connection.set_trace_callback(None)
    asked = [text for text in statements if re.match(r"(SELECT|DELETE)", text)]
    assert len(asked) > 8
    for text in asked:
        plan = " ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + text))
        assert "SCAN" not in plan or "USING" in plan, text


# -- the object ------------------------------------------------------------------------------------------------


def test_descriptions_lead_back_to_the_store(store: SQLiteStore, tmp_path: Path) -> None:
    store.update({"uuid": "a"})
    dumpfn(store, tmp_path / "store.json")
    copies = [
        MontyDecoder().process_decoded(store.as_dict()),
        loadfn(tmp_path / "store.json"),
        pickle.loads(pickle.dumps(store)),
        copy.deepcopy(store),
    ]
    for found in copies:
        assert found == store
        assert hash(found) == hash(store)
        assert found.key == "uuid"
        assert found.distinct("uuid") == ["a"]
        found.close()
    assert store != SQLiteStore(store.path, collection_name="other")
    assert store != MemoryStore()


def test_only_its_owner_can_read_it(store: SQLiteStore) -> None:
    store.update({"uuid": "a"})
    path = Path(store.path)
    for found in path.parent.iterdir():
        assert stat.S_IMODE(found.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_two_collections_in_one_file(tmp_path: Path) -> None:
    first = SQLiteStore(tmp_path / "o.db", collection_name="one", key="uuid")
    second = SQLiteStore(tmp_path / "o.db", collection_name="two", key="uuid")
    first.update({"uuid": "a"})
    assert (first.count(), second.count()) == (1, 0)
    first.close()
    second.close()


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = SQLiteStore("~/o.db", key="uuid")
    store.update({"uuid": "a"})
    store.close()
    assert (tmp_path / "o.db").exists()
    assert store.as_dict()["path"] == "~/o.db"


def test_a_folder_changed_later_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore("o.db", key="uuid")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    store.update({"uuid": "a"})
    store.close()
    assert (tmp_path / "o.db").exists()


@pytest.mark.parametrize(
    "wrong", [{"synchronous": "OFF"}, {"collection_name": 'a"b'}, {"collection_name": ""}]
)
def test_wrong_settings(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SQLiteStore(tmp_path / "o.db", **wrong)


def test_no_pymongo_collection(store: SQLiteStore) -> None:
    with pytest.raises(CapabilityMissingError, match="no pymongo collection"):
        store._collection  # noqa: B018


def test_reset(store: SQLiteStore) -> None:
    store.update({"uuid": "a"})
    store.connect(force_reset=True)
    assert store.count() == 1


# -- several at once -------------------------------------------------------------------------------------------


def test_threads_have_connections_of_their_own(store: SQLiteStore) -> None:
    failures: list[BaseException] = []

    def work(part: int) -> None:
        try:
            for number in range(50):
                store.update({"uuid": f"{part}-{number}", "index": 1}, key=["uuid", "index"])
                assert store.count({"uuid": f"{part}-{number}"}) == 1
        except BaseException as error:  # noqa: BLE001  # handed to the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.count() == 200


UPDATER = """
import sys
from jobflow_remote.outputs.sqlitestore import SQLiteStore
store = SQLiteStore(sys.argv[1], key="uuid")
for number in range(100):
    store.update([{"uuid": f"{sys.argv[2]}-{number}", "index": 1, "output": [number] * 100},
                  {"uuid": "shared", "index": 1, "by": sys.argv[2]}], key=["uuid", "index"])
"""


def test_processes_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "o.db")
    processes = [subprocess.Popen([sys.executable, "-c", UPDATER, path, str(part)]) for part in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    store = SQLiteStore(path, key="uuid")
    assert store.count() == 401
    assert store.count({"uuid": "shared"}) == 1
    store.close()


def test_a_fork_opens_its_own_connection(store: SQLiteStore) -> None:
    store.update({"uuid": "parent"})
    pid = os.fork()
    if pid == 0:
        try:
            store.update({"uuid": "child"})
            os._exit(0)
        except BaseException:  # noqa: BLE001  # the parent sees the code
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.distinct("uuid") == ["child", "parent"]


KILLED = """
import sys
from jobflow_remote.outputs.sqlitestore import SQLiteStore
store = SQLiteStore(sys.argv[1], key="uuid")
number = store.count()
while True:
    store.update([{"uuid": f"{number}-{part}", "index": 1, "output": "x" * 10000} for part in range(3)])
    print(number, flush=True)
    number += 3
"""


def test_killed_while_writing_loses_nothing_and_leaves_no_half(tmp_path: Path) -> None:
    path = str(tmp_path / "o.db")
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(20):
                acknowledged = int(process.stdout.readline()) + 3
            process.kill()
        store = SQLiteStore(path, key="uuid")
        assert store.count() >= acknowledged
        assert store.count() % 3 == 0
        store.close()


# -- random ----------------------------------------------------------------------------------------------------

values = st.none() | st.integers(-2, 2) | st.sampled_from(["a", "b"]) | st.booleans() | st.floats(-1, 1)
hot = st.sampled_from(["uuid", "index", "name"])
fields = hot | st.just("other")
documents = st.lists(st.dictionaries(fields, values | st.lists(values, max_size=2), max_size=4), max_size=6)
conditions: st.SearchStrategy[dict[str, Any]] = st.builds(dict, st.just({})) | st.dictionaries(
    hot | st.just("other"),
    values
    | st.builds(lambda v: {"$in": v}, st.lists(values, max_size=3))
    | st.builds(lambda name, v: {name: v}, st.sampled_from(["$ne", "$gt", "$lte", "$eq"]), values)
    | st.builds(lambda v: {"$exists": v}, st.booleans()),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(documents, st.lists(conditions, min_size=1, max_size=4))
def test_columns_never_hide_a_document(
    tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]], queries: list[dict[str, Any]]
) -> None:
    from jobflow_remote.queuedb.filters import compile_filter

    store = SQLiteStore(tmp_path_factory.mktemp("o") / "o.db", key="number")
    numbered = [{**document, "number": number} for number, document in enumerate(found)]
    store.update(numbered)
    for query in queries:
        matches = compile_filter(query, aliases={})
        wanted = [document["number"] for document in numbered if matches(document)]
        assert [document["number"] for document in store.query(query)] == wanted
        assert store.count(query) == len(wanted)
    store.close()
