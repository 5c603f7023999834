"""What the runner makes of a project file that changes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import jobflow_remote
from jobflow_remote.config.inuse import read_in_use
from jobflow_remote.config.settings import JobflowRemoteSettings
from jobflow_remote.engine.configuration import ConfigurationWatch
from jobflow_remote.errors import ConfigError

PROJECT = "name: one\nworkers:\n  local: {type: local, scheduler_type: shell, work_dir: /run}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = JobflowRemoteSettings(projects_folder=str(tmp_path), config_file=str(tmp_path / "none.yaml"))
    monkeypatch.setitem(vars(jobflow_remote), "SETTINGS", settings)
    path = tmp_path / "one.yaml"
    path.write_text(PROJECT)
    return path


def settle(path: Path) -> None:
    """Wait until the file counts as written."""
    while path.exists() and time.time_ns() - os.stat(path).st_ctime_ns < 100_000_000:
        time.sleep(0.01)


def test_a_valid_change_is_seen_at_once_and_only_once(file: Path) -> None:
    watch = ConfigurationWatch.read("one", fall_back=False)
    first = watch.in_use
    assert watch.look() is None
    assert watch.in_use == first
    file.write_text(PROJECT + "exec_config: {gcc: {}}\n")
    project = watch.look()
    assert project is not None
    assert list(project.exec_config) == ["gcc"]
    assert watch.in_use.digest != first.digest
    assert watch.in_use.since > first.since
    assert watch.look() is None
    settle(file)
    assert watch.look() is None
    kept = read_in_use("one")
    assert kept is not None
    assert list(kept[0].exec_config) == ["gcc"]


def test_a_comment_changes_nothing(file: Path) -> None:
    watch = ConfigurationWatch.read("one", fall_back=False)
    first = watch.in_use
    file.write_text("# mine\n" + PROJECT)
    assert watch.look() is None
    assert watch.in_use == first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PROJECT.replace("work_dir", "work_dri"), "did you mean `work_dir`"),
        ("name: one\nworkers: [", "line 2"),
        (PROJECT.replace("one", "other"), "there is no project 'one'"),
        (PROJECT + "queue: {db_id_prefix: x}\n", "another `queue` takes a runner"),
        (None, "there is no project 'one'"),
    ],
)
def test_what_cannot_be_used_is_told(file: Path, text: str | None, words: str) -> None:
    watch = ConfigurationWatch.read("one", fall_back=False)
    first = watch.in_use
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    settle(file)
    assert watch.look() is None
    assert words in str(watch.in_use.problem)
    assert (watch.in_use.digest, watch.in_use.since) == (first.digest, first.since)
    told = watch.in_use
    assert watch.look() is None
    assert watch.in_use == told
    file.write_text(PROJECT)
    assert watch.look() is None
    assert watch.in_use.problem is None
    assert watch.in_use.since == first.since


def test_a_file_that_is_being_written_is_no_problem_yet(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ConfigurationWatch.read("one", fall_back=False)
    monkeypatch.setattr("jobflow_remote.engine.configuration._SETTLING_NS", 10**15)
    file.write_text("name: one\nworkers: [")
    assert watch.look() is None
    assert watch.in_use.problem is None
    monkeypatch.setattr("jobflow_remote.engine.configuration._SETTLING_NS", 0)
    assert watch.look() is None
    assert watch.in_use.problem is not None


def test_a_file_of_another_name_or_format_is_followed(file: Path) -> None:
    watch = ConfigurationWatch.read("one", fall_back=False)
    file.rename(file.with_name("moved.yaml"))
    assert watch.look() is None
    assert watch.filepath == file.with_name("moved.yaml")
    assert watch.in_use.problem is None


def test_a_process_that_is_started_again_while_the_file_is_broken(file: Path) -> None:
    first = ConfigurationWatch.read("one", fall_back=False)
    file.write_text("name: one\nworkers: [")
    with pytest.raises(ConfigError):
        ConfigurationWatch.read("one", fall_back=False)
    again = ConfigurationWatch.read("one", fall_back=True)
    assert again.in_use.digest == first.in_use.digest
    assert "line 2" in str(again.in_use.problem)
    file.write_text(PROJECT + "exec_config: {gcc: {}}\n")
    assert again.look() is not None
    assert again.in_use.problem is None
