"""What one change knows: the jobs that it has read or changed, who waits for whom, and what the flows become.

Jobs are loaded by uuid, by parent and by flow; questions are answered from memory, so that later parts of a change
see the earlier ones. Nothing is written here: :meth:`Ledger.make_plan` says what is to be written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from jobflow_remote.model import lifecycle
from jobflow_remote.model.graph import Settlement, edge_is_settled, flow_state, settlement
from jobflow_remote.model.records import HISTORY_LENGTH, Document, history_entry
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.mongo import schema
from jobflow_remote.queuedb.mongo.plan import Plan
from jobflow_remote.queuedb.mongo.units import NeedFlows, Unit


class JobRow:
    """A job inside a change: its document and what is derived from it."""

    __slots__ = (
        "_before", "_counted", "_open_before", "document", "entries", "id", "is_new", "latest", "leaf", "open", "rev",
        "tolerant", "touched",
    )  # fmt: skip

    def __init__(self, document: Document, *, is_new: bool = False) -> None:
        derived = document.pop("derived", None) or {}
        self.id = document.pop("_id", None)
        self.document = document
        self.rev: int | None = derived.get("rev")
        self.tolerant = bool(derived.get("tolerant"))
        self.latest = bool(derived.get("latest"))
        self.leaf = bool(derived.get("leaf"))
        self.open = set(derived.get("open_parents") or ())
        self.is_new = is_new
        self.touched: set[str] = set()
        self.entries: list[Document] = []
        self._before = (self.latest, self.leaf)
        self._open_before = frozenset(self.open)
        self._counted = Counter[str]() if is_new else self.counted()

    @property
    def uuid(self) -> str:
        """uuid of the job."""
        return str(self.document["uuid"])

    @property
    def index(self) -> int:
        """Which of the jobs with this uuid."""
        return int(self.document["index"])

    @property
    def number(self) -> int:
        """For a stable order."""
        return int(self.document.get("db_number") or 0)

    @property
    def flow_uuid(self) -> str:
        """The flow."""
        return str(self.document["flow_uuid"])

    @property
    def state(self) -> JobState:
        """Present state, with the changes made so far."""
        return JobState(self.document["state"])

    @property
    def superseded(self) -> bool:
        """Whether a rerun of its parent replaced the job."""
        return bool(self.document.get("superseded"))

    @property
    def parents(self) -> list[str]:
        """uuids that it waits or waited for."""
        return list(self.document.get("parents") or ())

    def counted(self) -> Counter[str]:
        """What the job adds to the counters of its flow."""
        if self.superseded:
            return Counter()
        counted = Counter({self.state.value: 1, "n_jobs": 1})
        if self.leaf:
            counted["leaves"] = 1
            counted["leaves_completed"] = int(self.state is JobState.COMPLETED)
        return counted

    def gain(self, *, gone: bool = False) -> Counter[str]:
        """What the flow's counters gain by the change."""
        gained = Counter[str]() if gone else self.counted()
        gained.subtract(self._counted)
        return gained

    def put(self, name: str, value: Any) -> None:
        """Write a field (top level)."""
        self.document[name] = value
        self.touched.add(name)

    def enter(self, state: JobState, now: datetime, *, event: str, who: str, why: str | None = None) -> None:
        """Put the job in a state (or write in its history that it stays)."""
        self.put("state", state.value)
        self.entries.append(history_entry(state, now, event=event, who=who, why=why))
        self.put("updated_on", now)

    def hold(self, holder: str | None, now: datetime) -> None:
        """Give the job to a session, or to nobody."""
        if self.document.get("claim") != holder or self.document.get("lock_id") != holder:
            self.put("claim", holder)
            self.put("lock_id", holder)
            self.put("lock_time", now if holder else None)

    def insertable(self) -> Document:
        """The whole document of a new job."""
        derived = {
            "rev": (self.rev or 0) + 1,
            "share": schema.share_of(self.uuid),
            "tolerant": self.tolerant,
            "latest": self.latest,
            "leaf": self.leaf,
            "open_parents": [parent for parent in self.parents if parent in self.open],
        }
        history = [*(self.document.get("history") or ()), *self.entries][-HISTORY_LENGTH:]
        return {**self.document, "history": history, "derived": derived}

    def update(self) -> Document | None:
        """What is to be changed in the stored document; None if nothing is."""
        sets = {path: _at(self.document, path) for path in sorted(self.touched)}
        pulls: Document = {}
        for name, before, now in zip(("latest", "leaf"), self._before, (self.latest, self.leaf), strict=True):
            if before != now:
                sets[f"derived.{name}"] = now
        if self.open != self._open_before:
            if self.open < self._open_before:
                pulls["derived.open_parents"] = {"$in": sorted(self._open_before - self.open)}
            else:
                sets["derived.open_parents"] = sorted(self.open)
        if not sets and not pulls and not self.entries:
            return None
        update: Document = {"$inc": {"derived.rev": 1}}
        if sets:
            update["$set"] = sets
        if pulls:
            update["$pull"] = pulls
        if self.entries:
            update["$push"] = {"history": {"$each": self.entries, "$slice": -HISTORY_LENGTH}}
        return update


def _at(document: Document, path: str) -> Any:
    name, _, below = path.partition(".")
    return (document.get(name) or {}).get(below) if below else document.get(name)


class Ledger:
    """The jobs and flows of one change."""

    def __init__(self, unit: Unit, now: datetime) -> None:
        self.unit = unit
        self.now = now
        self._rows: dict[tuple[str, int], JobRow] = {}
        self._by_uuid: dict[str, list[JobRow]] = {}
        self._by_parent: dict[str, list[JobRow]] = {}
        self._known_uuids: set[str] = set()
        self._known_parents: set[str] = set()
        self._changed: dict[tuple[str, int], JobRow] = {}
        self._dropped: list[JobRow] = []
        self._removed: list[JobRow] = []
        self._gone: set[Any] = set()
        """``_id`` of those: they are in the database until the change is carried out."""
        self._new: list[JobRow] = []
        self._rewritten: dict[tuple[str, int], JobRow] = {}
        self._grown: set[str] = set()

    # -- loading ---------------------------------------------------------------------------------------------

    def load(self, query: Document, projection: Document | None = None) -> list[JobRow]:
        """Jobs that match in the database, as they are here.

        Raises
        ------
        NeedFlows
            If one of them belongs to a flow that the change does not hold: it could change meanwhile.
        """
        documents = self.unit.read(query, projection or schema.HEAD)
        foreign = {document["flow_uuid"] for document in documents} - self.unit.held
        if foreign:
            raise NeedFlows(foreign)
        return [
            self._add(document)
            for document in documents
            if document["state"] != schema.INCOMING and document["_id"] not in self._gone
        ]

    def _add(self, document: Document) -> JobRow:
        key = (document["uuid"], document["index"])
        known = self._rows.get(key)
        if known is None:
            known = JobRow(document)
            self._enlist(known)
        return known

    def _enlist(self, row: JobRow) -> None:
        self._rows[row.uuid, row.index] = row
        self._by_uuid.setdefault(row.uuid, []).append(row)
        for parent in row.parents:
            self._by_parent.setdefault(parent, []).append(row)

    def load_uuids(self, uuids: Iterable[str]) -> None:
        """Have all jobs with these uuids here."""
        missing = set(uuids) - self._known_uuids
        if missing:
            self.load({"uuid": {"$in": sorted(missing)}})
            self._known_uuids |= missing

    def load_children(self, uuids: Iterable[str]) -> None:
        """Have all jobs that wait or waited for these uuids here."""
        missing = set(uuids) - self._known_parents
        if missing:
            self.load({"parents": {"$in": sorted(missing)}})
            self._known_parents |= missing

    # -- questions -------------------------------------------------------------------------------------------

    def find(self, uuid: str, index: int) -> JobRow | None:
        """A job by its key."""
        self.load_uuids([uuid])
        return self._rows.get((uuid, index))

    def of_uuid(self, uuid: str) -> list[JobRow]:
        """All jobs with a uuid."""
        self.load_uuids([uuid])
        return list(self._by_uuid.get(uuid, ()))

    def children(self, uuid: str) -> list[JobRow]:
        """Jobs that wait or waited for a uuid, in the order of their numbers."""
        self.load_children([uuid])
        return sorted(self._by_parent.get(uuid, ()), key=lambda row: row.number)

    def rows(self) -> Iterator[JobRow]:
        """All jobs that are here."""
        return iter(list(self._rows.values()))

    def settlement(self, uuid: str) -> Settlement:
        """What can be expected of a uuid; one that no database knows counts as done."""
        present = [row for row in self.of_uuid(uuid) if not row.superseded]
        if not present:
            return Settlement.DONE
        return settlement(max(present, key=lambda row: row.index).state)

    def is_parent(self, uuid: str, flow_uuid: str) -> bool:
        """Whether a job of the flow that was not superseded waits or waited for ``uuid``."""
        return any(row.flow_uuid == flow_uuid and not row.superseded for row in self.children(uuid))

    # -- changes ---------------------------------------------------------------------------------------------

    def note(self, row: JobRow) -> None:
        """Have the row written."""
        self._changed[row.uuid, row.index] = row

    def enter(self, row: JobRow, state: JobState, *, event: str, who: str, why: str | None = None) -> None:
        """Put a job in a state that follows from something else; outside the active states nobody holds it."""
        row.enter(state, self.now, event=event, who=who, why=why)
        if state not in lifecycle.ACTIVE:
            row.hold(None, self.now)
        self.note(row)

    def add_new(self, row: JobRow) -> None:
        """A new job; it takes the place of a superseded one with its key."""
        former = self._rows.get((row.uuid, row.index))
        if former is not None:
            self._drop(former)
            row.id, row.rev = former.id, former.rev
        if former is not None and former.is_new:
            self._new.remove(former)
        self._enlist(row)
        self._new.append(row)
        self._grown.add(row.flow_uuid)

    def remove(self, row: JobRow) -> None:
        """Forget a job that is about to be deleted with its flow."""
        self._drop(row)
        del self._rows[row.uuid, row.index]

    def take_out(self, row: JobRow) -> None:
        """Have a job deleted that its flow outlives."""
        self.remove(row)
        self._rewritten.pop((row.uuid, row.index), None)
        self._removed.append(row)
        self._gone.add(row.id)
        self._grown.add(row.flow_uuid)

    def _drop(self, row: JobRow) -> None:
        self._by_uuid[row.uuid].remove(row)
        for parent in row.parents:
            self._by_parent[parent].remove(row)
        self._changed.pop((row.uuid, row.index), None)
        if not row.is_new:
            self._dropped.append(row)

    def set_parents(self, row: JobRow, parents: Iterable[str]) -> list[str]:
        """Have a job wait for these and no others; returns the former ones."""
        former = row.parents
        for parent in former:
            self._by_parent[parent].remove(row)
        parents = list(parents)
        row.put("parents", parents)
        for parent in parents:
            self._by_parent.setdefault(parent, []).append(row)
        self.load_uuids(parents)
        row.open = {parent for parent in parents if self.is_open(parent, row)}
        self._rewritten[row.uuid, row.index] = row
        self.note(row)
        return former

    def is_open(self, parent: str, row: JobRow) -> bool:
        """Whether a job has to wait for a parent."""
        return not edge_is_settled(self.settlement(parent), tolerant=row.tolerant)

    def settle(self, uuids: Iterable[str]) -> list[JobRow]:
        """Bring what waits for ``uuids`` up to date; returns the children of edges that were settled just now."""
        uuids = list(dict.fromkeys(uuids))
        self.load_children(uuids)
        freed: dict[tuple[str, int], JobRow] = {}
        for uuid in uuids:
            expected = self.settlement(uuid)
            for row in self.children(uuid):
                is_open = not edge_is_settled(expected, tolerant=row.tolerant)
                if is_open == (uuid in row.open):
                    continue
                if is_open:
                    row.open.add(uuid)
                else:
                    row.open.discard(uuid)
                    freed[row.uuid, row.index] = row
                self.note(row)
        return list(freed.values())

    def release(self, rows: Iterable[JobRow]) -> int:
        """Make READY whichever of these jobs is WAITING without an open parent; returns how many."""
        count = 0
        for row in rows:
            if row.state is JobState.WAITING and not row.open and not row.superseded:
                self.enter(row, JobState.READY, event="parents_done", who="runner")
                count += 1
        return count

    def update_flags(self, uuids: Iterable[str]) -> None:
        """Work out anew which index of each uuid is the latest and whether it is a leaf."""
        uuids = list(dict.fromkeys(uuids))
        self.load_uuids(uuids)
        self.load_children(uuids)
        for uuid in uuids:
            found = self.of_uuid(uuid)
            best = max(found, key=lambda row: (not row.superseded, row.index), default=None)
            for row in found:
                latest = row is best
                leaf = latest and not row.superseded and not self.is_parent(uuid, row.flow_uuid)
                if (latest, leaf) != (row.latest, row.leaf):
                    row.latest, row.leaf = latest, leaf
                    self.note(row)

    # -- the plan --------------------------------------------------------------------------------------------

    def make_plan(self) -> Plan:
        """Everything that is to be written."""
        plan = Plan()
        replaced = {row.id for row in self._new if row.id is not None}
        for row in self._new:
            if row.id is None:
                plan.new_jobs.append(row.insertable())
            else:
                plan.jobs.append({"_id": row.id, "rev": row.rev, "replacement": row.insertable()})
        for row in self._changed.values():
            update = None if row.is_new else row.update()
            if update is not None and row.id not in replaced:
                plan.jobs.append({"_id": row.id, "rev": row.rev, "update": update})
        plan.deleted_jobs = [row.id for row in self._removed]
        gains = self._gains()
        for uuid, flow in self.unit.flows.items():
            plan.flows += self._flow_items(uuid, flow, gains.get(uuid, Counter()))
        return plan

    def _gains(self) -> dict[str, Counter[str]]:
        gains: dict[str, Counter[str]] = {}
        changed = [row for row in self._changed.values() if not row.is_new]
        for row, gone in [
            *((row, False) for row in [*self._new, *changed]),
            *((row, True) for row in self._dropped),
        ]:
            gains.setdefault(row.flow_uuid, Counter()).update(row.gain(gone=gone))
        return gains

    def _flow_items(self, uuid: str, flow: Document, gain: Counter[str]) -> list[Document]:
        sets = self._counters(uuid, flow, gain)
        update: Document = {}
        new = [row for row in self._new if row.flow_uuid == uuid]
        for row in [*new, *(r for r in self._rewritten.values() if r.flow_uuid == uuid and r not in new)]:
            sets[f"parents.{row.uuid}.{row.index}"] = row.parents
        if new:
            update["$push"] = {"ids": {"$each": [ids_entry(row) for row in new]}}
            update["$addToSet"] = {"jobs": {"$each": list(dict.fromkeys(row.uuid for row in new))}}
        removed = [row for row in self._removed if row.flow_uuid == uuid]
        if removed and min(row.number for row in removed) <= (flow.get("db_number") or 0):
            sets["db_number"] = self._lowest_number(uuid)
        if sets:
            update["$set"] = sets
        if not update:
            return []
        gone = {row.uuid for row in removed if not self._by_uuid.get(row.uuid)}
        traces = [f"parents.{row.uuid}" + ("" if row.uuid in gone else f".{row.index}") for row in removed]
        update |= {"$inc": {"derived.rev": 1}, "$unset": dict.fromkeys([schema.TXN, *traces], "")}
        former = [ids_entry(row) for row in self._dropped if row.flow_uuid == uuid]
        pulls = [{"uuid": uuid, "pull": former, "jobs": sorted(gone)}] if former else []
        return [*pulls, {"uuid": uuid, "update": update}]

    def _lowest_number(self, flow_uuid: str) -> int | None:
        """The lowest number of the jobs of a flow that are left."""
        query = {"flow_uuid": flow_uuid, "state": {"$ne": schema.INCOMING}}
        found = self.unit.read(query, {"db_number": 1})
        return min((job["db_number"] for job in found if job["_id"] not in self._gone), default=None)

    def _counters(self, uuid: str, flow: Document, gain: Counter[str]) -> Document:
        if not any(gain.values()) and uuid not in self._grown:
            return {}
        counters = add_up(flow, gain)
        if counters["state"] != flow["state"] or uuid in self._grown:
            counters["updated_on"] = self.now
        return counters


def ids_entry(row: JobRow) -> list[Any]:
    """A job among the ``ids`` of its flow."""
    return [row.document["db_id"], row.uuid, row.index]


def add_up(flow: Document, gain: Counter[str]) -> Document:
    """Counters and state of a flow after a gain."""
    total = Counter({**(flow.get("counts") or {})})
    for name in ("n_jobs", "leaves", "leaves_completed"):
        total[name] = flow.get(name) or 0
    total.update({**gain})
    n_jobs, leaves, completed = (total.pop(name) for name in ("n_jobs", "leaves", "leaves_completed"))
    counts = {state: number for state, number in total.items() if number}
    return {
        "counts": counts,
        "n_jobs": n_jobs,
        "leaves": leaves,
        "leaves_completed": completed,
        "state": flow_state(counts, leaves=leaves, leaves_completed=completed).value,
    }
