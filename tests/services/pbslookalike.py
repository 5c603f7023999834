"""A look-alike of a PBS server, for tests: it is not PBS.

No package of OpenPBS, PBS Professional or Torque can be installed on Debian 12. This server runs real jobs on this
machine as the user who submits them, and ``qsub``, ``qselect``, ``qstat -f [-x]`` and ``qdel`` answer in the words,
formats and exit codes that were recorded from OpenPBS 23.06 (``tests/data/schedulers``). One queue (``workq``), one
host; walltime and memory limits are enforced, output is spooled and copied when a job is over, finished jobs are
remembered. No arrays, no dependencies, no placement.

    pbslookalike.py server SOCKET FOLDER        the server; SIGUSR1: nobody answers, SIGUSR2: it answers again
    pbslookalike.py COMMAND SOCKET [argument …] a client; also ``set SOCKET key=value``: max_queued, slots, history

Standard library only.
"""

from __future__ import annotations

import contextlib
import getopt
import json
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SERVER = "lookalike"
_TICK_SECONDS = 0.1
_KILL_SECONDS = 1.0
WALLTIME_KILL, MEMORY_KILL, DELETED = -29, -27, 271


class RefusedError(Exception):
    """What a command of PBS says, and its exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Job:
    """One job of the server."""

    number: int
    name: str
    owner: str
    script: str
    out: str
    err: str
    workdir: str
    resources: dict[str, str]
    held: bool = False
    state: str = "Q"
    comment: str = ""
    exit_status: int | None = None
    submitted: float = field(default_factory=time.time)
    started: float = 0.0
    verdict: int | None = None
    """Exit status that the server decided upon by killing it."""
    kill_at: float = 0.0
    used_kb: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def id(self) -> str:
        """As PBS writes it."""
        return f"{self.number}.{SERVER}"

    @property
    def memory_kb(self) -> int | None:
        """Memory asked for."""
        found = re.search(
            r"mem=(\d+)(kb|mb|gb)", self.resources.get("select", "") + ":" + self.resources.get("mem", "")
        )
        return int(found[1]) * {"kb": 1, "mb": 1024, "gb": 1024**2}[found[2]] if found else None

    @property
    def walltime(self) -> int | None:
        """Seconds asked for."""
        text = self.resources.get("walltime")
        if text is None:
            return None
        seconds = 0
        for part in text.split(":"):
            seconds = seconds * 60 + int(part)
        return seconds

    def describe(self) -> str:
        """As ``qstat -f`` shows it."""
        clock = time.ctime
        pairs: list[tuple[str, Any]] = [("Job_Name", self.name), ("Job_Owner", f"{self.owner}@{SERVER}")]
        if self.started:
            ran = time.strftime("%H:%M:%S", time.gmtime(max(0.0, time.time() - self.started)))
            pairs += [("resources_used.mem", f"{self.used_kb}kb"), ("resources_used.walltime", ran)]
        pairs += [
            ("job_state", self.state),
            ("queue", "workq"),
            ("server", SERVER),
            ("ctime", clock(self.submitted)),
        ]
        pairs += [("Error_Path", f"{SERVER}:{self.err}"), ("Hold_Types", "u" if self.held else "n")]
        pairs += [("Output_Path", f"{SERVER}:{self.out}"), ("qtime", clock(self.submitted))]
        pairs += [(f"Resource_List.{key}", value) for key, value in sorted(self.resources.items())]
        if self.memory_kb and "mem" not in self.resources:
            pairs.append(("Resource_List.mem", f"{self.memory_kb}kb"))
        pairs += [("Variable_List", f"PBS_O_WORKDIR={self.workdir},PBS_O_HOST={SERVER}")]
        pairs += [("comment", self.comment)] if self.comment else []
        pairs += [("Exit_status", self.exit_status)] if self.exit_status is not None else []
        return f"Job Id: {self.id}\n" + "".join(_fold(f"    {k} = {v}") for k, v in pairs) + "\n"


def _fold(line: str) -> str:
    parts = [line[:79]]
    rest = line[79:]
    while rest:
        parts.append(rest[:70])
        rest = rest[70:]
    return "\n\t".join(parts) + "\n"


class Server:
    """Jobs, and what commands do with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "spool").mkdir(parents=True, exist_ok=True)
        (folder / "spool").chmod(0o1777)
        self.jobs: dict[int, Job] = {}
        self.settings = {"max_queued": 0, "slots": 32, "history": 1}
        self.lock = threading.RLock()

    # -- commands --------------------------------------------------------------------------------------------------

    def answer(self, request: dict[str, Any], user: str) -> dict[str, Any]:
        """Output, error output and exit code of one command."""
        commands: dict[str, Callable[..., tuple[str, str, int]]] = {
            "qsub": self._qsub, "qstat": self._qstat, "qselect": self._qselect, "qdel": self._qdel, "set": self._set,
        }  # fmt: skip
        with self.lock:
            try:
                out, err, code = commands[request["command"]](request, user)
            except RefusedError as refused:
                out, err, code = "", f"{request['command']}: {refused}\n", refused.code
            except getopt.GetoptError as wrong:
                out, err, code = "", f"{request['command']}: {wrong}\n", 2
        return {"out": out, "err": err, "code": code}

    def _qsub(self, request: dict[str, Any], user: str) -> tuple[str, str, int]:
        letters = "N:o:e:l:q:hA:M:m:p:r:W:VS:j:v:P:"
        options, files = getopt.getopt(request["args"], letters)
        cwd = request["cwd"]
        script = request["stdin"]
        if files:
            with contextlib.suppress(OSError):
                script = Path(cwd, files[0]).read_text()
        if not script:
            raise RefusedError(1, "script file:: No such file or directory")
        written = [line[5:].split("#")[0].split() for line in script.splitlines() if line.startswith("#PBS ")]
        directives = [pair for words in written for pair in getopt.getopt(words, letters)[0]]
        given: dict[str, str] = {}
        resources: dict[str, str] = {}
        for key, value in [*directives, *options]:
            if key == "-l":
                resources |= dict(part.split("=", 1) for part in value.split(","))
            given[key] = value
        self._check(given, resources, user)
        number = max(self.jobs, default=0) + 1
        name = given.get("-N", Path(files[0]).name if files else "STDIN")
        paths = {k: str(Path(cwd, given.get(k) or f"{name}.{k[1]}{number}")) for k in ("-o", "-e")}
        job = Job(number, name, user, script, paths["-o"], paths["-e"], cwd, resources, held="-h" in given)
        job.state = "H" if job.held else "Q"
        self.jobs[number] = job
        return f"{job.id}\n", "", 0

    def _check(self, given: dict[str, str], resources: dict[str, str], user: str) -> None:
        if given.get("-q", "workq") != "workq":
            raise RefusedError(170, "Unknown queue")
        if "-N" in given and not re.fullmatch(r"[A-Za-z0-9_+.-]{1,230}", given["-N"]):
            raise RefusedError(1, "illegal -N value")
        if not re.fullmatch(r"[0-9]+(:[0-9]+){0,2}", resources.get("walltime", "1")):
            raise RefusedError(166, "Illegal attribute or resource value Resource_List.walltime")
        for key in resources.keys() - {"select", "place", "walltime", "ncpus", "mem", "nodes"}:
            raise RefusedError(187, f"Unknown resource: {key}")
        limit = self.settings["max_queued"]
        if limit and sum(job.owner == user and job.state != "F" for job in self.jobs.values()) >= limit:
            raise RefusedError(38, "would exceed complex's per-user limit")

    def _qselect(self, request: dict[str, Any], user: str) -> tuple[str, str, int]:
        options = dict(getopt.getopt(request["args"], "u:N:x")[0])
        found = [
            job.id
            for job in self.jobs.values()
            if (job.state != "F" or ("-x" in options and self.settings["history"]))
            and options.get("-u", job.owner) == job.owner
            and options.get("-N", job.name) == job.name
        ]
        return "".join(f"{number}\n" for number in found), "", 0

    def _qstat(self, request: dict[str, Any], user: str) -> tuple[str, str, int]:
        options, ids = getopt.getopt(request["args"], "fxw")
        past = ("-x", "") in options
        out, err, code = "", "", 0
        for number in ids or [job.id for job in self.jobs.values()]:
            job = self._find(number)
            if job is None or (job.state == "F" and not self.settings["history"]):
                err, code = err + f"qstat: Unknown Job Id {number}\n", 153
            elif job.state == "F" and not past:
                more = "Job has finished, use -x or -H to obtain historical job information"
                err, code = err + f"qstat: {job.id} {more}\n", 35
            else:
                out += job.describe()
        return out, err, code

    def _qdel(self, request: dict[str, Any], user: str) -> tuple[str, str, int]:
        err, code = "", 0
        for number in request["args"]:
            job = self._find(number)
            if job is None:
                err, code = err + f"qdel: Unknown Job Id {number}\n", 153
            elif job.state == "F":
                err, code = err + f"qdel: Job has finished {job.id}\n", 35
            elif job.process is None:
                job.comment = f"Job deleted by {user}@{SERVER}"
                self._finish(job, DELETED)
            else:
                job.comment += f" and terminated by {user}@{SERVER}"
                self._kill(job, DELETED)
        return "", err, code

    def _set(self, request: dict[str, Any], user: str) -> tuple[str, str, int]:
        for pair in request["args"]:
            key, _, value = pair.partition("=")
            self.settings[key] = int(value)
        return "", "", 0

    def _find(self, text: str) -> Job | None:
        number = text.partition(".")[0]
        return self.jobs.get(int(number)) if number.isdigit() else None

    # -- jobs ------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Start what may start, and look after what runs."""
        with self.lock:
            running = [job for job in self.jobs.values() if job.process is not None]
            for job in running:
                self._look_after(job)
            room = self.settings["slots"] - len(running)
            for job in [job for job in self.jobs.values() if job.state == "Q"]:
                if room > 0:
                    self._start(job)
                    room -= 1
                else:
                    job.comment = "Not Running: Insufficient amount of resource: ncpus"

    def _start(self, job: Job) -> None:
        entry = pwd.getpwnam(job.owner)
        script = self.folder / "spool" / f"{job.number}.SC"
        script.write_text(job.script)
        script.chmod(0o755)
        environment = {
            "HOME": entry.pw_dir, "USER": job.owner, "LOGNAME": job.owner, "SHELL": "/bin/bash", "PBS_JOBID": job.id,
            "PATH": "/usr/local/bin:/usr/bin:/bin", "PBS_O_WORKDIR": job.workdir, "PBS_JOBNAME": job.name,
        }  # fmt: skip
        other: dict[str, Any] = {"user": entry.pw_uid, "group": entry.pw_gid} if os.geteuid() == 0 else {}
        with self._spool(job, "OU").open("wb") as out, self._spool(job, "ER").open("wb") as err:
            job.process = subprocess.Popen(
                ["/bin/bash", str(script)], cwd=entry.pw_dir, env=environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=err, start_new_session=True, **other,
            )  # fmt: skip
        job.state, job.started = "R", time.time()
        when = time.strftime("%a %b %d at %H:%M", time.localtime(job.started))
        job.comment = f"Job run at {when} on ({SERVER}:ncpus=1)"

    def _spool(self, job: Job, kind: str) -> Path:
        return self.folder / "spool" / f"{job.number}.{kind}"

    def _look_after(self, job: Job) -> None:
        assert job.process is not None
        now = time.time()
        code = job.process.poll()
        if code is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.process.pid, signal.SIGKILL)
            status = code if code >= 0 else 128 - code
            if job.verdict is None and status:
                job.comment += " and failed"
            self._finish(job, status if job.verdict is None else job.verdict)
            return
        job.used_kb = max(job.used_kb, sum(_memory_kb(job.process.pid)))
        if job.kill_at and now >= job.kill_at:
            os.killpg(job.process.pid, signal.SIGKILL)
        elif job.verdict is None and job.walltime is not None and now - job.started > job.walltime:
            self._exceed(
                job, "walltime", WALLTIME_KILL, f"walltime {int(now - job.started)}", str(job.walltime)
            )
        elif job.verdict is None and job.memory_kb is not None and job.used_kb > job.memory_kb:
            self._exceed(job, "mem", MEMORY_KILL, f"mem {job.used_kb}kb", f"{job.memory_kb}kb")

    def _exceed(self, job: Job, what: str, verdict: int, used: str, limit: str) -> None:
        with self._spool(job, "ER").open("a") as err:
            err.write(f"=>> PBS: job killed: {used} exceeded limit {limit}\n")
        job.comment += f" and exceeded resource {what}"
        self._kill(job, verdict)

    def _kill(self, job: Job, verdict: int) -> None:
        assert job.process is not None
        job.verdict, job.kill_at = verdict, time.time() + _KILL_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.process.pid, signal.SIGTERM)

    def _finish(self, job: Job, status: int) -> None:
        for kind, target in (("OU", job.out), ("ER", job.err)):
            spooled = self._spool(job, kind)
            if spooled.exists():
                with contextlib.suppress(OSError):
                    shutil.copyfile(spooled, target)
                    shutil.chown(target, job.owner)
                spooled.unlink()
        job.state, job.exit_status, job.process = "F", status, None

    def kill_all(self) -> None:
        """No job outlives the server."""
        for job in self.jobs.values():
            if job.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(job.process.pid, signal.SIGKILL)


def _memory_kb(session: int) -> Iterator[int]:
    """Memory of each process of a session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                words = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(words[3]) == session:
                    yield int(words[21]) * os.sysconf("SC_PAGE_SIZE") // 1024


def serve(path: str, folder: Path) -> None:
    """Answer until SIGTERM."""
    server = Server(folder)
    ending = threading.Event()
    listening = threading.Event()
    listening.set()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    signal.signal(signal.SIGUSR1, lambda *_: listening.clear())
    signal.signal(signal.SIGUSR2, lambda *_: listening.set())
    door: socket.socket | None = None
    while not ending.is_set():
        if listening.is_set() and door is None:
            Path(path).unlink(missing_ok=True)
            door = socket.socket(socket.AF_UNIX)
            door.bind(path)
            os.chmod(path, 0o777)
            door.listen(64)
            door.settimeout(_TICK_SECONDS)
        elif not listening.is_set() and door is not None:
            door.close()
            door = None
        if door is None:
            time.sleep(_TICK_SECONDS)
        else:
            with contextlib.suppress(TimeoutError):
                _answer_one(server, door.accept()[0])
        server.tick()
    server.kill_all()


def _answer_one(server: Server, visitor: socket.socket) -> None:
    with visitor, visitor.makefile("rwb") as stream:
        visitor.settimeout(5)
        credentials = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        user = pwd.getpwuid(struct.unpack("3i", credentials)[1]).pw_name
        with contextlib.suppress(OSError):
            stream.write(json.dumps(server.answer(json.loads(stream.readline()), user)).encode() + b"\n")
            stream.flush()


def ask(command: str, path: str, arguments: Sequence[str]) -> int:
    """One command; prints the answer and returns its exit code."""
    door = socket.socket(socket.AF_UNIX)
    try:
        door.connect(path)
    except OSError:
        print(
            f"Connection refused\n{command}: cannot connect to server {SERVER} (errno=15010)", file=sys.stderr
        )
        return 255 if command == "qstat" else 162
    stdin = (
        sys.stdin.read() if command == "qsub" and not any(not a.startswith("-") for a in arguments) else ""
    )
    request = {"command": command, "args": list(arguments), "cwd": os.getcwd(), "stdin": stdin}
    with door, door.makefile("rwb") as stream:
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        answer = json.loads(stream.readline())
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return int(answer["code"])


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2], sys.argv[3:]))
