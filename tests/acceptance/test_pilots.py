"""A batch worker on this machine: jobs in pilots, and what people do to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trouble_jobs as trouble
from jobflow import Flow
from tests_home import Home, Wait

from jobflow_remote import set_run_config, submit_flow
from jobflow_remote.testing import add, check_env_var

BATCH = """max_jobs: 1
    batch:
      jobs_handle_dir: {folder}/handle
      work_dir: {folder}/pilots
      parallel_jobs: 2
      sleep_time: 0.2
      max_wait: 60
"""


@pytest.fixture
def batch_home(home: Home) -> Iterator[Home]:
    """A home whose worker is a batch worker, with a runner; its pilots are ended with the test."""
    home.write_project(worker=BATCH.format(folder=home.folder))
    home.jf("runner", "start", "--single")
    yield home
    home.jf("runner", "shutdown", "--wait", check=False)
    for pilot in pilots(home):
        os.kill(pilot, signal.SIGKILL)


def info(home: Home, db_id: str) -> dict[str, Any]:
    found: dict[str, Any] = home.json("job", "info", db_id)
    return found


def states(home: Home) -> dict[str, str]:
    return {job["db_id"]: job["state"] for job in home.json("job", "list")}


def pilots(home: Home) -> list[int]:
    """Processes of pilots of this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"run-batch" in words and str(home.folder / "handle").encode() in words:
            found.append(int(folder.name))
    return found


def test_a_story_of_jobs_in_pilots(batch_home: Home, wait_for: Wait) -> None:
    home = batch_home
    first = add(1, 2)
    by_script = check_env_var()
    set_run_config(by_script, exec_config={"pre_run": "export TESTING_ENV_VAR=by_shell"})
    forked = check_env_var()
    set_run_config(forked, exec_config={"export": {"TESTING_ENV_VAR": "by_fork"}})
    submit_flow(Flow([first, add(first.output, 3), by_script, forked, trouble.kills_its_group()]))  # 1 to 5
    wait_for(lambda: sorted(states(home).values()) == ["COMPLETED"] * 4 + ["REMOTE_ERROR"])
    assert states(home)["5"] == "REMOTE_ERROR"
    told = info(home, "5")
    assert "SIGKILL" in told["remote"]["error"]
    assert [json_output(home, number) for number in "234"] == [6, "by_shell", "by_fork"]
    (pilot,) = pilots(home)
    place = info(home, "2")["remote"]
    assert place["place"]["node"] == os.uname().nodename
    assert (home.folder / "handle" / "pilots" / place["process_id"]).exists()

    # two jobs fill the pilot; of those that wait one is paused and one stopped
    waits = [trouble.waits_for_file(str(home.folder / "go")) for _ in range(2)]
    submit_flow(Flow([*waits, add(3, 3), add(4, 4)]))  # 6 to 9
    wait_for(lambda: [states(home)[number] for number in "67"] == ["BATCH_RUNNING"] * 2)
    wait_for(lambda: [states(home)[number] for number in "89"] == ["BATCH_SUBMITTED"] * 2)
    refused = home.jf("job", "pause", "6", check=False)
    assert refused.returncode == 1
    home.jf("job", "pause", "8")
    home.jf("job", "stop", "9")
    assert [states(home)[number] for number in "89"] == ["PAUSED", "USER_STOPPED"]

    # the pilot is killed: the jobs run again in another one
    before = [info(home, number)["attempt"] for number in "67"]
    os.kill(pilot, signal.SIGKILL)
    wait_for(lambda: pilots(home) not in ([], [pilot]))
    wait_for(
        lambda: all(
            job["state"] == "BATCH_RUNNING" and job["attempt"] != old
            for job, old in zip((info(home, number) for number in "67"), before, strict=True)
        )
    )
    assert [info(home, number)["remote"]["interruptions"] for number in "67"] == [1, 1]
    home.jf("job", "stop", "6", "--yes")
    home.jf("job", "play", "8")
    wait_for(lambda: states(home)["8"] == "COMPLETED")
    assert states(home)["9"] == "USER_STOPPED"
    home.jf("job", "stop", "7", "--yes")
    assert not Path(info(home, "9")["run_dir"], "jfremote_out.json").exists()


def json_output(home: Home, db_id: str) -> Any:
    return home.json("job", "output", db_id)
