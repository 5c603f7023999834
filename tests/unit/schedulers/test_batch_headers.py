"""Directives of batch systems, and the first lines of their scripts."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtoolkit.core.data_objects import QResources
from qtoolkit.io.slurm import SlurmIO
from tests.unit.schedulers.batch_world import batch_system

from jobflow_remote.errors import ConfigError, SchedulerError
from jobflow_remote.layout import EXIT_PREFIX, STARTED_PREFIX, SUBMIT_FILENAME, TAKEN_PREFIX
from jobflow_remote.schedulers.batchsystem import BatchSystem
from jobflow_remote.schedulers.hostscripts import EXIT_DUPLICATE, HostOptions
from jobflow_remote.schedulers.naming import is_of_attempt, job_name
from jobflow_remote.schedulers.qtoolkit import make_scheduler
from jobflow_remote.schedulers.script import ScriptParts, render_script
from jobflow_remote.schedulers.shell import ShellScheduler

ATTEMPT = "5f0e3c1ad2c94c0f9a7b6d1e8f2a3b4c"
PREFIX = {"slurm": "#SBATCH", "sge": "#$", "pbs": "#PBS"}


def directives(
    scheduler: str, resources: dict[str, Any], run_dir: str = "/runs/a", name: str = "relax"
) -> list[str]:
    """The lines that the scheduler reads."""
    header = batch_system(scheduler).render_header(
        name=name, run_dir=run_dir, resources=resources, attempt=ATTEMPT
    )
    return [line for line in header.splitlines() if line.startswith(PREFIX[scheduler])]


@pytest.mark.parametrize(
    "scheduler, resources, expected",
    [
        ("slurm", {"partition": "long", "time": "1:00:00", "ntasks": 4},
         ["#SBATCH --partition=long", "#SBATCH --job-name=relax-5f0e3c1a", "#SBATCH --ntasks=4",
          "#SBATCH --time=1:00:00", "#SBATCH --output=/runs/a/queue.out", "#SBATCH --error=/runs/a/queue.err"]),
        ("pbs", {"queue": "workq", "select": "select=1:ncpus=2"},
         ["#PBS -q workq", "#PBS -N relax-5f0e3c1a", "#PBS -l select=1:ncpus=2", "#PBS -o /runs/a/queue.out",
          "#PBS -e /runs/a/queue.err"]),
        ("sge", {"queue": "all.q", "walltime": "60"},
         ["#$ -q all.q", "#$ -N relax-5f0e3c1a", "#$ -l h_rt=60", "#$ -o /runs/a/queue.out",
          "#$ -e /runs/a/queue.err", "#$ -cwd", "#$ -S /bin/bash"]),
    ],
)  # fmt: skip
def test_keywords_become_directives(scheduler: str, resources: dict[str, Any], expected: list[str]) -> None:
    assert directives(scheduler, resources) == expected


def test_qresources_become_directives() -> None:
    resources = QResources(queue_name="debug", processes=8, time_limit=3600, memory_per_thread=500).as_dict()
    lines = directives("slurm", resources)
    assert {"#SBATCH --partition=debug", "#SBATCH --ntasks=8", "#SBATCH --mem-per-cpu=500"} <= set(lines)
    assert "#SBATCH --time=0-1:0:0" in lines


def test_qresources_that_the_scheduler_does_not_support_are_an_error() -> None:
    resources = QResources(processes=1, project="p").as_dict()
    with pytest.raises(SchedulerError, match="project"):
        directives("slurm", resources)


def test_lines_of_the_users_own_are_kept_and_the_names_job_too() -> None:
    lines = directives(
        "slurm", {"qverbatim": "#SBATCH --comment='$$ a'\n#SBATCH --wckey=x", "job_name": "mine"}
    )
    assert lines[0] == "#SBATCH --job-name=mine-5f0e3c1a"
    assert lines[-2:] == ["#SBATCH --comment='$$ a'", "#SBATCH --wckey=x"]


@pytest.mark.parametrize("scheduler", PREFIX)
def test_an_unknown_keyword_names_the_nearest(scheduler: str) -> None:
    with pytest.raises(SchedulerError, match="no resource 'jobname'; did you mean 'job_name'"):
        directives(scheduler, {"jobname": "x"})


def test_a_value_cannot_leave_its_line() -> None:
    with pytest.raises(SchedulerError, match="'partition'"):
        directives("slurm", {"partition": "debug\nrm -rf /"})


@pytest.mark.parametrize("scheduler", PREFIX)
def test_a_path_that_means_something_in_a_directive_is_said_relative_to_the_run_folder(
    scheduler: str,
) -> None:
    text = "\n".join(directives(scheduler, {}, run_dir="/runs/100 %j; `id`/a"))
    assert "queue.out" in text
    assert "id`" not in text


@given(st.text(min_size=1), st.sampled_from([15, 60]))
def test_names_are_harmless_and_carry_the_attempt(name: str, longest: int) -> None:
    made = job_name(name, ATTEMPT, longest)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.+-]*", made)
    assert len(made) <= longest
    assert is_of_attempt(made, ATTEMPT)
    assert not is_of_attempt(made, ATTEMPT[::-1])


def test_a_serialised_scheduler_keeps_its_own_template_and_command() -> None:
    spec = {**SlurmIO().as_dict(), "get_job_executable": "sacct"}
    made = make_scheduler(spec, HostOptions())
    assert isinstance(made, BatchSystem)
    assert made.io.get_job_executable == "sacct"
    assert "sbatch submit.sh" in made.render_submit([])


def test_a_serialised_shell_is_ours() -> None:
    spec = {"@module": "qtoolkit.io.shell", "@class": "ShellIO"}
    assert isinstance(make_scheduler(spec, HostOptions()), ShellScheduler)


def test_what_is_no_scheduler_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="no scheduler of qtoolkit"):
        make_scheduler(QResources(processes=1).as_dict(), HostOptions())


class TestGuard:
    """Each attempt runs once, wherever its copies come from."""

    def script(self, tmp_path: Path, command: str = "echo ran >> ran # {}", attempt: str = ATTEMPT) -> Path:
        """A rendered submission script."""
        header = batch_system("slurm").render_header(
            name="relax", run_dir=str(tmp_path), resources={}, attempt=attempt
        )
        path = tmp_path / SUBMIT_FILENAME
        path.write_text(render_script(ScriptParts(header=header, run_dir=str(tmp_path), command=command)))
        return path

    def run(self, text: str, job_id: str) -> int:
        """As the scheduler runs a copy that it took when the job was submitted."""
        environment = {**os.environ, "SLURM_JOB_ID": job_id}
        return subprocess.run(
            ["bash", "-c", text], env=environment, check=False, capture_output=True
        ).returncode

    def test_a_second_copy_does_nothing(self, tmp_path: Path) -> None:
        text = self.script(tmp_path).read_text()
        assert [self.run(text, "1"), self.run(text, "2")] == [0, EXIT_DUPLICATE]
        assert (tmp_path / "ran").read_text() == "ran\n"
        assert (tmp_path / f"{EXIT_PREFIX}{ATTEMPT}").read_text() == "0\n"
        assert (tmp_path / f"{STARTED_PREFIX}{ATTEMPT}").read_text().split()[0] == "1"

    def test_a_job_that_the_scheduler_starts_anew_runs_again(self, tmp_path: Path) -> None:
        text = self.script(tmp_path).read_text()
        assert self.run(text, "1") == 0
        (tmp_path / f"{TAKEN_PREFIX}{ATTEMPT}").write_text("n1 1 now\n")
        assert self.run(text, "1") == 0
        assert (tmp_path / "ran").read_text() == "ran\nran\n"
        assert not (tmp_path / f"{TAKEN_PREFIX}{ATTEMPT}").exists()

    def test_a_copy_of_an_earlier_attempt_does_nothing(self, tmp_path: Path) -> None:
        old = self.script(tmp_path, attempt="0" * 32).read_text()
        self.script(tmp_path)
        assert self.run(old, "1") == EXIT_DUPLICATE
        assert not (tmp_path / "ran").exists()

    def test_an_attempt_that_was_withdrawn_does_not_begin(self, tmp_path: Path) -> None:
        text = self.script(tmp_path).read_text()
        (tmp_path / f"{STARTED_PREFIX}{ATTEMPT}").write_text("-\n")
        assert self.run(text, "1") == EXIT_DUPLICATE

    @pytest.mark.parametrize(("command", "code"), [("exit 3 # {}", 3), ("kill -TERM $$ # {}", 143)])
    def test_how_it_ended_is_written_down(self, tmp_path: Path, command: str, code: int) -> None:
        assert self.run(self.script(tmp_path, command).read_text(), "1") == code
        assert (tmp_path / f"{EXIT_PREFIX}{ATTEMPT}").read_text() == f"{code}\n"

    def test_a_folder_with_any_name_does(self, tmp_path: Path) -> None:
        folder = tmp_path / "relax (100); `id` $HOME 'x'"
        folder.mkdir()
        assert self.run(self.script(folder).read_text(), "1") == 0
        assert (folder / "ran").exists()
        assert self.run((folder / SUBMIT_FILENAME).read_text(), "2") == EXIT_DUPLICATE
