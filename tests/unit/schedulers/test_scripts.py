"""Submission scripts, and what the shell understands of resources."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from qtoolkit.core.data_objects import QResources

from jobflow_remote.errors import SchedulerError
from jobflow_remote.schedulers.script import ScriptParts, render_script
from jobflow_remote.schedulers.shell import ShellScheduler


def test_the_parts_of_a_script_come_in_the_order_of_the_former_release() -> None:
    text = render_script(
        ScriptParts(
            header="# header",
            run_dir="/runs/a b",
            command="container run {} ${HOME} {x}",
            pre_run=("worker first", "exec second"),
            export={"A": "$PATH:/x", "N": 1},
            modules=("gcc", "openmpi"),
            post_run=("worker last", None),
        )
    )
    assert text.splitlines() == [
        "#!/bin/bash",
        "# header",
        "",
        "cd '/runs/a b' || exit 98",
        "worker first",
        "exec second",
        "export A=$PATH:/x",
        "export N=1",
        "module load gcc",
        "module load openmpi",
        "container run '/runs/a b' ${HOME} {x}",
        "jobflow_remote_exit_code=$?",
        "worker last",
        "exit $jobflow_remote_exit_code",
    ]


@pytest.mark.parametrize(("post_run", "code"), [((), 3), (("true",), 3)])
def test_a_script_ends_with_the_exit_code_of_the_job(
    tmp_path: Path, post_run: tuple[str, ...], code: int
) -> None:
    text = render_script(ScriptParts(header="", run_dir=str(tmp_path), command="(exit 3)", post_run=post_run))
    assert subprocess.run(["bash", "-c", text], check=False).returncode == code


def test_the_runners_own_jf_comes_first_unless_another_environment_was_activated() -> None:
    plain = render_script(ScriptParts(header="", run_dir="/r", own_bin="/opt/bin"))
    activated = render_script(ScriptParts(header="", run_dir="/r", own_bin="/opt/bin", pre_run=("activate",)))
    assert 'export PATH=/opt/bin:"$PATH"' in plain
    assert 'export PATH="$PATH":/opt/bin' in activated


def test_the_shell_takes_its_keywords_and_those_of_qresources() -> None:
    scheduler = ShellScheduler()
    own = scheduler.render_header(
        name="n", run_dir="/r", resources={"job_name": "mine", "qverbatim": "ulimit -c 0"}
    )
    assert own.splitlines() == ["# job: mine", "ulimit -c 0"]
    resources = QResources(job_name="theirs", processes=1, output_filepath="/out file").as_dict()
    theirs = scheduler.render_header(name="n", run_dir="/r", resources=resources)
    assert theirs.splitlines() == ["# job: theirs", "exec > '/out file'"]
    with pytest.raises(SchedulerError, match="no resource 'nodes'"):
        scheduler.render_header(
            name="n", run_dir="/r", resources=QResources(nodes=2, processes_per_node=2).as_dict()
        )


def test_an_unknown_resource_names_the_nearest_one() -> None:
    with pytest.raises(SchedulerError, match="did you mean 'job_name'") as refused:
        ShellScheduler().render_header(name="n", run_dir="/r", resources={"jobname": "x"})
    assert "qverbatim" in str(refused.value.hint)
