"""Change sets: what is checked, what is written, and what follows, in one transaction.

Everything that can refuse a change set is asked before its first write, so that a refused one leaves no
trace and many of them can share a transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
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
from jobflow_remote.model.records import INPUT_FIELDS
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.sqlite import edges
from jobflow_remote.queuedb.sqlite.inserting import find_duplicate, insert_jobs, resolve
from jobflow_remote.queuedb.sqlite.ledger import JobRow, Ledger
from jobflow_remote.queuedb.sqlite.rows import set_path
from jobflow_remote.queuedb.sqlite.sessions import current_token

_HALTED = (JobState.WAITING, JobState.READY)


def apply_change_sets(
    connection: sqlite3.Connection, change_sets: Sequence[ChangeSet], *, prefix: str, now: datetime
) -> list[ApplyResult]:
    """Carry out change sets in the order given; see the port."""
    ledger = Ledger(connection, now)
    token = current_token(connection)
    results = []
    for change_set in change_sets:
        refusal = _find_refusal(ledger, change_set, token)
        if refusal is None:
            results.append(_Application(ledger, change_set, prefix).carry_out())
        else:
            results.append(ApplyResult(applied=False, refusal=refusal))
    ledger.finish()
    return results


# -- what refuses --------------------------------------------------------------------------------------------


def _find_refusal(ledger: Ledger, change_set: ChangeSet, token: str | None) -> str | None:
    for change in change_set.changes:
        row = ledger.find(change.uuid, change.index)
        refusal = _refuse(row, change) or _refuse_holder(row, change, token)
        if refusal:
            return refusal
    for removal in change_set.removals:
        refusal = _refuse(ledger.find(removal.uuid, removal.index), removal)
        if refusal:
            return refusal
    if change_set.new_jobs:
        if not ledger.query("SELECT 1 FROM flows WHERE uuid = ?", change_set.flow_uuid):
            return f"flow {change_set.flow_uuid} does not exist (any more)"
        duplicate = find_duplicate(ledger.connection, change_set.new_jobs, replacing=True)
        if duplicate:
            return f"new job {duplicate[0]} with index {duplicate[1]} exists already"
    return None


def _refuse(row: JobRow | None, change: JobChange | JobRemoval) -> str | None:
    what = f"job {change.uuid} with index {change.index}"
    if row is None:
        return f"{what} does not exist (any more)"
    if row.state not in change.expect:
        return f"{what} is {row.state.value}, not {lifecycle.describe(change.expect)}"
    if change.attempt is not None and row.document.get("attempt") != change.attempt:
        return f"{what} is in another attempt by now"
    return None


def _refuse_holder(row: JobRow | None, change: JobChange, token: str | None) -> str | None:
    claim = row.document.get("claim") if row else None
    if change.holder is None or claim == change.holder:
        return None
    what = f"job {change.uuid} with index {change.index}"
    if claim is not None:
        return f"{what} belongs to another runner session"
    if change.holder != token:
        return f"{what} belongs to nobody, and the runner session that asks has ended"
    return None


# -- what is written -----------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


class _Application:
    """One change set being carried out."""

    def __init__(self, ledger: Ledger, change_set: ChangeSet, prefix: str) -> None:
        self.ledger = ledger
        self.change_set = change_set
        self.prefix = prefix
        self._unsettled: list[str] = []
        """uuids whose jobs changed state: their edges must be looked at."""
        self._reshaped: list[str] = []
        """uuids that may have another latest index, or have become or ceased to be leaves."""
        self._waiting: set[int] = set()
        """Jobs that may have no open parent."""

    def carry_out(self) -> ApplyResult:
        """All effects, in the order that :class:`ChangeSet` names."""
        change_set, ledger = self.change_set, self.ledger
        for change in change_set.changes:
            self._change(change)
        ledger.flush()
        for removal in change_set.removals:
            self._remove(removal)
        adopted = [child for extra in change_set.extra_parents for child in self._find_children(extra)]
        inserted = insert_jobs(ledger, change_set.new_jobs, prefix=self.prefix)
        if inserted.db_ids:
            ledger.gain(change_set.flow_uuid, inserted.gain, grown=True)
        for number, parents in adopted:
            self._add_parents(ledger.get(number), parents)
        ledger.flush()
        for halt in change_set.halts:
            self._halt(halt)
        ready = resolve(
            ledger,
            reshaped=[*self._reshaped, *inserted.reshaped],
            unsettled=[*self._unsettled, *inserted.reshaped],
            waiting=self._waiting,
        )
        return ApplyResult(applied=True, db_ids=tuple(inserted.db_ids), ready=inserted.ready + ready)

    def _change(self, change: JobChange) -> None:
        row = self.ledger.find(change.uuid, change.index)
        assert row is not None
        before = (row.state, row.superseded)
        for path, value in change.fields.items():
            if path in INPUT_FIELDS:
                self.ledger.write_input(row, path.removeprefix("job."), value)
                continue
            if path.startswith(tuple(f"{field}." for field in INPUT_FIELDS)):
                raise ValueError(f"the inputs of a job can only be written as a whole ({path})")
            set_path(row.document, path, _plain(value))
        state = change.to or row.state
        if change.to is not None or change.event:
            row.enter(state, self.ledger.now, event=change.event, who=change.who, why=change.why)
        row.touch(self.ledger.now)
        if state not in lifecycle.ACTIVE:
            row.hold(None, self.ledger.now)
        elif change.to is not None or change.holder is not None:
            row.hold(change.holder, self.ledger.now)
        self.ledger.note(row)
        self._follow(row, before, change)

    def _remove(self, removal: JobRemoval) -> None:
        row = self.ledger.find(removal.uuid, removal.index)
        assert row is not None
        self._reshaped += [removal.uuid, *edges.find_parents(self.ledger, row.number)]
        self._unsettled.append(removal.uuid)
        self._waiting.discard(row.number)
        self.ledger.remove(row)

    def _follow(self, row: JobRow, before: tuple[JobState, bool], change: JobChange) -> None:
        uuid = change.uuid
        if "parents" in change.fields:
            self.ledger.flush()
            former = edges.replace_edges(self.ledger, row, row.document["parents"])
            self._reshaped += [*former, *row.document["parents"]]
            self._waiting.add(row.number)
        if (row.state, row.superseded) != before:
            self._unsettled.append(uuid)
        if row.superseded != before[1]:
            self._reshaped += [uuid, *edges.find_parents(self.ledger, row.number)]
        if row.state is JobState.WAITING:
            self._waiting.add(row.number)

    def _find_children(self, extra: ExtraParents) -> list[tuple[int, tuple[str, ...]]]:
        rows = self.ledger.query(
            "SELECT child FROM edges JOIN jobs ON jobs.db_number = edges.child "
            "WHERE edges.parent = ? AND jobs.superseded = 0",
            extra.children_of,
        )
        return [(child, extra.parents) for (child,) in rows]

    def _add_parents(self, row: JobRow, parents: Sequence[str]) -> None:
        present = list(row.document.get("parents") or ())
        added = [parent for parent in dict.fromkeys(parents) if parent not in present]
        if added:
            edges.add_edges(self.ledger, row, added, first=len(present))
            row.document["parents"] = present + added
            row.touch(self.ledger.now)
            self.ledger.note(row)
            self._reshaped += added

    def _halt(self, halt: Halt) -> None:
        for number in self._find_halted(halt):
            row = self.ledger.get(number)
            self.ledger.enter(
                row, JobState.STOPPED, event="halt", who="runner", why=f"job {halt.of} asked for it"
            )
        self.ledger.flush()

    def _find_halted(self, halt: Halt) -> list[int]:
        if halt.scope is HaltScope.FLOW:
            rows = self.ledger.query(
                "SELECT db_number FROM jobs WHERE flow_uuid = ? AND state IN (?, ?) AND superseded = 0",
                self.change_set.flow_uuid,
                *_HALTED,
            )
            return [number for (number,) in rows]
        halted: dict[int, None] = {}
        seen, frontier = {halt.of}, [halt.of]
        while frontier:
            rows = self.ledger.query(
                "SELECT jobs.db_number, jobs.uuid, jobs.state FROM json_each(?) AS wanted "
                "CROSS JOIN edges ON edges.parent = wanted.value CROSS JOIN jobs ON jobs.db_number = edges.child "
                "WHERE jobs.superseded = 0",
                json.dumps(frontier),
            )
            halted |= {number: None for number, _, state in rows if state in _HALTED}
            frontier = list({uuid for _, uuid, _ in rows} - seen)
            seen.update(frontier)
        return list(halted)
