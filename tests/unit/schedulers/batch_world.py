"""Batch systems for unit tests: recorded answers, and commands that give them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.layout import SUBMIT_FILENAME
from jobflow_remote.schedulers.batchsystem import BatchSystem
from jobflow_remote.schedulers.hostscripts import HostOptions
from jobflow_remote.schedulers.port import HostJob
from jobflow_remote.schedulers.qtoolkit import make_scheduler

RELEASES = {"slurm": "slurm-22.05.8", "sge": "sge-8.1.9", "pbs": "openpbs-23.06.06"}
_DATA = Path(__file__).parents[2] / "data" / "schedulers"


def recorded(scheduler: str, name: str) -> dict[str, Any]:
    """One recorded command."""
    entries = json.loads((_DATA / f"{RELEASES[scheduler]}.json").read_text())
    found: dict[str, Any] = next(entry for entry in entries if entry["name"] == name)
    return found


def batch_system(name: str, options: HostOptions | None = None) -> BatchSystem:
    """The scheduler of that name."""
    made = make_scheduler(name, options or HostOptions())
    assert isinstance(made, BatchSystem)
    return made


class World:
    """A folder with commands of our own, found before all others, and run folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        self.command("squeue", "")
        self.command("qselect", "")
        self.command("qstat", "echo '<?xml version=\"1.0\"?><job_info/>'")
        for absent in ("sacct", "qacct"):
            self.command(absent, "exit 1")

    def command(self, name: str, script: str) -> None:
        """Let ``name`` do this; each call leaves a line in ``calls``."""
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {self.folder}/calls\n{script}\n')
        path.chmod(0o755)

    def answer(self, name: str, entry: Mapping[str, Any]) -> None:
        """Let ``name`` answer as recorded."""
        for kind in ("stdout", "stderr"):
            (self.folder / f"{name}.{kind}").write_text(entry[kind])
        files = f"cat {self.folder}/{name}.stdout; cat {self.folder}/{name}.stderr >&2"
        self.command(name, f"{files}; exit {entry['rc']}")

    def calls(self, name: str) -> int:
        """How often a command was run."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return sum(line.startswith(f"{name} ") for line in lines)

    def job(self, attempt: str = "5f0e3c1ad2c94c0f9a7b6d1e8f2a3b4c", folder: str = "run") -> HostJob:
        """A job with a run folder and a script."""
        run_dir = self.folder / folder
        run_dir.mkdir(exist_ok=True)
        (run_dir / SUBMIT_FILENAME).write_text("#!/bin/bash\ntrue\n")
        return HostJob(str(run_dir), attempt)

    def run(self, script: str) -> CommandResult:
        """Run a script of ours as a host would."""
        environment = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        return CommandResult(done.stdout, done.stderr, done.returncode)
