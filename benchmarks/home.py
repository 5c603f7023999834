"""An isolated home with one project, and the ``jf`` of one installation: ours, or that of a reference."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from benchmarks.measure import family, wait_until

PROJECT = "bench"
DRIVER = Path(__file__).with_name("driver.py")
_NOT_INHERITED = ("PYTHON", "JFREMOTE_", "jfremote_", "JOBFLOW_")
"""Settings of the caller that would change what is measured (``PYTHONDONTWRITEBYTECODE`` makes each start slower)."""


@dataclass
class Home:
    """Where one installation runs. Use as a context: leaving it shuts the runner down and removes the folder."""

    bin: Path = field(default_factory=lambda: Path(sys.executable).parent)
    """Folder of the installation's ``python`` and ``jf``."""
    label: str = "jobflow-remote"
    project_file: str = ""
    """Text of the project file with ``{folder}``; empty: a local worker and nothing else, that is all defaults."""
    pythonpath: str = ""
    """Where workers find the modules of the jobs."""
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="jfb-")))

    def __post_init__(self) -> None:
        self.projects_folder.mkdir(parents=True, exist_ok=True)
        path = self.projects_folder / f"{PROJECT}.yaml"
        path.write_text((self.project_file or default_project()).format(folder=self.folder), encoding="utf-8")
        path.chmod(0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut_down()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def projects_folder(self) -> Path:
        return self.folder / ".jfremote"

    @property
    def base_dir(self) -> Path:
        return self.projects_folder / PROJECT

    @property
    def env(self) -> dict[str, str]:
        """The environment of a user who logs in to this home."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}
        mine = {
            "HOME": str(self.folder),
            "PATH": f"{self.bin}{os.pathsep}{kept.get('PATH', '')}",
            "JFREMOTE_PROJECTS_FOLDER": str(self.projects_folder),
            "JFREMOTE_PROJECT": PROJECT,
        }
        return kept | mine | ({"PYTHONPATH": self.pythonpath} if self.pythonpath else {})

    @property
    def python(self) -> str:
        return str(self.bin / "python")

    def command(self, *words: str) -> list[str]:
        """The command line of ``jf`` with these words."""
        return [str(self.bin / "jf"), *words]

    def jf(self, *words: str, check: bool = True, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run ``jf``."""
        return self._run(self.command(*words), check=check, timeout=timeout)

    def json(self, *words: str) -> Any:
        """What ``jf … --json`` prints."""
        return json.loads(self.jf(*words, "--json").stdout)

    def drive(self, *words: str, timeout: float = 900) -> Any:
        """Run the driver (public Python names only) with this installation; what it prints last, as data."""
        done = self._run([self.python, str(DRIVER), *words], check=True, timeout=timeout)
        return json.loads(done.stdout.splitlines()[-1])

    def _run(self, command: list[str], *, check: bool, timeout: float) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            said = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
        return done

    def start(self, *options: str) -> None:
        """Start the runner and wait until it runs."""
        self.jf("runner", "start", *options)
        wait_until(
            self._says_running, timeout_seconds=60, what="`jf runner status` says running", every_seconds=0.2
        )

    def _says_running(self) -> bool:
        words = self.jf("runner", "status", check=False).stdout.split("status:")[-1].split()
        return words[:1] == ["running"]

    def shut_down(self) -> None:
        """Shut the runner down, if one runs, and wait for its end."""
        processes = self.runner_processes()
        if not processes:
            return
        self.jf("runner", "shutdown", check=False)
        _, alive = psutil.wait_procs(processes, timeout=60)
        for process in alive:
            process.kill()

    def runner_processes(self) -> list[psutil.Process]:
        """supervisord and all below it."""
        try:
            pid = int((self.base_dir / "daemon" / "supervisord.pid").read_text())
        except (OSError, ValueError):
            return []
        return family(pid)

    def version(self) -> str:
        """Version of jobflow-remote in this installation."""
        code = "from importlib.metadata import version; print(version('jobflow-remote'))"
        return self._run([self.python, "-c", code], check=True, timeout=60).stdout.strip()


def default_project(worker: str = "", more: str = "") -> str:
    """Text of a project file: a local worker without further settings, and what is asked for beside it.

    ``worker``: further lines of the worker, without indentation; ``more``: further keys of the project.
    """
    shell = [] if "scheduler_type:" in worker else ["scheduler_type: shell"]
    lines = ["type: local", *shell, "work_dir: {folder}/runs", *worker.splitlines()]
    body = "\n".join(f"    {line}" for line in lines)
    return f"name: {PROJECT}\nworkers:\n  local:\n{body}\n{more}\n"
