"""Collections, indexes, and which fields of a document are ours alone.

Documents have the field names of 1.0.1 and ours (``docs/documents.md``). What only this adapter needs is in one
subdocument, ``derived``, which readers do not see:

===============  ==========================================================================================
job              ``rev`` (one more with each change), ``share`` (what processes of one role share jobs by),
                 ``tolerant``, ``latest``, ``leaf``, ``open_parents`` (parents that it still waits for);
                 while it is being inserted ``incoming`` (of which change) and ``state``
flow             ``rev``, ``txn`` (who changes the flow at present and how, on a server without transactions);
                 while it is being inserted ``incoming`` and ``state``
===============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobflow_remote.model.records import INPUT_FIELDS, Document
from jobflow_remote.queuedb.filters import wanted_fields

DERIVED = "derived"
INCOMING = "INCOMING"
"""State of what is being inserted and does not exist yet (servers without transactions only)."""
TXN = "derived.txn"
OPERATIONS = f"{TXN}.operations"
"""What a unit that changes one flow is committed to."""

JOB_INDEXES: list[tuple[list[tuple[str, int]], dict[str, Any]]] = [
    ([("db_id", 1)], {"unique": True}),
    ([("uuid", 1), ("index", 1)], {"unique": True}),
    ([("index", 1)], {}),
    ([("db_number", 1)], {}),
    ([("flow_uuid", 1), ("state", 1)], {}),
    ([("parents", 1)], {}),
    ([("state", 1), ("worker", 1), ("priority", -1), ("created_on", 1), ("db_number", 1)], {}),
    ([("state", 1), ("updated_on", 1), ("db_number", 1)], {}),
    ([("state", 1), ("remote.retry_time_limit", 1)], {}),
    ([("updated_on", 1), ("db_number", 1)], {}),
    ([("created_on", 1), ("db_number", 1)], {}),
    ([("worker", 1), ("updated_on", 1)], {}),
    ([("job.name", 1)], {}),
    ([("priority", -1)], {}),
    ([("claim", 1)], {"sparse": True}),
    ([("lock_id", 1)], {}),
    ([("derived.incoming", 1)], {"sparse": True}),
]
FLOW_INDEXES: list[tuple[list[tuple[str, int]], dict[str, Any]]] = [
    ([("uuid", 1)], {"unique": True}),
    ([("name", 1)], {}),
    ([("state", 1), ("updated_on", 1), ("db_number", 1)], {}),
    ([("updated_on", 1), ("db_number", 1)], {}),
    ([("created_on", 1), ("db_number", 1)], {}),
    ([("db_number", 1)], {}),
    ([("ids", 1)], {}),
    ([("jobs", 1)], {}),
    ([("derived.incoming", 1)], {"sparse": True}),
    ([("derived.txn.id", 1)], {"sparse": True}),
]
BATCH_INDEXES: list[tuple[list[tuple[str, int]], dict[str, Any]]] = [
    ([("batch_uid", 1)], {"unique": True}),
    ([("batch_uid", 1), ("start_time", 1)], {"unique": True}),
    ([("worker", 1), ("batch_state", 1)], {}),
    ([("batch_state", 1)], {}),
    ([("updated_on", -1)], {}),
]
SCHEMA_VERSION = 1

HEAD = {**dict.fromkeys(INPUT_FIELDS, 0), "history": 0}
"""Of a job, what a change has to know."""
CLAIMED = dict.fromkeys(INPUT_FIELDS, 0)
"""Of a job, what the runner has to know."""
FLOW_SUMMARY = {"jobs": 0, "ids": 0, "parents": 0}


def share_of(uuid: str) -> int:
    """What processes of one role share the jobs by."""
    try:
        return int(uuid[:8], 16)
    except ValueError:
        return 0


def projection(fields: Sequence[str]) -> dict[str, Any]:
    """What mongod is asked for; of two paths one of which is above the other only the upper one may be named."""
    found: dict[str, Any] = {"_id": 1}

    def walk(tree: Mapping[str, Any], above: str) -> None:
        for name, below in tree.items():
            if below is True:
                found[f"{above}{name}"] = 1
            else:
                walk(below, f"{above}{name}.")

    walk(wanted_fields(fields), "")
    return found


def strip(document: Document) -> Document:
    """Take away what is ours alone (in place)."""
    document.pop("_id", None)
    document.pop(DERIVED, None)
    return document
