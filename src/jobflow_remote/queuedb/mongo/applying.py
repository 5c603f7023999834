"""Change sets: what is checked, what is changed, and what follows.

Everything that can refuse a change set is asked before its first effect, so that a refused one leaves no trace and
many of them can be one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import (
    ApplyResult,
    ChangeSet,
    ExtraParents,
    Halt,
    HaltScope,
    JobChange,
    JobRemoval,
)
from jobflow_remote.model.graph import settlement
from jobflow_remote.model.records import INPUT_FIELDS
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.mongo.connection import Connection
from jobflow_remote.queuedb.mongo.inserting import Inserted, find_duplicate, insert_jobs, resolve
from jobflow_remote.queuedb.mongo.ledger import JobRow, Ledger
from jobflow_remote.queuedb.mongo.plan import Plan
from jobflow_remote.queuedb.mongo.sessions import current_token
from jobflow_remote.queuedb.mongo.units import Unit

_HALTED = (JobState.WAITING, JobState.READY)


def apply_change_sets(
    connection: Connection, unit: Unit, change_sets: Sequence[ChangeSet], *, prefix: str
) -> tuple[list[ApplyResult], Plan]:
    """Work out change sets in the order given; see the port."""
    ledger = Ledger(unit, connection.clock())
    _preload(ledger, change_sets)
    judge = _Judge(connection, unit, ledger)
    results = []
    for change_set in change_sets:
        refusal = judge.find_refusal(change_set)
        if refusal is None:
            results.append(_Application(connection, ledger, change_set, prefix).carry_out())
        else:
            results.append(ApplyResult(applied=False, refusal=refusal))
    return results, ledger.make_plan()


def _preload(ledger: Ledger, change_sets: Sequence[ChangeSet]) -> None:
    """Read in two queries what most change sets need, however many they are."""
    changes = [change for change_set in change_sets for change in change_set.changes]
    new = [document for change_set in change_sets for document in change_set.new_jobs]
    parents = {parent for document in new for parent in document["parents"]}
    gone = {removal.uuid for change_set in change_sets for removal in change_set.removals}
    ledger.load_uuids(
        {change.uuid for change in changes} | {document["uuid"] for document in new} | parents | gone
    )
    unsettled = gone | {extra.children_of for change_set in change_sets for extra in change_set.extra_parents}
    for change in changes:
        row = ledger.find(change.uuid, change.index)
        if row is not None and change.to is not None and settlement(change.to) != settlement(row.state):
            unsettled.add(change.uuid)
    ledger.load_children(unsettled | {document["uuid"] for document in new} | (parents if new else set()))


# -- what refuses --------------------------------------------------------------------------------------------


class _Judge:
    """Says why a change set cannot be carried out."""

    def __init__(self, connection: Connection, unit: Unit, ledger: Ledger) -> None:
        self._connection = connection
        self._unit = unit
        self._ledger = ledger
        self._token: list[str | None] = []

    def find_refusal(self, change_set: ChangeSet) -> str | None:
        """The reason, or None."""
        for change in change_set.changes:
            row = self._ledger.find(change.uuid, change.index)
            refusal = self._refuse(row, change) or self._refuse_holder(row, change)
            if refusal:
                return refusal
        for removal in change_set.removals:
            refusal = self._refuse(self._ledger.find(removal.uuid, removal.index), removal)
            if refusal:
                return refusal
        if change_set.new_jobs:
            if change_set.flow_uuid not in self._unit.flows:
                return f"flow {change_set.flow_uuid} does not exist (any more)"
            duplicate = find_duplicate(self._ledger, change_set.new_jobs, replacing=True)
            if duplicate:
                return f"new job {duplicate[0]} with index {duplicate[1]} exists already"
        return None

    @staticmethod
    def _refuse(row: JobRow | None, change: JobChange | JobRemoval) -> str | None:
        what = f"job {change.uuid} with index {change.index}"
        if row is None:
            return f"{what} does not exist (any more)"
        if row.state not in change.expect:
            return f"{what} is {row.state.value}, not {lifecycle.describe(change.expect)}"
        if change.attempt is not None and row.document.get("attempt") != change.attempt:
            return f"{what} is in another attempt by now"
        return None

    def _refuse_holder(self, row: JobRow | None, change: JobChange) -> str | None:
        claim = row.document.get("claim") if row else None
        if change.holder is None or claim == change.holder:
            return None
        what = f"job {change.uuid} with index {change.index}"
        if claim is not None:
            return f"{what} belongs to another runner session"
        if change.holder != self._present_token():
            return f"{what} belongs to nobody, and the runner session that asks has ended"
        return None

    def _present_token(self) -> str | None:
        if not self._token:
            self._token.append(current_token(self._connection, self._unit.session()))
        return self._token[0]


# -- what is changed -----------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _write_path(row: JobRow, path: str, value: Any) -> None:
    """Write a value at a dotted path; what is sent later is the field at the top (of the job: the one below)."""
    *above, last = path.split(".")
    node = row.document
    for part in above:
        below = node.get(part)
        node[part] = node = dict(below) if isinstance(below, dict) else {}
    node[last] = value
    parts = path.split(".")
    row.touched.add(".".join(parts[: 2 if parts[0] == "job" else 1]))


class _Application:
    """One change set being carried out."""

    def __init__(self, connection: Connection, ledger: Ledger, change_set: ChangeSet, prefix: str) -> None:
        self.connection = connection
        self.ledger = ledger
        self.change_set = change_set
        self.prefix = prefix
        self._unsettled: list[str] = []
        """uuids of which something else can be expected than before."""
        self._reshaped: list[str] = []
        """uuids that may have another latest index, or have become or ceased to be leaves."""
        self._waiting: list[JobRow] = []
        """Jobs that may have no open parent."""

    def carry_out(self) -> ApplyResult:
        """All effects, in the order that :class:`ChangeSet` names."""
        change_set, ledger = self.change_set, self.ledger
        for change in change_set.changes:
            self._change(change)
        for removal in change_set.removals:
            self._remove(removal)
        adopted = [(row, extra) for extra in change_set.extra_parents for row in self._find_children(extra)]
        inserted = self._insert()
        for row, extra in adopted:
            self._add_parents(row, extra.parents)
        for halt in change_set.halts:
            self._halt(halt)
        ready = resolve(
            ledger,
            reshaped=[*self._reshaped, *inserted.reshaped],
            unsettled=[*self._unsettled, *inserted.reshaped],
            waiting=self._waiting,
        )
        db_ids = tuple(str(row.document["db_id"]) for row in inserted.rows)
        return ApplyResult(applied=True, db_ids=db_ids, ready=inserted.ready + ready)

    def _insert(self) -> Inserted:
        documents = self.change_set.new_jobs
        if not documents:
            return Inserted()
        uuids = {document["uuid"] for document in documents}
        outer = {parent for document in documents for parent in document["parents"]} - uuids
        self.ledger.load_uuids(uuids | outer)
        self.ledger.load_children(uuids | outer)
        first = self.connection.reserve_numbers(len(documents))
        inserted = insert_jobs(self.ledger, documents, prefix=self.prefix, first=first)
        self._reshaped += outer
        return inserted

    def _change(self, change: JobChange) -> None:
        row = self.ledger.find(change.uuid, change.index)
        assert row is not None
        before = (row.state, row.superseded)
        for path, value in change.fields.items():
            if path.startswith(tuple(f"{field}." for field in INPUT_FIELDS)):
                raise ValueError(f"the inputs of a job can only be written as a whole ({path})")
            if path == "parents":
                self._reshaped += [*self.ledger.set_parents(row, value), *value]
                self._waiting.append(row)
            else:
                _write_path(row, path, _plain(value))
        now = self.ledger.now
        state = change.to or row.state
        if change.to is not None or change.event:
            row.enter(state, now, event=change.event, who=change.who, why=change.why)
        row.put("updated_on", now)
        if state not in lifecycle.ACTIVE:
            row.hold(None, now)
        elif change.to is not None or change.holder is not None:
            row.hold(change.holder, now)
        self.ledger.note(row)
        self._follow(row, before)

    def _remove(self, removal: JobRemoval) -> None:
        row = self.ledger.find(removal.uuid, removal.index)
        assert row is not None
        self._reshaped += [row.uuid, *row.parents]
        self._unsettled.append(row.uuid)
        self._waiting = [other for other in self._waiting if other is not row]
        self.ledger.take_out(row)

    def _follow(self, row: JobRow, before: tuple[JobState, bool]) -> None:
        state, superseded = before
        if settlement(row.state) != settlement(state) or row.superseded != superseded:
            self._unsettled.append(row.uuid)
        if row.superseded != superseded:
            self._reshaped += [row.uuid, *row.parents]
        if row.state is JobState.WAITING:
            self._waiting.append(row)

    def _find_children(self, extra: ExtraParents) -> list[JobRow]:
        return [row for row in self.ledger.children(extra.children_of) if not row.superseded]

    def _add_parents(self, row: JobRow, parents: Sequence[str]) -> None:
        present = row.parents
        added = [parent for parent in dict.fromkeys(parents) if parent not in present]
        if added:
            self.ledger.set_parents(row, [*present, *added])
            row.put("updated_on", self.ledger.now)
            self._reshaped += added

    def _halt(self, halt: Halt) -> None:
        for row in self._find_halted(halt):
            self.ledger.enter(
                row, JobState.STOPPED, event="halt", who="runner", why=f"job {halt.of} asked for it"
            )
            self._unsettled.append(row.uuid)

    def _find_halted(self, halt: Halt) -> list[JobRow]:
        if halt.scope is HaltScope.FLOW:
            flow_uuid = self.change_set.flow_uuid
            self.ledger.load({"flow_uuid": flow_uuid, "state": {"$in": [s.value for s in _HALTED]}})
            found = [row for row in self.ledger.rows() if row.flow_uuid == flow_uuid]
        else:
            found = self._find_descendants(halt.of)
        return [row for row in found if row.state in _HALTED and not row.superseded]

    def _find_descendants(self, uuid: str) -> list[JobRow]:
        found: dict[tuple[str, int], JobRow] = {}
        seen, frontier = {uuid}, [uuid]
        while frontier:
            self.ledger.load_children(frontier)
            rows = [row for parent in frontier for row in self.ledger.children(parent) if not row.superseded]
            found |= {(row.uuid, row.index): row for row in rows}
            frontier = list({row.uuid for row in rows} - seen)
            seen.update(frontier)
        return list(found.values())
