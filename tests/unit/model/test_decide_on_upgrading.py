"""What becomes of the database of an older release."""

from __future__ import annotations

import shlex
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.model.decide.upgrade import (
    Survey,
    UpgradeOrder,
    batch_folders_command,
    decide_actions,
    decide_notes,
    decide_obstacles,
    number_of,
    parse_version,
    upgrade_job,
    uses_former_names,
)

NOW = datetime(2026, 11, 23, 12)
HERE = {"hostname": "here", "daemon_dir": "/d"}


def _upgraded(**fields: Any) -> dict[str, Any]:
    document = {
        "uuid": "u",
        "index": 1,
        "db_id": "3",
        "worker": "far",
        "state": "READY",
        "job": {"hosts": ["in", "out"]},
    }
    order = UpgradeOrder(who="me", versions={}, came_from="1.0.1", remote_workers=frozenset({"far"}))
    return upgrade_job({**document, **fields}, prefix="", next_id=10, now=NOW, order=order)


@pytest.mark.parametrize(
    ("before", "worker", "after", "attempt"),
    [
        ("RUN_FINISHED", "far", "TERMINATED", "old-3"),
        ("TERMINATED", "far", "TERMINATED", "old-3"),
        ("SUBMITTED", "far", "SUBMITTED", "old-3"),
        ("DOWNLOADED", "far", "TERMINATED", "old-3"),
        ("DOWNLOADED", "near", "DOWNLOADED", "old-3"),
        ("WAITING", "far", "WAITING", None),
        ("COMPLETED", "far", "COMPLETED", None),
    ],
)
def test_states(before: str, worker: str, after: str, attempt: str | None) -> None:
    found = _upgraded(state=before, worker=worker)
    assert (found["state"], found["attempt"]) == (after, attempt)
    broken = _upgraded(state="REMOTE_ERROR", previous_state=before, worker=worker)
    assert (broken["state"], broken["previous_state"], broken["attempt"]) == ("REMOTE_ERROR", after, attempt)


def test_what_was_uploaded_is_uploaded_anew_under_an_attempt_of_its_own() -> None:
    one, other = _upgraded(state="UPLOADED"), _upgraded(state="CHECKED_OUT")
    assert one["state"] == other["state"] == "CHECKED_OUT"
    assert len({one["attempt"], other["attempt"], "old-3", None}) == 4


def test_missing_fields_are_filled_and_locks_removed() -> None:
    found = _upgraded(lock_id="l", lock_time=NOW, priority=7, remote={"process_id": 42, "error": "e"})
    assert (found["lock_id"], found["lock_time"], found["claim"]) == (None, None, None)
    assert found["flow_uuid"] == "out"
    assert found["db_number"] == 3
    assert "priority" not in found
    assert found["stored_data"] is None
    assert (found["remote"]["process_id"], found["remote"]["error"]) == ("42", "e")
    assert found["remote"]["step_attempts"] == 0
    assert "1.0.1" in found["history"][0]["why"]


@pytest.mark.parametrize(
    ("db_id", "prefix", "number"),
    [
        ("12", "", 12),
        ("g12", "g", 12),
        ("a1b12", "g", 12),
        ("p212", "", 12),
        ("p200", "", 200),
        ("p2012", "p20", 12),
    ],
)
def test_numbers(db_id: str, prefix: str, number: int) -> None:
    assert number_of(db_id, prefix=prefix, next_id=100) == number


def test_versions() -> None:
    assert parse_version("1.0.1.post2+g12") == (1, 0, 1)
    assert parse_version("2.0rc1") == (2, 0)
    assert uses_former_names("0.1.8")
    assert not uses_former_names("1.0.0")


def test_a_runner_that_cannot_be_seen_is_in_the_way_unless_somebody_insists() -> None:
    elsewhere = Survey("1.0.1", runner={**HERE, "hostname": "there", "user": "eve"})
    (obstacle,) = decide_obstacles(elsewhere, here=HERE, is_alive=False)
    assert obstacle.skippable
    assert "eve on there" in obstacle.what
    dead = Survey("1.0.1", runner={**HERE})
    assert decide_obstacles(dead, here=HERE, is_alive=False) == []
    (alive,) = decide_obstacles(dead, here=HERE, is_alive=True)
    assert not alive.skippable


def test_batches_of_old_are_in_the_way() -> None:
    busy: Any = {"legacy_batches": {"w": {"1": "uid"}}, "batches": {"RUNNING": 2, "FINISHED": 5}}
    found = decide_obstacles(Survey("0.1.8", **busy), here=HERE, is_alive=False)
    assert [obstacle.skippable for obstacle in found] == [False, True]
    assert decide_obstacles(Survey("1.0.1", **busy), here=HERE, is_alive=False) == []


def test_actions_have_numbers_and_notes_tell_what_goes_on() -> None:
    ping = {"hostname": "there", "time": NOW - timedelta(minutes=5)}
    survey = Survey(
        "1.0.1", jobs=5, jobs_left=3, flows=1, flows_left=1, locked_jobs=2, last_ping=ping,
        states={"RUNNING": 2, "UPLOADED": 1},
    )  # fmt: skip
    numbers = [action.number for action in decide_actions(survey) if action.number]
    assert numbers == [3, 1, 1, 2]
    notes = "\n".join(decide_notes(survey, NOW))
    for words in ("cut short", "2 RUNNING", "scheduler already", "there"):
        assert words in notes
    assert "foreground" not in "\n".join(decide_notes(survey, NOW + timedelta(hours=3)))


def test_a_quiet_database_of_old_has_no_obstacles_and_nothing_to_note() -> None:
    quiet = Survey("0.1.8", batches={"FINISHED": 5}, legacy_batches={"w": {}}, states={"COMPLETED": 4})
    assert decide_obstacles(quiet, here=HERE, is_alive=False) == []
    assert decide_notes(quiet, NOW) == []


def test_the_folder_of_finished_batch_jobs_gets_its_present_name_once(tmp_path: Path) -> None:
    old = tmp_path / "it's here" / "terminated"
    old.mkdir(parents=True)
    (old / "job.1").touch()
    command = batch_folders_command(str(old.parent), shlex.quote)
    for _ in range(2):
        subprocess.run(["bash", "-c", command], check=True)
        assert [path.name for path in (old.parent / "run_finished").iterdir()] == ["job.1"]
        assert not old.exists()
    subprocess.run(["bash", "-c", batch_folders_command(str(tmp_path / "none"), shlex.quote)], check=True)
