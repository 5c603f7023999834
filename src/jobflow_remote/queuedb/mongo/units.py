"""One change as a whole or not at all: a transaction where the server has them, else an intent.

A unit *holds* the flows that it changes, and reads and changes only jobs of flows that it holds: two units that
could get into each other's way meet at the flow. In a transaction holding is a write to the flow, and the server
refuses the second one; without transactions it is a mark in the flow's document, and the second unit waits.

Without transactions the whole change is worked out first. New documents are inserted invisible, then ONE insert, the
*intent*, commits: it says everything that is still to be done, in steps that may be repeated. The steps are done,
the flows are let go, the intent is removed. Where only one flow is held and nothing is new, as in most units of a
runner, the intent is written into the hold itself: it commits and goes with it. A unit whose process died is brought
to its end by whoever meets it (:func:`settle`): forward if its intent is there, else back, and then a tombstone under
the same ``_id`` sees to it that it cannot commit any more. Decision record 7 has the reasons.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from bson import ObjectId
from pymongo import WriteConcern, errors
from pymongo.client_session import ClientSession

from jobflow_remote.errors import QueueDatabaseAwayError
from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.mongo import plan as plans
from jobflow_remote.queuedb.mongo import schema
from jobflow_remote.queuedb.mongo.connection import Connection
from jobflow_remote.queuedb.mongo.leftovers import HELD, INTENTS
from jobflow_remote.queuedb.mongo.plan import Plan

_PATIENCE_SECONDS = 10.0
"""How long a unit of a process that cannot be seen may take."""
_HOLD_SECONDS = 1.0
"""How long a unit waits for a flow with others in hand; then it lets go and begins again."""
_GIVE_UP_SECONDS = 60.0
_FORGOTTEN = timedelta(minutes=10)
_HELP_SECONDS = 0.5
"""When a unit that is committed, but not through, is given a hand: the server may have lost that it was."""
_SMALL_BYTES = 2**18
"""What a flow's document may have to take up for a moment."""

T = TypeVar("T")
_first_seen: dict[Any, float] = {}


class NeedFlows(Exception):
    """More flows are touched than are held."""

    def __init__(self, uuids: Iterable[str]) -> None:
        super().__init__()
        self.uuids = set(uuids)


class _Busy(Exception):
    """Somebody else holds a flow for longer than one waits with others in hand."""


class Unit(Protocol):
    """A change under way."""

    flows: dict[str, Document]
    """The flows that are held, by uuid (summaries)."""
    held: set[str]

    def read(self, query: Document, projection: Document | None = None) -> list[Document]:
        """Documents of jobs."""
        ...

    def session(self) -> ClientSession | None:
        """For reading other collections."""
        ...


Body = Callable[[Unit], tuple[T, Plan]]
"""Works out a change; runs again when another one was quicker."""


def run(connection: Connection, flows: Iterable[str], body: Body[T]) -> T:
    """Carry out a change as a whole or not at all."""
    wanted = set(flows)
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    attempt = _run_transaction if connection.transactional else _run_intent
    with connection.translated():
        while True:
            try:
                return attempt(connection, wanted, body)
            except NeedFlows as more:
                wanted |= more.uuids
            except errors.BulkWriteError as exc:
                if not _is_duplicate(exc) or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.005, 0.05))
            except _Busy as busy:
                if time.monotonic() > deadline:
                    raise QueueDatabaseAwayError(
                        f"{connection.where}: a flow has been in use by another process for too long ({busy})"
                    ) from None
                time.sleep(random.uniform(0.005, 0.05))


def _is_duplicate(exc: errors.BulkWriteError) -> bool:
    """Whether somebody else inserted the same at the same time: looking again will show it."""
    found = (exc.details or {}).get("writeErrors") or []
    return bool(found) and all(error.get("code") == 11000 for error in found)


# -- with transactions ---------------------------------------------------------------------------------------


class _Transaction:
    def __init__(self, connection: Connection, session: ClientSession, wanted: set[str]) -> None:
        self._connection = connection
        self._session = session
        self.held = set(wanted)
        self.flows: dict[str, Document] = {}
        if wanted:
            connection.announce("hold")
            among = {"uuid": {"$in": sorted(wanted)}}
            connection.flows.update_many(among, {"$inc": {"derived.rev": 1}}, session=session)
            found = connection.flows.find(among, schema.FLOW_SUMMARY, session=session)
            self.flows = {flow["uuid"]: flow for flow in found}

    def session(self) -> ClientSession:
        return self._session

    def read(self, query: Document, projection: Document | None = None) -> list[Document]:
        return list(self._connection.jobs.find(query, projection, session=self._session))


def _run_transaction(connection: Connection, wanted: set[str], body: Body[T]) -> T:
    """Begins again when another one was quicker or the primary has changed, but not when nobody answers.

    The driver's own ``with_transaction`` would go on for two minutes then, and whoever wants to stop waits for it.
    """
    deadline, pause = time.monotonic() + _GIVE_UP_SECONDS, 0.005
    with connection.client.start_session() as session:
        while True:
            session.start_transaction(write_concern=WriteConcern(w="majority", j=True))
            try:
                result, plan = body(_Transaction(connection, session, wanted))
                _write_directly(connection, plan, session)
                connection.announce("commit")
            except BaseException as exc:
                session.abort_transaction()
                if not _may_begin_again(exc, deadline):
                    raise
            else:
                if _commit(session, deadline):
                    break
            time.sleep(pause * random.random())
            pause = min(pause * 1.5, 0.3)
    if not plan.is_empty:
        with suppress(errors.PyMongoError):  # it is done: whoever is not told finds it out
            connection.bump()
    return result


def _may_begin_again(exc: BaseException, deadline: float) -> bool:
    return (
        isinstance(exc, errors.PyMongoError)
        and exc.has_error_label("TransientTransactionError")
        and not isinstance(exc, errors.ServerSelectionTimeoutError)
        and time.monotonic() < deadline
    )


def _commit(session: ClientSession, deadline: float) -> bool:
    """Commit; False: the server has undone everything, and one may begin again."""
    while True:
        try:
            session.commit_transaction()
            return True
        except errors.PyMongoError as exc:
            if isinstance(exc, errors.ServerSelectionTimeoutError) or time.monotonic() > deadline:
                raise
            if exc.has_error_label("TransientTransactionError"):
                return False
            if not exc.has_error_label("UnknownTransactionCommitResult"):
                raise


def _write_directly(connection: Connection, plan: Plan, session: ClientSession) -> None:
    if plan.new_flows:
        connection.announce("insert flows")
        connection.flows.insert_many(plan.new_flows, session=session)
    operations = list(plans.job_operations(plan))
    if operations:
        connection.announce("jobs")
        connection.jobs.bulk_write(operations, ordered=False, session=session)
    if plan.new_jobs:
        connection.announce("insert jobs")
        connection.jobs.insert_many(plan.new_jobs, session=session)
    operations = list(plans.flow_operations(plan, {}))
    if operations:
        connection.announce("flows")
        connection.flows.bulk_write(operations, session=session)


# -- without -------------------------------------------------------------------------------------------------


class _Intent:
    """A unit on a server without transactions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.id = ObjectId()
        self.held: set[str] = set()
        self.flows: dict[str, Document] = {}
        self.committed = False
        self._inserted = False
        self._journaled = False
        """The holds outlast a server that is killed."""
        self._began = time.monotonic()

    def session(self) -> None:
        return None

    def read(self, query: Document, projection: Document | None = None) -> list[Document]:
        return list(self._connection.jobs.find(query, projection))

    def hold(self, wanted: set[str]) -> None:
        """Mark the flows as held; waits for others."""
        missing, pause = sorted(wanted - self.held), 0.004
        stamp = self.stamp()
        while missing:
            self._connection.announce("hold")
            found = self._mark(missing, stamp)
            others = [
                (flow["uuid"], holder) for flow in found if (holder := self._other_holder(flow)) is not None
            ]
            if others and not self._persuade(others):
                if time.monotonic() > self._began + _HOLD_SECONDS:
                    raise _Busy(", ".join(missing[:3]))
                time.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, 0.05)
            missing = [uuid for uuid, _ in others]
        self.held |= wanted
        self._began = time.monotonic()

    def _other_holder(self, flow: Document) -> Document | None:
        """Who else has a flow (empty: nobody any more); None: this unit."""
        holder: Document = (flow.get("derived") or {}).get("txn") or {}
        if holder.get("id") != self.id:
            return holder
        self.flows[flow["uuid"]] = flow
        return None

    def _mark(self, uuids: Sequence[str], stamp: Document) -> list[Document]:
        """Hold those that nobody holds; all of them, as they are then."""
        if len(uuids) == 1:  # what a runner does most of the time, by one operation
            return self._mark_one(uuids[0], stamp)
        mark, among = {"$set": {schema.TXN: stamp}}, {"uuid": {"$in": uuids}}
        self._connection.flows.update_many({**among, schema.TXN: None}, mark)
        self._journaled = True
        return list(self._connection.flows.find(among, schema.FLOW_SUMMARY))

    def _mark_one(self, uuid: str, stamp: Document) -> list[Document]:
        """One flow; who has it is asked once, and then it is waited for a moment."""
        flows, mark = self._connection.quick.flows, {"$set": {schema.TXN: stamp}}
        found: list[Document] = []
        for pause in (0, 0.01, 0.02, 0.04):
            time.sleep(pause * random.uniform(0.5, 1.5))
            marked = flows.find_one_and_update(
                {"uuid": uuid, schema.TXN: None}, mark, schema.FLOW_SUMMARY, return_document=True
            )
            if marked is not None:
                return [marked]
            found = found or list(self._connection.flows.find({"uuid": uuid}, schema.FLOW_SUMMARY))
            if not found:
                break
        return found

    def stamp(self) -> Document:
        """Who holds."""
        return {"id": self.id, **self._connection.identity, "at": self._connection.clock()}

    def _persuade(self, others: Sequence[tuple[str, Document]]) -> bool:
        """Bring units to their end that do not get there by themselves; whether there was one, or has been."""
        stuck = {holder["id"]: (uuid, holder) for uuid, holder in others if holder}
        moved = len(stuck) < len(others)
        for txn, (uuid, holder) in stuck.items():
            if is_abandoned(self._connection, holder):
                settle(self._connection, txn)
                moved = True
            elif "operations" in holder and _seen_for(holder) > _HELP_SECONDS:
                finish_in_flow(self._connection, uuid, txn)
                moved = True
        return moved

    def commit(self, plan: Plan) -> None:
        """Insert what is new, invisible; then the intent; then do what it says."""
        connection = self._connection
        self._insert_invisible(plan)
        self._complete_flows(plan)
        first, *others = plan.pack()
        if len(self.flows) == 1 and not self._inserted and not others and len(first) < _SMALL_BYTES:
            self._commit_in_flow(first)
            self.committed = True
            carry_out(connection, self.id, plan)
            return
        self._make_certain(len(self.flows) + len(plan.new_flows))
        for part in others:
            connection.announce("part of the intent")
            connection.intents.insert_one({"of": self.id, "operations": part})
        self._commit_beside(plan, first, len(others))
        self.committed = True
        carry_out(connection, self.id, plan, new=self._inserted, intents=1 + len(others))

    def _commit_in_flow(self, operations: bytes) -> None:
        """The intent in the hold."""
        self._connection.announce("intent in the flow")
        done = self._connection.flows.update_one(
            {"derived.txn.id": self.id}, {"$set": {schema.OPERATIONS: operations}}
        )
        if not done.matched_count:  # it took so long that somebody else gave it up
            raise _Busy("given up")

    def _commit_beside(self, plan: Plan, operations: bytes, parts: int) -> None:
        """The intent as a document of its own."""
        self._connection.announce("intent")
        intent = self._intent(plan, operations, parts)
        try:
            self._connection.intents.insert_one({"_id": self.id, **intent})
        except errors.DuplicateKeyError:
            raise _Busy("given up") from None

    def _intent(self, plan: Plan, operations: bytes, parts: int) -> Document:
        new = bool(plan.new_jobs or plan.new_flows)
        return {"operations": operations, "parts": parts, "new": new, **self._connection.identity}

    def _make_certain(self, holds: int) -> None:
        """Have the holds outlast a server that is killed before the intent is there.

        The holder's time begins anew, too: an insertion of very many jobs takes long.
        """
        certain = self._journaled or not self.flows
        if certain and time.monotonic() < self._began + _PATIENCE_SECONDS / 2:
            return
        self._connection.announce("hold on")
        done = self._connection.flows.update_many(
            {"derived.txn.id": self.id}, {"$set": {"derived.txn.at": self._connection.clock()}}
        )
        if done.matched_count < holds:
            raise _Busy("given up")

    def _complete_flows(self, plan: Plan) -> None:
        """Every flow that is held gets a last operation, which lets it go."""
        known = {item["uuid"] for item in plan.flows if "pull" not in item}
        for uuid in self.flows:
            if uuid not in known:
                plan.flows.append({"uuid": uuid, "update": {"$unset": {schema.TXN: ""}}})

    def _insert_invisible(self, plan: Plan) -> None:
        connection = self._connection
        self._inserted = bool(plan.new_flows or plan.new_jobs)
        if plan.new_flows:
            stamp = self.stamp()
            connection.announce("insert flows")
            connection.flows.insert_many([_hidden(flow, self.id, txn=stamp) for flow in plan.new_flows])
        if plan.new_jobs:
            connection.announce("insert jobs")
            connection.jobs.insert_many([_hidden(job, self.id) for job in plan.new_jobs], ordered=False)

    def abandon(self) -> bool:
        """Let go of everything; nothing was committed."""
        if self._inserted:
            return settle(self._connection, self.id, mark=False)
        if self.flows:
            self._connection.announce("let go")
            self._connection.flows.update_many({"derived.txn.id": self.id}, {"$unset": {schema.TXN: ""}})
        return False


def _hidden(document: Document, incoming: ObjectId, **derived: Any) -> Document:
    kept = {**document["derived"], "incoming": incoming, "state": document["state"], **derived}
    return {**document, "state": schema.INCOMING, "derived": kept}


def _run_intent(connection: Connection, wanted: set[str], body: Body[T]) -> T:
    unit = _Intent(connection)
    try:
        unit.hold(wanted)
        result, plan = body(unit)
        if plan.is_empty:
            unit.abandon()
            return result
    except errors.PyMongoError:
        _try(connection, unit, unit.abandon)
        raise
    except BaseException:
        unit.abandon()
        raise
    try:
        unit.commit(plan)
    except _Busy:
        unit.abandon()
        raise
    except errors.PyMongoError:
        if not _try(connection, unit, lambda: settle(connection, unit.id)) and not unit.committed:
            raise
    return result


def _try(connection: Connection, unit: _Intent, end: Callable[[], bool]) -> bool:
    """Bring a unit that failed to its end if the server answers by now; else whoever comes next does."""
    try:
        return end()
    except errors.PyMongoError:
        connection.unfinished.add(unit.id)
        return False


# -- to the end of what others began -------------------------------------------------------------------------


def carry_out(
    connection: Connection, txn: ObjectId, plan: Plan, *, new: bool = False, intents: int = 0
) -> None:
    """Do what an intent says, let the flows go, and remove the intent. May be repeated.

    ``intents``: how many documents it has; none if it is in the flow, and goes with the hold. Then nothing waits for
    the journal: a server that loses the end of a unit finds its beginning.
    """
    at = connection if intents else connection.quick
    operations = list(plans.job_operations(plan))
    if operations:
        connection.announce("jobs")
        at.jobs.bulk_write(operations, ordered=False)
    if new:
        _reveal(connection, txn)
    operations = list(plans.flow_operations(plan, {"derived.txn.id": txn}))
    if operations:
        connection.announce("flows")
        at.flows.bulk_write(operations)
    connection.bump()
    if intents:
        connection.announce("done")
    if intents > 1:
        connection.intents.delete_many({"of": txn})
    if intents:
        connection.intents.delete_one({"_id": txn})


def _reveal(connection: Connection, txn: ObjectId) -> None:
    """What was inserted invisible becomes visible."""
    for collection, extra in ((connection.jobs, []), (connection.flows, [schema.TXN])):
        connection.announce("reveal")
        collection.update_many(
            {"derived.incoming": txn},
            [
                {"$set": {"state": "$derived.state"}},
                {"$unset": ["derived.incoming", "derived.state", *extra]},
            ],
        )


def settle(connection: Connection, txn: ObjectId, *, mark: bool = True) -> bool:
    """Bring a unit to its end: forward if it is committed, else back (then it cannot commit any more).

    ``mark=False``: by its owner, who knows that it is not and will not be committed. Returns whether it went forward.
    """
    if mark:
        try:
            connection.announce("give up")
            connection.intents.insert_one({"_id": txn, "given_up": connection.clock()})
        except errors.DuplicateKeyError:
            intent = connection.intents.find_one({"_id": txn})
            if intent is None:
                return True
            if "operations" in intent:
                _go_forward(connection, intent)
                return True
    connection.announce("undo")
    connection.jobs.delete_many({"derived.incoming": txn})
    connection.flows.delete_many({"derived.incoming": txn})
    connection.flows.update_many(
        {"derived.txn.id": txn, schema.OPERATIONS: {"$exists": False}}, {"$unset": {schema.TXN: ""}}
    )
    held = connection.flows.find_one({"derived.txn.id": txn}, {"uuid": 1})
    return held is not None and finish_in_flow(connection, held["uuid"], txn)


def finish_in_flow(connection: Connection, uuid: str, txn: ObjectId) -> bool:
    """Carry out what a flow is held for; whether it still was. Its owner may be at it: each step is done once."""
    flow = connection.flows.find_one({"uuid": uuid, "derived.txn.id": txn}, {schema.OPERATIONS: 1})
    operations = flow["derived"]["txn"].get("operations") if flow else None
    if operations is not None:
        carry_out(connection, txn, Plan.unpack([operations]))
    return operations is not None


def _go_forward(connection: Connection, intent: Document) -> None:
    parts = [part["operations"] for part in connection.intents.find({"of": intent["_id"]})]
    if len(parts) < intent["parts"]:  # they are removed first, when everything is done
        connection.intents.delete_one({"_id": intent["_id"]})
        return
    plan = Plan.unpack([*parts, intent["operations"]])
    carry_out(connection, intent["_id"], plan, new=intent["new"], intents=1 + len(parts))


def is_abandoned(connection: Connection, holder: Document) -> bool:
    """Whether the process of a unit has died, as far as can be seen from here."""
    if holder["id"] in connection.unfinished:
        return True
    if holder.get("host") == connection.identity["host"] and not _is_alive(holder["pid"]):
        return True
    return _seen_for(holder) > _PATIENCE_SECONDS


def _seen_for(holder: Document) -> float:
    """For how many seconds this process has seen a holder."""
    now = time.monotonic()
    return now - _first_seen.setdefault((holder["id"], holder.get("at")), now)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def sweep(connection: Connection) -> None:
    """Look for units that were left behind and bring them to their end."""
    if connection.transactional:
        return
    for txn in list(connection.unfinished):
        if _try_to_settle(connection, txn):
            connection.unfinished.discard(txn)
    _first_seen_trim()
    held = connection.flows.find(HELD, {f"{schema.TXN}.{name}": 1 for name in ("id", "host", "pid", "at")})
    left: dict[Any, Document] = {flow["derived"]["txn"]["id"]: flow["derived"]["txn"] for flow in held}
    for intent in connection.intents.find(INTENTS, {"host": 1, "pid": 1}):
        left.setdefault(intent["_id"], {**intent, "id": intent["_id"]})
    for txn, holder in left.items():
        if is_abandoned(connection, holder):
            _try_to_settle(connection, txn)


def _try_to_settle(connection: Connection, txn: ObjectId) -> bool:
    """Settle; one that the server refuses must not keep anybody from opening the database."""
    try:
        settle(connection, txn)
    except errors.OperationFailure:
        return False
    return True


def sweep_garbage(connection: Connection) -> None:
    """Remove what nobody can come back to: invisible documents without a unit, old tombstones."""
    past = connection.clock() - _FORGOTTEN
    for collection in (connection.jobs, connection.flows):
        for txn in collection.distinct("derived.incoming"):
            if txn is not None and txn.generation_time.replace(tzinfo=None) < past:
                settle(connection, txn)
    connection.intents.delete_many({"given_up": {"$lt": past - timedelta(days=1)}})


def _first_seen_trim() -> None:
    while len(_first_seen) > 1000:
        _first_seen.pop(next(iter(_first_seen)))
