"""The scheduler jobs of batch workers, as documents of their own collection."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import ReplaceOne

from jobflow_remote.model.records import Document
from jobflow_remote.model.selection import Filter
from jobflow_remote.queuedb.mongo import schema, sessions
from jobflow_remote.queuedb.mongo.connection import Connection
from jobflow_remote.queuedb.mongo.reading import ask, translate_filter
from jobflow_remote.queuedb.port import Sort


def find_batches(connection: Connection, query: Filter, *, sort: Sort = (), limit: int = 0) -> list[Document]:
    """Batches that match; see the port."""
    order = [*(sort or (("updated_on", -1),)), ("batch_uid", 1)]
    asked = translate_filter(query, hides=False)
    return [schema.strip(each) for each in ask(connection.batches.find(asked).sort(order).limit(limit))]


def delete_batches(connection: Connection, batch_uids: Sequence[str]) -> int:
    """Forget batches; see the port."""
    connection.announce("delete batches")
    gone: int = connection.batches.delete_many({"batch_uid": {"$in": list(batch_uids)}}).deleted_count
    connection.bump()
    return gone


def put_batches(connection: Connection, token: str, batches: Sequence[Document]) -> None:
    """Write batches as a runner session; see the port."""
    sessions.check_token(connection, token)
    if not batches:
        return
    connection.announce("put batches")
    orders = [ReplaceOne({"batch_uid": each["batch_uid"]}, dict(each), upsert=True) for each in batches]
    connection.batches.bulk_write(orders, ordered=True)
    connection.bump()
