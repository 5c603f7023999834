"""The main job: submit, watch, read the results."""

from __future__ import annotations

import subprocess
import sys

from jobflow import Flow
from tests_home import Home

from jobflow_remote import get_jobstore, submit_flow
from jobflow_remote.model.states import FlowState
from jobflow_remote.testing import add, always_fails


def test_a_flow_goes_through_the_runner_and_everybody_sees_the_same(running: Home) -> None:
    first = add(1, 2)
    second = add(first.output, 3)
    submitted = submit_flow(Flow([first, second]))

    assert submitted == ["1", "2"]
    assert submitted.wait(60, progress=False) is FlowState.COMPLETED
    assert submitted.output() == 6

    jobs = {job["db_id"]: job for job in running.json("job", "list")}
    assert {number: job["state"] for number, job in jobs.items()} == {"1": "COMPLETED", "2": "COMPLETED"}
    assert running.json("job", "info", "2")["parents"] == [first.uuid]
    assert running.json("flow", "list")[0]["state"] == "COMPLETED"
    assert running.jf("job", "output", "2").stdout.strip().endswith("6")
    store = get_jobstore()
    store.connect()
    document = store.query_one({"uuid": second.uuid})
    assert document is not None
    assert (document["output"], document["metadata"]["db_id"]) == (6, "2")


def test_history_tells_the_whole_life_of_a_job(running_single: Home) -> None:
    submit_flow(add(1, 2)).wait(60, progress=False)
    history = [entry["state"] for entry in running_single.json("job", "info", "1", "-vv")["history"]]
    assert history == [
        "WAITING", "READY", "CHECKED_OUT", "UPLOADED", "SUBMITTED", "RUNNING", "DOWNLOADED", "COMPLETED",
    ]  # fmt: skip


def test_watch_tells_by_its_exit_code_how_it_ended(running_single: Home) -> None:
    good, bad = submit_flow(add(1, 2)), submit_flow(always_fails())
    assert running_single.jf("flow", "watch", good.flow_uuid).returncode == 0
    ended = running_single.jf("flow", "watch", bad[0], check=False)
    assert ended.returncode == 1
    assert "FAILED" in ended.stdout + ended.stderr


def test_a_second_runner_is_refused_and_says_where_the_first_is(running_single: Home) -> None:
    for words in (["runner", "start"], ["runner", "run"]):
        refused = running_single.jf(*words, check=False)
        assert refused.returncode == 1
        assert "runner" in refused.stderr
    assert "running" in running_single.jf("runner", "status").stdout


def test_the_runner_stops_after_the_step_in_hand_and_goes_on_later(home: Home) -> None:
    home.jf("runner", "start", "--single")
    submitted = submit_flow(Flow([add(i, i) for i in range(6)]))
    home.jf("runner", "shutdown", "--wait")
    assert "shut_down" in home.jf("runner", "status").stdout
    home.jf("runner", "start")
    assert submitted.wait(60, progress=False) is FlowState.COMPLETED


def test_runner_run_works_in_the_foreground(home: Home) -> None:
    submitted = submit_flow(add(4, 5))
    with subprocess.Popen([sys.executable, "-m", "jobflow_remote.cli.main", "runner", "run"]) as runner:
        try:
            assert submitted.wait(60, progress=False) is FlowState.COMPLETED
        finally:
            runner.terminate()
        assert runner.wait(30) == 0
    assert submitted.output() == 9
