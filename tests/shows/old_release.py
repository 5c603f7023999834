"""Another release of jobflow-remote at work, in an environment of its own: what a group did before it switched over.

Only its ``jf`` and its public names are used.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pymongo import MongoClient

JOBS = Path(__file__).parents[1] / "acceptance" / "jobs"
PROJECT = """\
name: group
workers:
  local:
    type: local
    scheduler_type: shell
    work_dir: {folder}/runs
    pre_run: |
      export PYTHONPATH={jobs} SWITCHING_GATES={folder}/gates
    max_jobs: {max_jobs}
{workers}
queue:
  store:
    type: MongoStore
    host: 127.0.0.1
    port: {port}
    database: {database}
    collection_name: jobs
  db_id_prefix: {prefix}
runner:
  delay_checkout: 1
  delay_check_run_status: 1
  delay_advance_status: 1
  delay_update_batch: 1
  max_step_attempts: 1
  delta_retry: [1]
exec_config:
  quiet:
    export:
      OMP_NUM_THREADS: 1
jobstore:
  docs_store:
    type: MongoStore
    host: 127.0.0.1
    port: {port}
    database: {database}
    collection_name: outputs
  additional_stores:
    data:
      type: MongoStore
      host: 127.0.0.1
      port: {port}
      database: {database}
      collection_name: outputs_blobs
"""

_SUBMIT = """\
import json, sys
import switching_jobs
from jobflow_remote import submit_flow
from monty.json import MontyEncoder
shapes = {**switching_jobs.SHAPES, **switching_jobs.TROUBLED}
done = {}
for word in json.loads(sys.argv[1]):
    flow = shapes[word["shape"]](*([word["gate"]] if word.get("gate") else []))
    text = json.dumps(flow, cls=MontyEncoder)
    ids = submit_flow(flow, worker=word.get("worker", "local"), **word.get("more", {}))
    done[word["key"]] = {"flow": flow.uuid, "ids": [str(one) for one in ids]}
    with open(f"{sys.argv[2]}/{word['key']}.json", "w") as file:
        file.write(text)
print(json.dumps(done))
"""
"""Runs in the environment of the other release; writes each flow down, for ``run_locally``."""


def install(version: str, folder: Path) -> Path:
    """An environment with a release from PyPI; returns it. Takes a minute or two."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    wanted = [f"jobflow-remote=={version}"]
    if version.startswith("0."):
        wanted += ["typer==0.12.5", "click<8.2"]  # later ones do not work with it
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], check=True)
    return folder


@dataclass
class OldRelease:
    """A home with one project that works with another release, or with this one: ``bin`` has the ``jf``.

    A project file that is there is left as it is.
    """

    bin: Path
    folder: Path
    port: int
    database: str = "group"
    prefix: str = '""'
    max_jobs: int = 4
    workers: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gates.mkdir(parents=True, exist_ok=True)
        self.flows.mkdir(exist_ok=True)
        text = PROJECT.format(**vars(self), jobs=JOBS)
        if not self.project_file.exists():
            self.project_file.write_text(text)

    @property
    def gates(self) -> Path:
        return self.folder / "gates"

    @property
    def flows(self) -> Path:
        """Where submitted flows are written down."""
        return self.folder / "flows"

    @property
    def project_file(self) -> Path:
        return self.folder / "group.yaml"

    def environment(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.lower().startswith(("jfremote_", "python", "jobflow_"))
        }
        mine = {
            "JFREMOTE_PROJECTS_FOLDER": str(self.folder),
            "PYTHONPATH": str(JOBS),
            "PATH": f"{self.bin}{os.pathsep}{kept.get('PATH', '')}",
            "HOME": str(self.folder),
            "COLUMNS": "200",
        }
        return kept | mine | self.env

    def jf(
        self, *words: str, check: bool = True, answer: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``jf``."""
        return self._run([str(self.bin / "jf"), *words], check=check, answer=answer)

    def python(self, code: str, *words: str) -> Any:
        """Run Python code; what it prints last, as data."""
        done = self._run([str(self.bin / "python"), "-c", code, *words], check=True)
        return json.loads(done.stdout.splitlines()[-1])

    def _run(
        self, command: list[str], *, check: bool, answer: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=300,
            check=False, input=answer,
        )  # fmt: skip
        if check and done.returncode:
            said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            raise RuntimeError(f"{' '.join(command[:5])} ended with {done.returncode}:\n{said}")
        return done

    def submit(self, wanted: list[dict[str, Any]]) -> dict[str, Any]:
        """Submit flows: ``{"key", "shape", "gate", "worker", "more"}`` each; key → uuid of the flow and ids."""
        done: dict[str, Any] = self.python(_SUBMIT, json.dumps(wanted), str(self.flows))
        return done

    def open_gate(self, *names: str) -> None:
        """Let jobs go on."""
        for name in names:
            (self.gates / name).touch()

    # -- the runner ------------------------------------------------------------------------------------------

    def start(self, *options: str) -> None:
        """Start the runner."""
        self.jf("runner", "start", *options)
        wait_until(lambda: "running" in self.jf("runner", "status").stdout.split("status:")[-1], "it runs")

    def stop(self) -> None:
        """Shut the runner down and wait for its end."""
        processes = self.processes()
        self.jf("runner", "shutdown", check=False)
        _, alive = psutil.wait_procs(processes, timeout=60)
        for process in alive:
            process.kill()

    def kill(self) -> None:
        """``kill -9`` of the runner and its daemon, all at once."""
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)  # the daemon must not start the others anew
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=30)

    def processes(self) -> list[psutil.Process]:
        """supervisord and the processes of the runner (not the jobs, which are not their children any more)."""
        try:
            pid = int((self.folder / "group" / "daemon" / "supervisord.pid").read_text())
            top = psutil.Process(pid)
            return [top, *top.children()]
        except (OSError, ValueError, psutil.NoSuchProcess):
            return []

    # -- the database ----------------------------------------------------------------------------------------

    def client(self) -> MongoClient[Any]:
        return MongoClient("127.0.0.1", self.port)

    def states(self, flow: str | None = None) -> dict[str, int]:
        """State → number of jobs (of a flow)."""
        match = {"job.hosts": flow} if flow else {}
        with self.client() as client:
            rows = client[self.database].jobs.aggregate(
                [{"$match": match}, {"$group": {"_id": "$state", "n": {"$sum": 1}}}]
            )
            return {row["_id"]: row["n"] for row in rows}


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float = 120, pause: float = 0.2) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)
