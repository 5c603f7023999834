"""The shell that submits stays on the host: how old it is must not matter."""

from __future__ import annotations

import subprocess
from pathlib import Path

from jobflow_remote.schedulers.hostscripts import HostOptions, render_submit
from jobflow_remote.schedulers.port import HostJob
from jobflow_remote.schedulers.slurm import SlurmDialect


def test_a_shell_that_has_been_there_for_an_hour_submits(tmp_path: Path) -> None:
    commands, folder = tmp_path / "bin", tmp_path / "run"
    for path in (commands, folder):
        path.mkdir()
    (folder / "submit.sh").write_text("#!/bin/bash\n")
    for name, text in {"sbatch": "echo Submitted batch job 42", "squeue": ""}.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(0o755)
    script = render_submit(SlurmDialect(), HostOptions(), [HostJob(str(folder), "a1", None)])
    old = f'PATH={commands}:$PATH; SECONDS=3600; ( eval "$1" )'
    done = subprocess.run(["bash", "-c", old, "-", script], capture_output=True, text=True, check=False)
    assert "jf|a1|ok|42" in done.stdout.splitlines(), done.stdout + done.stderr
