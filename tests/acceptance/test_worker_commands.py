"""What people ask about workers and the files of their jobs, with a runner at work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests_home import Home, Wait
from trouble_jobs import waits_for_file

from jobflow_remote import submit_flow
from jobflow_remote.testing import add


@contextmanager
def following(home: Home, db_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """``jf job queue-out -f``, which does not outlive the test; what it prints goes to the file ``told``."""
    jf = str(Path(sys.executable).parent / "jf")
    with (home.folder / "told").open("wb") as told:
        process = subprocess.Popen(
            [jf, "job", "queue-out", db_id, "-f"],
            stdout=told,
            stderr=subprocess.STDOUT,
            env=os.environ | home.env,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_files_and_output_of_a_job_that_runs(running_single: Home, wait_for: Wait, tmp_path: Path) -> None:
    home, go = running_single, tmp_path / "go"
    submitted = submit_flow(waits_for_file(str(go)))
    db_id = submitted[0]
    wait_for(lambda: home.json("job", "info", db_id)["state"] == "RUNNING")
    run_dir = Path(home.json("job", "info", db_id)["run_dir"])

    refused = home.jf("job", "files", "delete", db_id, "--yes", check=False)
    assert refused.returncode == 1
    assert "RUNNING" in refused.stderr

    with (run_dir / "queue.out").open("a") as file:
        file.write("step 17 converged\n")
    told = home.folder / "told"
    with following(home, db_id) as process:
        wait_for(lambda: "step 17 converged" in told.read_text())
        go.touch()
        assert process.wait(timeout=60) == 0, told.read_text()
    assert "Finished job" in told.read_text(), "what it wrote last is told"
    submitted.wait(60, progress=False)
    kept = (run_dir / "queue.out").read_text()
    assert "step 17 converged" in kept, "who else writes there is not overwritten"
    assert "Starting job" in kept

    names = {file["name"] for file in home.json("job", "files", "ls", db_id)["files"]}
    assert {"jfremote_in.json", "jfremote_out.json", "queue.out", "submit.sh"} <= names
    home.jf("job", "files", "get", db_id, "jfremote_*.json", "-p", str(tmp_path))
    assert "response" in json.loads((tmp_path / "jfremote_out.json").read_text())
    home.jf("job", "files", "delete", db_id, "--yes")
    assert not run_dir.exists()
    assert home.json("job", "info", db_id)["state"] == "COMPLETED"


def test_a_worker_that_is_down_is_told_of(home: Home, wait_for: Wait) -> None:
    home.write_project(
        worker="max_jobs:\n  cluster:\n    type: remote\n    host: cluster.invalid\n    scheduler_type: slurm\n"
        "    work_dir: /scratch"
    )
    home.jf("runner", "start", "--single")
    (waiting,) = submit_flow(add(1, 2), worker="cluster")
    healthy = submit_flow(add(1, 2), worker="local")

    def rows() -> dict[str, dict[str, object]]:
        return {row["name"]: row for row in home.json("worker", "list", "-v", "--no-connect")}

    wait_for(lambda: rows()["cluster"]["state"] == "down")
    healthy.wait(60, progress=False)
    assert rows()["local"]["state"] == "up"
    waits_for = home.json("job", "info", waiting)["waits_for"]
    assert "cluster.invalid is not known" in waits_for["why"]
    shown = home.jf("worker", "list", "-v", "--no-connect").stdout
    assert "down since" in shown
    assert "next try" in shown


def test_a_project_that_works_and_one_that_does_not(home: Home) -> None:
    done = home.jf("project", "check", "--run", "-v")
    assert "a job ran on" in done.stdout
    assert list((home.folder / "runs").iterdir()) == []
    home.write_project(worker="execution_cmd: no-such-jf execution run {}")
    broken = home.jf("project", "check", "--run", check=False)
    assert broken.returncode == 1
    lines = broken.stdout.splitlines()
    assert "x Worker local" in lines
    cause = next(number for number, line in enumerate(lines) if "'no-such-jf' is not found" in line)
    assert lines[cause + 1].strip().startswith("→"), "what helps is on a line of its own"
    told = json.loads(home.jf("project", "check", "--json", check=False).stdout)
    assert [each["element"] for each in told] == ["Worker local", "Jobstore", "Queue store"]
    assert [bool(each["error"]) for each in told] == [True, False, False]
