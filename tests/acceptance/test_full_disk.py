"""Disks that are full or read-only: the work waits, says why, and goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_home import Home, Wait

from jobflow_remote import submit_flow
from jobflow_remote.errors import QueueDatabaseAwayError
from jobflow_remote.model.states import FlowState
from jobflow_remote.testing import add


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:  # a matter of privileges, not of a service that is missing
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    size = os.statvfs(folder)
    ballast.write_bytes(b"x" * (size.f_bavail * size.f_frsize))
    assert os.statvfs(folder).f_bavail == 0
    return ballast


def test_a_full_work_dir_holds_the_worker_up_until_there_is_room(
    home: Home, small_disk: Path, wait_for: Wait
) -> None:
    home.write_project(work_dir=small_disk / "runs")
    ballast = fill(small_disk)
    home.jf("runner", "start", "--single")
    submitted = submit_flow(add(1, 2))
    wait_for(lambda: "No space left" in home.logs())
    waiting = home.json("job", "info", submitted[0])
    assert (waiting["state"], waiting["remote"]["step_attempts"]) == ("CHECKED_OUT", 0)
    ballast.unlink()
    assert submitted.wait(60, progress=False) is FlowState.COMPLETED


def test_a_full_disk_under_the_queue_refuses_a_flow_and_keeps_the_rest(home: Home, small_disk: Path) -> None:
    home.write_project(more=f"queue: {{store: {{type: SQLiteStore, path: {small_disk}/queue.db}}}}")
    submit_flow(add(1, 2))
    ballast = fill(small_disk)
    with pytest.raises(QueueDatabaseAwayError, match=r"queue\.db"):
        submit_flow(add(3, 4))
    ballast.unlink()
    assert submit_flow(add(5, 6)) == ["2"]
    assert len(home.json("job", "list")) == 2


def test_a_read_only_disk_under_the_queue_can_be_read(home: Home, small_disk: Path) -> None:
    home.write_project(more=f"queue: {{store: {{type: SQLiteStore, path: {small_disk}/queue.db}}}}")
    submit_flow(add(1, 2))
    home.jf("job", "list")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        with pytest.raises(QueueDatabaseAwayError, match=r"queue\.db"):
            submit_flow(add(3, 4))
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert len(home.json("job", "list")) == 1
