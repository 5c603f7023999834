"""The contract of a queue database, on a MongoDB server alone and on a replica set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from tests.services.mongod import Mongod

from jobflow_remote.queuedb.mongo import MongoQueueDatabase
from jobflow_remote.queuedb.mongo.options import Names, Server
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.testing.contracts.queuedb import QueueDatabaseContract
from jobflow_remote.testing.contracts.queuedb.documents import Opener

NAME = "contract"


def _opener(server: Mongod) -> Opener:
    def open_database(**options: Any) -> QueueDatabase:
        return MongoQueueDatabase(Server(Names(NAME), uri=server.uri), **options)

    return open_database


def _empty(server: Mongod) -> None:
    """Take all documents away; indexes stay, which take longest to make."""
    client: MongoClient[Any] = MongoClient(server.uri)
    database = client[NAME]
    try:
        for name in database.list_collection_names():
            database[name].delete_many({})
    except OperationFailure:  # a client that was killed in a transaction holds some of them
        client.drop_database(NAME)
    client.close()


class TestMongoStandalone(QueueDatabaseContract):
    """Each command that writes counts as a write."""

    @pytest.fixture
    def opener(self, mongo_standalone: Mongod) -> Iterator[Opener]:
        yield _opener(mongo_standalone)
        _empty(mongo_standalone)


class TestMongoReplicaSet(QueueDatabaseContract):
    """Each command that writes counts as a write, and each commit."""

    @pytest.fixture
    def opener(self, mongo_replica_set: Mongod) -> Iterator[Opener]:
        yield _opener(mongo_replica_set)
        _empty(mongo_replica_set)
