"""Jobs that misbehave, and places that are not as they should be: each gets a clear state, and the others go on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest
import trouble_jobs as trouble
from jobflow import Flow, job
from tests_home import Home, Wait

from jobflow_remote import submit_flow
from jobflow_remote.errors import ConfigError, JobflowRemoteError
from jobflow_remote.testing import add


def info(home: Home, db_id: str) -> dict[str, Any]:
    found: dict[str, Any] = home.json("job", "info", db_id)
    return found


def test_each_misbehaving_job_gets_a_state_and_its_cause(
    running_single: Home, tmp_path: Path, wait_for: Wait
) -> None:
    home, pid_file = running_single, str(tmp_path / "child.pid")
    expected = {
        trouble.raises(): ("FAILED", "the basis set is too small"),
        trouble.calls_sys_exit(): ("FAILED", "SystemExit"),
        trouble.calls_os_exit(): ("REMOTE_ERROR", "exit code 9"),
        trouble.kills_itself(): ("REMOTE_ERROR", "signal 9 (SIGKILL)"),
        trouble.kills_its_group(): ("REMOTE_ERROR", "signal 9 (SIGKILL)"),
        trouble.prints_megabytes(5): ("COMPLETED", None),
        trouble.leaves_children(pid_file): ("COMPLETED", None),
        trouble.returns_a_lock(): ("FAILED", "serialized"),
        add(1, 2): ("COMPLETED", None),
    }
    submitted = submit_flow(Flow(list(expected)))
    submitted.wait(120, progress=False)

    for one, (state, cause) in expected.items():
        found = info(home, submitted.db_id(one.uuid))
        assert found["state"] == state, (one.name, found)
        if cause:
            assert cause in str(found["error"]) + str(found["remote"].get("error")), (one.name, found)
    killed = info(home, submitted.db_id(list(expected)[2].uuid))
    assert "about to leave" in killed["remote"]["error"], "the last lines of stderr belong to the cause"
    assert killed["previous_state"] == "DOWNLOADED"
    wait_for(lambda: not psutil.pid_exists(int(Path(pid_file).read_text())))


def test_a_vanished_work_dir_spoils_the_jobs_in_it_only(running_single: Home, wait_for: Wait) -> None:
    go = running_single.folder / "go"
    submitted = submit_flow(trouble.waits_for_file(str(go)))
    wait_for(lambda: info(running_single, submitted[0])["state"] == "RUNNING")
    shutil.rmtree(running_single.folder / "runs")
    go.touch()
    submitted.wait(60, progress=False)
    found = info(running_single, submitted[0])
    assert found["state"] == "REMOTE_ERROR"
    assert "is gone" in found["remote"]["error"]
    after = submit_flow(add(1, 1))
    after.wait(60, progress=False)
    assert after.output() == 2


def test_a_failing_step_is_tried_again_and_then_given_up(home: Home) -> None:
    home.write_project(runner="delta_retry: [0.1]\n  max_step_attempts: 2")
    (home.folder / "runs").write_text("a file where a folder should be")
    home.jf("runner", "start", "--single")
    submitted = submit_flow(add(1, 1))
    submitted.wait(60, progress=False)
    found = info(home, submitted[0])
    assert (found["state"], found["previous_state"], found["remote"]["step_attempts"]) == (
        "REMOTE_ERROR", "CHECKED_OUT", 2,
    )  # fmt: skip


def test_children_of_a_failed_job_wait_and_the_flow_says_failed(running_single: Home) -> None:
    bad = trouble.raises()
    submitted = submit_flow(Flow([bad, add(bad.output, 1), add(2, 2)]))
    assert submitted.wait(60, progress=False).value == "FAILED"
    states = {job["db_id"]: job["state"] for job in running_single.json("job", "list")}
    assert sorted(states.values()) == ["COMPLETED", "FAILED", "WAITING"]


def test_jobs_of_a_worker_that_was_removed_are_given_up_with_the_reason(home: Home) -> None:
    other = "max_jobs: 1\n  other:\n    type: local\n    scheduler_type: shell\n    work_dir: " + str(
        home.folder / "o"
    )
    home.write_project(worker=other)
    submitted = submit_flow(add(1, 1), worker="other")
    home.write_project()
    home.jf("runner", "start", "--single")
    submitted.wait(60, progress=False)
    found = info(home, submitted[0])
    assert found["state"] == "REMOTE_ERROR"
    assert "no worker 'other'" in found["remote"]["error"]


@job
def defined_in_main() -> int:
    return 1


def test_submit_refuses_what_could_never_run(home: Home) -> None:
    with pytest.raises(ConfigError, match="no worker 'nowhere'"):
        submit_flow(add(1, 2), worker="nowhere")
    with pytest.raises(ConfigError, match="no exec_config 'vasp'"):
        submit_flow(add(1, 2), exec_config="vasp")
    with pytest.raises(ValueError, match="jobstore 'cold'"):
        submit_flow(add(1, 2), jobstore="cold")
    with pytest.raises(ConfigError, match="other"):
        submit_flow(add(1, 2), project="other")
    spoiled = trouble.appends_line("file", "x")
    spoiled.function_kwargs["seconds"] = object()
    with pytest.raises((JobflowRemoteError, AttributeError)):
        submit_flow(spoiled)
    with pytest.raises(ValueError, match="not in the flow"):
        submit_flow(add(add(1, 2).output, 3))
    flow = Flow([add(1, 2)])
    submit_flow(flow)
    with pytest.raises(ValueError, match="already"):
        submit_flow(flow)
    assert len(home.json("job", "list")) == 1, "what was refused left nothing behind"


def test_a_function_of_a_script_is_refused(home: Home) -> None:
    script = home.folder / "script.py"
    script.write_text(
        "from jobflow import job\nfrom jobflow_remote import submit_flow\n"
        "@job\ndef mine():\n    return 1\nsubmit_flow(mine())\n"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "__main__" in done.stderr


def test_a_damaged_database_is_named_and_left_alone(home: Home) -> None:
    (home.folder / "test").mkdir(exist_ok=True)
    database = home.folder / "test" / "queue.db"
    database.write_bytes(b"this is not a database" * 100)
    done = home.jf("job", "list", check=False)
    assert done.returncode == 1
    assert "queue.db" in done.stderr
    assert "Traceback" not in done.stderr
    assert database.read_bytes().startswith(b"this is not")
