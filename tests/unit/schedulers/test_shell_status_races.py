"""The status script and a job that begins while it is asked about: whatever the interleaving, the job is not lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.layout import STARTED_PREFIX
from jobflow_remote.schedulers.port import HostJob, HostJobState
from jobflow_remote.schedulers.shell import ShellScheduler

STEPS = 30
"""More commands than the script has for one job."""


@pytest.fixture
def keeper() -> Iterator[tuple[str, str]]:
    """A process that lives: its pid, and its start time as the script writes it."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        yield str(process.pid), stat.rpartition(")")[2].split()[19]
        process.kill()


def ask(
    scheduler: ShellScheduler, job: HostJob, *, step: int, command: str
) -> tuple[HostJobState, int | None]:
    """State and exit code that the script tells when ``command`` happens before its ``step``-th command."""
    hook = f"set -T; n=0; trap 'n=$((n+1)); if [ $n = {step} ]; then {command}; fi' DEBUG\n"
    done = subprocess.run(
        ["bash", "-c", hook + scheduler.render_status([job])], capture_output=True, text=True, check=True
    )
    (status,) = scheduler.parse_status(CommandResult(done.stdout, done.stderr, 0), [job])
    return status.state, status.exit_code


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads start times from /proc")
def test_a_job_that_begins_meanwhile_is_never_gone(tmp_path: Path, keeper: tuple[str, str]) -> None:
    scheduler, (pid, start) = ShellScheduler(), keeper
    seen = set()
    for step in range(1, STEPS + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        begins = f'echo "{pid} {start}" > "{folder}/{STARTED_PREFIX}a"'
        seen.add(ask(scheduler, HostJob(str(folder), "a", pid), step=step, command=begins))
    assert seen == {(HostJobState.QUEUED, None), (HostJobState.RUNNING, None)}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads start times from /proc")
def test_a_job_that_ends_meanwhile_is_never_gone(tmp_path: Path) -> None:
    """As the process that keeps a job does it: first the exit code, then its own end."""
    scheduler = ShellScheduler()
    seen = set()
    for step in range(1, STEPS + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        with subprocess.Popen(["sleep", "1000"]) as process:
            stat = Path(f"/proc/{process.pid}/stat").read_text()
            start = stat.rpartition(")")[2].split()[19]
            (folder / f"{STARTED_PREFIX}a").write_text(f"{process.pid} {start}\n")
            ends = f'echo 3 > "{folder}/.jfremote_exit.a"; kill -9 {process.pid}'
            job = HostJob(str(folder), "a", str(process.pid))
            seen.add(ask(scheduler, job, step=step, command=ends))
            process.kill()
    assert seen == {(HostJobState.RUNNING, None), (HostJobState.ENDED, 3)}


def test_a_job_whose_processes_are_gone_has_ended(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    job = HostJob(str(tmp_path), "a", str(process.pid))
    done = subprocess.run(
        ["bash", "-c", ShellScheduler().render_status([job])], capture_output=True, text=True, check=True
    )
    (status,) = ShellScheduler().parse_status(CommandResult(done.stdout, done.stderr, 0), [job])
    assert (status.state, status.exit_code) == (HostJobState.ENDED, None)


@pytest.mark.parametrize("comes", [True, False], ids=["and its line comes", "and its line never comes"])
def test_a_second_submission_waits_for_the_line_of_a_process_that_is_just_beginning(
    tmp_path: Path, *, comes: bool
) -> None:
    scheduler, job = ShellScheduler(), HostJob(str(tmp_path), "a", None)
    started = tmp_path / f"{STARTED_PREFIX}a"
    started.touch()
    first_pause = f'sleep() {{ echo "4711 17" > "{started}"; }}\n' if comes else "sleep() { :; }\n"
    script = first_pause + scheduler.render_submit([job])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    (answer,) = scheduler.parse_submit(CommandResult(done.stdout, done.stderr, 0), [job])
    assert answer.process_id == ("4711" if comes else None)
    assert ("is empty" in (answer.error or "")) is not comes
