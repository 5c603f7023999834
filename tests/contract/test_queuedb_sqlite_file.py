"""The file of the embedded queue database: whose it is, where it may be, and what its errors mean."""

from __future__ import annotations

import fcntl
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.errors import ConfigError, QueueDatabaseAwayError, QueueDatabaseError
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb import open_queue_database
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase, connection, hostpin
from jobflow_remote.testing.contracts.queuedb import SetClock, Stage
from jobflow_remote.testing.contracts.queuedb.documents import toy_flow
from jobflow_remote.testing.contracts.queuedb.processes import run_all

S = JobState


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "queue.db"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def database(path: Path, clock: SetClock) -> Iterator[SQLiteQueueDatabase]:
    database = SQLiteQueueDatabase(path, clock=clock)
    yield database
    database.close()


@pytest.fixture
def stage(database: SQLiteQueueDatabase, clock: SetClock) -> Stage:
    return Stage(database, clock)


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file without our code around it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        yield opened


# -- the file ------------------------------------------------------------------------------------------------------


def test_a_second_handle_in_a_process_does_not_give_up_the_locks_of_the_first(path: Path) -> None:
    """Else the next process to close the file takes itself for the last one, and removes the journal that we use."""
    first = SQLiteQueueDatabase(path)
    first.insert_flow(toy_flow({"a": []}).new)
    SQLiteQueueDatabase(path).close()
    other = (
        "import sys; from pathlib import Path; from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase\n"
        "database = SQLiteQueueDatabase(Path(sys.argv[1])); database.count_jobs({}); database.close()"
    )
    subprocess.run([sys.executable, "-c", other, str(path)], check=True)
    assert path.with_name(f"{path.name}-wal").exists()
    first.insert_flow(toy_flow({"a": []}).new)
    assert first.count_flows({}) == 2
    assert first.check_integrity() == []
    first.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_can_read_what_is_stored(database: SQLiteQueueDatabase, path: Path) -> None:
    before = os.umask(0)
    try:
        database.insert_flow(toy_flow({"a": []}).new)
    finally:
        os.umask(before)
    assert mode_of(path.parent) == 0o700
    files = {file.name: mode_of(file) for file in path.parent.iterdir()}
    assert {"queue.db", "queue.db-wal", "queue.db-shm", "queue.db-lock"} <= set(files)
    assert set(files.values()) == {0o600}


def test_processes_may_make_the_file_at_the_same_time(path: Path) -> None:
    def use() -> None:
        with closing(SQLiteQueueDatabase(path)) as database:
            database.insert_flow(toy_flow({"a": []}).new)

    for attempt in range(1, 4):
        assert run_all([use] * 6) == [0] * 6
        with closing(SQLiteQueueDatabase(path)) as database:
            assert database.count_jobs({}) == 6
        path = path.with_name(f"another{attempt}.db")


def test_the_backup_is_private_too_and_can_be_opened(stage: Stage, tmp_path: Path) -> None:
    flow = stage.insert({"a": [], "b": ["a"]})
    target = tmp_path / "copies" / "one.db"
    assert stage.database.backup(target) == {"jobs": 2, "flows": 1, "batches": 0, "jf_auxiliary": 1}
    assert mode_of(target) == 0o600
    assert [file.name for file in target.parent.iterdir()] == ["one.db"]
    with closing(SQLiteQueueDatabase(target)) as copy:
        assert copy.check_integrity() == []
        assert copy.get_job(flow["b"], with_inputs=True) == stage.database.get_job(
            flow["b"], with_inputs=True
        )


def test_a_backup_into_a_folder_has_the_name_of_the_database(stage: Stage, tmp_path: Path) -> None:
    stage.database.backup(tmp_path)
    assert (tmp_path / "queue.db").exists()


def test_a_backup_that_cannot_be_written_says_so(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QueueDatabaseAwayError, match="file"):
        stage.database.backup(tmp_path / "file" / "copy.db")


def test_settings_of_the_file(database: SQLiteQueueDatabase, path: Path) -> None:
    with raw(path) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert opened.execute("PRAGMA user_version").fetchone() == (3,)
    with database._connections.writing() as writer:
        assert writer.execute("PRAGMA synchronous").fetchone() == (1,)
        assert writer.execute("PRAGMA busy_timeout").fetchone() == (30000,)


def test_every_commit_can_be_made_to_reach_the_disk(path: Path) -> None:
    database = SQLiteQueueDatabase(path, synchronous="FULL")
    with database._connections.writing() as writer:
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
    database.close()
    with pytest.raises(ConfigError, match="NORMAL"):
        SQLiteQueueDatabase(path, synchronous="OFF")


@pytest.mark.parametrize("content", [b"not a database, but some text\n" * 200, b"\x00" * 5000])
def test_a_file_that_is_no_database_is_named(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(QueueDatabaseError, match=str(path)) as caught:
        SQLiteQueueDatabase(path)
    assert not isinstance(caught.value, QueueDatabaseAwayError)
    assert "backup" in (caught.value.hint or "")


def test_damage_in_the_middle_is_found(stage: Stage, path: Path) -> None:
    stage.insert({f"j{number}": [] for number in range(300)})
    stage.database.close()
    data = bytearray(path.read_bytes())
    data[4096 * 5 : -4096] = os.urandom(len(data) - 4096 * 6)
    path.write_bytes(data)
    with closing(SQLiteQueueDatabase(path)) as damaged:
        with pytest.raises(QueueDatabaseError, match="damaged") as caught:
            damaged.find_jobs({}, with_inputs=True)
        assert "backup" in (caught.value.hint or "")


def test_another_program_s_file_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with raw(path) as opened:
        opened.execute("CREATE TABLE addresses (name)")
    with pytest.raises(QueueDatabaseError, match="not a queue database"):
        SQLiteQueueDatabase(path)
    with raw(path) as opened:
        assert opened.execute("SELECT name FROM sqlite_master").fetchall() == [("addresses",)]


def test_the_file_of_a_newer_release_is_refused(database: SQLiteQueueDatabase, path: Path) -> None:
    database.close()
    with raw(path) as opened:
        opened.execute("PRAGMA user_version=99")
    with pytest.raises(QueueDatabaseError, match=r"newer release.*99"):
        SQLiteQueueDatabase(path)


def test_a_file_of_the_first_format_is_brought_up_to_date(stage: Stage, path: Path) -> None:
    stage.insert({"a": [], "b": ["a"]})
    before = stage.database.find_jobs({}, with_inputs=True)
    stage.database.close()
    with raw(path) as opened:
        opened.execute("DROP TABLE batches")
        opened.execute("DROP INDEX jobs_created")
        opened.execute("DROP INDEX flows_created")
        opened.execute("PRAGMA user_version=1")
    with closing(SQLiteQueueDatabase(path)) as database:
        assert database.find_jobs({}, with_inputs=True) == before
        assert list(database.dump("batches")) == []
        assert database.load("batches", [{"batch_uid": "b", "batch_state": "RUNNING", "worker": "w"}]) == 1
        assert database.check_integrity() == []
    with raw(path) as opened:
        assert opened.execute("PRAGMA user_version").fetchone() == (3,)


# -- weather -------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_weather_and_nothing_is_half_written(stage: Stage, path: Path) -> None:
    stage.insert({"a": []})
    database = stage.database
    assert isinstance(database, SQLiteQueueDatabase)
    with database._connections.writing() as writer:
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count={pages + 3}")
    large = toy_flow({f"j{number}": [] for number in range(200)})
    with pytest.raises(QueueDatabaseAwayError, match=f"{path}.*full"):
        database.insert_flow(large.new)
    assert (database.count_jobs({}), database.count_flows({})) == (1, 1)
    with database._connections.writing() as writer:
        writer.execute("PRAGMA max_page_count=100000")
    assert len(database.insert_flow(large.new)) == 200
    assert database.check_integrity() == []


def test_a_read_only_file_is_weather(database: SQLiteQueueDatabase, path: Path) -> None:
    database._connections._open_writer().execute("PRAGMA query_only=1")  # root may write where others may not
    with pytest.raises(QueueDatabaseAwayError, match=f"{path}.*read-only"):
        database.insert_flow(toy_flow({"a": []}).new)
    assert database.count_jobs({}) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_weather(path: Path) -> None:
    path.parent.mkdir(mode=0o500)
    with pytest.raises(QueueDatabaseAwayError, match=str(path)):
        SQLiteQueueDatabase(path)


def test_a_path_that_cannot_be_is_weather(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QueueDatabaseAwayError, match="cannot be opened"):
        SQLiteQueueDatabase(tmp_path / "file" / "queue.db")


def test_a_file_that_vanished_is_weather_until_it_is_back(stage: Stage, path: Path) -> None:
    stage.insert({"a": []})
    stage.database.backup(path.with_name("copy.db"))
    for file in path.parent.glob("queue.db*"):
        file.unlink()
    with pytest.raises(QueueDatabaseAwayError, match="not there any more"):
        stage.database.count_jobs({})
    with pytest.raises(QueueDatabaseAwayError, match="not there any more"):
        stage.database.set_auxiliary("key", 1)
    with pytest.raises(QueueDatabaseAwayError):
        stage.database.changed_by_others()
    path.with_name("copy.db").rename(path)
    assert stage.database.changed_by_others()
    assert stage.database.count_jobs({}) == 1
    stage.insert({"b": []})
    with raw(path) as opened:
        assert opened.execute("SELECT count(*) FROM jobs").fetchone() == (2,)


def test_a_writer_that_never_ends_is_weather(path: Path) -> None:
    with closing(SQLiteQueueDatabase(path, busy_timeout_seconds=0.01)) as database, raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(QueueDatabaseAwayError, match="too long"):
            database.insert_flow(toy_flow({"a": []}).new)
        assert database.count_jobs({}) == 0
        other.execute("ROLLBACK")
        database.insert_flow(toy_flow({"a": []}).new)


def test_a_stopped_holder_of_the_lock_file_stops_nobody(
    database: SQLiteQueueDatabase, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LOCK_FILE_SECONDS", 0.02)
    with path.with_name("queue.db-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert database.insert_flow(toy_flow({"a": []}).new) == ["1"]
        assert database.insert_flow(toy_flow({"a": []}).new) == ["2"]
    assert database.insert_flow(toy_flow({"a": []}).new) == ["3"]


def test_threads_share_a_database(database: SQLiteQueueDatabase) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                flow = toy_flow({"a": [], "b": ["a"]})
                database.insert_flow(flow.new)
                assert database.get_job(flow["b"])
                database.changed_by_others()
        except BaseException as exc:  # noqa: BLE001 - shown by the assertion below
            errors.append(exc)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert database.count_jobs({}) == 120
    assert len({job["db_id"] for job in database.find_jobs({}, fields=["db_id"])}) == 120


def test_our_own_writes_are_no_changes_of_others(database: SQLiteQueueDatabase, path: Path) -> None:
    database.changed_by_others()
    database.insert_flow(toy_flow({"a": []}).new)
    assert not database.changed_by_others()
    with closing(SQLiteQueueDatabase(path)) as other:
        other.count_jobs({})
        assert not database.changed_by_others()
        other.set_auxiliary("key", 1)
        database.insert_flow(toy_flow({"a": []}).new)
    assert database.changed_by_others()
    assert not database.changed_by_others()


# -- where the file may be -----------------------------------------------------------------------------------------

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /home nfs4 rw 0 0
/dev/sdb1 /home/ada/local\\040disk xfs rw 0 0
scratch@tcp:/lustre /scratch lustre rw 0 0
tmpfs /homework tmpfs rw 0 0
"""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "fuse.sshfs"])
def test_network_file_systems_are_refused(path: Path, kind: str) -> None:
    mounts = f"/dev/sda1 / ext4 rw 0 0\nserver:/x {os.path.realpath(path.parent.parent)} {kind} rw 0 0\n"
    with pytest.raises(ConfigError, match=kind) as caught:
        SQLiteQueueDatabase(path, mounts=mounts)
    assert "queue.store.path" in (caught.value.hint or "")
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("place", "refused"),
    [
        ("/home/ada/.jfremote/queue.db", True),
        ("/home/ada/local disk/queue.db", False),
        ("/homework/queue.db", False),
        ("/scratch/queue.db", True),
        ("/var/queue.db", False),
    ],
)
def test_the_innermost_mount_counts(place: str, refused: bool) -> None:
    from jobflow_remote.queuedb.filesystem import find_filesystem, is_network

    point, kind = find_filesystem(Path(place), MOUNTS)
    assert place.startswith(point)
    assert is_network(kind) is refused


def test_a_network_file_system_may_be_allowed_for_one_host(
    path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = f"server:/x {os.path.realpath(path.parent.parent)} nfs rw 0 0\n"

    def open_on(host: str) -> SQLiteQueueDatabase:
        monkeypatch.setattr(socket, "gethostname", lambda: host)
        return SQLiteQueueDatabase(path, allow_network=True, mounts=mounts, clock=clock)

    first = open_on("login1")
    with raw(path) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    with first._connections.writing() as writer:
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
    clock.advance(hostpin.FRESH_SECONDS - 1)
    first.insert_flow(toy_flow({"a": []}).new)
    first.close()
    clock.advance(2)
    with pytest.raises(ConfigError, match="login1"):
        open_on("login2")
    clock.advance(hostpin.FRESH_SECONDS)
    second = open_on("login2")
    assert second.count_jobs({}) == 1
    second.close()


def test_options_of_the_project_file(path: Path) -> None:
    options = {"path": str(path), "synchronous": "FULL"}
    database = open_queue_database(QueueSpec("SQLiteStore", options, db_id_prefix="p"))
    assert database.insert_flow(toy_flow({"a": []}).new) == ["p1"]
    assert str(path) in database.describe()
    database.close()
    with pytest.raises(ConfigError, match="colour"):
        open_queue_database(QueueSpec("SQLiteStore", {**options, "colour": "blue"}))
    with pytest.raises(ConfigError, match=r"queue\.store\.path"):
        open_queue_database(QueueSpec("SQLiteStore", {}))
