"""Jobs that jobflow-remote 1.0.1 started by the shell: all that is known of them is a pid and the run folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.layout import FORMER_ATTEMPT
from jobflow_remote.schedulers.port import HostJob, HostJobState, HostJobStatus
from jobflow_remote.schedulers.shell import ShellScheduler


@pytest.fixture
def job(tmp_path: Path) -> Iterator[HostJob]:
    """A job as 1.0.1 starts it: the script in the run folder, no file beside it."""
    (tmp_path / "submit.sh").write_text("echo begun; sleep 1000\n")
    with subprocess.Popen(["bash", "submit.sh"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield HostJob(str(tmp_path), f"{FORMER_ATTEMPT}1", str(process.pid))
        process.kill()


def _run(command: str) -> CommandResult:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    return CommandResult(done.stdout, done.stderr, 0)


def _ask(*jobs: HostJob) -> list[HostJobStatus]:
    scheduler = ShellScheduler()
    return scheduler.parse_status(_run(scheduler.render_status(jobs)), jobs)


def test_it_runs_as_long_as_its_process_lives(job: HostJob) -> None:
    assert job.process_id is not None
    gone = HostJob(job.run_dir, f"{FORMER_ATTEMPT}2", "")
    first, second = _ask(job, gone)
    assert (first.state, first.process_id) == (HostJobState.RUNNING, job.process_id)
    assert (second.state, second.exit_code) == (HostJobState.ENDED, None)


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="reads the folder of a process from /proc")
def test_a_pid_that_belongs_to_another_process_by_now_is_not_it(job: HostJob, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    mistaken = HostJob(str(other), job.attempt, job.process_id)
    assert _ask(mistaken)[0].state is HostJobState.ENDED
    _run(ShellScheduler().render_cancel([mistaken]))
    assert _ask(job)[0].state is HostJobState.RUNNING


def test_it_can_be_cancelled(job: HostJob) -> None:
    _run(ShellScheduler().render_cancel([job]))
    for _ in range(100):
        (status,) = _ask(job)
        if status.state is HostJobState.ENDED:
            return
    raise AssertionError(status)
