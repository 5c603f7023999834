"""What one write transaction knows: the jobs that it has read or changed, and what the flows' counters become."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from datetime import datetime
from typing import Any

from jobflow_remote.model import lifecycle
from jobflow_remote.model.graph import flow_state
from jobflow_remote.model.records import HISTORY_LENGTH, Document, history_entry
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.filters.sql import to_milliseconds
from jobflow_remote.queuedb.sqlite.codec import decode, decode_body, encode, encode_body
from jobflow_remote.queuedb.sqlite.rows import COLUMN_NAMES, job_columns

_SELECT = "SELECT db_number, tolerant, latest, leaf, head FROM jobs WHERE "
_FLAGS = ("tolerant", "latest", "leaf")


class JobRow:
    """A job inside a write transaction: its document (without inputs), and the flags that are columns only."""

    __slots__ = (
        "_columns",
        "_counted",
        "_flags",
        "document",
        "latest",
        "leaf",
        "number",
        "tolerant",
        "touched",
    )

    def __init__(self, number: int, document: Document, *, tolerant: bool, latest: bool, leaf: bool) -> None:
        self.number = number
        self.document = document
        self.tolerant = tolerant
        self.latest = latest
        self.leaf = leaf
        self.touched = False
        self._columns = job_columns(document)
        self._flags = (tolerant, latest, leaf)
        self._counted = self._count()

    @property
    def state(self) -> JobState:
        """Present state, with the changes made so far."""
        return JobState(self.document["state"])

    @property
    def superseded(self) -> bool:
        """Whether a rerun of its parent replaced the job."""
        return bool(self.document.get("superseded"))

    @property
    def stored_contribution(self) -> Counter[str]:
        """What the job counts for in its flow as it is stored."""
        return self._counted

    def _count(self) -> Counter[str]:
        return contribution(self.document["state"], superseded=self.superseded, leaf=self.leaf)

    def enter(self, state: JobState, now: datetime, *, event: str, who: str, why: str | None = None) -> None:
        """Put the job in a state (or write in its history that it stays)."""
        document = self.document
        document["state"] = state.value
        document["history"] = [
            *(document.get("history") or ())[1 - HISTORY_LENGTH :],
            history_entry(state, now, event=event, who=who, why=why),
        ]
        self.touch(now)

    def hold(self, holder: str | None, now: datetime) -> None:
        """Give the job to a session, or to nobody."""
        document = self.document
        if document.get("claim") != holder or document.get("lock_id") != holder:
            document["claim"] = document["lock_id"] = holder
            document["lock_time"] = now if holder else None

    def touch(self, now: datetime) -> None:
        """Remember that the document was changed."""
        self.document["updated_on"] = now
        self.touched = True

    def take_changes(self) -> tuple[dict[str, Any], Counter[str]]:
        """Columns that differ from what is stored, and what the flow's counters gain; then they count as stored."""
        columns = job_columns(self.document)
        changed = {
            name: new
            for name, new, old in zip(COLUMN_NAMES, columns, self._columns, strict=True)
            if new != old or type(new) is not type(old)
        }
        flags = (self.tolerant, self.latest, self.leaf)
        changed |= {
            name: int(new) for name, new, old in zip(_FLAGS, flags, self._flags, strict=True) if new != old
        }
        if self.touched:
            changed["head"] = encode(self.document)
        counted = self._count()
        gain = Counter(counted)
        gain.subtract(self._counted)
        self._columns, self._flags, self._counted, self.touched = columns, flags, counted, False
        return changed, gain


def contribution(state: str, *, superseded: bool, leaf: bool) -> Counter[str]:
    """What a job adds to the counters of its flow: its state, ``leaves``, ``leaves_completed``, ``n_jobs``."""
    if superseded:
        return Counter()
    counted = Counter({state: 1, "n_jobs": 1})
    if leaf:
        counted["leaves"] = 1
        if state == JobState.COMPLETED:
            counted["leaves_completed"] = 1
    return counted


class Ledger:
    """The jobs and flows of one write transaction. Nothing is written before :meth:`flush` and :meth:`finish`."""

    def __init__(self, connection: sqlite3.Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now
        self._rows: dict[int, JobRow] = {}
        self._changed: dict[int, JobRow] = {}
        self._gains: dict[str, Counter[str]] = {}
        self._grown: set[str] = set()
        self._shrunk: set[str] = set()

    def query(self, sql: str, *params: Any) -> list[Any]:
        """Rows of a query."""
        return self.connection.execute(sql, params).fetchall()

    def find(self, uuid: str, index: int) -> JobRow | None:
        """A job by its key."""
        return self._load(_SELECT + "uuid = ? AND idx = ?", uuid, index)

    def get(self, number: int) -> JobRow:
        """A job that is known to be there."""
        known = self._rows.get(number)
        if known is not None:
            return known
        row = self._load(_SELECT + "db_number = ?", number)
        assert row is not None, number
        return row

    def _load(self, sql: str, *params: Any) -> JobRow | None:
        for number, tolerant, latest, leaf, head in self.query(sql, *params):
            if number not in self._rows:
                self._rows[number] = JobRow(
                    number, decode(head), tolerant=bool(tolerant), latest=bool(latest), leaf=bool(leaf)
                )
            return self._rows[number]
        return None

    def note(self, row: JobRow) -> None:
        """Have the row written at the next :meth:`flush`."""
        self._changed[row.number] = row

    def enter(self, row: JobRow, state: JobState, *, event: str, who: str, why: str | None = None) -> None:
        """Put a job in a state that follows from something else; outside the active states nobody holds it."""
        row.enter(state, self.now, event=event, who=who, why=why)
        if state not in lifecycle.ACTIVE:
            row.hold(None, self.now)
        self.note(row)

    def flush(self) -> None:
        """Write the rows that changed; queries see them from now on."""
        for number, row in self._changed.items():
            changed, gain = row.take_changes()
            if changed:
                assignments = ", ".join(f"{name} = ?" for name in changed)
                self.connection.execute(
                    f"UPDATE jobs SET {assignments} WHERE db_number = ?", (*changed.values(), number)
                )
            self.gain(row.document["flow_uuid"], gain)
        self._changed.clear()

    def write_input(self, row: JobRow, name: str, value: Any) -> None:
        """Write ``function_args`` or ``function_kwargs`` of a job as a whole."""
        found = self.query("SELECT body FROM job_bodies WHERE db_number = ?", row.number)
        inputs = decode_body(found[0][0]) if found else {}
        self.connection.execute(
            "INSERT OR REPLACE INTO job_bodies VALUES (?, ?)",
            (row.number, encode_body({**inputs, name: value})),
        )

    def remove(self, row: JobRow) -> None:
        """Forget a job at once."""
        self._changed.pop(row.number, None)
        del self._rows[row.number]
        self.connection.execute("DELETE FROM edges WHERE child = ?", (row.number,))
        for table in ("job_bodies", "jobs"):
            self.connection.execute(f"DELETE FROM {table} WHERE db_number = ?", (row.number,))
        loss = Counter[str]()
        loss.subtract(row.stored_contribution)
        flow_uuid = row.document["flow_uuid"]
        self._shrunk.add(flow_uuid)
        self.gain(flow_uuid, loss, grown=True)

    def gain(self, flow_uuid: str, gain: Counter[str], *, grown: bool = False) -> None:
        """Have the counters of a flow changed at the end. ``grown``: jobs were added or removed."""
        if grown:
            self._grown.add(flow_uuid)
        if grown or any(gain.values()):
            self._gains.setdefault(flow_uuid, Counter()).update(gain)

    def finish(self) -> None:
        """Write the counters and states of the flows."""
        self.flush()
        for uuid, gain in self._gains.items():
            if any(gain.values()) or uuid in self._grown:
                self._update_flow(uuid, gain)
        for uuid in self._shrunk:
            self.connection.execute(
                "UPDATE flows SET db_number = (SELECT min(db_number) FROM jobs WHERE flow_uuid = ?) WHERE uuid = ?",
                (uuid, uuid),
            )
        self._gains.clear()
        self._grown.clear()
        self._shrunk.clear()

    def _update_flow(self, uuid: str, gain: Counter[str]) -> None:
        rows = self.query(
            "SELECT pk, state, counts, n_jobs, leaves, leaves_completed, updated_on FROM flows WHERE uuid = ?",
            uuid,
        )
        for pk, state, counts, n_jobs, leaves, leaves_completed, updated_on in rows:
            total = Counter(json.loads(counts))
            total.update({**gain})
            n_jobs += total.pop("n_jobs", 0)
            leaves += total.pop("leaves", 0)
            leaves_completed += total.pop("leaves_completed", 0)
            kept = {name: number for name, number in total.items() if number}
            new_state = flow_state(kept, leaves=leaves, leaves_completed=leaves_completed).value
            if new_state != state or uuid in self._grown:
                updated_on = to_milliseconds(self.now)
            self.connection.execute(
                "UPDATE flows SET state = ?, counts = ?, n_jobs = ?, leaves = ?, leaves_completed = ?, updated_on = ? "
                "WHERE pk = ?",
                (new_state, json.dumps(kept), n_jobs, leaves, leaves_completed, updated_on, pk),
            )
