"""The contract of a queue database, on a MongoDB server alone and on a replica set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from tests.services.mongod import Mongod

from jobflow_remote.queuedb.mongo import MongoQueueDatabase
from jobflow_remote.queuedb.mongo.options import Names, Server
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.testing.contracts.queuedb import QueueDatabaseContract
from jobflow_remote.testing.contracts.queuedb.documents import Opener


def _opener(server: Mongod, name: str) -> Opener:
    def open_database(**options: Any) -> QueueDatabase:
        return MongoQueueDatabase(Server(Names(name), uri=server.uri), **options)

    return open_database


def _drop(server: Mongod, name: str) -> None:
    client: MongoClient[Any] = MongoClient(server.uri)
    client.drop_database(name)
    client.close()


class TestMongoStandalone(QueueDatabaseContract):
    """Each command that writes counts as a write."""

    @pytest.fixture
    def opener(self, mongo_standalone: Mongod) -> Iterator[Opener]:
        name = f"queue_{uuid4().hex[:12]}"
        yield _opener(mongo_standalone, name)
        _drop(mongo_standalone, name)


class TestMongoReplicaSet(QueueDatabaseContract):
    """Each command that writes counts as a write, and each commit."""

    @pytest.fixture
    def opener(self, mongo_replica_set: Mongod) -> Iterator[Opener]:
        name = f"queue_{uuid4().hex[:12]}"
        yield _opener(mongo_replica_set, name)
        _drop(mongo_replica_set, name)
