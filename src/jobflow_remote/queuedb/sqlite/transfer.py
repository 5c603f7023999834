"""The whole database out and in, document by document; see :meth:`QueueDatabase.dump` and what follows there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.moving import (
    FLOW_DERIVED,
    NEXT_ID,
    Derivation,
    Node,
    check_collection,
    check_documents,
    find_changed,
)
from jobflow_remote.queuedb.sqlite.codec import decode, encode, encode_body, split_inputs
from jobflow_remote.queuedb.sqlite.hostpin import KEY as HOST_KEY
from jobflow_remote.queuedb.sqlite.reading import FLOW_TABLE, JOB_TABLE
from jobflow_remote.queuedb.sqlite.rows import COLUMN_NAMES, flow_column, job_columns, share_hash
from jobflow_remote.queuedb.sqlite.schema import FLOW_COLUMNS
from jobflow_remote.queuedb.sqlite.sessions import REPORTS

_PAGE = 50
"""Documents that are read at a time; their inputs may be large."""
_JOB_NAMES = (*COLUMN_NAMES, "share", "tolerant", "latest", "leaf", "head")
_FLOW_OWN = [name for name in FLOW_COLUMNS if name not in FLOW_DERIVED]
_FLOW_NAMES = (*(FLOW_COLUMNS[name].name for name in _FLOW_OWN), "head")

Reading = Callable[[], AbstractContextManager[sqlite3.Connection]]


# -- out -----------------------------------------------------------------------------------------------------


def dump(reading: Reading, collection: str, after: Any) -> Iterator[Document]:
    """Documents in the order of their key; nothing is held open between two pages."""
    key = check_collection(collection)
    read = _READERS[collection]
    while True:
        with reading() as connection:
            page = read(connection, "1" if after is None else f"{_KEY_COLUMN[collection]} > ?", after)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1][key]


def _rows(connection: sqlite3.Connection, sql: str, after: Any) -> list[Any]:
    return connection.execute(f"{sql} LIMIT {_PAGE}", () if after is None else (after,)).fetchall()


def _read_jobs(connection: sqlite3.Connection, where: str, after: Any) -> list[Document]:
    rows = _rows(connection, f"SELECT db_number, head FROM jobs WHERE {where} ORDER BY db_number", after)
    return [JOB_TABLE.build(connection, row, True) for row in rows]


def _read_flows(connection: sqlite3.Connection, where: str, after: Any) -> list[Document]:
    names = ", ".join(FLOW_TABLE.columns)
    rows = _rows(connection, f"SELECT {names} FROM flows WHERE {where} ORDER BY uuid", after)
    return [_own(FLOW_TABLE.build(connection, row, False)) for row in rows]


def _own(flow: Document) -> Document:
    return {name: value for name, value in flow.items() if name not in FLOW_DERIVED}


def _read_batches(connection: sqlite3.Connection, where: str, after: Any) -> list[Document]:
    rows = _rows(connection, f"SELECT head FROM batches WHERE {where} ORDER BY batch_uid", after)
    return [decode(head) for (head,) in rows]


def _read_auxiliary(connection: sqlite3.Connection, where: str, after: Any) -> list[Document]:
    rows = _rows(
        connection,
        f"SELECT key, value FROM auxiliary WHERE {where} AND key <> '{HOST_KEY}' AND NOT ({REPORTS}) ORDER BY key",
        after,
    )
    return [{"key": key, "value": decode(value)} for key, value in rows]


_KEY_COLUMN = {"jobs": "db_number", "flows": "uuid", "batches": "batch_uid", "jf_auxiliary": "key"}
_READERS: dict[str, Callable[[sqlite3.Connection, str, Any], list[Document]]] = {
    "jobs": _read_jobs,
    "flows": _read_flows,
    "batches": _read_batches,
    "jf_auxiliary": _read_auxiliary,
}


# -- in ------------------------------------------------------------------------------------------------------


def load(connection: sqlite3.Connection, collection: str, documents: Iterable[Document]) -> int:
    """Put documents in, or in the place of those with the same key; returns how many were new or different."""
    check_collection(collection)
    documents = check_documents(collection, documents)
    try:
        return _WRITERS[collection](connection, documents)
    except sqlite3.IntegrityError as exc:
        raise QueueDatabaseError(
            f"documents of {collection} do not fit beside those that are there: {exc}",
            hint="empty the database first, with `jf admin reset`",
        ) from exc


def _wanted(documents: Sequence[Document], key: str) -> str:
    return json.dumps([document[key] for document in documents])


def _load_jobs(connection: sqlite3.Connection, documents: Sequence[Document]) -> int:
    rows = connection.execute(
        "SELECT db_number, head FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.db_number = wanted.value",
        (_wanted(documents, "db_number"),),
    )
    stored = {row[0]: JOB_TABLE.build(connection, row, True) for row in rows.fetchall()}
    changed = find_changed("jobs", documents, stored)
    heads, bodies = [], []
    for document in changed:
        head, inputs = split_inputs(document)
        heads.append((*job_columns(head), share_hash(document["uuid"]), 0, 1, 0, encode(head)))
        if inputs:
            bodies.append((document["db_number"], encode_body(inputs)))
    connection.executemany(
        "DELETE FROM job_bodies WHERE db_number = ?", [(each["db_number"],) for each in changed]
    )
    connection.executemany(_insert("jobs", _JOB_NAMES, "db_number"), heads)
    connection.executemany("INSERT INTO job_bodies VALUES (?, ?)", bodies)
    return len(changed)


def _insert(table: str, names: Sequence[str], key: str, more: str = "") -> str:
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name != key)
    extra = f", {more}" if more else ""
    zeros = ", ".join(["?"] * len(names) + ["0"] * (len(more.split(", ")) if more else 0))
    return (
        f"INSERT INTO {table} ({', '.join(names)}{extra}) VALUES ({zeros}) "
        f"ON CONFLICT({key}) DO UPDATE SET {updates}"
    )


def _load_flows(connection: sqlite3.Connection, documents: Sequence[Document]) -> int:
    rows = connection.execute(
        f"SELECT {', '.join(f'flows.{name}' for name in FLOW_TABLE.columns)} FROM json_each(?) AS wanted "
        "CROSS JOIN flows ON flows.uuid = wanted.value",
        (_wanted(documents, "uuid"),),
    )
    found = [_own(FLOW_TABLE.build(connection, row, False)) for row in rows.fetchall()]
    changed = find_changed("flows", documents, {flow["uuid"]: flow for flow in found})
    values = []
    for flow in changed:
        head = {name: value for name, value in flow.items() if name not in FLOW_COLUMNS}
        values.append((*(flow_column(flow, name) for name in _FLOW_OWN), encode(head)))
    connection.executemany(
        _insert("flows", _FLOW_NAMES, "uuid", "n_jobs, leaves, leaves_completed, counts"), values
    )
    return len(changed)


def _load_batches(connection: sqlite3.Connection, documents: Sequence[Document]) -> int:
    rows = connection.execute(
        "SELECT batch_uid, head FROM json_each(?) AS wanted "
        "CROSS JOIN batches ON batches.batch_uid = wanted.value",
        (_wanted(documents, "batch_uid"),),
    )
    changed = find_changed("batches", documents, {uid: decode(head) for uid, head in rows.fetchall()})
    names = ("batch_uid", "process_id", "batch_state", "worker")
    values = [(*(document.get(name) for name in names), encode(document)) for document in changed]
    connection.executemany(_insert("batches", (*names, "head"), "batch_uid"), values)
    return len(changed)


def _load_auxiliary(connection: sqlite3.Connection, documents: Sequence[Document]) -> int:
    stored = {
        key: {"key": key, "value": decode(value)}
        for key, value in connection.execute("SELECT key, value FROM auxiliary")
    }
    changed = [each for each in find_changed("jf_auxiliary", documents, stored) if each["key"] != HOST_KEY]
    for document in changed:
        key, value = document["key"], document.get("value")
        if key == NEXT_ID:  # never lower: ids are not used again
            value = max(int(value or 1), int((stored.get(key) or {"value": 1})["value"]))
        connection.execute("INSERT OR REPLACE INTO auxiliary VALUES (?, ?)", (key, encode(value)))
    return len(changed)


_WRITERS: dict[str, Callable[[sqlite3.Connection, Sequence[Document]], int]] = {
    "jobs": _load_jobs,
    "flows": _load_flows,
    "batches": _load_batches,
    "jf_auxiliary": _load_auxiliary,
}


# -- what follows --------------------------------------------------------------------------------------------


def finish_load(connection: sqlite3.Connection) -> None:
    """Work out edges, flags, counters and the next id from the jobs that are there."""
    heads = connection.execute("SELECT head FROM jobs")
    derivation = Derivation(Node.of(decode(head)) for (head,) in heads)
    connection.execute("DELETE FROM edges")
    connection.executemany("INSERT INTO edges VALUES (?, ?, ?, ?, ?)", sorted(_edges(derivation)))
    connection.executemany(
        "UPDATE jobs SET tolerant = ?, latest = ?, leaf = ? WHERE db_number = ?",
        [
            (node.tolerant, derivation.is_latest(node), derivation.is_leaf(node), node.number)
            for node in derivation.nodes
        ],
    )
    totals = derivation.flows()
    connection.execute("UPDATE flows SET n_jobs = 0, leaves = 0, leaves_completed = 0, counts = '{}'")
    connection.executemany(
        "UPDATE flows SET counts = ?, n_jobs = ?, leaves = ?, leaves_completed = ?, db_number = ? WHERE uuid = ?",
        [
            (json.dumps(each.counts), each.n_jobs, each.leaves, each.leaves_completed, each.db_number, uuid)
            for uuid, each in totals.items()
        ],
    )
    highest = derivation.nodes[-1].number if derivation.nodes else 0
    connection.execute(
        "UPDATE auxiliary SET value = ?1 WHERE key = ?2 AND CAST(value AS INTEGER) < ?1",
        (highest + 1, NEXT_ID),
    )


def _edges(derivation: Derivation) -> Iterator[tuple[str, int, int, int, int]]:
    for node in derivation.nodes:
        for position, parent in enumerate(node.parents):
            settled = derivation.is_settled(parent, tolerant=node.tolerant)
            yield parent, node.number, position, int(node.tolerant), int(settled)
