"""The runner session (one row) and the jobs that it takes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from jobflow_remote.errors import RunnerActiveError, SessionLostError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import to_stored
from jobflow_remote.model.records import Document, JobRecord, RunnerSession
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.filters.sql import to_milliseconds
from jobflow_remote.queuedb.port import Share
from jobflow_remote.queuedb.sqlite.codec import decode, encode, from_milliseconds
from jobflow_remote.queuedb.sqlite.ledger import Ledger

REPORT_PREFIX = "runner_process/"
REPORTS = "key >= 'runner_process/' AND key < 'runner_process0'"
"""Condition on auxiliary documents: what processes say of themselves. ``0`` follows ``/``."""
_ORDER = "ORDER BY priority DESC, created_on, db_number LIMIT ?"


def read_session(connection: sqlite3.Connection) -> RunnerSession | None:
    """The present session."""
    row = connection.execute(
        "SELECT token, owner, started_on, renewed_on, expires_on, stop_requested FROM session"
    ).fetchone()
    if row is None:
        return None
    token, owner, started_on, renewed_on, expires_on, stop_requested = row
    return RunnerSession(
        token=token,
        owner=decode(owner),
        started_on=from_milliseconds(started_on),
        renewed_on=from_milliseconds(renewed_on),
        expires_on=from_milliseconds(expires_on),
        stop_requested=stop_requested,
    )


def current_token(connection: sqlite3.Connection) -> str | None:
    """Token of the present session."""
    row = connection.execute("SELECT token FROM session").fetchone()
    return row[0] if row else None


def check_token(connection: sqlite3.Connection, token: str) -> None:
    """Refuse a session that is not the present one."""
    present = current_token(connection)
    if token != present:
        raise SessionLostError(
            "this runner session was superseded by another runner"
            if present
            else "this runner session has ended",
            hint="stop this runner; jf runner status shows the present one",
        )


def check_no_runner(connection: sqlite3.Connection, now: datetime, *, hint: str) -> None:
    """Refuse while a session is live."""
    present = read_session(connection)
    if present is not None and present.is_live(now):
        raise RunnerActiveError(f"a runner works on this queue: {present.describe()}", hint=hint)


def open_session(
    connection: sqlite3.Connection, owner: Document, *, now: datetime, lease_seconds: float, override: bool
) -> RunnerSession:
    """Become the runner of this queue; see the port."""
    if not override:
        check_no_runner(
            connection, now, hint="stop it with `jf runner stop`, or wait until its lease has ended"
        )
    end_session(connection, None)
    token = uuid4().hex
    expires_on = to_stored(now + timedelta(seconds=lease_seconds))
    moment = to_milliseconds(now)
    connection.execute(
        "INSERT OR REPLACE INTO session VALUES (1, ?, ?, ?, ?, ?, NULL)",
        (token, encode(owner), moment, moment, to_milliseconds(expires_on)),
    )
    states = [state.value for state in sorted(lifecycle.ACTIVE)]
    connection.execute(
        "UPDATE jobs SET claim = ?1, lock_id = ?1, lock_time = ?2, head = "
        "json_set(head, '$.claim', ?1, '$.lock_id', ?1, '$.lock_time', json_object('$date', ?2)) "
        f"WHERE state IN ({_marks(states, first=3)})",
        (token, moment, *states),
    )
    return RunnerSession(token=token, owner=owner, started_on=now, renewed_on=now, expires_on=expires_on)


def renew_session(
    connection: sqlite3.Connection, token: str, *, now: datetime, lease_seconds: float
) -> RunnerSession:
    """Prolong the lease."""
    check_token(connection, token)
    expires_on = to_stored(now + timedelta(seconds=lease_seconds))
    connection.execute(
        "UPDATE session SET renewed_on = ?, expires_on = ?",
        (to_milliseconds(now), to_milliseconds(expires_on)),
    )
    session = read_session(connection)
    assert session is not None
    return session


def end_session(connection: sqlite3.Connection, token: str | None) -> None:
    """End the session (of ``token``, if given)."""
    if token in (None, current_token(connection)):
        connection.execute("DELETE FROM session")
        connection.execute(f"DELETE FROM auxiliary WHERE {REPORTS}")


def report_process(connection: sqlite3.Connection, token: str, name: str, report: Document) -> bool:
    """Keep what a process says of itself."""
    if token != current_token(connection):
        return False
    row = (REPORT_PREFIX + name, encode(report))
    connection.execute("INSERT OR REPLACE INTO auxiliary VALUES (?, ?)", row)
    return True


def read_reports(connection: sqlite3.Connection) -> dict[str, Document]:
    """Name → what the processes of the present session said last."""
    rows = connection.execute(f"SELECT key, value FROM auxiliary WHERE {REPORTS} ORDER BY key")
    return {key.removeprefix(REPORT_PREFIX): decode(value) for key, value in rows}


# -- the jobs of a session -----------------------------------------------------------------------------------


def _marks(values: Iterable[Any], *, first: int) -> str:
    return ", ".join(f"?{number}" for number, _ in enumerate(values, first))


def _shared(share: Share) -> tuple[str, tuple[int, ...]]:
    return (" AND share % ? = ?", (share.parts, share.part)) if share.parts > 1 else ("", ())


def _in_states(states: Iterable[JobState]) -> tuple[str, list[str]]:
    values = sorted(state.value for state in states)
    return f"state IN ({', '.join('?' * len(values))})", values


def claim_jobs(
    connection: sqlite3.Connection, token: str, *, worker: str, limit: int, share: Share, now: datetime
) -> list[JobRecord]:
    """Take READY jobs; see the port."""
    check_token(connection, token)
    shared, params = _shared(share)
    numbers = connection.execute(
        f"SELECT db_number FROM jobs WHERE state = ? AND worker = ? AND superseded = 0{shared} {_ORDER}",
        (JobState.READY.value, worker, *params, limit),
    ).fetchall()
    ledger = Ledger(connection, now)
    rows = [ledger.get(number) for (number,) in numbers]
    for row in rows:
        row.enter(JobState.CHECKED_OUT, now, event="check_out", who="runner")
        row.hold(token, now)
        row.document["attempt"] = uuid4().hex
        ledger.note(row)
    ledger.finish()
    return [JobRecord.from_document(row.document) for row in rows]


def _due_condition(token: str, states: frozenset[JobState], worker: str | None) -> tuple[str, list[Any]]:
    condition, params = _in_states(states)
    where: list[Any] = [*params]
    if worker is not None:
        condition += " AND worker = ?"
        where.append(worker)
    return condition + " AND superseded = 0 AND (claim IS NULL OR claim = ?)", [*where, token]


def find_due(
    connection: sqlite3.Connection,
    token: str,
    *,
    states: frozenset[JobState],
    worker: str | None,
    limit: int,
    share: Share,
    now: datetime,
) -> list[JobRecord]:
    """Jobs that wait for a step; see the port."""
    condition, params = _due_condition(token, states, worker)
    shared, share_params = _shared(share)
    rows = connection.execute(
        f"SELECT head FROM jobs WHERE db_number IN (SELECT db_number FROM jobs WHERE {condition} "
        f"AND (retry_at IS NULL OR retry_at <= ?){shared} {_ORDER}) {_ORDER}",
        (*params, to_milliseconds(now), *share_params, limit, limit),
    )
    return [JobRecord.from_document(decode(head)) for (head,) in rows]


def find_next_retry(
    connection: sqlite3.Connection,
    token: str,
    *,
    states: frozenset[JobState],
    worker: str | None,
    now: datetime,
) -> datetime | None:
    """Earliest retry time ahead; see the port."""
    condition, params = _due_condition(token, states, worker)
    row = connection.execute(
        f"SELECT retry_at FROM jobs INDEXED BY jobs_retry WHERE retry_at > ? AND {condition} ORDER BY retry_at LIMIT 1",
        (to_milliseconds(now), *params),
    ).fetchone()
    return from_milliseconds(row[0]) if row else None


_BUSY = tuple(sorted({JobState.READY, *lifecycle.ACTIVE}))


def count_workload(
    connection: sqlite3.Connection, states: frozenset[JobState] | None
) -> dict[tuple[str, JobState], int]:
    """Number of jobs by worker and state."""
    condition, params = _in_states(_BUSY if states is None else tuple(sorted(states)))
    rows = connection.execute(
        f"SELECT worker, state, count(*) FROM jobs WHERE {condition} GROUP BY state, worker", params
    )
    return {(worker, JobState(state)): number for worker, state, number in rows}
