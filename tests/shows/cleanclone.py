"""A clean clone with an empty home: what somebody meets who has just found the project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_NOT_INHERITED = ("PYTHON", "JFREMOTE_", "jfremote_", "JOBFLOW_", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Told:
    """A command, what it printed, and when."""

    code: int
    lines: list[tuple[float, str]]
    """Seconds since the begin, and the line."""
    seconds: float

    @property
    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def when(self, beginning: str) -> float | None:
        """When the first line that begins so was printed."""
        return next((seconds for seconds, line in self.lines if line.startswith(beginning)), None)


@dataclass(frozen=True)
class CleanClone:
    """A clone of this repository (what is committed) and a home with nothing in it."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> CleanClone:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
        (folder / "home").mkdir()
        return cls(folder)

    @property
    def root(self) -> Path:
        return self.folder / "clone"

    @property
    def env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}
        folders = [
            part
            for part in kept.get("PATH", "").split(os.pathsep)
            if part != os.path.join(ROOT, ".venv", "bin")
        ]
        return kept | {"HOME": str(self.folder / "home"), "PATH": os.pathsep.join(folders)}

    def run(self, *command: str, timeout: float = 3600) -> Told:
        """Run a command in the clone and note when each line came."""
        began, lines = time.monotonic(), []
        with subprocess.Popen(
            command, cwd=self.root, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append((time.monotonic() - began, line.rstrip("\n")))
                if time.monotonic() - began > timeout:
                    process.kill()
        return Told(process.returncode, lines, time.monotonic() - began)

    def jf(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``jf`` of the clone."""
        command = [str(self.root / ".venv" / "bin" / "jf"), *words]
        return subprocess.run(
            command, env=self.env, cwd=self.root, capture_output=True, text=True, check=False
        )

    def json(self, *words: str) -> Any:
        """What ``jf … --json`` prints."""
        done = self.jf(*words, "--json")
        if done.returncode:
            raise AssertionError(f"jf {' '.join(words)} ended with {done.returncode}: {done.stderr[-800:]}")
        return json.loads(done.stdout)

    def output_by_python(self, uuid: str) -> Any:
        """Output of a job as a user's script reads it."""
        code = (
            "import json; from jobflow_remote import get_jobstore\n"
            f"store = get_jobstore(); store.connect(); print(json.dumps(store.get_output({uuid!r})))"
        )
        python = str(self.root / ".venv" / "bin" / "python")
        done = subprocess.run(
            [python, "-"], input=code, env=self.env, cwd=self.root, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)


def table_numbers(text: str) -> dict[str, float]:
    """Calculated values in the table that the demo prints, by quantity."""
    rows = re.findall(r"│\s*([a-z ]+?)\s*│\s*(\S+)\s*│\s*([\d.]+)\s*│\s*([\d.]+)\s*│", text)
    return {name: float(value) for name, _, value, _ in rows}


def counts_of_tests(text: str) -> str:
    """What the test runs said about their counts, one after the other."""
    found = re.findall(
        r"=*\s*((?:\d+ (?:passed|failed|skipped|errors?|xfailed|warnings?)[, ]*)+) in [\d.:]+", text
    )
    return "; ".join(part.strip() for part in found) or "no counts"
