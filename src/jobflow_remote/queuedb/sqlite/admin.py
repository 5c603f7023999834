"""What administrators do: deleting, checking, copying."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from jobflow_remote.errors import QueueDatabaseAwayError
from jobflow_remote.model.graph import Settlement, edge_is_settled, flow_state
from jobflow_remote.model.records import check_settable, tolerates_missing
from jobflow_remote.model.states import FlowState
from jobflow_remote.queuedb.sqlite.codec import decode, encode
from jobflow_remote.queuedb.sqlite.edges import find_settlements, release, settle
from jobflow_remote.queuedb.sqlite.ledger import Ledger, contribution
from jobflow_remote.queuedb.sqlite.rows import COLUMN_NAMES, job_columns, share_hash

_COUNTED = {"jobs": "jobs", "flows": "flows", "batches": "batches", "jf_auxiliary": "auxiliary"}
"""Collection → table."""


def reset(connection: sqlite3.Connection) -> None:
    """Remove everything; ids start at 1 again."""
    for table in ("jobs", "job_bodies", "edges", "flows", "batches", "session", "auxiliary"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("INSERT INTO auxiliary VALUES ('next_id', '1')")


def delete_flows(connection: sqlite3.Connection, uuids: Sequence[str], *, now: datetime) -> list[str]:
    """Remove flows with all their jobs; jobs of other flows do not wait for them any longer."""
    ledger = Ledger(connection, now)
    deleted, parents = [], []
    for uuid in dict.fromkeys(uuids):
        if not connection.execute("DELETE FROM flows WHERE uuid = ?", (uuid,)).rowcount:
            continue
        deleted.append(uuid)
        parents += [job for (job,) in ledger.query("SELECT uuid FROM jobs WHERE flow_uuid = ?", uuid)]
        of_flow = "IN (SELECT db_number FROM jobs WHERE flow_uuid = ?)"
        connection.execute(f"DELETE FROM edges WHERE child {of_flow}", (uuid,))
        connection.execute(f"DELETE FROM job_bodies WHERE db_number {of_flow}", (uuid,))
        connection.execute("DELETE FROM jobs WHERE flow_uuid = ?", (uuid,))
    release(ledger, settle(ledger, parents))
    ledger.finish()
    return deleted


def change_flow(
    connection: sqlite3.Connection,
    uuid: str,
    fields: Mapping[str, Any],
    *,
    expect: frozenset[FlowState] | None,
) -> bool:
    """Write fields of a flow; see the port."""
    check_settable(fields)
    found = connection.execute("SELECT state, name, head FROM flows WHERE uuid = ?", (uuid,)).fetchone()
    if found is None or (expect is not None and FlowState(found[0]) not in expect):
        return False
    head = decode(found[2]) | {key: value for key, value in fields.items() if key != "name"}
    connection.execute(
        "UPDATE flows SET name = ?, head = ? WHERE uuid = ?",
        (fields.get("name", found[1]), encode(head), uuid),
    )
    return True


def copy_database(connection: sqlite3.Connection, target: Path, *, compress: bool = False) -> dict[str, int]:
    """Copy everything to a new file, which appears under its name when it is complete."""
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(partial)) as copy:
            connection.backup(copy)
            counts = {
                name: copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for name, table in _COUNTED.items()
            }
        if compress:
            _compress(partial)
        os.replace(partial, target)
    except (OSError, sqlite3.OperationalError) as exc:
        with suppress(OSError):
            partial.unlink()
        raise QueueDatabaseAwayError(f"the backup {target} could not be written: {exc}") from exc
    return counts


def _compress(path: Path) -> None:
    """Put a compressed file in the place of a file."""
    compressed = path.with_name(f"{path.name}.gz")
    try:
        descriptor = os.open(compressed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            path.open("rb") as source,
            os.fdopen(descriptor, "wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", filename="") as file,
        ):
            shutil.copyfileobj(source, file, 2**20)
        os.replace(compressed, path)
    finally:
        compressed.unlink(missing_ok=True)


# -- integrity -----------------------------------------------------------------------------------------------


def check_integrity(connection: sqlite3.Connection) -> list[str]:
    """Everything derived, worked out from scratch and compared; a line for each difference."""
    damage = [row for (row,) in connection.execute("PRAGMA integrity_check") if row != "ok"]
    if damage:
        return [f"file: {line}" for line in damage]
    return [
        *_check_columns(connection),
        *_check_edges(connection),
        *_check_flags(connection),
        *_check_flows(connection),
        *_check_counter(connection),
    ]


def _check_columns(connection: sqlite3.Connection) -> Iterator[str]:
    names = ", ".join(COLUMN_NAMES)
    for share, tolerant, head, *columns in connection.execute(
        f"SELECT share, tolerant, head, {names} FROM jobs"
    ):
        document = decode(head)
        expected = job_columns(document)
        for name, found, wanted in zip(COLUMN_NAMES, columns, expected, strict=True):
            if found != wanted:
                yield f"job {document['db_id']}: column {name} is {found!r}, its document says {wanted!r}"
        if share != share_hash(document["uuid"]):
            yield f"job {document['db_id']}: its share is wrong"
        if bool(tolerant) != tolerates_missing(document.get("job") or {}):
            yield f"job {document['db_id']}: whether it tolerates missing outputs is wrong"


def _check_edges(connection: sqlite3.Connection) -> Iterator[str]:
    listed = {
        (parent, number)
        for number, head in connection.execute("SELECT db_number, head FROM jobs")
        for parent in decode(head).get("parents") or ()
    }
    edges = connection.execute("SELECT parent, child, edges.tolerant, settled, jobs.tolerant FROM edges "
                               "LEFT JOIN jobs ON jobs.db_number = edges.child").fetchall()  # fmt: skip
    known = find_settlements(connection, {parent for parent, *_ in edges})
    for parent, child, tolerant, settled, expected in edges:
        if (parent, child) not in listed:
            yield f"edge from {parent} to job {child}: the job does not name this parent"
        listed.discard((parent, child))
        if tolerant != expected:
            yield f"edge from {parent} to job {child}: tolerant is {tolerant}"
        if bool(settled) != edge_is_settled(known.get(parent, Settlement.DONE), tolerant=bool(tolerant)):
            yield f"edge from {parent} to job {child}: settled is {settled}"
    for parent, child in sorted(listed):
        yield f"edge from {parent} to job {child} is missing"


def _check_flags(connection: sqlite3.Connection) -> Iterator[str]:
    jobs = connection.execute(
        "SELECT db_number, uuid, idx, flow_uuid, superseded, latest, leaf FROM jobs"
    ).fetchall()
    best: dict[str, tuple[bool, int]] = {}
    for _, uuid, index, _, superseded, _, _ in jobs:
        best[uuid] = max(best.get(uuid, (False, -1)), (not superseded, index))
    parents = set(connection.execute("SELECT DISTINCT jobs.flow_uuid, edges.parent FROM edges JOIN jobs ON "
                                     "jobs.db_number = edges.child WHERE jobs.superseded = 0"))  # fmt: skip
    for number, uuid, index, flow_uuid, superseded, latest, leaf in jobs:
        now_latest = best[uuid] == (not superseded, index)
        now_leaf = now_latest and not superseded and (flow_uuid, uuid) not in parents
        if bool(latest) != now_latest:
            yield f"job {number}: latest is {latest}"
        if bool(leaf) != now_leaf:
            yield f"job {number}: leaf is {leaf}"


def _check_flows(connection: sqlite3.Connection) -> Iterator[str]:
    totals: dict[str, Counter[str]] = {}
    first: dict[str, int] = {}
    for number, flow_uuid, state, superseded, leaf in connection.execute(
        "SELECT db_number, flow_uuid, state, superseded, leaf FROM jobs ORDER BY db_number"
    ):
        first.setdefault(flow_uuid, number)
        total = totals.setdefault(flow_uuid, Counter())
        total.update(contribution(state, superseded=bool(superseded), leaf=bool(leaf)))
    for row in connection.execute(
        "SELECT uuid, state, counts, n_jobs, leaves, leaves_completed, db_number FROM flows"
    ).fetchall():
        yield from _check_flow(row, totals.pop(row[0], Counter()), first.get(row[0]))
    for uuid in totals:
        yield f"flow {uuid} does not exist, but jobs name it"


def _check_flow(row: tuple[Any, ...], total: Counter[str], first: int | None) -> Iterator[str]:
    uuid, state, counts, *found = row
    wanted = [total.pop("n_jobs", 0), total.pop("leaves", 0), total.pop("leaves_completed", 0), first]
    for name, one, other in zip(
        ("n_jobs", "leaves", "leaves_completed", "db_number"), found, wanted, strict=True
    ):
        if one != other:
            yield f"flow {uuid}: {name} is {one}, its jobs say {other}"
    if json.loads(counts) != dict(total):
        yield f"flow {uuid}: counts are {counts}, its jobs say {dict(total)}"
    expected = flow_state(total, leaves=wanted[1] or 0, leaves_completed=wanted[2] or 0)
    if state != expected:
        yield f"flow {uuid}: state is {state}, its jobs say {expected.value}"


def _check_counter(connection: sqlite3.Connection) -> Iterator[str]:
    (next_id,) = connection.execute("SELECT value FROM auxiliary WHERE key = 'next_id'").fetchone() or (None,)
    (highest,) = connection.execute("SELECT max(db_number) FROM jobs").fetchone()
    if next_id is None or int(next_id) <= (highest or 0):
        yield f"the next id would be {next_id}, and {highest} is in use"
