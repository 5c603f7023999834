"""The parts of the warm process of a local worker that need no process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.execution.forkserver import child, marks
from jobflow_remote.execution.forkserver.channel import Channel
from jobflow_remote.execution.forkserver.freshness import Freshness
from jobflow_remote.execution.forkserver.marks import Process
from jobflow_remote.execution.forkserver.order import Order
from jobflow_remote.execution.forkserver.station import Station, StationOptions

SERVER = Process(4242, "17")


# -- files of the run folder -----------------------------------------------------------------------------------


def test_an_attempt_is_taken_once_and_says_by_whom(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert marks.read_begun(folder, "a") is None
    assert marks.begin(folder, "a", SERVER)
    assert not marks.begin(folder, "a", SERVER)
    begun = marks.read_begun(folder, "a")
    assert begun == marks.Begun(marks.this_process(), SERVER)
    assert begun.process.is_alive
    assert [path.name for path in tmp_path.iterdir()] == [".jfremote_started.a"]


def test_an_attempt_that_was_withdrawn_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / ".jfremote_started.a").write_text("0 0\n")
    assert not marks.begin(str(tmp_path), "a", SERVER)
    begun = marks.read_begun(str(tmp_path), "a")
    assert begun is not None
    assert begun.process.pid == 0


def test_on_a_file_system_without_links_an_attempt_is_taken_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert marks.begin(str(tmp_path), "a", SERVER)
    assert not marks.begin(str(tmp_path), "a", SERVER)


def test_a_death_is_recorded_once_and_by_the_server_of_that_process_only(tmp_path: Path) -> None:
    folder = str(tmp_path)
    marks.record_death(folder, "a", 137, os.getpid())
    assert marks.read_end(folder, "a") is None, "the attempt had not begun"
    marks.begin(folder, "a", SERVER)
    marks.record_death(folder, "a", 137, os.getpid() + 1)
    assert marks.read_end(folder, "a") is None, "it was another process"
    marks.record_death(folder, "a", 137, os.getpid())
    marks.record_death(folder, "a", 1, os.getpid())
    assert marks.read_end(folder, "a") == 137


def test_a_process_that_has_ended_is_not_alive_even_if_nobody_waited_for_it() -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleeping:
        process = Process(sleeping.pid, marks.start_time(sleeping.pid) or "")
        assert process.is_alive
        assert not Process(sleeping.pid, "1").is_alive, "another one had this pid"
        sleeping.kill()
        os.waitid(os.P_PID, sleeping.pid, os.WEXITED | os.WNOWAIT)
        assert not process.is_alive


# -- staleness -------------------------------------------------------------------------------------------------


def test_a_changed_file_is_noticed_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "watched_module.py"
    path.write_text("A = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("watched_module")
    fresh = Freshness()
    assert fresh.changed() is None
    path.write_text("A = 22\n")
    assert fresh.changed() == str(path)
    sys.modules.pop("watched_module")


def test_a_file_that_was_written_while_it_was_imported_counts_as_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "late_module.py"
    path.write_text("A = 1\n")
    since = path.stat().st_mtime - 0.001
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("late_module")
    assert Freshness(since=since).changed() == str(path)
    later = time.time() + 3600
    os.utime(path, (later, later))
    assert Freshness(since=since).changed() is None, "a clock that is wrong must not do so for ever"
    sys.modules.pop("late_module")


def test_an_installation_is_noticed_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    fresh = Freshness()
    assert fresh.changed() is None
    (folder / "new_package.dist-info").mkdir()
    assert fresh.changed() == str(folder)


# -- what may be preloaded -------------------------------------------------------------------------------------

LIBRARY_THREAD = """
import _thread, time
_thread.start_new_thread(time.sleep, (60,))
"""


def _preload(*modules: str, path: Path) -> str:
    """What a process of its own says of modules."""
    code = (
        "from jobflow_remote.execution.forkserver.server import import_modules\n"
        f"print(import_modules({list(modules)!r}))"
    )
    env = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_module_that_leaves_a_native_thread_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "with_native_thread.py").write_text(LIBRARY_THREAD)
    said = _preload("json", "numpy", "with_native_thread", path=tmp_path)
    assert "the module with_native_thread of `preload` leaves threads of a native library behind" in said


def test_what_can_be_preloaded_is_not_refused(tmp_path: Path) -> None:
    assert _preload("json", "decimal", path=tmp_path) == "None\n"


# -- starting --------------------------------------------------------------------------------------------------


class Told:
    """A station without a loop, and what it told."""

    def __init__(self, options: StationOptions) -> None:
        ours, theirs = socket.socketpair()
        number, self.number = theirs.detach(), ours.detach()
        self.ours = Channel(self.number, self.number)
        self.station = Station(Channel(number, number), child.Origin(), options, Freshness())

    def order(self, name: str, folder: Path) -> None:
        self.ours.send(Order(name, str(folder), name).as_message())
        self.station._on_orders()

    def events(self) -> list[tuple[str, Any]]:
        return [(message["event"], message.get("id")) for message in self.ours.receive()]


def test_a_machine_that_is_out_of_processes_delays_jobs_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(StationOptions(most=1))
    pids = iter([None, 4242])

    def fork(order: Order) -> int:
        pid = next(pids)
        if isinstance(pid, int):
            return pid
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(told.station, "_fork", fork)
    told.order("a", tmp_path)
    assert told.events() == []
    told.station._not_before = 0.0
    assert told.station._goes_on()
    assert told.events() == [("started", "a")]


def test_an_attempt_that_has_begun_elsewhere_is_not_forked(tmp_path: Path) -> None:
    told = Told(StationOptions(most=1))
    marks.begin(str(tmp_path), "a", SERVER)
    told.order("a", tmp_path)
    assert told.events() == [("ended", "a")]


def test_no_more_are_started_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(StationOptions(most=2))
    pids = iter(range(10**6, 10**6 + 10))
    monkeypatch.setattr(told.station, "_fork", lambda order: next(pids))
    for name in "abcd":
        told.order(name, tmp_path)
    assert told.events() == [("started", "a"), ("started", "b")]
    told.station._on_end(10**6, signal.SIGKILL)
    assert told.events() == [("ended", "a"), ("started", "c")]
