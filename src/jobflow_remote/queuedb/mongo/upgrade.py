"""Bring a database of jobflow-remote 0.1.x or 1.0.x up to date.

Flow by flow in bulk, jobs first: whatever has ``derived.rev`` is done, and every write is bound to its absence. So it
may be cut short at any write and repeated, and two that do it at once do no harm. No process of ours writes anything
else before the last write, which notes the schema. The rules are in :mod:`jobflow_remote.model.decide.upgrade`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import InsertOne, UpdateOne

from jobflow_remote.model.decide import upgrade as decide
from jobflow_remote.model.decide.upgrade import Survey, UpgradeOrder
from jobflow_remote.model.graph import edge_is_settled, settlement
from jobflow_remote.model.records import Document, history_entry, tolerates_missing
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.mongo import indexes, schema
from jobflow_remote.queuedb.mongo.connection import COUNTER, RUNNER, Connection
from jobflow_remote.queuedb.mongo.ledger import JobRow, add_up, ids_entry

Report = Callable[[int, int], None]
"""Called with the number of jobs that are done, and of all."""

_LEFT = {"derived.rev": None}
_LEGACY_BATCHES = {"batch_processes": {"$exists": True}}
_VERSIONS = {"jobflow_remote_version": {"$exists": True}}
_PINGS = {"runner_pings": {"$exists": True}}
_JOBS_AT_ONCE = 1000
_FLOWS_AT_ONCE = 200
_NAMED_AT_ONCE = 10_000


# -- looking -------------------------------------------------------------------------------------------------


def survey(connection: Connection) -> Survey | None:
    """What an older release left here; None: the database is up to date."""
    if connection.usable:
        return None
    jobs, flows, auxiliary = connection.jobs, connection.flows, connection.auxiliary
    versions = auxiliary.find_one(_VERSIONS) or {}
    runner = auxiliary.find_one(RUNNER) or {}
    legacy = auxiliary.find_one(_LEGACY_BATCHES)
    pings = (auxiliary.find_one(_PINGS) or {}).get("runner_pings") or []
    locked = {"lock_id": {"$ne": None}}
    return Survey(
        version=str(versions.get("jobflow_remote_version") or decide.FIRST_VERSION),
        jobflow_version=versions.get("jobflow_version"),
        environment=versions.get("full_environment") or {},
        jobs=jobs.count_documents({}),
        flows=flows.count_documents({}),
        jobs_left=jobs.count_documents(_LEFT),
        flows_left=flows.count_documents(_LEFT),
        renamed_states=jobs.count_documents(
            {"$or": [{"state": "RUN_FINISHED"}, {"previous_state": "RUN_FINISHED"}]}
        ),
        locked_jobs=jobs.count_documents(locked),
        locked_flows=flows.count_documents(locked),
        states=_count(jobs, "$state"),
        runner=runner.get("running_runner"),
        runner_locked=bool(runner.get("lock_id")),
        last_ping=max(pings, key=lambda ping: ping["time"], default=None),
        legacy_batches=None if legacy is None else legacy["batch_processes"] or {},
        batches=_count(connection.batches, "$batch_state"),
        former_indexes=len(indexes.find_former(connection)),
    )


def _count(collection: Any, by: str) -> dict[str, int]:
    rows = collection.aggregate([{"$group": {"_id": by, "number": {"$sum": 1}}}])
    return {str(row["_id"]): row["number"] for row in rows}


# -- writing -------------------------------------------------------------------------------------------------


def upgrade(connection: Connection, order: UpgradeOrder, *, prefix: str, report: Report) -> None:
    """Do what is left to be done; the database may be used when this returns."""
    _keep_runners_out(connection, order)
    indexes.drop_former(connection)
    indexes.create(connection)
    _name_flows(connection)
    _recover_flows(connection)
    _Documents(connection, order, prefix).write(report)
    _tidy_up(connection, order)
    connection.usable = True


def _keep_runners_out(connection: Connection, order: UpgradeOrder) -> None:
    """Lock the runner's document: a runner of the older release does not start then."""
    connection.announce("upgrade: runner")
    connection.auxiliary.update_one(
        RUNNER,
        {
            "$set": {
                "running_runner": None,
                "lock_id": f"upgrade by {order.who}",
                "lock_time": connection.clock(),
            },
            "$setOnInsert": {"_id": "running_runner"},
        },
        upsert=True,
    )


def _name_flows(connection: Connection) -> None:
    """Write ``flow_uuid``, which the steps that follow find jobs by: the outermost of the job's hosts."""
    hosts = {"$ifNull": ["$job.hosts", []]}
    outermost = {"$ifNull": [{"$arrayElemAt": [hosts, -1]}, "$uuid"]}
    left = {"flow_uuid": None}
    while some := [job["_id"] for job in connection.jobs.find(left, {"_id": 1}).limit(_NAMED_AT_ONCE)]:
        connection.announce("upgrade: flow_uuid")
        connection.jobs.update_many({"_id": {"$in": some}, **left}, [{"$set": {"flow_uuid": outermost}}])


def _recover_flows(connection: Connection) -> None:
    """Jobs whose flow is missing (a deletion was cut short) get one, so that people can see and delete them."""
    named = _count(connection.jobs, "$flow_uuid")
    present = {flow["uuid"] for flow in connection.flows.find({}, {"uuid": 1})}
    missing = sorted(set(named) - present)
    operations = []
    for uuid in missing:
        jobs = list(connection.jobs.find({"flow_uuid": uuid}, {"created_on": 1}))
        operations.append(InsertOne(decide.recovered_flow(uuid, jobs, connection.clock())))
    if operations:
        connection.announce("upgrade: flows")
        connection.flows.bulk_write(operations)


class _Documents:
    """The jobs and flows, in batches of flows."""

    def __init__(self, connection: Connection, order: UpgradeOrder, prefix: str) -> None:
        self.connection, self.order, self.prefix = connection, order, prefix
        counter = connection.auxiliary.find_one(COUNTER) or {}
        self.next_id = int(counter.get("next_id") or 1)

    def write(self, report: Report) -> None:
        """Write all that is left."""
        total = self.connection.jobs.estimated_document_count()
        done = total - self.connection.jobs.count_documents(_LEFT)
        report(done, total)
        for flows in self._batches():
            done += self._write_flows(flows)
            report(done, total)

    def _batches(self) -> Iterator[list[Document]]:
        """Flows that are left, so many that their jobs fit a batch (or one with more)."""
        batch: list[Document] = []
        size = 0
        for flow in self.connection.flows.find(_LEFT).sort("_id", 1).batch_size(_FLOWS_AT_ONCE):
            jobs = len(flow.get("ids") or ())
            if batch and (len(batch) == _FLOWS_AT_ONCE or size + jobs > _JOBS_AT_ONCE):
                yield batch
                batch, size = [], 0
            batch.append(flow)
            size += jobs
        if batch:
            yield batch

    def _write_flows(self, flows: Sequence[Document]) -> int:
        """Bring these flows up to date; returns how many jobs were left to do."""
        now = self.connection.clock()
        rows, left = self._load_jobs([flow["uuid"] for flow in flows], now)
        _derive(rows, self._outside(rows))
        operations = []
        for row in rows:
            if (row.uuid, row.index) not in left:
                continue
            if row.state is JobState.WAITING and not row.open:  # nobody told it that its parents have ended
                row.document["state"] = JobState.READY.value
                entry = history_entry(JobState.READY, now, event="parents_done", who=self.order.who)
                row.document["history"] = [*row.document["history"], entry]
            fields = left[row.uuid, row.index] | {key: row.document[key] for key in ("state", "history")}
            derived = row.insertable()["derived"]
            operations.append(UpdateOne({"_id": row.id, **_LEFT}, {"$set": {**fields, "derived": derived}}))
        self._write(self.connection.jobs, operations, "upgrade: jobs")
        by_flow: dict[str, list[JobRow]] = {}
        for row in rows:
            by_flow.setdefault(row.flow_uuid, []).append(row)
        self._write(
            self.connection.flows,
            [_flow_operation(flow, by_flow.get(flow["uuid"], [])) for flow in flows],
            "upgrade: flows",
        )
        return len(operations)

    def _write(self, collection: Any, operations: list[Any], what: str) -> None:
        if operations:
            self.connection.announce(what)
            collection.bulk_write(operations, ordered=False)

    def _load_jobs(
        self, uuids: list[str], now: datetime
    ) -> tuple[list[JobRow], dict[tuple[str, int], Document]]:
        """All jobs of these flows as they will be; and what is to be written to those that are left."""
        rows: list[JobRow] = []
        left: dict[tuple[str, int], Document] = {}
        for document in self.connection.jobs.find({"flow_uuid": {"$in": uuids}}, schema.CLAIMED):
            if (document.get("derived") or {}).get("rev") is None:
                fields = decide.upgrade_job(
                    document, prefix=self.prefix, next_id=self.next_id, now=now, order=self.order
                )
                left[document["uuid"], document["index"]] = fields
                document.update(fields)
            rows.append(JobRow(document))
        rows.sort(key=lambda row: (row.number, row.index))
        return rows, left

    def _outside(self, rows: Sequence[JobRow]) -> dict[str, list[JobRow]]:
        """Parents that belong to other flows."""
        wanted = {parent for row in rows for parent in row.parents} - {row.uuid for row in rows}
        found: dict[str, list[JobRow]] = {}
        if wanted:
            fields = {"uuid": 1, "index": 1, "state": 1, "superseded": 1}
            for document in self.connection.jobs.find({"uuid": {"$in": sorted(wanted)}}, fields):
                found.setdefault(document["uuid"], []).append(JobRow(document))
        return found


def _derive(rows: Sequence[JobRow], outside: Mapping[str, list[JobRow]]) -> None:
    """Work out which jobs are the latest of their uuid, which are leaves, and what each waits for."""
    by_uuid: dict[str, list[JobRow]] = {**outside}
    for row in rows:
        by_uuid.setdefault(row.uuid, []).append(row)
    best = {
        uuid: max(same, key=lambda row: (not row.superseded, row.index)) for uuid, same in by_uuid.items()
    }
    inner = {(row.flow_uuid, parent) for row in rows if not row.superseded for parent in row.parents}
    for row in rows:
        row.tolerant = tolerates_missing(row.document.get("job") or {})
        row.latest = best[row.uuid] is row
        row.leaf = row.latest and not row.superseded and (row.flow_uuid, row.uuid) not in inner
        row.open = {parent for parent in row.parents if _is_open(best.get(parent), tolerant=row.tolerant)}


def _is_open(parent: JobRow | None, *, tolerant: bool) -> bool:
    if parent is None or parent.superseded:
        return False
    return not edge_is_settled(settlement(parent.state), tolerant=tolerant)


def _flow_operation(flow: Document, rows: Sequence[JobRow]) -> UpdateOne:
    total: Counter[str] = Counter()
    parents: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        total.update(row.counted())
        parents.setdefault(row.uuid, {})[str(row.index)] = row.parents
    fields = {
        **decide.upgrade_flow(flow),
        **add_up({}, total),
        "db_number": min((row.number for row in rows), default=None),
        "jobs": list(parents),
        "ids": [ids_entry(row) for row in rows],
        "parents": parents,
        "derived": {"rev": 1},
    }
    return UpdateOne({"_id": flow["_id"], **_LEFT}, {"$set": fields})


def _tidy_up(connection: Connection, order: UpgradeOrder) -> None:
    """The auxiliary documents; from the last write on the database is ours."""
    auxiliary = connection.auxiliary
    connection.announce("upgrade: batches")
    auxiliary.delete_many(_LEGACY_BATCHES)
    connection.announce("upgrade: versions")
    auxiliary.update_one(
        _VERSIONS, {"$set": order.versions, "$setOnInsert": {"_id": "versions"}}, upsert=True
    )
    connection.announce("upgrade: session")
    auxiliary.update_one(RUNNER, {"$set": {"session": None}})
    highest = connection.jobs.find_one({}, {"db_number": 1}, sort=[("db_number", -1)])
    at_least = (int(highest["db_number"]) if highest else 0) + 1
    connection.announce("upgrade: schema")
    auxiliary.update_one(
        COUNTER,
        {
            "$max": {"next_id": at_least},
            "$inc": {"changes": 1},
            "$set": {"schema": schema.SCHEMA_VERSION},
        },
        upsert=True,
    )
    connection.announce("upgrade: unlock")
    auxiliary.update_one(RUNNER, {"$set": {"lock_id": None, "lock_time": None}})
