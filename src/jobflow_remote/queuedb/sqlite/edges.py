"""Who waits for whom: settling edges, and the flags ``latest`` and ``leaf`` that depend on them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from jobflow_remote.model.graph import Settlement, edge_is_settled, settlement
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.sqlite.ledger import JobRow, Ledger


def find_settlements(connection: sqlite3.Connection, uuids: Iterable[str]) -> dict[str, Settlement]:
    """What can be expected of jobs by uuid; one that no database knows is not in the answer (it counts as settled)."""
    rows = connection.execute(
        "SELECT uuid, state FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.uuid = wanted.value "
        "WHERE latest = 1 AND superseded = 0",
        (json.dumps(list(uuids)),),
    )
    return {uuid: settlement(JobState(state)) for uuid, state in rows}


def settle(ledger: Ledger, uuids: Iterable[str]) -> set[int]:
    """Bring the edges below ``uuids`` up to date; returns the children of edges that were settled just now.

    Children of a wide fan-in are neither read nor written: an edge is a row of its own.
    """
    freed: set[int] = set()
    for uuid in dict.fromkeys(uuids):
        edges = ledger.query("SELECT child, tolerant, settled FROM edges WHERE parent = ?", uuid)
        if not edges:
            continue
        parent = find_settlements(ledger.connection, [uuid]).get(uuid, Settlement.DONE)
        for tolerant in (0, 1):
            wanted = int(edge_is_settled(parent, tolerant=bool(tolerant)))
            stale = [child for child, kind, settled in edges if kind == tolerant and settled != wanted]
            if stale:
                ledger.connection.execute(
                    "UPDATE edges SET settled = ? WHERE parent = ? AND tolerant = ? AND settled <> ?",
                    (wanted, uuid, tolerant, wanted),
                )
                freed.update(stale if wanted else ())
    return freed


def has_open_edge(ledger: Ledger, number: int) -> bool:
    """Whether a job still waits for a parent: one look into an index."""
    return bool(ledger.query("SELECT 1 FROM edges WHERE child = ? AND settled = 0 LIMIT 1", number))


def release(ledger: Ledger, numbers: Iterable[int]) -> int:
    """Make READY whichever of these jobs is WAITING without an open parent; returns how many."""
    count = 0
    for number in sorted(numbers):
        if has_open_edge(ledger, number):
            continue
        row = ledger.get(number)
        if row.state is JobState.WAITING and not row.superseded:
            ledger.enter(row, JobState.READY, event="parents_done", who="runner")
            count += 1
    ledger.flush()
    return count


def add_edges(ledger: Ledger, child: JobRow, parents: Iterable[str], *, first: int = 0) -> None:
    """Have a job wait for parents; edges that exist are left alone. Jobs must have been written before."""
    parents = list(parents)
    known = find_settlements(ledger.connection, parents)
    ledger.connection.executemany(
        "INSERT OR IGNORE INTO edges VALUES (?, ?, ?, ?, ?)",
        [
            (
                parent,
                child.number,
                first + position,
                int(child.tolerant),
                int(edge_is_settled(known.get(parent, Settlement.DONE), tolerant=child.tolerant)),
            )
            for position, parent in enumerate(parents)
        ],
    )


def replace_edges(ledger: Ledger, child: JobRow, parents: Iterable[str]) -> list[str]:
    """Have a job wait for these parents and no others; returns the former ones."""
    former = [parent for (parent,) in ledger.query("SELECT parent FROM edges WHERE child = ?", child.number)]
    ledger.connection.execute("DELETE FROM edges WHERE child = ?", (child.number,))
    add_edges(ledger, child, parents)
    return former


def find_parents(ledger: Ledger, number: int) -> list[str]:
    """uuids of the parents of a job."""
    return [parent for (parent,) in ledger.query("SELECT parent FROM edges WHERE child = ?", number)]


def is_parent(ledger: Ledger, uuid: str, flow_uuid: str) -> bool:
    """Whether a job of the flow that was not superseded waits or waited for ``uuid``."""
    return bool(
        ledger.query(
            "SELECT 1 FROM edges JOIN jobs ON jobs.db_number = edges.child "
            "WHERE edges.parent = ? AND jobs.flow_uuid = ? AND jobs.superseded = 0 LIMIT 1",
            uuid,
            flow_uuid,
        )
    )


def update_flags(ledger: Ledger, uuids: Iterable[str]) -> None:
    """Work out anew which index of each uuid is the latest and whether it is a leaf. Reads what has been flushed."""
    for uuid in dict.fromkeys(uuids):
        found = ledger.query(
            "SELECT db_number, idx, superseded, latest, leaf, flow_uuid FROM jobs WHERE uuid = ?", uuid
        )
        if not found:
            continue
        best = max(found, key=lambda job: (not job[2], job[1]))
        for number, _, superseded, latest, leaf, flow_uuid in found:
            now_latest = number == best[0]
            now_leaf = now_latest and not superseded and not is_parent(ledger, uuid, flow_uuid)
            if (now_latest, now_leaf) != (bool(latest), bool(leaf)):
                row = ledger.get(number)
                row.latest, row.leaf = now_latest, now_leaf
                ledger.note(row)
    ledger.flush()
