"""The runner session (in the ``running_runner`` document, which tools of 1.0.1 read too) and the jobs that it takes."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession

from jobflow_remote.errors import RunnerActiveError, SessionLostError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import to_stored
from jobflow_remote.model.records import Document, JobRecord, RunnerSession
from jobflow_remote.model.states import STATE_ALIASES, JobState
from jobflow_remote.queuedb.mongo import schema, units
from jobflow_remote.queuedb.mongo.connection import Connection
from jobflow_remote.queuedb.mongo.ledger import Ledger
from jobflow_remote.queuedb.mongo.plan import Plan
from jobflow_remote.queuedb.mongo.units import Unit
from jobflow_remote.queuedb.port import Share

_RUNNER = {"running_runner": {"$exists": True}}
_ORDER = [("priority", -1), ("created_on", 1), ("db_number", 1)]
_ACTIVE = [state.value for state in sorted(lifecycle.ACTIVE)]
_BUSY = sorted({JobState.READY, *lifecycle.ACTIVE})
_SEEN_BY_OTHERS = (
    "processes_info", "hostname", "mac_address", "user", "daemon_dir", "project_name", "runner_options",
)  # fmt: skip


def _read(connection: Connection, session: ClientSession | None = None) -> Document | None:
    found = connection.auxiliary.find_one(_RUNNER, {"session": 1}, session=session) or {}
    return found.get("session")


def _session(stored: Document) -> RunnerSession:
    fields: dict[str, Any] = {name: stored.get(name) for name in RunnerSession.__dataclass_fields__}
    return RunnerSession(**fields)


def read_session(connection: Connection) -> RunnerSession | None:
    """The present session."""
    stored = _read(connection)
    return _session(stored) if stored else None


def current_token(connection: Connection, session: ClientSession | None = None) -> str | None:
    """Token of the present session."""
    stored = _read(connection, session)
    return stored["token"] if stored else None


def _lost(present: str | None) -> SessionLostError:
    return SessionLostError(
        "this runner session was superseded by another runner"
        if present
        else "this runner session has ended",
        hint="stop this runner; jf runner status shows the present one",
    )


def check_token(connection: Connection, token: str) -> None:
    """Refuse a session that is not the present one."""
    present = current_token(connection)
    if token != present:
        raise _lost(present)


def check_no_runner(connection: Connection, *, hint: str) -> None:
    """Refuse while a session is live."""
    present = read_session(connection)
    if present is not None and present.is_live(connection.clock()):
        raise RunnerActiveError(f"a runner works on this queue: {present.describe()}", hint=hint)


def _shown(session: RunnerSession) -> Document:
    """The session as 1.0.1 describes a running runner."""
    shown = {name: session.owner.get(name) for name in _SEEN_BY_OTHERS}
    return {**shown, "start_time": session.started_on, "last_pinged": session.renewed_on}


def open_session(
    connection: Connection, owner: Document, *, lease_seconds: float, override: bool
) -> RunnerSession:
    """Become the runner of this queue; see the port."""
    units.sweep(connection)
    units.sweep_garbage(connection)
    now = connection.clock()
    expires_on = to_stored(now + timedelta(seconds=lease_seconds))
    session = RunnerSession(
        token=uuid4().hex, owner=dict(owner), started_on=now, renewed_on=now, expires_on=expires_on
    )
    free = {} if override else {"$or": [{"session": None}, {"session.expires_on": {"$lte": now}}]}
    stored = {name: getattr(session, name) for name in RunnerSession.__dataclass_fields__}
    connection.announce("session")
    done = connection.auxiliary.update_one(
        {**_RUNNER, **free}, {"$set": {"session": stored, "running_runner": _shown(session), "processes": {}}}
    )
    if not done.matched_count:
        check_no_runner(connection, hint="stop it with `jf runner stop`, or wait until its lease has ended")
        return open_session(connection, owner, lease_seconds=lease_seconds, override=override)
    adopt(connection, session.token)
    connection.bump()
    return session


def adopt(connection: Connection, token: str) -> None:
    """Give the session the jobs that a former one has in hand.

    A former session that was claiming in the very moment may leave one behind; renewals look for them.
    """
    foreign = {"state": {"$in": _ACTIVE}, "claim": {"$ne": token}}
    while True:
        flows = connection.jobs.distinct("flow_uuid", foreign)
        if not flows:
            return
        units.run(connection, flows, lambda unit: (None, _adopted(unit, foreign, token, connection.clock())))


def _adopted(unit: Unit, foreign: Document, token: str, now: datetime) -> Plan:
    ledger = Ledger(unit, now)
    for row in ledger.load({**foreign, "flow_uuid": {"$in": sorted(unit.held)}}):
        row.hold(token, now)
        ledger.note(row)
    return ledger.make_plan()


def renew_session(connection: Connection, token: str, *, lease_seconds: float) -> RunnerSession:
    """Prolong the lease; look after what others left behind."""
    now = connection.clock()
    expires_on = to_stored(now + timedelta(seconds=lease_seconds))
    connection.announce("renew")
    found = connection.auxiliary.find_one_and_update(
        {**_RUNNER, "session.token": token},
        {
            "$set": {
                "session.renewed_on": now,
                "session.expires_on": expires_on,
                "running_runner.last_pinged": now,
            }
        },
        {"session": 1},
        return_document=ReturnDocument.AFTER,
    )
    if found is None:
        raise _lost(current_token(connection))
    units.sweep(connection)
    left = connection.jobs.find_one(
        {"claim": {"$gt": "", "$ne": token}, "state": {"$in": _ACTIVE}}, {"_id": 1}
    )
    if left is not None:
        adopt(connection, token)
    return _session(found["session"])


def end_session(connection: Connection, token: str | None) -> None:
    """End the session (of ``token``, if given)."""
    which = {**_RUNNER, "session.token": token} if token is not None else _RUNNER
    connection.announce("session")
    connection.auxiliary.update_one(
        which, {"$set": {"session": None, "running_runner": None, "processes": {}}}
    )


def report_process(connection: Connection, token: str, name: str, report: Document) -> bool:
    """Keep what a process says of itself, beside the session."""
    connection.announce("report")
    done = connection.auxiliary.update_one(
        {**_RUNNER, "session.token": token}, {"$set": {f"processes.{name}": report}}
    )
    return bool(done.matched_count)


def read_reports(connection: Connection) -> dict[str, Document]:
    """Name → what the processes of the present session said last."""
    found = connection.auxiliary.find_one(_RUNNER, {"processes": 1}) or {}
    return dict(sorted((found.get("processes") or {}).items()))


def request_stop(connection: Connection, how: str) -> bool:
    """Ask the present session to stop; whether there is one."""
    connection.announce("session")
    among = {**_RUNNER, "session": {"$ne": None}}
    done = connection.auxiliary.update_one(among, {"$set": {"session.stop_requested": how}})
    return bool(done.matched_count)


# -- the jobs of a session -----------------------------------------------------------------------------------


def _shared(share: Share) -> Document:
    return {"derived.share": {"$mod": [share.parts, share.part]}} if share.parts > 1 else {}


def claim_jobs(
    connection: Connection, token: str, *, worker: str, limit: int, share: Share
) -> list[JobRecord]:
    """Take READY jobs; see the port."""
    ready = {"state": JobState.READY.value, "worker": worker, "superseded": {"$ne": True}, **_shared(share)}
    while True:
        with connection.translated():
            found = connection.jobs.find(ready, {"flow_uuid": 1}).sort(_ORDER).limit(limit)
            candidates = {job["_id"]: job["flow_uuid"] for job in found}
        if not candidates:
            present = current_token(connection)
            if present != token:
                raise _lost(present)
            return []
        claiming = partial(_claimed, connection, token=token, ids=list(candidates))
        claimed = units.run(connection, candidates.values(), claiming)
        if claimed:
            return claimed


def _claimed(
    connection: Connection, unit: Unit, *, token: str, ids: list[Any]
) -> tuple[list[JobRecord], Plan]:
    present = current_token(connection, unit.session())
    if present != token:
        raise _lost(present)
    ledger = Ledger(unit, connection.clock())
    rows = ledger.load({"_id": {"$in": ids}, "state": JobState.READY.value}, schema.CLAIMED)
    rows.sort(key=lambda row: (-(row.document.get("priority") or 0), row.document["created_on"], row.number))
    for row in rows:
        row.enter(JobState.CHECKED_OUT, ledger.now, event="check_out", who="runner")
        row.hold(token, ledger.now)
        row.put("attempt", uuid4().hex)
        ledger.note(row)
    records = [
        JobRecord.from_document(
            {**row.document, "history": [*(row.document.get("history") or ()), *row.entries]}
        )
        for row in rows
    ]
    return records, ledger.make_plan()


def _due(token: str, states: frozenset[JobState], worker: str | None) -> Document:
    query: Document = {"state": {"$in": sorted(state.value for state in states)}}
    if worker is not None:
        query["worker"] = worker
    return {**query, "superseded": {"$ne": True}, "claim": {"$in": [None, token]}}


def find_due(
    connection: Connection,
    token: str,
    *,
    states: frozenset[JobState],
    worker: str | None,
    limit: int,
    share: Share,
) -> list[JobRecord]:
    """Jobs that wait for a step; see the port."""
    query = {
        **_due(token, states, worker),
        "remote.retry_time_limit": {"$not": {"$gt": connection.clock()}},
        **_shared(share),
    }
    found = connection.jobs.find(query, schema.CLAIMED).sort(_ORDER).limit(limit)
    return [JobRecord.from_document(document) for document in found]


def find_next_retry(
    connection: Connection, token: str, *, states: frozenset[JobState], worker: str | None
) -> datetime | None:
    """Earliest retry time ahead; see the port."""
    query = {**_due(token, states, worker), "remote.retry_time_limit": {"$gt": connection.clock()}}
    fields = {"remote.retry_time_limit": 1}
    found = connection.jobs.find_one(query, fields, sort=[("remote.retry_time_limit", 1)])
    return found["remote"]["retry_time_limit"] if found else None


def count_workload(
    connection: Connection, states: frozenset[JobState] | None
) -> dict[tuple[str, JobState], int]:
    """Number of jobs by worker and state."""
    wanted = sorted(_BUSY if states is None else states)
    former = {} if connection.usable else STATE_ALIASES
    rows = connection.jobs.aggregate(
        [
            {
                "$match": {
                    "state": {"$in": [*map(str, wanted), *(old for old in former if former[old] in wanted)]}
                }
            },
            {"$group": {"_id": {"worker": "$worker", "state": "$state"}, "number": {"$sum": 1}}},
        ]
    )
    counts: dict[tuple[str, JobState], int] = {}
    for row in rows:
        key = (row["_id"]["worker"], JobState(row["_id"]["state"]))
        counts[key] = counts.get(key, 0) + row["number"]
    return counts
