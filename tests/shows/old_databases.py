"""Make the dumps in ``tests/data/upgrade``: a database that an old release left behind when its runner was killed.

``python -m tests.shows.old_databases --venv ENVIRONMENT --target tests/data/upgrade/1.0.1.json.gz``
"""

from __future__ import annotations

import argparse
import getpass
import gzip
import json
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from bson import json_util
from tests.services.mongod import Mongod
from tests.shows.old_release import JOBS, OldRelease, wait_until

HOME = "/home/somebody/group"
"""In a dump, the folder of the project."""
COLLECTIONS = ("jobs", "flows", "jf_auxiliary", "batches", "outputs", "outputs_blobs")
_PACKAGES = ("jobflow", "jobflow-remote", "maggma", "pymongo", "qtoolkit")
_MOVING = {
    "READY", "CHECKED_OUT", "UPLOADED", "SUBMITTED", "RUNNING", "RUN_FINISHED", "TERMINATED", "DOWNLOADED",
}  # fmt: skip
_RESULTS = ("jfremote_*.json", "remote_job_data.json", "additional_store_*.json", "queue.*")
WORKERS = """\
  away:
    type: remote
    host: 127.0.0.1
    port: 1
    user: somebody
    connect_timeout: 3
    scheduler_type: slurm
    work_dir: /scratch/somebody
  pilots:
    type: local
    scheduler_type: shell
    work_dir: {folder}/runs
    max_jobs: 1
    pre_run: |
      export PYTHONPATH={jobs} SWITCHING_GATES={folder}/gates
    batch:
      jobs_handle_dir: {folder}/handle
      work_dir: {folder}/pilots
      max_wait: 300
"""


def main() -> None:
    """Make one dump."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, required=True, help="environment with the old release")
    parser.add_argument("--target", type=Path, required=True, help="file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jfold-") as name:
        folder = Path(name)
        (folder / "mongod").mkdir()
        server = Mongod(folder / "mongod").start()
        try:
            make(arguments.venv, folder, server, arguments.target)
        finally:
            server.stop()


def make(venv: Path, folder: Path, server: Mongod, target: Path) -> None:
    """Let the old release work, kill it, and write down what is left."""
    workers = WORKERS.format(folder=folder, jobs=JOBS)
    old = OldRelease(venv / "bin", folder, server.port, workers=workers, prefix="g", max_jobs=40)
    old.jf("admin", "reset", "-f" if _is_legacy(old) else "-y")
    try:
        _live(old)
        dump = _read(old)
        old.open_gate("open")
        _let_end(old)
        dump["files"] = _read_results(old, dump)
    finally:
        old.kill()
        _end_pilots(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = _scrub(json_util.dumps(_shorten(dump), sort_keys=True), venv, folder)
    target.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB; {_count(dump)}")


def _is_legacy(old: OldRelease) -> bool:
    return bool(
        old.python("from importlib.metadata import version as v; print(int(v('jobflow-remote')[0] == '0'))")
    )


def _live(old: OldRelease) -> None:
    shapes = ("single", "chain", "fan", "nested", "large", "replacing", "detouring", "adding")
    old.submit([{"key": f"done {shape}", "shape": shape} for shape in (*shapes, "failing", "stopping")])
    lost = old.submit([{"key": "lost", "shape": "single", "worker": "away"}])
    old.jf("job", "set-state", "TERMINATED" if _is_legacy(old) else "RUN_FINISHED", lost["lost"]["ids"][0])
    held = old.submit([{"key": "paused", "shape": "chain"}, {"key": "stopped", "shape": "chain"}])
    old.jf("job", "pause", held["paused"]["ids"][0])
    old.jf("job", "stop", held["stopped"]["ids"][0])
    old.start()
    wait_until(lambda: not set(old.states()) & _MOVING, "the first flows have ended", seconds=240)
    old.submit([{"key": f"on {shape}", "shape": shape, "gate": "open"} for shape in shapes])
    old.submit(
        [{"key": f"pilot {n}", "shape": "single", "gate": "open", "worker": "pilots"} for n in range(3)]
    )
    wait_until(lambda: old.states().get("RUNNING", 0) >= len(shapes), "jobs run", seconds=120)
    wait_until(lambda: old.states().get("BATCH_RUNNING", 0) >= 1, "a pilot runs a job", seconds=120)
    more = {"more": {"priority": 5, "exec_config": "quiet", "resources": {"job_name": "mine"}}}
    old.submit([{"key": "unreachable", "shape": "single", "worker": "away"}])
    old.submit([{"key": f"late {n}", "shape": "single", **more} for n in range(12)])
    _kill_with_locks(old)
    old.submit([{"key": "new chain", "shape": "chain"}, {"key": "new fan", "shape": "fan"}])
    _leave_runner_locked(old)


def _kill_with_locks(old: OldRelease) -> None:
    """Stop the runner in a moment in which it has locked a job and a flow, and kill it there."""

    def locked() -> bool:
        with old.client() as client:
            database = client[old.database]
            which = {"lock_id": {"$ne": None}}
            return all(database[name].count_documents(which) for name in ("jobs", "flows"))

    _stop_when(locked, lambda: old.processes())
    old.kill()


def _stop_when(holds: Callable[[], bool], processes: Callable[[], list[psutil.Process]]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if holds():
            found = processes()
            for process in found:
                process.send_signal(signal.SIGSTOP)
            if holds():
                return
            for process in found:
                process.send_signal(signal.SIGCONT)
        time.sleep(0.002)
    print("the moment did not come")


def _leave_runner_locked(old: OldRelease) -> None:
    """Kill ``jf runner start`` while it has the document of the runner locked."""
    started = subprocess.Popen(
        [str(old.bin / "jf"), "runner", "start"], env=old.environment(), cwd=old.folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def locked() -> bool:
        with old.client() as client:
            which = {"running_runner": {"$exists": True}, "lock_id": {"$ne": None}}
            return bool(client[old.database].jf_auxiliary.count_documents(which))

    _stop_when(locked, lambda: [psutil.Process(started.pid), *old.processes()])
    started.kill()
    started.wait()
    old.kill()


def _read(old: OldRelease) -> dict[str, Any]:
    with old.client() as client:
        database = client[old.database]
        dump: dict[str, Any] = {name: list(database[name].find()) for name in COLLECTIONS}
        dump["indexes"] = {name: sorted(database[name].index_information()) for name in COLLECTIONS[:4]}
    for document in dump["jf_auxiliary"]:
        environment = document.get("full_environment")
        if environment:
            document["full_environment"] = {
                name: environment[name] for name in _PACKAGES if name in environment
            }
    return dump


def _in_flight(dump: dict[str, Any]) -> list[dict[str, Any]]:
    return [job for job in dump["jobs"] if job["run_dir"] and job["state"] not in ("COMPLETED", "FAILED")]


def _let_end(old: OldRelease) -> None:
    """Wait for the processes of jobs in flight."""

    def ended() -> bool:
        return not [p for p in psutil.process_iter(["cmdline"]) if "execution run " in _line(p, old.folder)]

    wait_until(ended, "the jobs in flight have ended")


def _line(process: psutil.Process, folder: Path) -> str:
    line = " ".join(process.info["cmdline"] or ())
    return line if str(folder) in line else ""


def _end_pilots(folder: Path) -> None:
    for process in psutil.process_iter(["cmdline"]):
        if "execution" in _line(process, folder):
            process.kill()


def _read_results(old: OldRelease, dump: dict[str, Any]) -> dict[str, str]:
    """The files of jobs in flight after their end, by their place in the folder of the project."""
    found = {}
    for job in _in_flight(dump):
        for pattern in _RESULTS:
            for path in Path(job["run_dir"]).glob(pattern):
                found[str(path.relative_to(old.folder))] = path.read_text()
    return found


def _shorten(value: Any) -> Any:
    """Tracebacks and warnings without the lines of the old release."""
    if isinstance(value, dict):
        return {key: _shorten(content) for key, content in value.items()}
    if isinstance(value, list):
        return [_shorten(item) for item in value]
    if isinstance(value, str) and "site-packages" in value and "\n" in value:
        return "\n".join(
            line for line in value.split("\n") if line[:1].strip() and "site-packages" not in line
        )
    return value


def _scrub(text: str, venv: Path, folder: Path) -> str:
    """Without the names of this machine and its people."""
    for found, neutral in (
        (str(folder), HOME),
        (str(JOBS), "/home/somebody/jobs"),
        (str(venv), "/opt/jobflow-remote"),
        (json.dumps(socket.gethostname()), '"workstation"'),
        (json.dumps(getpass.getuser()), '"somebody"'),
    ):
        text = text.replace(found, neutral)
    text = re.sub(r"/tmp/(run_jobflow[^\"\\]*)", r"/var/tmp/\1", text)
    return re.sub(r'"mac_address": "[^"]*"', '"mac_address": "02:00:00:00:00:00"', text)


def _count(dump: dict[str, Any]) -> str:
    states: dict[str, int] = {}
    for job in dump["jobs"]:
        states[job["state"]] = states.get(job["state"], 0) + 1
    locks = {
        name: sum(1 for d in dump[name] if d.get("lock_id")) for name in ("jobs", "flows", "jf_auxiliary")
    }
    return f"{states}, locks {locks}, batches {len(dump['batches'])}, files {len(dump['files'])}"


if __name__ == "__main__":
    main()
