"""The same work on jobflow-remote 1.0.1, in a virtual environment of its own, with a mongod of its own.

    python3 -m venv REF
    REF/bin/pip install "jobflow-remote==1.0.1" "jobflow==0.4.0"
    python -m benchmarks --reference REF

The server is the one of the tests: a ``mongod`` in PATH, or that of the wheel which they install.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.fakeslurm import FakeSlurm
from tests.services.mongod import find_mongod

from benchmarks.home import PROJECT, Home, default_project
from benchmarks.measure import Figure, wait_until

_MONGO = """\
queue:
  store: {{type: MongoStore, host: 127.0.0.1, port: %(port)s, database: %(database)s, collection_name: jobs}}
jobstore:
  docs_store: {{type: MongoStore, host: 127.0.0.1, port: %(port)s, database: %(database)s, collection_name: outputs}}
%(more)s
"""
QUICK_DELAYS = """\
runner:
  delay_checkout: 1
  delay_check_run_status: 1
  delay_advance_status: 1
  delay_refresh_limited: 1
  delay_update_batch: 1
"""


ON_LOCAL = "on a local worker"
BY_SCRIPT = "on a local worker that starts each by a script"
ON_SCHEDULER = "on a worker with a scheduler"


@dataclass(frozen=True)
class Mongod:
    """A server that runs."""

    port: int
    client: Path
    """A python that has pymongo."""

    def evaluate(self, code: str, *words: str) -> Any:
        """Run code with ``db``, a pymongo client's database, and ``client``; it prints JSON."""
        head = (
            "import json, sys, pymongo\n"
            f"client = pymongo.MongoClient('127.0.0.1', {self.port})\ndb = client['{PROJECT}']\n"
        )
        done = subprocess.run(
            [str(self.client), "-c", head + code, *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return json.loads(done.stdout) if done.stdout.strip() else None

    def commands(self) -> int:
        """Commands carried out so far, without those that only keep connections alive."""
        code = (
            "seen = client.admin.command('serverStatus')['metrics']['commands']\n"
            "names = 'find findAndModify insert update delete aggregate count distinct getMore'.split()\n"
            "names += 'commitTransaction abortTransaction createIndexes listIndexes bulkWrite'.split()\n"
            "print(json.dumps(sum(int(seen.get(name, {}).get('total', 0)) for name in names)))"
        )
        return int(self.evaluate(code))


@contextmanager
def mongod(venv: Path) -> Iterator[Mongod]:
    """A server on a free port of this machine, with an empty database in a temporary folder, for ``venv``'s pymongo."""
    binary = find_mongod()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="jfb-mongo-"))
    command = [str(binary), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"]
    log = open(folder / "mongod.log", "wb")  # noqa: SIM115  # closed below
    server = subprocess.Popen(
        [*command, "--wiredTigerCacheSizeGB", "0.5"], stdout=log, stderr=subprocess.STDOUT
    )
    try:
        wait_until(lambda: _listens(port), timeout_seconds=60, what="mongod listens", every_seconds=0.1)
        yield Mongod(port, venv / "bin" / "python")
    finally:
        server.terminate()
        server.wait(60)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def reference_home(
    venv: Path,
    server: Mongod,
    *,
    quick: bool,
    max_jobs: int | None = None,
    label: str = "1.0.1",
    slurm: FakeSlurm | None = None,
    launch: str | None = None,
) -> Iterator[Home]:
    """A home with an initialised queue in MongoDB; ``quick``: delays of 1 s instead of the defaults.

    ``launch``: how a local worker starts jobs (not with 1.0.1).
    """
    more = _MONGO % {"port": server.port, "database": PROJECT, "more": QUICK_DELAYS if quick else ""}
    settings = {"pre_run": f"source {venv}/bin/activate", "max_jobs": max_jobs, "launch": launch}
    worker = "\n".join(f"{name}: {value}" for name, value in settings.items() if value)
    if slurm is not None:
        worker = f"scheduler_type: slurm\nexecution_cmd: {slurm.execution_cmd.replace('{}', '{{}}')}"
    server.evaluate("client.drop_database(db.name)")
    with Home(bin=venv / "bin", label=label, project_file=default_project(worker, more)) as home:
        home.jf("admin", "reset", "-y")
        yield home


def fill(home: Home, server: Mongod, jobs: int) -> None:
    """Bring the queue to ``jobs`` jobs, by copies of a flow that 1.0.1 itself has submitted."""
    if server.evaluate("print(db.flows.count_documents({}))") == 0:
        home.drive("submit", "wide", "100")
    server.evaluate(_COPY_CODE, str(jobs))


_COPY_CODE = """
from copy import deepcopy
from uuid import uuid4
wanted = int(sys.argv[1])
flow = db.flows.find_one()
jobs = list(db.jobs.find({'uuid': {'$in': flow['jobs']}}))
number = db.jobs.count_documents({})
while number < wanted:
    new = {old: str(uuid4()) for old in [flow['uuid'], *flow['jobs']]}
    text = {}
    copies = []
    for job in jobs:
        copy = deepcopy(job)
        number += 1
        copy.pop('_id')
        copy.update(uuid=new[job['uuid']], db_id=str(number))
        copy['job'].update(uuid=new[job['uuid']], hosts=[new[flow['uuid']]])
        copies.append(copy)
    whole = {key: value for key, value in flow.items() if key != '_id'}
    whole.update(uuid=new[flow['uuid']], jobs=[copy['uuid'] for copy in copies])
    whole['ids'] = [[copy['db_id'], copy['uuid'], copy['index']] for copy in copies]
    whole['parents'] = {copy['uuid']: {'1': []} for copy in copies}
    db.jobs.insert_many(copies)
    db.flows.insert_one(whole)
db.jf_auxiliary.update_one({'next_id': {'$exists': True}}, {'$set': {'next_id': number + 1}})
"""


def database_operations(
    home: Home, server: Mongod, *, jobs: int, timeout_seconds: float, where: str = ON_LOCAL
) -> list[Figure]:
    """Commands to mongod per job of a wide flow on a local worker, less those of an idle runner in the same time."""
    home.start()
    home.drive("run", "wide", "1", str(timeout_seconds))
    count = _Commands(server)
    home.drive("submit", "wide", str(jobs))
    submitted = count.used()
    count.begin()
    count.wait_until_done(timeout_seconds)
    used = count.used()
    home.shut_down()
    note = f"over {jobs} jobs of a wide flow, less those of an idle runner in the same time"
    return [
        Figure("database", f"commands to mongod per job, {where}", used / jobs, "", note),
        Figure(
            "database",
            "commands to mongod of an idle runner (poll, heartbeat)",
            count.rate,
            "/s",
            "over 10 s",
        ),
        Figure("database", "commands to mongod to submit one job", submitted / jobs, "", note),
    ]


def operations_of_batches(
    home: Home, server: Mongod, slurm: FakeSlurm, *, jobs: int, timeout_seconds: float
) -> Figure:
    """The same where a scheduler takes the jobs as they come and ends them together, as clusters do."""
    home.start()
    home.drive("submit", "wide", str(jobs))  # opens what is opened once
    slurm_takes = "print(db.jobs.count_documents({'state': {'$in': ['SUBMITTED', 'RUNNING']}}))"
    _wait_for_number(server, slurm_takes, jobs, timeout_seconds)
    slurm.run_all()
    count = _Commands(server, done=f"print({jobs} - db.jobs.count_documents({{'state': 'COMPLETED'}}))")
    count.wait_until_done(timeout_seconds)
    count = _Commands(server)
    home.drive("submit", "wide", str(jobs))
    submitted = count.used()
    count.begin()
    _wait_for_number(server, slurm_takes, jobs, timeout_seconds, asked=count)
    slurm.run_all()
    count.wait_until_done(timeout_seconds)
    used = count.used() + submitted
    home.shut_down()
    note = f"over {jobs} jobs, submission included, less those of an idle runner in the same time"
    return Figure("database", f"commands to mongod per job, {ON_SCHEDULER}", used / jobs, "", note)


def _wait_for_number(
    server: Mongod, code: str, number: int, timeout_seconds: float, asked: _Commands | None = None
) -> None:
    def arrived() -> bool:
        if asked is not None:
            asked.asked += 1
        return bool(server.evaluate(code) >= number)

    wait_until(arrived, timeout_seconds=timeout_seconds, what=f"{code}: {number}", every_seconds=2)


class _Commands:
    """Counts commands, less those of an idle runner (measured first, for 10 s) and our own."""

    def __init__(self, server: Mongod, done: str | None = None) -> None:
        self.server = server
        self.done = done or "print(db.jobs.count_documents({'state': {'$ne': 'COMPLETED'}}))"
        started, before = time.perf_counter(), server.commands()
        time.sleep(10)
        self.rate = (server.commands() - before) / (time.perf_counter() - started)
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self.started, self.before, self.asked = time.perf_counter(), self.server.commands(), 0

    def wait_until_done(self, timeout_seconds: float) -> None:
        """Ask every 2 s whether all jobs are COMPLETED."""

        def is_done() -> bool:
            self.asked += 1
            return bool(self.server.evaluate(self.done) == 0)

        wait_until(is_done, timeout_seconds=timeout_seconds, what="the flow is done", every_seconds=2)

    def used(self) -> float:
        """Since :meth:`begin`."""
        idle = self.rate * (time.perf_counter() - self.started)
        return self.server.commands() - self.before - self.asked - idle


def describe(venv: Path, server: Mongod) -> dict[str, str]:
    """Versions of what the reference consists of."""
    code = "from importlib.metadata import version as v; print(*map(v, ('jobflow-remote', 'jobflow', 'pymongo')))"
    words = subprocess.run(
        [str(venv / "bin" / "python"), "-c", code], capture_output=True, text=True, check=True
    )
    names = dict(zip(("jobflow-remote", "jobflow", "pymongo"), words.stdout.split(), strict=True))
    names["mongod"] = str(server.evaluate("print(json.dumps(client.server_info()['version']))"))
    names["measured by"] = sys.version.split()[0]
    return names
