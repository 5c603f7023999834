"""Outputs in a file on a network file system: refused, or with another journal when somebody insists."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from jobflow_remote.errors import ConfigError
from jobflow_remote.outputs.sqlitestore import SQLiteStore
from jobflow_remote.queuedb import filesystem


@pytest.fixture
def on_nfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the table of mounts calls NFS."""
    table = f"/dev/vda / ext4 rw 0 0\nserver:/home {tmp_path} nfs4 rw 0 0\n"
    monkeypatch.setattr(filesystem, "read_mounts", lambda: table)
    return tmp_path / "outputs.db"


def journal_mode(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_a_network_file_system_is_refused_and_the_setting_named(on_nfs: Path) -> None:
    with pytest.raises(ConfigError, match="nfs4") as refused:
        SQLiteStore(on_nfs).connect()
    assert "docs_store.path" in str(refused.value.hint)
    assert not on_nfs.exists()


def test_who_insists_gets_a_journal_that_works_there(on_nfs: Path) -> None:
    store = SQLiteStore(on_nfs, allow_network=True)
    store.connect()
    store.update([{"uuid": "a", "index": 1, "output": 2}], key=["uuid", "index"])
    assert store.query_one({"uuid": "a"})["output"] == 2
    store.close()
    assert journal_mode(on_nfs) == "delete"


def test_a_local_disk_gets_a_write_ahead_log_and_loses_nothing_when_the_power_fails(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "outputs.db")
    store.connect()
    assert store._connection().execute("PRAGMA synchronous").fetchone()[0] == 2
    store.close()
    assert journal_mode(tmp_path / "outputs.db") == "wal"
