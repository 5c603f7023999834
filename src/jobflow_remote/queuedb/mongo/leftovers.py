"""What units left behind that were cut short: looked for whenever a database is opened, and hardly ever there."""

from __future__ import annotations

from bson import ObjectId

from jobflow_remote.queuedb.mongo.connection import Connection

HELD = {"derived.txn.id": {"$gt": ObjectId("0" * 24)}}
"""Flows that a unit holds."""
INTENTS = {"operations": {"$exists": True}, "of": None}
"""Units whose intent is there."""


def sweep(connection: Connection) -> None:
    """Bring what was left behind to its end. What does that is loaded where there is something: listings open too."""
    if connection.transactional:
        return
    one = {"_id": 1}
    if (
        connection.unfinished
        or connection.flows.find_one(HELD, one)
        or connection.intents.find_one(INTENTS, one)
    ):
        from jobflow_remote.queuedb.mongo import units

        units.sweep(connection)
