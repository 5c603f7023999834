"""Every action × every state × each queue database, against the lifecycle table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.services.mongod import Mongod
from tests.shows import actiontable

from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.mongo import MongoQueueDatabase
from jobflow_remote.queuedb.mongo.options import Names, Server
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase


def _on_server(server: Mongod) -> Iterator[QueueDatabase]:
    queue = MongoQueueDatabase(Server(Names("actions"), uri=server.uri))
    yield queue
    queue.close()
    client: MongoClient[Any] = MongoClient(server.uri)
    client.drop_database("actions")
    client.close()


@pytest.fixture
def sqlite_queue(tmp_path: Path) -> Iterator[QueueDatabase]:
    queue = SQLiteQueueDatabase(tmp_path / "queue.sqlite")
    yield queue
    queue.close()


@pytest.fixture
def standalone_queue(mongo_standalone: Mongod) -> Iterator[QueueDatabase]:
    yield from _on_server(mongo_standalone)


@pytest.fixture
def replica_set_queue(mongo_replica_set: Mongod) -> Iterator[QueueDatabase]:
    yield from _on_server(mongo_replica_set)


DATABASES = ("sqlite_queue", "standalone_queue", "replica_set_queue")


@pytest.mark.parametrize("database", DATABASES)
def test_actions_do_what_the_table_says(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    services = actiontable.make_services(tmp_path, request.getfixturevalue(database))
    number, wrong = actiontable.walk(services)
    assert wrong == []
    assert number > 150


@pytest.mark.parametrize("database", DATABASES[:2])
def test_how_jobs_run_is_set_where_the_runner_has_them_not(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    services = actiontable.make_services(tmp_path, request.getfixturevalue(database))
    number, wrong = actiontable.walk_settings(services)
    assert wrong == []
    assert number == 5 * len(JobState)
