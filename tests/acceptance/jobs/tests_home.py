"""A home of one's own for a test: an empty projects folder, one project, and the real ``jf``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Wait = Callable[[Callable[[], bool]], None]

JOBS_FOLDER = Path(__file__).parent

PROJECT = """\
name: test
workers:
  local:
    type: local
    scheduler_type: shell
    work_dir: {work_dir}
    pre_run: export PYTHONPATH={jobs}
    {worker}
runner:
  {runner}
{more}
"""


@dataclass
class Home:
    """One project in a folder of its own."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def write_project(
        self,
        *,
        worker: str = "max_jobs:",
        runner: str = "max_step_attempts: 3",
        more: str = "",
        work_dir: Path | None = None,
    ) -> None:
        """Write the project file anew."""
        folder = work_dir or self.folder / "runs"
        text = PROJECT.format(work_dir=folder, jobs=JOBS_FOLDER, worker=worker, runner=runner, more=more)
        (self.folder / "test.yaml").write_text(text)

    def jf(self, *words: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run ``jf``."""
        command = [str(Path(sys.executable).parent / "jf"), *words]
        env = os.environ | self.env
        env.pop("COLUMNS", None)  # set where tests run side by side; a pipe has no width
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )
        return done

    def json(self, *words: str) -> Any:
        """What ``jf … --json`` prints."""
        return json.loads(self.jf(*words, "--json").stdout)

    def logs(self) -> str:
        """All logs of the runner, for messages of failing tests."""
        return "\n".join(
            f"== {p.name}\n{p.read_text()[-3000:]}" for p in (self.folder / "test" / "log").glob("*")
        )
