"""Finding and counting jobs and flows: SQL as far as it is exact, then the filter's predicate."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from jobflow_remote.model.records import Document
from jobflow_remote.model.selection import Filter
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.filters import (
    Condition,
    Mapped,
    Predicate,
    build_condition,
    build_predicate,
    parse,
    paths_of,
    project,
    sort_key,
    wanted_fields,
)
from jobflow_remote.queuedb.filters.sql import to_milliseconds
from jobflow_remote.queuedb.port import Sort
from jobflow_remote.queuedb.sqlite.codec import decode, decode_body, join_inputs
from jobflow_remote.queuedb.sqlite.rows import document_of_columns, from_column, only_columns
from jobflow_remote.queuedb.sqlite.schema import FLOW_COLUMNS, FLOWS, JOBS

_WITHOUT_HISTORY = "json_remove(head, '$.history')"
_NEVER = 2**62
"""A moment that does not come, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of documents, and how a document is made of a row."""

    name: str
    key: str
    mapped: Mapped
    columns: tuple[str, ...]
    """What is selected for whole documents."""
    build: Callable[[sqlite3.Connection, tuple[Any, ...], bool], Document]
    """Makes a document; the flag asks for the fields that are outside of the row."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which documents in which order, and what of them."""

    fields: Sequence[str] | None = None
    sort: Sort = ()
    skip: int = 0
    limit: int = 0
    complete: bool = False
    """With the fields that are outside of the row."""


@dataclass(frozen=True, slots=True)
class _Search:
    """A filter in the forms in which it is used."""

    condition: Condition
    matches: Predicate
    needs_outside: bool

    @classmethod
    def of(cls, query: Filter, mapped: Mapped) -> _Search:
        node = parse(query)
        paths = paths_of(node)
        return cls(
            condition=build_condition(node, mapped),
            matches=build_predicate(node),
            needs_outside=paths is None or any(mapped.is_outside(path) for path in paths),
        )


def _order(table: Table, sort: Sort) -> str | None:
    """ORDER BY for a sort by columns; None if a field of it is not a column."""
    columns = table.mapped.columns
    if any(path not in columns for path, _ in sort):
        return None
    keys = [f"{columns[path].name} {'DESC' if direction < 0 else 'ASC'}" for path, direction in sort]
    if "db_number" not in [path for path, _ in sort]:
        keys.append("db_number DESC")
    return ", ".join(keys)


def find(connection: sqlite3.Connection, table: Table, query: Filter, page: Page) -> list[Document]:
    """Documents that match; see the port."""
    search = _Search.of(query, table.mapped)
    order = _order(table, page.sort)
    columns = table.mapped.columns
    if search.condition.exact and order is not None:
        if only_columns(page.fields, columns):
            return _listing(connection, table, search, page=page, order=order)
        documents = _exact_documents(connection, table, search, page=page, order=order)
    else:
        documents = _filtered_documents(connection, table, search, page=page, order=order)
    if page.fields is None:
        return list(documents)
    wanted = wanted_fields(page.fields)
    return [project(document, wanted) for document in documents]


def _limits(page: Page) -> tuple[str, tuple[int, ...]]:
    if not page.limit and not page.skip:
        return "", ()
    return " LIMIT ? OFFSET ?", (page.limit or -1, page.skip)


def _listing(
    connection: sqlite3.Connection, table: Table, search: _Search, *, page: Page, order: str
) -> list[Document]:
    """Columns answer for everything: heads are not read."""
    columns, fields = table.mapped.columns, list(page.fields or ())
    limits, params = _limits(page)
    rows = connection.execute(
        f"SELECT {', '.join(columns[path].name for path in fields)} FROM {table.name} "
        f"WHERE {search.condition.sql} ORDER BY {order}{limits}",
        (*search.condition.params, *params),
    )
    return [document_of_columns(fields, row, columns) for row in rows]


def _exact_documents(
    connection: sqlite3.Connection, table: Table, search: _Search, *, page: Page, order: str
) -> Iterator[Document]:
    """SQL decides; which rows is found in the index, and only those are read."""
    select = f"SELECT {', '.join(_selected(table, page.fields))} FROM {table.name} WHERE "
    limits, params = _limits(page)
    if limits:
        sql = (
            f"{select}{table.key} IN (SELECT {table.key} FROM {table.name} WHERE {search.condition.sql} "
            f"ORDER BY {order}{limits}) ORDER BY {order}"
        )
    else:
        sql = f"{select}{search.condition.sql} ORDER BY {order}"
    complete = page.complete or _asks_outside(table, page.fields or ())
    for row in connection.execute(sql, (*search.condition.params, *params)).fetchall():
        yield table.build(connection, row, complete)


def _selected(table: Table, fields: Sequence[str] | None) -> Sequence[str]:
    """The columns of a row. The history is half of a job and seldom asked for: SQLite leaves it out much faster."""
    if fields is None or any(path.split(".")[0] == "history" for path in fields):
        return table.columns
    return [_WITHOUT_HISTORY if name == "head" else name for name in table.columns]


def _asks_outside(table: Table, paths: Iterable[str]) -> bool:
    return any(
        path == apart or path.startswith(f"{apart}.") for path in paths for apart in table.mapped.outside
    )


def _filtered_documents(
    connection: sqlite3.Connection, table: Table, search: _Search, *, page: Page, order: str | None
) -> Iterator[Document]:
    """The predicate decides; SQL only leaves out what cannot match."""
    asked = page.complete or _asks_outside(table, page.fields or ())
    select = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {search.condition.sql}"
    rows = connection.execute(f"{select} ORDER BY {order or 'db_number DESC'}", search.condition.params)
    complete = asked or search.needs_outside or _asks_outside(table, [path for path, _ in page.sort])
    documents = (table.build(connection, row, complete) for row in rows)
    found: Iterator[Document] = documents if search.condition.exact else filter(search.matches, documents)
    if order is None:
        found = iter(_sorted(list(found), page.sort))
    stop = page.skip + page.limit if page.limit else None
    for document in islice(found, page.skip, stop):
        if complete and not asked:
            _strip(document, table.mapped)
        yield document


def _sorted(documents: list[Document], sort: Sort) -> list[Document]:
    for path, direction in reversed(sort):
        documents.sort(key=sort_key(path, direction), reverse=direction < 0)
    return documents


def _strip(document: Document, mapped: Mapped) -> None:
    """Take away what was added for the filter only."""
    for path in mapped.outside:
        *above, last = path.split(".")
        node: Any = document
        for part in above:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)


def count(connection: sqlite3.Connection, table: Table, query: Filter) -> int:
    """Number of documents that match."""
    search = _Search.of(query, table.mapped)
    condition = search.condition
    if condition.exact:
        sql = f"SELECT count(*) FROM {table.name} WHERE {condition.sql}"
        return int(connection.execute(sql, condition.params).fetchone()[0])
    rows = connection.execute(
        f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {condition.sql}", condition.params
    )
    return sum(search.matches(table.build(connection, row, search.needs_outside)) for row in rows)


# -- jobs ----------------------------------------------------------------------------------------------------


def _build_job(connection: sqlite3.Connection, row: tuple[Any, ...], complete: bool) -> Document:
    number, head = row
    document: Document = decode(head)
    if complete:
        body = connection.execute("SELECT body FROM job_bodies WHERE db_number = ?", (number,)).fetchone()
        if body is not None:
            join_inputs(document, decode_body(body[0]))
    return document


JOB_TABLE = Table("jobs", "db_number", JOBS, ("db_number", "head"), _build_job)


def get_job(
    connection: sqlite3.Connection, uuid: str, index: int | None, *, with_inputs: bool
) -> Document | None:
    """One job; see the port."""
    condition, params = ("latest = 1", ()) if index is None else ("idx = ?", (index,))
    row = connection.execute(
        f"SELECT db_number, head FROM jobs WHERE uuid = ? AND {condition}", (uuid, *params)
    ).fetchone()
    return _build_job(connection, row, with_inputs) if row else None


def find_children(connection: sqlite3.Connection, uuids: Sequence[str]) -> list[Document]:
    """Jobs that wait or waited for any of these."""
    rows = connection.execute(
        "SELECT head FROM jobs WHERE db_number IN (SELECT edges.child FROM json_each(?) AS wanted "
        "CROSS JOIN edges ON edges.parent = wanted.value) ORDER BY db_number",
        (json.dumps(list(uuids)),),
    )
    return [decode(head) for (head,) in rows]


def count_job_states(connection: sqlite3.Connection, worker: str | None) -> dict[str, int]:
    """State → number of jobs."""
    states = sorted({state.value for state in JobState})
    also, params = ("", ()) if worker is None else (" AND worker = ?", (worker,))
    rows = connection.execute(
        f"SELECT state, count(*) FROM jobs WHERE state IN ({', '.join('?' * len(states))}){also} GROUP BY state",
        (*states, *params),
    )
    return dict(rows.fetchall())


def count_updates(
    connection: sqlite3.Connection, collection: str, states: Sequence[str], starts: Sequence[datetime]
) -> list[dict[str, int]]:
    """State → number of documents, for each interval; see the port."""
    table = {"jobs": "jobs", "flows": "flows"}[collection]
    marks = [to_milliseconds(start) for start in starts]
    intervals = list(zip(range(len(marks)), marks, [*marks[1:], _NEVER], strict=False))
    # the loops are put in this order: each pair of state and interval is one stretch of the index
    rows = connection.execute(
        "SELECT json_extract(span.value, '$[0]'), wanted.value, count(*) "
        f"FROM json_each(?) AS span CROSS JOIN json_each(?) AS wanted CROSS JOIN {table} "
        f"WHERE {table}.state = wanted.value AND {table}.updated_on >= json_extract(span.value, '$[1]') "
        f"AND {table}.updated_on < json_extract(span.value, '$[2]') GROUP BY 1, 2",
        (json.dumps(intervals), json.dumps(list(states))),
    )
    counts: list[dict[str, int]] = [{} for _ in starts]
    for position, state, number in rows:
        counts[position][state] = number
    return counts


# -- flows ---------------------------------------------------------------------------------------------------

_FLOW_NAMES = tuple(column.name for column in FLOW_COLUMNS.values())


def _build_flow(connection: sqlite3.Connection, row: tuple[Any, ...], complete: bool) -> Document:
    head, counts, *values = row
    document: Document = {
        path: from_column(value, column)
        for (path, column), value in zip(FLOW_COLUMNS.items(), values, strict=True)
    }
    document |= decode(head)
    document["counts"] = json.loads(counts)
    return {**document, **_compose(connection, document["uuid"])} if complete else document


def _compose(connection: sqlite3.Connection, flow_uuid: str) -> Document:
    """``jobs``, ``ids`` and ``parents`` of a flow from its jobs and edges."""
    jobs = connection.execute(
        "SELECT db_number, db_id, uuid, idx FROM jobs WHERE flow_uuid = ? ORDER BY db_number", (flow_uuid,)
    ).fetchall()
    edges = connection.execute(
        "SELECT jobs.db_number, edges.parent FROM jobs CROSS JOIN edges ON edges.child = jobs.db_number "
        "WHERE jobs.flow_uuid = ? ORDER BY edges.position",
        (flow_uuid,),
    )
    parents_of: dict[int, list[str]] = {}
    for number, parent in edges:
        parents_of.setdefault(number, []).append(parent)
    parents: dict[str, dict[str, list[str]]] = {}
    for number, _, uuid, index in jobs:
        parents.setdefault(uuid, {})[str(index)] = parents_of.get(number, [])
    return {
        "jobs": list(parents),
        "ids": [[db_id, uuid, index] for _, db_id, uuid, index in jobs],
        "parents": parents,
    }


FLOW_TABLE = Table("flows", "pk", FLOWS, ("head", "counts", *_FLOW_NAMES), _build_flow)


def get_flow(connection: sqlite3.Connection, uuid: str) -> Document | None:
    """One flow with everything."""
    found = find(connection, FLOW_TABLE, {"uuid": uuid}, Page(complete=True))
    return found[0] if found else None


def count_flow_states(connection: sqlite3.Connection) -> dict[str, int]:
    """State → number of flows."""
    states = [state.value for state in FlowState]
    rows = connection.execute(
        f"SELECT state, count(*) FROM flows WHERE state IN ({', '.join('?' * len(states))}) GROUP BY state",
        states,
    )
    return dict(rows.fetchall())
