"""Workers that are broken on purpose: each check names the cause and what helps."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.config.workers import LocalWorker
from jobflow_remote.control.checks.findings import Finding, Level
from jobflow_remote.control.checks.judging import judge_clock, judge_folders, judge_shell
from jobflow_remote.control.checks.probe import parse_answers, program_of
from jobflow_remote.control.checks.worker import CheckOptions, check_worker

TOOLS = """
awk base64 bash cat cut date dd df dirname env find getent grep gzip head hostname id ln ls mkdir mktemp mv
ps rm rmdir sed setsid sh sleep sort tail tar timeout touch tr uname wc which xargs
"""
NODE = f"export PATH={Path(sys.executable).parent}:$PATH"


def local(folder: Path, **values: Any) -> LocalWorker:
    return LocalWorker.model_validate({"scheduler_type": "shell", "work_dir": folder, **values})


def check(worker: LocalWorker, **options: Any) -> list[Finding]:
    return asyncio.run(check_worker(worker, options=CheckOptions(**options)))


def troubles(worker: LocalWorker, **options: Any) -> dict[str, str]:
    """What → cause and fix, of all that is not well."""
    found = [each for each in check(worker, **options) if each.level is not Level.OK]
    return {each.what: f"{each.level}: {each.text} -> {each.fix}" for each in found}


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with the usual tools, and no scheduler."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS.split():
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


# -- nothing is sent -------------------------------------------------------------------------------------------


def test_a_worker_that_is_well(tmp_path: Path) -> None:
    found = check(local(tmp_path / "new folder; `id`"))
    assert [each for each in found if each.level is not Level.OK] == []
    looked_at = {each.what for each in found}
    assert looked_at >= {
        "connection",
        "clock",
        "shell",
        "work_dir",
        "work_dir space",
        "scheduler",
        "program",
        "versions",
    }
    assert list((tmp_path / "new folder; `id`").iterdir()) == [], "nothing is left behind"


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    found = troubles(local(tmp_path / "runs"))
    assert list(found) == ["work_dir"]
    assert "a file is in its way" in found["work_dir"]
    assert str(tmp_path / "runs") in found["work_dir"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    found = troubles(local(tmp_path / "runs"))
    tmp_path.chmod(0o755)
    assert "give yourself the right" in found["work_dir"]


def test_a_folder_that_nobody_can_make() -> None:
    assert (
        "error: work_dir /proc/runs cannot be written to" in troubles(local(Path("/proc/runs")))["work_dir"]
    )


def test_no_jf(tmp_path: Path) -> None:
    found = troubles(local(tmp_path, execution_cmd="jobflow-of-tomorrow execution run {}"))
    assert "'jobflow-of-tomorrow' is not found" in found["program"]
    assert "execution_cmd" in found["program"]


def test_a_pre_run_that_fails(tmp_path: Path) -> None:
    found = troubles(local(tmp_path, pre_run="source /no/such/env/bin/activate"))
    assert found["pre_run"].startswith("error")
    assert "/no/such/env/bin/activate: No such file" in found["pre_run"]
    silent = troubles(local(tmp_path, pre_run="[ -f /no/such/env ] && source /no/such/env"))
    assert silent["pre_run"].startswith("warning")


def test_a_pre_run_that_ends_the_script(tmp_path: Path) -> None:
    found = troubles(local(tmp_path, pre_run="echo no licence >&2\nexit 3"))
    assert list(found) == ["pre_run"]
    assert "pre_run ended the script before the job: no licence" in found["pre_run"]


def test_a_pre_run_that_hangs(tmp_path: Path) -> None:
    found = troubles(local(tmp_path, pre_run="sleep 100", timeout_execute=1))
    assert "did not end within 1 s" in found["pre_run"]


def test_other_versions(tmp_path: Path) -> None:
    package = tmp_path / "site" / "jobflow_remote-1.0.1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: jobflow-remote\nVersion: 1.0.1\n")
    found = troubles(local(tmp_path / "w", pre_run=f"export PYTHONPATH={tmp_path / 'site'}"))
    assert list(found) == ["versions"]
    assert found["versions"].startswith("warning: jobflow-remote is 1.0.1 on the worker and 2.")
    assert "pip install jobflow-remote==2." in found["versions"]


def test_a_jf_without_jobflow(tmp_path: Path, bare_path: Path) -> None:
    interpreter = tmp_path / "env" / "bin" / "python3.11"
    interpreter.parent.mkdir(parents=True)
    put_program(interpreter, f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    put_program(bare_path / "jf", f"#!/bin/sh\n'''exec' \"{interpreter}\" \"$0\" \"$@\"\n' '''\n")
    found = troubles(local(tmp_path / "w", pre_run=f"export PATH={bare_path}"))
    assert "is not installed for" in found["versions"]
    assert str(interpreter) in found["versions"]


def test_an_interpreter_that_is_gone(tmp_path: Path, bare_path: Path) -> None:
    put_program(bare_path / "jf", "#!/no/such/env/bin/python\n")
    found = troubles(local(tmp_path / "w", pre_run=f"export PATH={bare_path}"))
    assert "the interpreter /no/such/env/bin/python does not run" in found["program"]


def test_no_scheduler(tmp_path: Path, bare_path: Path) -> None:
    found = troubles(local(tmp_path / "w", scheduler_type="slurm"))
    assert "not found" in found["scheduler"]
    assert "sbatch, squeue, scancel" in found["scheduler"]
    assert "scheduler_type" in found["scheduler"]


def test_a_scheduler_that_does_not_answer(tmp_path: Path, bare_path: Path) -> None:
    words = "slurm_load_jobs error: Unable to contact slurm controller"
    for name in ("sbatch", "squeue", "scancel"):
        put_program(bare_path / name, f"#!/bin/sh\necho '{words}' >&2; exit 1\n")
    found = troubles(local(tmp_path / "w", scheduler_type="slurm"))
    assert words in found["scheduler"]
    assert "jobs wait until it answers" in found["scheduler"]


def test_resources_that_the_scheduler_does_not_know(tmp_path: Path) -> None:
    assert "job_nam" in troubles(local(tmp_path, resources={"job_nam": "x"}))["resources"]


def test_a_noisy_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = tmp_path / "profile"
    profile.write_text("echo 'Welcome to the cluster!'\n")
    monkeypatch.setenv("BASH_ENV", str(profile))
    found = troubles(local(tmp_path / "w"))
    assert list(found) == ["shell"]
    assert found["shell"].startswith("warning: the shell prints text of its own: Welcome to the cluster!")
    assert "sanitize_command: true" in found["shell"]
    assert troubles(local(tmp_path / "w", sanitize_command=True)) == {}


# -- judging without a worker ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "difference, words", [(0.4, None), (-3600, "3600 s behind"), (7.2, "7 s ahead of"), (5.4, None)]
)
def test_clocks(difference: float, words: str | None) -> None:
    found = judge_clock(difference, 1.0)
    assert (found.level is Level.WARNING) == (words is not None)
    assert (words or "") in found.text


def test_little_room_and_a_slow_file_system() -> None:
    worker = local(Path("/scratch"))
    told = parse_answers("jf|space_0|1000\njf|inodes_0|12\njf|delay_0|9000000000\n")
    words = "\n".join(each.text for each in judge_folders(worker, told) if each.level is Level.WARNING)
    assert "only 0.0 GB are free" in words
    assert "only 12 more files" in words
    assert "10 small files took 9000 ms" in words
    full = parse_answers("jf|folder_error_0|mktemp: failed to create file: No space left on device\n")
    (found,) = judge_folders(worker, full)
    assert (found.level, found.fix) == (Level.ERROR, "make room there, or choose another folder")


def test_text_between_the_answers_does_not_matter() -> None:
    told = parse_answers("hello\njf|host|node1\nnoise | more\njf|stderr|a\x1eb|c\n")
    assert (told.get("host"), told.get("stderr"), told.noise) == ("node1", "a\nb|c", "hello")
    assert judge_shell(local(Path("/w")), told).level is Level.WARNING


@pytest.mark.parametrize(
    "command, program",
    [
        (None, "jf"),
        ("singularity exec img.sif jf -fe execution run {}", "singularity"),
        ("A=1 B=2 '/opt/my env/bin/jf' execution run {}", "/opt/my env/bin/jf"),
        ("it's {}", "it's"),
    ],
)
def test_the_program_of_a_command(command: str | None, program: str) -> None:
    assert program_of(local(Path("/w"), execution_cmd=command)) == program


# -- with a real job -------------------------------------------------------------------------------------------


def test_a_job_runs_and_leaves_nothing(tmp_path: Path, bare_path: Path) -> None:
    kernel = "\\n".join(f"{pid} ? S 0:00 [kworker/{pid}:0-events]" for pid in range(2, 9))
    (bare_path / "ps").unlink(missing_ok=True)
    put_program(bare_path / "ps", f"#!/bin/sh\nprintf '  PID TTY STAT TIME COMMAND\\n{kernel}\\n'\n")
    found = check(local(tmp_path / "w", post_run="true"), run=True)
    assert [each for each in found if each.level is not Level.OK] == []
    (run,) = [each for each in found if each.what == "run"]
    assert str(Path(sys.executable).parent) in run.text
    assert list((tmp_path / "w").iterdir()) == []


def test_a_job_whose_program_fails(tmp_path: Path) -> None:
    found = troubles(
        local(tmp_path / "w", execution_cmd="bash -c 'echo no licence left >&2; exit 127' {}"), run=True
    )
    assert list(found) == ["run"]
    assert "ended without a result (exit code 127): no licence left" in found["run"]
    assert "let `pre_run` activate its environment" in found["run"]
    assert list((tmp_path / "w").iterdir()) == []


def test_a_job_that_never_ends_is_cancelled(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    worker = local(tmp_path / "w", execution_cmd=f"bash -c 'echo $$ > {pid}; exec sleep 1000' {{}}")
    found = troubles(worker, run=True, run_seconds=0.5)
    assert "is still RUNNING after 0.5 s, and was cancelled" in found["run"].replace("running", "RUNNING")
    assert not _lives(int(pid.read_text()))
    assert list((tmp_path / "w").iterdir()) == []


def _lives(pid: int) -> bool:
    import psutil

    try:
        psutil.Process(pid).wait(10)
    except psutil.NoSuchProcess:
        return False
    return psutil.pid_exists(pid)


def test_a_worker_with_another_release(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "jobflow_remote" / "execution").mkdir(parents=True)
    for folder in ("jobflow_remote", "jobflow_remote/execution"):
        (site / folder / "__init__.py").touch()
    worker = local(
        tmp_path / "w",
        pre_run=f"export PYTHONPATH={site}",
        execution_cmd=f"{sys.executable} -m jobflow_remote.execution run {{}}",
    )
    found = troubles(worker, run=True)
    assert "No module named jobflow_remote.execution" in found["run"]
    assert "install jobflow-remote 2." in found["run"]


def test_no_job_is_sent_to_a_broken_worker(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    assert (
        troubles(local(tmp_path / "runs"), run=True)["run"]
        == "warning: no job was sent: see the errors -> None"
    )


def test_a_scheduler_that_refuses_the_job(tmp_path: Path, bare_path: Path) -> None:
    put_program(bare_path / "squeue", "#!/bin/sh\n")
    put_program(bare_path / "scancel", "#!/bin/sh\n")
    words = "sbatch: error: invalid partition specified: fast"
    put_program(bare_path / "sbatch", f"#!/bin/sh\necho '{words}' >&2; exit 1\n")
    found = troubles(local(tmp_path / "w", scheduler_type="slurm", pre_run=NODE), run=True)
    assert words in found["run"]
    assert "resources" in found["run"]
