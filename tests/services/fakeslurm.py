"""A Slurm that takes every job at once and runs none, for measurements: three shell scripts and a folder.

:meth:`FakeSlurm.run_all` runs what was submitted, much cheaper than a node would: each job's script is the real
one, but its ``execution_cmd`` hands the run folder to a process that has imported jobflow already and forks.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.services.debian import wait_until

_SBATCH = """#!/bin/bash
while read -r line; do case $line in "#SBATCH --job-name="*) name=${line#*=}; break;; esac; done < "$1"
name=${name%\\"}; name=${name#\\"}
echo "$$|PENDING|Resources|10:00||$name" >> @FOLDER@/listing
echo "$$ $PWD" >> @FOLDER@/jobs
echo "Submitted batch job $$"
"""
_SQUEUE = """#!/bin/bash
[ ! -e @FOLDER@/listing ] || case "$*" in
*"%F %j"*) sed 's/|.*|/ /' @FOLDER@/listing;;
*" -j "*) ;;
*) cat @FOLDER@/listing;;
esac
"""
_SCONTROL = "#!/bin/bash\nexit 1\n"
_CLIENT = """import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode()); s.shutdown(1)
sys.exit(s.recv(1)[0])
"""
_SERVER = """import os, socket, sys, threading
import jobflow, maggma.stores, jobflow_remote.testing.jobs
from jobflow_remote.execution.run import run_job
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(64)
while True:
    c = s.accept()[0]
    pid = os.fork()
    if pid == 0:
        folder = b"".join(iter(lambda: c.recv(65536), b"")).decode()
        code = run_job(folder)
        c.sendall(bytes([code])); c.close(); os._exit(0)
    c.close()
    os.waitpid(pid, 0)
"""


class FakeSlurm:
    """Its commands are in :attr:`bin`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        for name, text in {"sbatch": _SBATCH, "squeue": _SQUEUE, "scontrol": _SCONTROL}.items():
            path = self.bin / name
            path.write_text(text.replace("@FOLDER@", str(folder)))
            path.chmod(0o755)
        (folder / "client.py").write_text(_CLIENT)

    @property
    def execution_cmd(self) -> str:
        """For the worker: hands the folder to :meth:`run_all`."""
        return f"{sys.executable} -I -S {self.folder}/client.py {self.folder}/socket {{}}"

    def submitted(self) -> list[tuple[str, str]]:
        """Ids and run folders, in order."""
        path = self.folder / "jobs"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]

    def run_all(self, *, pythonpath: str = "") -> None:
        """Run all that was submitted, then forget it: nothing is listed any more."""
        path = str(self.folder / "socket")
        env = {**os.environ, "PYTHONPATH": pythonpath}
        command = [sys.executable, "-c", _SERVER, path]
        nowhere = subprocess.DEVNULL
        server = subprocess.Popen(command, env=env, stdout=nowhere, stderr=nowhere, start_new_session=True)
        try:
            wait_until(lambda: _answers(path), 60, "the process that runs jobs listens")
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(self._run, self.submitted()))
        finally:
            server.kill()
            server.wait()
            Path(path).unlink(missing_ok=True)
        for name in ("listing", "jobs"):
            (self.folder / name).unlink()

    def _run(self, job: tuple[str, str]) -> None:
        number, folder = job
        command = f"cd {shlex.quote(folder)} && exec bash submit.sh > queue.out 2> queue.err"
        subprocess.run(["bash", "-c", command], env={**os.environ, "SLURM_JOB_ID": number}, check=False)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        probe.sendall(b"/nowhere")
        probe.shutdown(socket.SHUT_WR)
        return bool(probe.recv(1))
