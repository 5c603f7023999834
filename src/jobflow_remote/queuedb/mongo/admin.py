"""What administrators do: deleting, starting afresh, checking, copying."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from jobflow_remote.model.graph import edge_is_settled, settlement
from jobflow_remote.model.records import INPUT_FIELDS, Document, check_settable, tolerates_missing
from jobflow_remote.model.states import FlowState
from jobflow_remote.queuedb.mongo import schema, units
from jobflow_remote.queuedb.mongo.connection import Connection
from jobflow_remote.queuedb.mongo.inserting import resolve
from jobflow_remote.queuedb.mongo.ledger import JobRow, Ledger, add_up
from jobflow_remote.queuedb.mongo.plan import Plan
from jobflow_remote.queuedb.mongo.units import Unit


def reset(connection: Connection) -> None:
    """Remove everything; ids start at 1 again."""
    for collection in (connection.jobs, connection.flows, connection.batches, connection.intents):
        connection.announce("reset")
        collection.delete_many({})
    kept = [{"next_id": {"$exists": True}}, {"running_runner": {"$exists": True}}]
    connection.announce("reset")
    connection.auxiliary.delete_many({"$nor": kept})
    connection.auxiliary.update_one(kept[0], {"$set": {"next_id": 1}, "$inc": {"changes": 1}})
    connection.auxiliary.update_one(
        kept[1], {"$set": {"session": None, "running_runner": None, "processes": {}}}
    )


def delete_flows(connection: Connection, uuids: Sequence[str]) -> list[str]:
    """Remove flows with all their jobs; jobs of other flows do not wait for them any longer."""
    deletions = {uuid: partial(_deletion, connection, uuid=uuid) for uuid in uuids}
    return [uuid for uuid, deletion in deletions.items() if units.run(connection, [uuid], deletion)]


def _deletion(connection: Connection, unit: Unit, *, uuid: str) -> tuple[bool, Plan]:
    if uuid not in unit.flows:
        return False, Plan()
    ledger = Ledger(unit, connection.clock())
    gone = ledger.load({"flow_uuid": uuid})
    ledger.load_uuids(row.uuid for row in gone)
    ledger.load_children(row.uuid for row in gone)
    for row in gone:
        ledger.remove(row)
    resolve(ledger, reshaped=(), unsettled=[row.uuid for row in gone])
    plan = ledger.make_plan()
    plan.deleted_jobs = [row.id for row in gone]
    plan.flows = [item for item in plan.flows if item["uuid"] != uuid]
    plan.flows.append({"uuid": uuid, "delete": True})
    return True, plan


def change_flow(
    connection: Connection,
    uuid: str,
    fields: Mapping[str, Any],
    *,
    expect: frozenset[FlowState] | None,
) -> bool:
    """Write fields of a flow; see the port."""
    check_settable(fields)

    def body(unit: Unit) -> tuple[bool, Plan]:
        flow = unit.flows.get(uuid)
        if flow is None or (expect is not None and FlowState(flow["state"]) not in expect):
            return False, Plan()
        update = {"$set": dict(fields), "$inc": {"derived.rev": 1}, "$unset": {schema.TXN: ""}}
        return True, Plan(flows=[{"uuid": uuid, "update": update}])

    return units.run(connection, [uuid], body)


# -- integrity -----------------------------------------------------------------------------------------------


def check_integrity(connection: Connection) -> list[str]:
    """Everything derived, worked out from scratch and compared; a line for each difference."""
    query = {"state": {"$ne": schema.INCOMING}}
    inputs = dict.fromkeys(INPUT_FIELDS, 0)
    everything = _Everything([JobRow(document) for document in connection.jobs.find(query, inputs)])
    flows = list(connection.flows.find(query))
    counter = connection.auxiliary.find_one({"next_id": {"$exists": True}}) or {}
    return [
        *everything.check_jobs(),
        *everything.check_flows(flows),
        *everything.check_counter(counter.get("next_id")),
    ]


class _Everything:
    """All jobs, by what they are asked for."""

    def __init__(self, rows: list[JobRow]) -> None:
        self.rows = sorted(rows, key=lambda row: row.number)
        self.best: dict[str, JobRow] = {}
        for row in self.rows:
            other = self.best.get(row.uuid)
            if other is None or (not row.superseded, row.index) > (not other.superseded, other.index):
                self.best[row.uuid] = row
        self.inner = {
            (row.flow_uuid, parent) for row in self.rows if not row.superseded for parent in row.parents
        }

    def _is_open(self, parent: str, *, tolerant: bool) -> bool:
        row = self.best.get(parent)
        if row is None or row.superseded:
            return False
        return not edge_is_settled(settlement(row.state), tolerant=tolerant)

    def check_jobs(self) -> Iterator[str]:
        """What is derived in the jobs."""
        for row in self.rows:
            latest = self.best[row.uuid] is row
            leaf = latest and not row.superseded and (row.flow_uuid, row.uuid) not in self.inner
            tolerant = tolerates_missing(row.document.get("job") or {})
            open_parents = {parent for parent in row.parents if self._is_open(parent, tolerant=tolerant)}
            found = {
                "latest": row.latest,
                "leaf": row.leaf,
                "tolerant": row.tolerant,
                "open parents": row.open,
            }
            wanted = {"latest": latest, "leaf": leaf, "tolerant": tolerant, "open parents": open_parents}
            for name, value in wanted.items():
                if found[name] != value:
                    yield f"job {row.document['db_id']}: {name} is {found[name]}, should be {value}"

    def check_flows(self, flows: Sequence[Document]) -> Iterator[str]:
        """Counters, states and lists of the flows."""
        jobs: dict[str, list[JobRow]] = {}
        for row in self.rows:
            jobs.setdefault(row.flow_uuid, []).append(row)
        for flow in flows:
            yield from _check_flow(flow, jobs.pop(flow["uuid"], []))
        for uuid in jobs:
            yield f"flow {uuid} does not exist, but jobs name it"

    def check_counter(self, next_id: int | None) -> Iterator[str]:
        """The next id must be free."""
        highest = max((row.number for row in self.rows), default=0)
        if next_id is None or next_id <= highest:
            yield f"the next id would be {next_id}, and {highest} is in use"


def _check_flow(flow: Document, rows: Sequence[JobRow]) -> Iterator[str]:
    total: Counter[str] = Counter()
    parents: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        total.update(row.counted())
        parents.setdefault(row.uuid, {})[str(row.index)] = row.parents
    wanted = add_up({}, total) | {"db_number": rows[0].number if rows else None, "parents": parents}
    for name, value in wanted.items():
        if flow.get(name) != value:
            yield f"flow {flow['uuid']}: {name} is {flow.get(name)}, its jobs say {value}"
    if sorted(flow.get("jobs") or ()) != sorted(parents):
        yield f"flow {flow['uuid']}: its list of jobs is not that of its jobs"
    ids = sorted([row.document["db_id"], row.uuid, row.index] for row in rows)
    if sorted(flow.get("ids") or ()) != ids:
        yield f"flow {flow['uuid']}: its list of ids is not that of its jobs"
