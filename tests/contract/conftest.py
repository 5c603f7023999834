"""Real servers for the contract suites; one of each per run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.services.mongod import Mongod, ServiceMissingError


def _start(folder: pytest.TempPathFactory, replica_set: str | None) -> Mongod:
    try:
        return Mongod(folder.mktemp("mongod"), replica_set=replica_set).start()
    except ServiceMissingError as exc:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"CI has to have a mongod: {exc}")
        pytest.skip(f"no mongod: {exc}")


@pytest.fixture(scope="session")
def mongo_standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A server without transactions."""
    server = _start(tmp_path_factory, None)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mongo_replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A replica set of one."""
    server = _start(tmp_path_factory, "contract")
    yield server
    server.stop()
