"""The whole database out and in, document by document; see :meth:`QueueDatabase.dump` and what follows there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import bson
from bson.errors import BSONError
from pymongo import InsertOne, ReplaceOne, UpdateOne, errors
from pymongo.collection import Collection

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.mongo import schema
from jobflow_remote.queuedb.mongo.connection import Connection
from jobflow_remote.queuedb.moving import (
    FLOW_DERIVED,
    NEXT_ID,
    SESSION,
    VERSION,
    Derivation,
    FlowTotals,
    Node,
    auxiliary_document,
    check_collection,
    check_documents,
    find_changed,
    in_batches,
    split_auxiliary,
)

_AT_ONCE = 1000
_NODE_FIELDS = (
    "db_number",
    "db_id",
    "uuid",
    "index",
    "flow_uuid",
    "state",
    "superseded",
    "parents",
    "job.config",
)
_OF_NODE = dict.fromkeys(_NODE_FIELDS, 1)


def _collection_of(connection: Connection, collection: str) -> Collection[Any]:
    return {"jobs": connection.jobs, "flows": connection.flows, "batches": connection.batches}[collection]


# -- out -----------------------------------------------------------------------------------------------------


def dump(connection: Connection, collection: str, after: Any) -> Iterator[Document]:
    """Documents in the order of their key."""
    key = check_collection(collection)
    with connection.translated():
        if collection == "jf_auxiliary":
            yield from (each for each in _auxiliary(connection) if after is None or each["key"] > after)
            return
        hidden: Document = {"_id": 0, "derived": 0}
        if collection == "flows":
            hidden |= dict.fromkeys(FLOW_DERIVED, 0)
        query: Document = {"state": {"$ne": schema.INCOMING}}
        if after is not None:
            query[key] = {"$gt": after}
        yield from _collection_of(connection, collection).find(query, hidden).sort([(key, 1)])


def _auxiliary(connection: Connection) -> list[Document]:
    return split_auxiliary(connection.auxiliary.find({}))


# -- in ------------------------------------------------------------------------------------------------------


def load(connection: Connection, collection: str, documents: Iterable[Document]) -> int:
    """Put documents in, or in the place of those with the same key; returns how many were new or different."""
    key = check_collection(collection)
    documents = check_documents(collection, documents)
    if collection == "jf_auxiliary":
        return _load_auxiliary(connection, documents)
    target = _collection_of(connection, collection)
    changed = 0
    for part in in_batches(documents, _AT_ONCE):
        found = {each[key]: each for each in target.find({key: {"$in": [each[key] for each in part]}})}
        ids = {value: each.pop("_id") for value, each in found.items()}
        own = {each[key]: each for each in check_documents(collection, found.values())}
        differing = find_changed(collection, part, own)
        _check_storable(collection, differing)
        _write(connection, target, collection, [_request(each, ids.get(each[key])) for each in differing])
        changed += len(differing)
    return changed


def _request(document: Document, stored_as: Any) -> Any:
    return InsertOne(document) if stored_as is None else ReplaceOne({"_id": stored_as}, document)


def _check_storable(collection: str, documents: Sequence[Document]) -> None:
    """Say which document it is that BSON cannot hold."""
    for document in documents:
        try:
            bson.encode(document)
        except (BSONError, OverflowError, UnicodeEncodeError) as exc:
            which = document.get("db_id") or document.get("uuid") or document.get("batch_uid")
            raise QueueDatabaseError(
                f"document {which} of {collection} cannot be stored in MongoDB: {exc}"
            ) from None


def _write(connection: Connection, target: Collection[Any], collection: str, requests: Sequence[Any]) -> None:
    if not requests:
        return
    connection.announce("load")
    try:
        target.bulk_write(list(requests), ordered=False)
    except errors.BulkWriteError as exc:
        first = ((exc.details or {}).get("writeErrors") or [{}])[0]
        raise QueueDatabaseError(
            f"{connection.where} refused documents of {collection}: {first.get('errmsg', exc)}",
            hint="empty the database first, with `jf admin reset`",
        ) from exc


def _load_auxiliary(connection: Connection, documents: Sequence[Document]) -> int:
    stored = {each["key"]: each for each in _auxiliary(connection)}
    changed = [each for each in find_changed("jf_auxiliary", documents, stored) if each["key"] != SESSION]
    for document in changed:
        key, value = document["key"], document.get("value")
        connection.announce("load")
        if key == NEXT_ID:  # never lower: ids are not used again
            connection.auxiliary.update_one(
                {NEXT_ID: {"$exists": True}}, {"$max": {NEXT_ID: int(value or 1)}}
            )
        else:
            put_auxiliary(connection, key, value)
    return len(changed)


def put_auxiliary(connection: Connection, key: str, value: Any) -> None:
    """Write an auxiliary document as 1.0.1 would look for it."""
    content = auxiliary_document(key, value)
    identity = content.pop("_id")
    named = VERSION if VERSION in content else key
    update = {"$set": content, "$setOnInsert": {"_id": identity}}
    connection.auxiliary.update_one({named: {"$exists": True}}, update, upsert=True)


# -- what follows --------------------------------------------------------------------------------------------


def finish_load(connection: Connection) -> None:
    """Work out ``derived``, counters, lists and the next id from the jobs that are there."""
    derivation = Derivation(Node.of(document) for document in connection.jobs.find({}, _OF_NODE))
    _update(connection, connection.jobs, (_job_update(derivation, node) for node in derivation.nodes))
    totals = derivation.flows()
    uuids = [flow["uuid"] for flow in connection.flows.find({}, {"uuid": 1})]
    _update(
        connection, connection.flows, (_flow_update(uuid, totals.get(uuid, FlowTotals())) for uuid in uuids)
    )
    highest = derivation.nodes[-1].number if derivation.nodes else 0
    connection.announce("load")
    connection.auxiliary.update_one({NEXT_ID: {"$exists": True}}, {"$max": {NEXT_ID: highest + 1}})
    connection.bump()


def _update(connection: Connection, target: Collection[Any], updates: Iterable[Any]) -> None:
    part: list[Any] = []
    for update in updates:
        part.append(update)
        if len(part) == _AT_ONCE:
            connection.announce("load")
            target.bulk_write(part, ordered=False)
            part = []
    if part:
        connection.announce("load")
        target.bulk_write(part, ordered=False)


def _job_update(derivation: Derivation, node: Node) -> UpdateOne:
    is_settled: Callable[..., bool] = derivation.is_settled
    derived = {
        "rev": 1,
        "share": schema.share_of(node.uuid),
        "tolerant": node.tolerant,
        "latest": derivation.is_latest(node),
        "leaf": derivation.is_leaf(node),
        "open_parents": [each for each in node.parents if not is_settled(each, tolerant=node.tolerant)],
    }
    return UpdateOne({"db_number": node.number}, {"$set": {"derived": derived}})


def _flow_update(uuid: str, totals: FlowTotals) -> UpdateOne:
    values = {
        "counts": dict(totals.counts),
        "n_jobs": totals.n_jobs,
        "leaves": totals.leaves,
        "leaves_completed": totals.leaves_completed,
        "db_number": totals.db_number,
        "jobs": list(totals.parents),
        "ids": totals.ids,
        "parents": totals.parents,
        "derived": {"rev": 1},
    }
    return UpdateOne({"uuid": uuid}, {"$set": values})
