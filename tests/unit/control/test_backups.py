"""Backups of an embedded queue database: one file, or BSON; restoring either; damage and wrong folders."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.control.backup import create_backup, restore_backup
from jobflow_remote.control.migrate import summarise
from jobflow_remote.errors import ConfigError, NotAllowedError, NotFoundError, QueueDatabaseError
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.bsonfiles import read_raw
from jobflow_remote.queuedb.port import INCOMING, BackupOptions
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase
from jobflow_remote.testing.contracts.queuedb.documents import SetClock, Stage

BSON, ZIPPED = BackupOptions(bson=True), BackupOptions(compress=True)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[SQLiteQueueDatabase]:
    """Two flows, one of them under way."""
    clock = SetClock(datetime(2026, 5, 6, 7, 8, 9, 123000))
    with closing(SQLiteQueueDatabase(tmp_path / "live" / "queue.db", clock=clock)) as database:
        stage = Stage(database, clock)
        stage.open()
        flow = stage.insert({"a": [], "b": ["a"], "c": ["b"]})
        stage.insert({"d": []})
        stage.claim(limit=1)
        stage.put(flow, "b", JobState.PAUSED)
        database.close_session(stage.token)
        yield database


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[SQLiteQueueDatabase]:
    """Another queue database."""
    with closing(SQLiteQueueDatabase(tmp_path / "empty" / "queue.db")) as database:
        yield database


def is_empty(database: SQLiteQueueDatabase) -> bool:
    """Whether nothing was restored, nor begun to be."""
    counts = (database.count_jobs({}), database.count_flows({}), database.get_auxiliary("next_id"))
    return counts == (0, 0, 1) and not database.get_auxiliary(INCOMING)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("bson", [False, True])
def test_a_backup_is_restored(
    queue: SQLiteQueueDatabase, empty: SQLiteQueueDatabase, tmp_path: Path, bson: bool, compress: bool
) -> None:
    counts = create_backup(queue, tmp_path / "new" / "copy", BackupOptions(compress=compress, bson=bson))
    assert counts == {"jobs": 4, "flows": 2, "batches": 0, "jf_auxiliary": 1}
    assert restore_backup(empty, tmp_path / "new" / "copy") == counts
    assert summarise(empty) == summarise(queue)
    assert empty.find_jobs({}) == queue.find_jobs({})
    assert empty.check_integrity() == []
    assert empty.get_auxiliary(INCOMING) is None


def test_the_files_have_their_names(queue: SQLiteQueueDatabase, tmp_path: Path) -> None:
    for options in (BackupOptions(), ZIPPED, BSON, BackupOptions(bson=True, compress=True)):
        create_backup(queue, tmp_path / "copy", options)
    names = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*.*")}
    collections = ("jobs", "flows", "batches", "jf_auxiliary")
    assert names == {"queue.db", "queue.db.gz"} | {
        f"queue/{name}.bson{end}" for name in collections for end in ("", ".gz")
    }


def test_a_queue_in_use_can_be_copied(queue: SQLiteQueueDatabase, tmp_path: Path) -> None:
    token = queue.open_session({"hostname": "n", "user": "u"}, lease_seconds=60).token
    assert create_backup(queue, tmp_path, daemon_dir=tmp_path / "daemon")["jobs"] == 4
    queue.close_session(token)


def test_restoring_wants_an_empty_database(queue: SQLiteQueueDatabase, tmp_path: Path) -> None:
    create_backup(queue, tmp_path / "copy")
    before = summarise(queue)
    with pytest.raises(NotAllowedError, match=r"4 jobs, 2 flows.*next id is 5") as caught:
        restore_backup(queue, tmp_path / "copy")
    assert "jf admin reset" in (caught.value.hint or "")
    assert summarise(queue) == before


def test_a_database_whose_ids_were_used_is_not_empty(empty: SQLiteQueueDatabase, tmp_path: Path) -> None:
    stage = Stage(empty, SetClock())
    empty.delete_flows([stage.insert({"a": []}).uuid])
    with pytest.raises(NotAllowedError, match="next id is 2"):
        restore_backup(empty, tmp_path)


def test_the_database_is_not_its_own_backup(queue: SQLiteQueueDatabase, tmp_path: Path) -> None:
    before = (tmp_path / "live" / "queue.db").stat().st_ino
    with pytest.raises(ConfigError, match="the queue database itself"):
        create_backup(queue, tmp_path / "live")
    assert (tmp_path / "live" / "queue.db").stat().st_ino == before


@pytest.mark.parametrize("bson", [False, True])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kept", [0.5, 0.97])
def test_a_truncated_backup_is_refused(
    queue: SQLiteQueueDatabase,
    empty: SQLiteQueueDatabase,
    tmp_path: Path,
    bson: bool,
    compress: bool,
    kept: float,
) -> None:
    create_backup(queue, tmp_path / "copy", BackupOptions(bson=bson, compress=compress))
    (victim,) = [
        path for path in (tmp_path / "copy").rglob("*") if path.name.startswith(("queue.db", "flows.bson"))
    ]
    content = victim.read_bytes()
    victim.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(QueueDatabaseError, match="damaged") as caught:
        restore_backup(empty, tmp_path / "copy")
    assert str(victim) in str(caught.value)
    assert is_empty(empty)


@pytest.mark.parametrize("name, missed", [("jobs", "jobs of flow"), ("flows", "to which jobs belong")])
def test_a_file_that_ends_between_two_documents_is_refused(
    queue: SQLiteQueueDatabase, empty: SQLiteQueueDatabase, tmp_path: Path, name: str, missed: str
) -> None:
    create_backup(queue, tmp_path / "copy", BSON)
    path = tmp_path / "copy" / "queue" / f"{name}.bson"
    whole = list(read_raw(path))
    path.write_bytes(b"".join(whole[:-1]))
    with pytest.raises(QueueDatabaseError, match=f"damaged: it lacks .*{missed}"):
        restore_backup(empty, tmp_path / "copy")
    (tmp_path / "copy" / "queue" / "jf_auxiliary.bson").write_bytes(b"")
    with pytest.raises(QueueDatabaseError, match="lacks the counter of ids"):
        restore_backup(empty, tmp_path / "copy")
    assert is_empty(empty)


def test_changed_bytes_are_noticed(
    queue: SQLiteQueueDatabase, empty: SQLiteQueueDatabase, tmp_path: Path
) -> None:
    create_backup(queue, tmp_path / "copy", BSON)
    path = tmp_path / "copy" / "queue" / "jobs.bson"
    content = bytearray(path.read_bytes())
    content[8] = 0x63  # no type of BSON
    path.write_bytes(content)
    with pytest.raises(QueueDatabaseError, match="damaged at document 1"):
        restore_backup(empty, tmp_path / "copy")
    assert is_empty(empty)


def test_counters_that_do_not_agree_are_noticed(
    queue: SQLiteQueueDatabase, empty: SQLiteQueueDatabase, tmp_path: Path
) -> None:
    create_backup(queue, tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy" / "queue.db")) as opened, opened:
        opened.execute("DELETE FROM jobs WHERE db_number = 2")
    with pytest.raises(QueueDatabaseError, match="damaged"):
        restore_backup(empty, tmp_path / "copy")
    assert is_empty(empty)


def test_wrong_folders(queue: SQLiteQueueDatabase, empty: SQLiteQueueDatabase, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    with pytest.raises(NotFoundError, match="there is no"):
        restore_backup(empty, folder)
    (folder / "sub").mkdir(parents=True)
    (folder / "notes.txt").write_text("nothing")
    (folder / "wrong.gz").write_bytes(gzip.compress(b"nothing"))
    with pytest.raises(NotFoundError, match="no backup in"):
        restore_backup(empty, folder)
    create_backup(queue, folder)
    create_backup(queue, folder, ZIPPED)
    with pytest.raises(NotFoundError, match=r"several backups.*queue\.db, queue\.db\.gz"):
        restore_backup(empty, folder)
    assert is_empty(empty)
    assert restore_backup(empty, folder / "queue.db.gz")["jobs"] == 4


def test_several_or_incomplete_folders(
    queue: SQLiteQueueDatabase, empty: SQLiteQueueDatabase, tmp_path: Path
) -> None:
    create_backup(queue, tmp_path / "copy", BSON)
    shutil.copytree(tmp_path / "copy" / "queue", tmp_path / "copy" / "other")
    with pytest.raises(NotFoundError, match="several backups"):
        restore_backup(empty, tmp_path / "copy")
    (tmp_path / "copy" / "other" / "flows.bson").unlink()
    with pytest.raises(NotFoundError, match=r"no flows\.bson"):
        restore_backup(empty, tmp_path / "copy" / "other")
    assert is_empty(empty)
    (tmp_path / "copy" / "queue" / "batches.bson").unlink()  # older releases have none
    assert restore_backup(empty, tmp_path / "copy" / "queue" / "jobs.bson")["jobs"] == 4


def test_output_stores_beside_the_backup_are_no_backups(
    queue: SQLiteQueueDatabase, empty: SQLiteQueueDatabase, tmp_path: Path
) -> None:
    create_backup(queue, tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy" / "outputs.db")) as opened, opened:
        opened.execute("CREATE TABLE outputs (doc)")
    assert restore_backup(empty, tmp_path / "copy")["flows"] == 2


def test_documents_of_an_older_release_are_not_restored_here(
    empty: SQLiteQueueDatabase, tmp_path: Path
) -> None:
    import bson

    old: dict[str, Any] = {"_id": bson.ObjectId(), "db_id": "1", "uuid": "u", "index": 1, "state": "READY"}
    for name, documents in {"jobs": [old], "flows": [], "jf_auxiliary": [{"next_id": 2}]}.items():
        (tmp_path / f"{name}.bson").write_bytes(b"".join(map(bson.encode, documents)))
    with pytest.raises(QueueDatabaseError, match="older release") as caught:
        restore_backup(empty, tmp_path)
    assert "jf admin upgrade" in (caught.value.hint or "")
    assert is_empty(empty)
