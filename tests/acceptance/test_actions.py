"""What people do to jobs with ``jf``: the runner, the queue database and the processes follow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trouble_jobs as trouble
from jobflow import Flow
from tests_home import Home, Wait

from jobflow_remote import submit_flow
from jobflow_remote.jobs.jobcontroller import JobController
from jobflow_remote.jobs.state import JobState
from jobflow_remote.testing import add


def info(home: Home, db_id: str) -> dict[str, Any]:
    found: dict[str, Any] = home.json("job", "info", db_id)
    return found


def states(home: Home) -> dict[str, str]:
    return {job["db_id"]: job["state"] for job in home.json("job", "list")}


def process_is_there(job: dict[str, Any]) -> bool:
    return Path(f"/proc/{job['remote']['process_id']}").exists()


def test_pause_resume_stop_of_jobs_that_have_not_begun(home: Home) -> None:
    first = add(1, 2)
    submit_flow(Flow([first, add(first.output, 3)]))
    assert "2 jobs modified" in home.jf("job", "pause", "--yes").stdout
    assert states(home) == {"1": "PAUSED", "2": "PAUSED"}
    assert home.jf("job", "rerun", "1", check=False).returncode == 1
    home.jf("job", "resume", "1")
    home.jf("job", "play", "2")
    assert states(home) == {"1": "READY", "2": "WAITING"}
    home.jf("job", "stop", "--state", "READY", "--why", "wrong structure")
    assert states(home) == {"1": "USER_STOPPED", "2": "WAITING"}
    last = info(home, "1")["history"][-1]
    assert (last["event"], last["why"]) == ("stop", "wrong structure")
    assert "@" in last["who"]


def test_a_refusal_names_the_reason_and_the_exit_code_tells(home: Home) -> None:
    submit_flow(Flow([add(1, 2), add(3, 4)]))
    refused = home.jf("job", "retry", "1", check=False)
    assert refused.returncode == 1
    assert "cannot retry" in refused.stderr
    some = home.jf("job", "pause", "-did", "1", "-did", "2")
    assert some.returncode == 0
    none = home.jf("job", "pause", "-did", "1", "-did", "2", check=False)
    assert none.returncode == 1
    assert none.stderr.count("cannot pause") == 2
    nothing = home.jf("job", "pause", "-s", "FAILED", check=False)
    assert nothing.returncode == 0
    assert "No job matches" in nothing.stderr


def test_everything_is_asked_for_and_can_be_declined(home: Home) -> None:
    submit_flow(add(1, 2))
    declined = home.jf("job", "stop", check=False)
    assert declined.returncode == 0
    assert "all 1 jobs (1 add)" in declined.stdout
    assert states(home) == {"1": "READY"}


def test_stop_kills_the_process_and_resume_starts_it_again(
    running_single: Home, tmp_path: Path, wait_for: Wait
) -> None:
    home, go = running_single, tmp_path / "go"
    submitted = submit_flow(trouble.waits_for_file(str(go)))
    wait_for(lambda: info(home, "1")["state"] == "RUNNING")
    running = info(home, "1")
    home.jf("job", "stop", "1")
    wait_for(lambda: not process_is_there(running))
    assert info(home, "1")["state"] == "USER_STOPPED"
    go.touch()
    home.jf("job", "resume", "1")
    submitted.wait(60, progress=False)
    assert info(home, "1")["state"] == "COMPLETED"


def test_rerun_shows_first_what_it_does_and_runs_descendants_again(
    running_single: Home, tmp_path: Path
) -> None:
    home = running_single
    first = trouble.counts_its_runs(str(tmp_path / "runs.txt"))
    second = add(first.output, 10)
    submitted = submit_flow(Flow([first, second]))
    submitted.wait(60, progress=False)
    assert home.jf("job", "rerun", "1", check=False).returncode == 1, "its child has been completed"
    shown = home.jf("job", "rerun", "1", "--force", "--dry-run").stdout
    assert "2 jobs would be modified" in shown
    assert set(states(home).values()) == {"COMPLETED"}
    home.jf("job", "rerun", "1", "--force")
    submitted.wait(60, progress=False)
    assert set(states(home).values()) == {"COMPLETED"}
    assert home.json("job", "output", "2") == 12
    assert os.path.getsize(tmp_path / "runs.txt") == 2


def test_how_jobs_run_can_be_changed(home: Home) -> None:
    submit_flow(add(1, 2), resources={"job_name": "one"})
    home.jf("job", "set", "priority", "7", "-did", "1")
    home.jf("job", "set", "resources", '{"qverbatim": "# two"}', "-did", "1")
    job = info(home, "1")
    assert job["priority"] == 7
    assert job["resources"] == {"job_name": "one", "qverbatim": "# two"}
    unknown = home.jf("job", "set", "worker", "lcal", "-did", "1", check=False)
    assert unknown.returncode == 1
    assert "no worker 'lcal'" in unknown.stderr


def test_flows_are_deleted_with_what_belongs_to_them(
    running_single: Home, tmp_path: Path, wait_for: Wait
) -> None:
    home = running_single
    done = submit_flow(add(1, 2))
    done.wait(60, progress=False)
    waiting = submit_flow(trouble.waits_for_file(str(tmp_path / "never")))
    wait_for(lambda: info(home, "2")["state"] == "RUNNING")
    running, folder = info(home, "2"), Path(info(home, "1")["run_dir"])
    declined = home.jf("flow", "delete", "-did", "1", "-a")
    assert "1 flow(s), their outputs and run folders: Flow (1 jobs)" in declined.stdout
    assert folder.is_dir()
    home.jf("flow", "delete", "-did", "1", "-a", "-y")
    assert not folder.exists()
    assert home.jf("job", "output", done.uuids[0], check=False).returncode == 1
    home.jf("flow", "delete", "-fid", waiting.flow_uuid, "-y")
    wait_for(lambda: not process_is_there(running))
    assert home.json("job", "list") == []


def test_run_folders_are_cleaned_and_flows_resumed(running_single: Home) -> None:
    home = running_single
    submitted = submit_flow(add(1, 2))
    submitted.wait(60, progress=False)
    folder = Path(info(home, "1")["run_dir"])
    assert "Removed 1 run folder(s)" in home.jf("flow", "clean", "-did", "1", "-y").stdout
    assert not folder.exists()
    assert home.json("job", "output", "1") == 3
    assert home.jf("flow", "resume", "1", check=False).returncode == 1


def test_the_same_from_python(home: Home) -> None:
    first = add(1, 2)
    submitted = submit_flow(Flow([first, add(first.output, 3), add(4, 5)]))
    with JobController.from_project_name("test") as controller:
        assert controller.pause_jobs(db_ids=["1", "3"]) == ["1", "3"]
        with pytest.raises(ValueError, match="cannot pause job 1"):
            controller.pause_job(db_id="1")
        assert controller.pause_jobs(db_ids=["1", "2"], raise_on_error=False) == ["2"]
        assert controller.resume_flow(flow_id=submitted.flow_uuid) == 3
        assert controller.stop_job(db_id="3") == "3"
        assert controller.set_job_state(JobState.COMPLETED, db_id="1") == "1"
        assert states(home) == {"1": "COMPLETED", "2": "READY", "3": "USER_STOPPED"}
        assert controller.rerun_job(db_id="1", force=True) == ["1", "2"]
        assert controller.set_job_run_properties(priority=3, db_ids="2") == ["2"]
        assert controller.delete_flows(flow_ids=submitted.flow_uuid) == [submitted.flow_uuid]
