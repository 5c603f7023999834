"""The runner is killed again and again: everything is done, once, without anybody's help."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
import trouble_jobs
from tests.shows.killing import Report, kill_rounds
from tests_home import Home, Wait

from jobflow_remote import submit_flow
from jobflow_remote.bootstrap import open_queue
from jobflow_remote.model.states import FlowState
from jobflow_remote.testing import add


@pytest.mark.parametrize("options", [(), ("--single",)], ids=["split", "single"])
def test_killed_five_times_with_ten_jobs(home: Home, options: tuple[str, ...]) -> None:
    report: Report = kill_rounds(
        make_job=trouble_jobs.appends_line,
        folder=home.folder,
        jobs=10,
        kills=5,
        seed=17,
        job_seconds=0.5,
        longest_life_seconds=1.5,
        options=options,
    )
    assert report.all_completed_once, f"{report}\n{home.logs()}"
    assert not report.problems
    assert report.kills_in_flight >= 3, "the kills came too late to mean anything"


def pids_of(home: Home) -> dict[str, int]:
    return {name: process["pid"] for name, process in home.json("runner", "info")["processes"].items()}


def test_a_killed_role_is_started_again(home: Home, wait_for: Wait) -> None:
    home.jf("runner", "start")
    before = pids_of(home)
    submitted = submit_flow(add(1, 2))
    for name, pid in before.items():
        if name != "supervisord":
            os.kill(pid, signal.SIGKILL)
    assert submitted.wait(60, progress=False) is FlowState.COMPLETED
    after = pids_of(home)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before if name != "supervisord")


def test_no_runner_outlives_a_killed_daemon(home: Home, wait_for: Wait) -> None:
    home.jf("runner", "start")
    pids = pids_of(home)
    os.kill(pids.pop("supervisord"), signal.SIGKILL)
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids.values()))
    home.jf("runner", "start")
    assert submit_flow(add(1, 2)).wait(60, progress=False) is FlowState.COMPLETED


def test_a_taken_over_queue_stops_the_former_runner(home: Home, wait_for: Wait) -> None:
    home.jf("runner", "start", "--single")
    _, queue = open_queue()
    try:
        queue.open_session({"hostname": "elsewhere"}, lease_seconds=60, override=True)
    finally:
        queue.close()
    wait_for(lambda: "superseded" in home.logs())
    wait_for(lambda: "running" not in home.jf("runner", "status").stdout.splitlines()[-1])
