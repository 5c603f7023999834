"""The scheduler jobs of batch workers: few, so that the filter's predicate decides on all of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from jobflow_remote.model.records import Document
from jobflow_remote.model.selection import Filter
from jobflow_remote.queuedb.filters import compile_filter, sort_key
from jobflow_remote.queuedb.port import Sort
from jobflow_remote.queuedb.sqlite.codec import decode

LATEST_FIRST: Sort = (("updated_on", -1),)


def find_batches(
    connection: sqlite3.Connection, query: Filter, *, sort: Sort = (), limit: int = 0
) -> list[Document]:
    """Batches that match; see the port."""
    matches = compile_filter(query)
    rows = connection.execute("SELECT head FROM batches ORDER BY batch_uid")
    found = [document for (head,) in rows if matches(document := decode(head))]
    for path, direction in reversed(sort or LATEST_FIRST):
        found.sort(key=sort_key(path, direction), reverse=direction < 0)
    return found[: limit or None]


def delete_batches(connection: sqlite3.Connection, batch_uids: Sequence[str]) -> int:
    """Forget batches; see the port."""
    wanted = json.dumps(list(batch_uids))
    return connection.execute(
        "DELETE FROM batches WHERE batch_uid IN (SELECT value FROM json_each(?))", (wanted,)
    ).rowcount
