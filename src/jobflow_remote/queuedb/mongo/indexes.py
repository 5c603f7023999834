"""The indexes of the collections: those that every database has, those of older releases, those that people add.

And the space that collections take with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import IndexModel, errors, timeout
from pymongo.collection import Collection

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.queuedb.mongo import schema
from jobflow_remote.queuedb.mongo.connection import Connection

_BUILD_SECONDS = 24 * 3600
"""An index of very many documents takes longer than an answer usually may."""
_CONFLICTS = (85, 86)
"""There is an index with this name or these keys, and other options."""
_DUPLICATES = (11000, 11001)
_FORMER = {
    "jobs": ("uuid_1", "name_1", "worker_1", "state_1", "updated_on_1"),
    "flows": ("state_1", "updated_on_1"),
    "batches": ("worker_1",),
}
"""Standard indexes of jobflow-remote 1.0.1 that longer ones of ours serve too, or that nothing used."""


def _standard(connection: Connection) -> list[tuple[Collection[Any], list[IndexModel]]]:
    tables = (
        (connection.jobs, schema.JOB_INDEXES),
        (connection.flows, schema.FLOW_INDEXES),
        (connection.batches, schema.BATCH_INDEXES),
        (connection.intents, [([("of", 1)], {"sparse": True})]),
    )
    return [
        (collection, [IndexModel(keys, **options) for keys, options in rows]) for collection, rows in tables
    ]


def create(connection: Connection) -> None:
    """Create the indexes that are missing."""
    for collection, models in _standard(connection):
        connection.announce("initialise")
        try:
            with timeout(_BUILD_SECONDS):
                collection.create_indexes(models)
        except errors.OperationFailure as exc:
            if exc.code not in _CONFLICTS:
                raise
            for model in models:
                _replace(collection, model)


def _replace(collection: Collection[Any], model: IndexModel) -> None:
    """Create an index in the place of another one with its name or its keys."""
    try:
        collection.create_indexes([model])
    except errors.OperationFailure as exc:
        if exc.code not in _CONFLICTS:
            raise
        for name, present in collection.index_information().items():
            if name == model.document["name"] or present["key"] == list(model.document["key"].items()):
                collection.drop_index(name)
        collection.create_indexes([model])


def find_former(connection: Connection) -> list[tuple[Collection[Any], str]]:
    """Indexes of an older release that nothing uses."""
    return [
        (collection, name)
        for collection, names in (
            (connection.jobs, _FORMER["jobs"]),
            (connection.flows, _FORMER["flows"]),
            (connection.batches, _FORMER["batches"]),
        )
        for name in sorted(set(names) & set(collection.index_information()))
    ]


def drop_former(connection: Connection) -> None:
    """Drop them: each costs something with every write."""
    for collection, name in find_former(connection):
        connection.announce("upgrade: index")
        collection.drop_index(name)


def rebuild(connection: Connection) -> int:
    """Drop all indexes, those that people added too, and build the standard ones; returns how many."""
    number = 0
    for collection, models in _standard(connection):
        connection.announce("indexes")
        collection.drop_indexes()
        connection.announce("indexes")
        with timeout(_BUILD_SECONDS):
            number += len(collection.create_indexes(models))
    return number


def compact(connection: Connection) -> int:
    """Have the server give space of removed documents and old indexes back; returns how many bytes."""
    freed = 0
    database = connection.database
    present = set(database.list_collection_names())
    for collection, _ in _standard(connection):
        if collection.name in present:
            with timeout(_BUILD_SECONDS):  # `force`: on the primary of a replica set too; it lets others work
                told = database.command("compact", collection.name, force=True)
            freed += int(told.get("bytesFreed") or 0)
    return freed


def add(connection: Connection, name: str, keys: Sequence[tuple[str, int]], *, unique: bool) -> str:
    """Create an index of one's own; returns its name."""
    collection: Collection[Any] = getattr(connection, name)
    connection.announce("indexes")
    try:
        with timeout(_BUILD_SECONDS):
            return str(collection.create_index(list(keys), unique=unique))
    except errors.OperationFailure as exc:
        if exc.code in _DUPLICATES:
            raise QueueDatabaseError(f"{keys[0][0]} cannot have a unique index: values occur twice") from exc
        raise
