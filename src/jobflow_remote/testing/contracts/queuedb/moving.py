# ruff: noqa: D102 - the name of a test says what it is about
"""Contract: the whole database out and in again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.model.records import Document, new_flow_document
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb import bsonfiles
from jobflow_remote.queuedb.moving import KEYS
from jobflow_remote.queuedb.port import BackupOptions, QueueDatabase
from jobflow_remote.testing.contracts.queuedb.crashes import snapshot
from jobflow_remote.testing.contracts.queuedb.documents import Stage, toy_document, toy_flow

BATCH = {
    "batch_uid": "b1",
    "process_id": "77",
    "batch_state": "RUNNING",
    "worker": "pilot",
    "jobs": [["1", "x", 1]],
    "created_on": datetime(2026, 1, 1, 1, 2, 3, 4000),
    "updated_on": datetime(2026, 1, 2),
    "start_time": None,
}


def _dump(database: QueueDatabase) -> dict[str, list[Document]]:
    return {name: list(database.dump(name)) for name in KEYS}


def _load(database: QueueDatabase, documents: dict[str, list[Document]]) -> dict[str, int]:
    return {name: database.load(name, each) for name, each in documents.items()}


def _fill(stage: Stage) -> None:
    """Flows with replaced, superseded, tolerant and active jobs, an auxiliary document and a batch."""
    stage.open()
    first = stage.insert({"a": [], "b": ["a"], "c": ["a", "b"], "lone": []}, tolerant=["c"])
    second = stage.insert({"d": [first["a"]], "e": []})
    (taken, *_) = stage.claim(limit=1)
    stage.put(first, "lone", JobState.FAILED, fields={"error": "no \u00fc\n\U0001f600"})
    stage.put(first, "b", JobState.PAUSED)
    stage.put(first, "a", JobState.COMPLETED, fields={"stored_data": {"x": [1, 2.5, {"$date": "no"}]}})
    stage.apply(first, new_jobs=(toy_document(first["a"], index=2, flow_uuid=first.uuid),))
    stage.put(second, "e", JobState.STOPPED, fields={"superseded": True})
    stage.database.set_auxiliary("versions", {"jobflow_remote_version": "2.0.0", "full_environment": {}})
    stage.database.set_auxiliary("notes", [1, {"when": datetime(2026, 1, 1)}])
    stage.database.load("batches", [BATCH])
    stage.database.close_session(stage.token)
    assert taken.state is JobState.CHECKED_OUT


class MovingContract:
    """``dump``, ``load`` and ``finish_load``."""

    def test_what_was_taken_out_and_put_in_is_the_same_database(self, stage: Stage) -> None:
        _fill(stage)
        database = stage.database
        documents, seen = _dump(database), snapshot(database)
        assert [len(each) for each in documents.values()] == [7, 2, 1, 3]
        database.reset()
        assert _dump(database)["jobs"] == _dump(database)["flows"] == _dump(database)["batches"] == []
        _load(database, documents)
        database.finish_load()
        assert database.check_integrity() == []
        assert _dump(database) == documents
        assert snapshot(database) == seen
        assert database.get_auxiliary("notes") == [1, {"when": datetime(2026, 1, 1)}]

    def test_life_goes_on_after_it(self, stage: Stage) -> None:
        _fill(stage)
        documents = _dump(stage.database)
        stage.database.reset()
        _load(stage.database, documents)
        stage.database.finish_load()
        stage.open()
        first, second = stage.flows
        stage.put(first, "a", JobState.COMPLETED, index=2)
        assert stage.states(second)["d"] == "READY"
        assert {record.uuid for record in stage.claim()} >= {second["d"]}
        assert stage.database.insert_flow(toy_flow({"new": []}).new) == ["8"]
        assert stage.database.check_integrity() == []

    def test_putting_in_again_changes_nothing(self, stage: Stage) -> None:
        _fill(stage)
        documents, seen = _dump(stage.database), snapshot(stage.database)
        assert _load(stage.database, documents) == dict.fromkeys(KEYS, 0)
        stage.database.finish_load()
        stage.database.finish_load()
        assert snapshot(stage.database) == seen
        assert stage.database.check_integrity() == []

    def test_a_document_takes_the_place_of_the_one_before(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"]})
        (first, _) = stage.database.dump("jobs")
        assert stage.database.load("jobs", [{**first, "state": "COMPLETED", "priority": 7}]) == 1
        stage.database.finish_load()
        job = stage.database.get_job(flow["a"], with_inputs=True)
        assert job is not None
        assert (job["state"], job["priority"], job["job"]) == ("COMPLETED", 7, first["job"])
        assert stage.database.count_jobs({"priority": 7}) == 1

    def test_reading_goes_on_after_a_key(self, stage: Stage) -> None:
        _fill(stage)
        stage.insert({f"j{number}": [] for number in range(130)})
        for name, key in KEYS.items():
            documents = list(stage.database.dump(name))
            keys = [document[key] for document in documents]
            assert keys == sorted(keys)
            assert list(stage.database.dump(name, after=keys[-2] if keys[1:] else "")) == documents[-1:]

    def test_ids_are_not_used_again(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": []})
        stage.database.delete_flows([flow.uuid])
        documents = _dump(stage.database)
        stage.database.reset()
        _load(stage.database, documents)
        stage.database.finish_load()
        assert stage.database.insert_flow(toy_flow({"a": []}).new) == ["3"]
        stage.database.load("jf_auxiliary", [{"key": "next_id", "value": 2}])
        assert stage.database.get_auxiliary("next_id") == 4

    def test_a_document_of_an_older_release_is_refused(self, database: QueueDatabase) -> None:
        old: dict[str, Any] = {**toy_document("u", flow_uuid="f"), "db_id": "1"}
        with pytest.raises(QueueDatabaseError, match=r"jobs \(1\) has no `db_number`"):
            database.load("jobs", [old])
        with pytest.raises(QueueDatabaseError, match="unknown state"):
            database.load("jobs", [{**old, "db_number": 1, "state": "ASLEEP"}])
        assert list(database.dump("jobs")) == []

    def test_what_collides_is_refused(self, stage: Stage) -> None:
        stage.insert({"a": []})
        (job,) = stage.database.dump("jobs")
        with pytest.raises(QueueDatabaseError, match="jobs"):
            stage.database.load("jobs", [{**job, "db_number": 9}])
        assert stage.database.count_jobs({}) == 1

    def test_a_flow_without_jobs(self, database: QueueDatabase) -> None:
        flow = new_flow_document(uuid="f", name="empty", now=datetime(2026, 1, 1))
        database.load("flows", [flow])
        database.finish_load()
        (found,) = database.find_flows({})
        assert (found["n_jobs"], found["counts"], found["db_number"]) == (0, {}, None)
        assert list(database.dump("flows")) == [flow]

    def test_unknown_collections_are_refused(self, database: QueueDatabase) -> None:
        with pytest.raises(ValueError, match="no collection 'job'"):
            list(database.dump("job"))
        with pytest.raises(ValueError, match="no collection 'job'"):
            database.load("job", [])

    @pytest.mark.parametrize("compress", [False, True])
    def test_a_backup_in_bson_is_restored(self, stage: Stage, tmp_path: Path, compress: bool) -> None:
        _fill(stage)
        documents, seen = _dump(stage.database), snapshot(stage.database)
        counts = stage.database.backup(tmp_path, BackupOptions(compress=compress, bson=True))
        files = bsonfiles.find_files(tmp_path)
        assert files is not None
        checked = bsonfiles.check_files(files)
        assert checked == counts
        assert (counts["jobs"], counts["flows"], counts["batches"]) == (7, 2, 1)
        assert {path.suffix for path in files.values()} == {".gz" if compress else ".bson"}
        assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
        stage.database.reset()
        stage.database.restore(files, BackupOptions(bson=True))
        assert _dump(stage.database) == documents
        assert snapshot(stage.database) == {**seen, "session": None}
        assert stage.database.check_integrity() == []
        assert stage.database.insert_flow(toy_flow({"new": []}).new) == ["8"]
