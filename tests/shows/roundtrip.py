"""A queue with jobs in all states goes from SQLite to MongoDB and back: listings, outputs and files stay the same.

``round_trip(10_000, folder, 1)`` is the full size; ``python -m tests.shows.roundtrip`` runs it alone.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.services.mongod import Mongod
from tests.shows.verdict import Verdict, at_most, is_true, print_verdicts

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.project import Project
from jobflow_remote.control.migrate import Progress, Report, migrate, plan_migration, silent
from jobflow_remote.layout import run_folder
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, ExtraParents, JobChange
from jobflow_remote.model.records import (
    Document,
    JobRecord,
    NewFlow,
    new_flow_document,
    new_job_document,
)
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.moving import Digest
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.services.opened import Services

WORKERS = ("alpha", "beta", "gamma")
START = datetime(2026, 2, 3, 4, 5, 6, 789000)
_AT_ONCE = 250
_ENDS = (
    *[JobState.COMPLETED] * 10, JobState.FAILED, JobState.REMOTE_ERROR, JobState.READY, *sorted(lifecycle.ACTIVE),
)  # fmt: skip
"""What becomes of a job that was claimed."""
_HELD = (JobState.PAUSED, JobState.STOPPED, JobState.USER_STOPPED)


@dataclass(slots=True)
class Trip:
    """What was found."""

    jobs: int
    states: dict[str, int]
    differences: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)

    @property
    def missing_states(self) -> list[str]:
        """States that no job was in."""
        return sorted({state.value for state in JobState} - set(self.states))


# -- a queue with everything in it ---------------------------------------------------------------------------


@dataclass(slots=True)
class Builder:
    """Fills a queue database through the verbs of the port, as submissions, a runner and people would."""

    services: Services
    folder: Path
    chance: random.Random
    now: datetime = START

    @property
    def queue(self) -> QueueDatabase:
        """The queue database."""
        return self.services.queue

    def build(self, jobs: int) -> None:
        """Insert ``jobs`` jobs, and let them come to all states."""
        submitted = 0
        while submitted < jobs:
            size = min(self.chance.randint(1, 40), jobs - submitted)
            self.queue.insert_flow(self._flow(size))
            submitted += size
        token = self.queue.open_session({"hostname": "node", "user": "ada"}, lease_seconds=3600).token
        claimed = 0
        while claimed < jobs * 0.8:
            taken = [
                record
                for worker in WORKERS
                for record in self.queue.claim(token, worker=worker, limit=_AT_ONCE)
            ]
            if not taken:
                break
            claimed += len(taken)
            self._run(taken, token)
        self._hold_some()
        self.queue.close_session(token)
        self.queue.set_auxiliary("versions", {"jobflow_remote_version": "2.0.0", "jobflow_version": "0.3"})

    def _uuid(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    def _flow(self, size: int) -> NewFlow:
        flow_uuid = self._uuid()
        self.now += timedelta(milliseconds=self.chance.randint(1, 90_000))
        uuids: list[str] = []
        documents = []
        for _ in range(size):
            parents = self.chance.sample(uuids, min(len(uuids), self.chance.choice((0, 0, 1, 1, 2, 5))))
            uuid = self._uuid()
            documents.append(self._job(uuid, flow_uuid, parents))
            uuids.append(uuid)
        flow = new_flow_document(
            uuid=flow_uuid, name=f"flow ü {size}", now=self.now, metadata={"size": size, "when": self.now}
        )
        return NewFlow(flow, documents)

    def _job(self, uuid: str, flow_uuid: str, parents: Sequence[str], index: int = 1) -> Document:
        missing = self.chance.choice(("error", "error", "none", "pass"))
        job = {
            "@module": "jobflow.core.job", "@class": "Job", "uuid": uuid, "index": index,
            "name": self.chance.choice(("relax", "static", "phonon α")), "hosts": [flow_uuid],
            "function": {"@module": "builtins", "@callable": "sum", "@bound": None},
            "function_args": [self._value(3), {"@class": "OutputReference", "uuid": parents[0] if parents else uuid}],
            "function_kwargs": {"when": self.now, "raw": self.chance.randbytes(40), "numbers": self._value(2)},
            "config": {"on_missing_references": {"@class": "OnMissing", "value": missing}},
            "metadata": {"tag": self.chance.randint(0, 9), "since": self.now},
        }  # fmt: skip
        return new_job_document(
            job, flow_uuid=flow_uuid, worker=self.chance.choice(WORKERS), parents=parents, now=self.now,
            who="ada@node", priority=self.chance.choice((0, 0, 5, -3)),
            exec_config=self.chance.choice((None, "env", {"modules": ["vasp"], "export": {"A": "1"}})),
            resources=self.chance.choice((None, {"nodes": 2, "time": "01:00:00"})),
        )  # fmt: skip

    def _value(self, depth: int) -> Any:
        if depth == 0:
            return self.chance.choice(
                (None, True, -0.0, 1.0, 2**40, 1e-300, "é\U0001f600", float("inf"), "", {"$date": "no"})
            )
        return [{"a": self._value(depth - 1), "b.c": self.chance.random()} for _ in range(2)]

    # -- a runner's work ---------------------------------------------------------------------------------

    def _run(self, taken: Sequence[JobRecord], token: str) -> None:
        ends = {record.key: self.chance.choice(_ENDS) for record in taken}
        for step in (JobState.UPLOADED, JobState.SUBMITTED, JobState.RUNNING):
            self._apply([self._step(record, step, token) for record in taken if self.chance.random() < 0.7])
        self._write_outputs(
            [record for record in taken if ends[record.key] is JobState.COMPLETED and record.index == 1]
        )
        self._apply([self._end(record, ends[record.key], token) for record in taken])

    def _apply(self, change_sets: Sequence[ChangeSet]) -> None:
        for result in self.queue.apply(change_sets):
            assert result.applied, result.refusal

    def _step(self, record: JobRecord, state: JobState, token: str) -> ChangeSet:
        fields: dict[str, Any] = {"remote.queue_state": "RUNNING"}
        if state is JobState.UPLOADED:
            fields = {"run_dir": self._make_run_dir(record)}
        elif state is JobState.SUBMITTED:
            fields = {"remote.process_id": str(self.chance.randint(1, 99999))}
        return self._change(record, state, token, fields, event=state.value.lower())

    def _make_run_dir(self, record: JobRecord) -> str:
        folder = Path(run_folder(str(self.folder), record.uuid, record.index))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "queue.out").write_bytes(self.chance.randbytes(50))
        return str(folder)

    def _end(self, record: JobRecord, state: JobState, token: str) -> ChangeSet:
        fields: dict[str, Any] = {}
        more: dict[str, Any] = {}
        if state in (JobState.COMPLETED, JobState.FAILED):
            fields = {"start_time": self.now, "end_time": self.now + timedelta(seconds=1.5)}
        if state is JobState.COMPLETED:
            fields["stored_data"] = {"energy": self.chance.random(), "list": [1, "x", None]}
            more = self._response(record)
        elif state is JobState.FAILED:
            fields |= {"error": "Traceback …\n\tValueError: ß", "remote.queue_err": "killed"}
        elif state is JobState.REMOTE_ERROR:
            fields = {
                "previous_state": "UPLOADED", "remote.error": "refused", "remote.step_attempts": 3,
                "remote.retry_time_limit": self.now + timedelta(hours=1),
            }  # fmt: skip
        return self._change(record, state, token, fields, event="complete", **more)

    def _response(self, record: JobRecord) -> dict[str, Any]:
        """Now and then a job is replaced, or has a detour."""
        kind = self.chance.random()
        if kind < 0.03 and record.index == 1:
            return {"new_jobs": (self._job(record.uuid, record.flow_uuid, (), index=2),)}
        if kind < 0.06:
            uuid = self._uuid()
            detour = self._job(uuid, record.flow_uuid, [record.uuid])
            return {"new_jobs": (detour,), "extra_parents": (ExtraParents(record.uuid, (uuid,)),)}
        return {}

    def _change(
        self, record: JobRecord, state: JobState, token: str | None, fields: dict[str, Any], *, event: str, **more: Any
    ) -> ChangeSet:  # fmt: skip
        change = JobChange(
            record.uuid, record.index, frozenset(JobState), to=state, fields=fields, holder=token, event=event,
            who="runner" if token else "ada", why=self.chance.choice((None, "because")),
        )  # fmt: skip
        return ChangeSet(record.flow_uuid, (change,), **more)

    def _write_outputs(self, records: Sequence[JobRecord]) -> None:
        jobstore = self.services.outputs().jobstore
        documents, blobs = [], []
        for record in records:
            key = f"blob-{record.uuid}"
            blob = {
                "job_uuid": record.uuid,
                "job_index": 1,
                "blob_uuid": key,
                "data": [self.chance.random()] * 30,
            }
            documents.append({
                "uuid": record.uuid, "index": 1, "name": record.name, "metadata": {"db_id": record.db_id},
                "output": {"x": self._value(2), "big": {"@class": "list", "blob_uuid": key, "store": "data"}},
                "completed_at": self.now, "hosts": [record.flow_uuid], "@class": "JobStoreDocument",
            })  # fmt: skip
            if self.chance.random() < 0.3:
                blobs.append(blob)
        jobstore.docs_store.update(documents, key=["uuid", "index"])
        jobstore.additional_stores["data"].update(blobs, key="blob_uuid")

    def _hold_some(self) -> None:
        """What people do; and a rerun's superseded jobs."""
        waiting = self.queue.find_jobs({"state": {"$in": ["READY", "WAITING"]}}, sort=[("db_number", 1)])
        chosen = [JobRecord.from_document(job) for job in waiting if self.chance.random() < 0.4]
        sets = [self._change(each, self.chance.choice(_HELD), None, {}, event="stop") for each in chosen]
        sets += [
            self._change(each, JobState.STOPPED, None, {"superseded": True}, event="rerun")
            for each in chosen[::9]
        ]
        for start in range(0, len(sets), _AT_ONCE):
            self._apply(sets[start : start + _AT_ONCE])


# -- what people see -----------------------------------------------------------------------------------------


def look_at(services: Services) -> Iterator[tuple[str, Any]]:
    """What people and programs can ask, and the answer (as a digest where it is long)."""
    queue = services.queue
    yield "what is wrong with it", queue.check_integrity()
    yield "jobs by state", queue.count_job_states()
    yield "flows by state", queue.count_flow_states()
    yield "workload", queue.workload()
    yield "all jobs with inputs", _in_order(queue.find_jobs({}, sort=[("db_number", 1)], with_inputs=True))
    yield "all flows", _in_order(queue.find_flows({}, sort=[("db_number", 1)]))
    fields = ["db_id", "uuid", "index", "job.name", "state", "worker", "updated_on", "flow_uuid", "run_dir"]
    for path in ("updated_on", "created_on", "priority", "job.name", "state", "db_id"):
        found = queue.find_jobs({}, fields=fields, sort=[(path, -1)], limit=500)
        yield f"500 jobs by {path}", _in_order(found)
    for state in JobState:
        yield f"jobs that are {state.value}", _in_order(queue.find_jobs({"state": state.value}))
    odd = {"job.metadata.tag": {"$gt": 6}, "$or": [{"worker": "beta"}, {"remote.step_attempts": 3}]}
    yield "an odd filter", _in_order(queue.find_jobs(odd))
    yield "how many match it", queue.count_jobs(odd)
    yield "flows by date", queue.find_flows({}, fields=["uuid", "state"], sort=[("updated_on", -1)])
    flows = queue.find_flows({}, fields=["uuid"], sort=[("db_number", 1)])
    for flow in flows[:: max(1, len(flows) // 60)]:
        yield f"flow {flow['uuid']} with its lists", queue.get_flow(flow["uuid"])
    yield "next id", queue.get_auxiliary("next_id")
    yield "versions", queue.get_auxiliary("versions")
    yield from _look_at_outputs(services)
    yield "files", _look_at_files(queue)


def _in_order(documents: Sequence[Document]) -> tuple[int, str]:
    """Number and digest of documents, in which their order counts."""
    digest = Digest()
    for place, document in enumerate(documents):
        digest.add([place, document])
    return digest.count, digest.hex


def _look_at_outputs(services: Services) -> Iterator[tuple[str, Any]]:
    outputs = services.outputs()
    jobstore = outputs.jobstore
    blobs: list[str] = []
    for name, store in (("outputs", jobstore.docs_store), ("blobs", jobstore.additional_stores["data"])):
        digest = Digest()
        for document in store.query({}):
            digest.add({key: value for key, value in document.items() if key != "_id"})
            blobs += [document["blob_uuid"]] if "blob_uuid" in document else []
        yield name, (digest.count, digest.hex)
    for key in sorted(blobs)[:20]:
        yield f"output with {key}", outputs.get_output(key.removeprefix("blob-"), load=True)


def _look_at_files(queue: QueueDatabase) -> tuple[int, str]:
    """Every file in the run folder of every job."""
    digest, number = hashlib.sha256(), 0
    query = {"run_dir": {"$ne": None}}
    for job in queue.find_jobs(query, fields=["db_number", "run_dir"], sort=[("db_number", 1)]):
        for path in sorted(Path(job["run_dir"]).iterdir()):
            digest.update(f"{job['db_number']} {path}".encode() + path.read_bytes())
            number += 1
    return number, digest.hexdigest()[:16]


# -- the trip ------------------------------------------------------------------------------------------------


def sqlite_project(name: str, folder: Path) -> Project:
    """A project with everything in SQLite files."""
    workers = {worker: _worker(folder) for worker in WORKERS}
    return Project(name=name, base_dir=str(folder / name), workers=workers, exec_config={"env": {}})


def mongo_project(name: str, folder: Path, server: Mongod) -> Project:
    """A project with everything on a MongoDB server, blobs in GridFS."""
    place = {"host": "127.0.0.1", "port": server.port, "database": name}
    jobstore = {
        "docs_store": {"type": "MongoStore", "collection_name": "outputs", **place},
        "additional_stores": {"data": {"type": "GridFSStore", "collection_name": "blobs", **place}},
    }
    store = {"type": "MongoStore", "collection_name": "jobs", **place}
    workers = {worker: _worker(folder) for worker in WORKERS}
    return Project(
        name=name, base_dir=str(folder / name), workers=workers, exec_config={"env": {}},
        queue={"store": store}, jobstore=jobstore,
    )  # fmt: skip


def _worker(folder: Path) -> dict[str, str]:
    return {"type": "local", "scheduler_type": "shell", "work_dir": str(folder / "run")}


def round_trip(jobs: int, folder: Path, seed: int, *, progress: Progress = silent) -> Trip:
    """Build a queue of ``jobs`` jobs in all states with outputs and files, move it twice, and compare."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        server = Mongod(folder / "mongod").start()
        stack.callback(server.stop)
        projects = (
            sqlite_project("first", folder),
            mongo_project("second", folder, server),
            sqlite_project("third", folder),
        )
        stages = [stack.enter_context(services_of(project)) for project in projects]
        trip = Trip(jobs, {})
        timed = _timer(trip)
        timed("build", lambda: Builder(stages[0], folder / "run", random.Random(seed)).build(jobs))
        trip.states = stages[0].queue.count_job_states()
        seen = [timed("look", partial(_look, stages[0]))]
        for number, (one, other) in enumerate(pairwise(stages), 1):
            trip.reports.append(timed(f"move {number}", partial(_move, one, other, progress)))
            seen.append(timed("look", partial(_look, other)))
        for place, name in ((1, "MongoDB"), (2, "SQLite again")):
            trip.differences += _compare(seen[0], seen[place], name)
        trip.differences += _compare_claims(stages)
    return trip


def _look(services: Services) -> list[tuple[str, Any]]:
    return list(look_at(services))


def _move(source: Services, target: Services, progress: Progress) -> Report:
    return migrate(source, target, plan_migration(source, target), progress=progress)


def _timer(trip: Trip) -> Callable[[str, Callable[[], Any]], Any]:
    def timed(name: str, action: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        try:
            return action()
        finally:
            trip.seconds[name] = trip.seconds.get(name, 0.0) + time.perf_counter() - start

    return timed


def _compare(first: Sequence[tuple[str, Any]], other: Sequence[tuple[str, Any]], name: str) -> list[str]:
    if [question for question, _ in first] != [question for question, _ in other]:
        return [f"{name}: other questions could be asked"]
    return [
        f"{name}: {question}: {str(one)[:200]} became {str(two)[:200]}"
        for (question, one), (_, two) in zip(first, other, strict=True)
        if one != two
    ]


def _compare_claims(stages: Sequence[Services]) -> list[str]:
    """A runner takes the same jobs in the same order, wherever it starts."""
    orders = []
    for services in stages:
        queue = services.queue
        token = queue.open_session({"hostname": "other", "user": "ada"}, lease_seconds=60).token
        taken = [record for worker in WORKERS for record in queue.claim(token, worker=worker, limit=50)]
        due = queue.due(token, states=lifecycle.ACTIVE, worker=None, limit=50)
        orders.append([[record.key for record in records] for records in (taken, due)])
        queue.close_session(token)
    return (
        [] if orders[0] == orders[1] == orders[2] else ["a runner would take other jobs, or in another order"]
    )


def judge(trip: Trip, *, bound_seconds: float | None = None) -> list[Verdict]:
    """The lines for the table of the shows."""
    documents = sum(digest.count for digest in trip.reports[0].queue.values())
    outputs = sum(copied.digest.count for copied in trip.reports[0].outputs)
    what = f"{trip.jobs} jobs SQLite → MongoDB → SQLite"
    found = "; ".join(trip.differences[:3])
    lines = [
        is_true(f"{what}: all states", not trip.missing_states, figure=f"{len(trip.states)} states"),
        is_true(
            f"{what}: same listings, outputs, files ({documents} documents, {outputs} outputs and blobs)",
            not trip.differences,
            figure=found or "same",
            bound="same",
        ),
    ]
    if bound_seconds is not None:
        moves = trip.seconds["move 1"] + trip.seconds["move 2"]
        note = f"{moves:.0f} s of it moving"
        lines.append(at_most(f"{what}: time", sum(trip.seconds.values()), bound_seconds, "s", note=note))
    return lines


def main(words: Sequence[str]) -> int:
    """Run it alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        trip = round_trip(options.jobs, Path(folder), options.seed)
    print({name: round(seconds, 1) for name, seconds in trip.seconds.items()}, trip.states)
    for difference in trip.differences:
        print(difference)
    return 0 if print_verdicts("round trip", [(6, judge(trip, bound_seconds=180))]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
