"""The main job: submit, watch, read the results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jobflow import Flow
from tests_home import Home

from jobflow_remote import get_jobstore, set_run_config, submit_flow
from jobflow_remote.model.states import FlowState
from jobflow_remote.testing import add, always_fails, check_env_var


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


def test_a_flow_can_keep_its_outputs_in_another_store(home: Home) -> None:
    cold = f"{{docs_store: {{type: SQLiteStore, path: {home.folder}/cold.db}}}}"
    home.write_project(more=f"optional_jobstores: {{cold: {cold}}}")
    home.jf("runner", "start", "--single")
    first = add(1, 2)
    submitted = submit_flow(Flow([first, add(first.output, 4)]), jobstore="cold")
    assert submitted.wait(60, progress=False) is FlowState.COMPLETED
    assert submitted.output() == 7
    assert home.json("job", "output", submitted[-1]) == 7
    stores = {name: get_jobstore(jobstore_name=name) for name in (None, "cold")}
    for store in stores.values():
        store.connect()
    assert {name: store.count({}) for name, store in stores.items()} == {None: 0, "cold": 2}


def test_properties_of_a_job_reach_its_script(home: Home) -> None:
    home.write_project(more="exec_config: {blue: {export: {COLOUR: blue}, pre_run: export DEPTH=1}}")
    home.jf("runner", "start", "--single")
    job = set_run_config(check_env_var(), exec_config={"export": {"TESTING_ENV_VAR": "mine"}})
    plain = check_env_var()
    submitted = submit_flow(Flow([job, plain]), exec_config="blue", resources={"job_name": "a name"})
    assert submitted.wait(60, progress=False) is FlowState.COMPLETED
    assert submitted.output(submitted.db_id(job.uuid)) == "mine"
    assert submitted.output(submitted.db_id(plain.uuid)) == "unset"
    script = (
        Path(home.json("job", "info", submitted.db_id(plain.uuid))["run_dir"]) / "submit.sh"
    ).read_text()
    assert "export COLOUR=blue" in script
    assert "export DEPTH=1" in script
    assert "a name" in script


def test_an_urgent_job_overtakes(home: Home) -> None:
    home.write_project(worker="max_jobs: 1")
    calm = submit_flow(Flow([add(i, 1) for i in range(3)]))
    urgent = submit_flow(add(9, 9), priority=5)
    home.jf("runner", "start", "--single")
    calm.wait(60, progress=False)
    ended = {job["db_id"]: job["end_time"] for job in (home.json("job", "info", i) for i in [*calm, *urgent])}
    assert min(ended, key=ended.__getitem__) == urgent[0]
