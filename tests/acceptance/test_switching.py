"""A database that an older release left behind with jobs in flight: upgraded with ``jf``, and run to its end."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.services.dumps import RELEASES, load_dump, read_dump, write_files
from tests.services.mongod import Mongod, ServiceMissingError
from tests.shows.old_databases import WORKERS
from tests.shows.old_release import JOBS, OldRelease, wait_until

LAST_OUTPUTS = {
    "single": {"alone"},
    "chain": {4},
    "fan": {15},
    "outermost": {4},
    "large": {100},
    "replacing": {106},
    "detouring": {105},
    "adding": {107, "b"},
}
"""Name of a flow → outputs of its last jobs."""
ENDS_BADLY = {"failing": "FAILED", "stopping": "STOPPED"}
_MOVING = {"READY", "CHECKED_OUT", "UPLOADED", "SUBMITTED", "RUNNING", "TERMINATED", "DOWNLOADED"}


@pytest.fixture(params=RELEASES)
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OldRelease]:
    """The home of the group, with our release installed; the queue is what the old one left."""
    try:
        server = Mongod(tmp_path / "mongod").start()
    except ServiceMissingError as exc:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"CI has to have a mongod: {exc}")
        pytest.skip(f"no mongod: {exc}")
    ours = Path(sys.executable).parent
    workers = WORKERS.format(folder=tmp_path, jobs=JOBS)
    group = OldRelease(ours, tmp_path, server.port, prefix="g", workers=workers)
    dump = read_dump(request.param, tmp_path)
    client: MongoClient[Any] = MongoClient(server.uri)
    load_dump(dump, client[group.database])
    client.close()
    write_files(dump, tmp_path)
    group.open_gate("open")
    yield group
    group.stop()
    server.stop()


def _flows(group: OldRelease) -> list[dict[str, Any]]:
    with group.client() as client:
        return list(client[group.database].flows.find())


def test_everything_completes(group: OldRelease) -> None:
    before = group.states()
    blocked = group.jf("admin", "upgrade", check=False)
    assert blocked.returncode == 1
    assert "somebody on workstation" in blocked.stderr
    dry = group.jf("admin", "upgrade", "--force")
    assert f"{sum(before.values())} jobs" in dry.stdout
    assert "Nothing was changed" in dry.stdout
    wrong = group.jf("admin", "upgrade", "--force", "--no-dry-run", answer="y\n", check=False)
    assert wrong.returncode == 1
    assert group.states() == before
    assert group.jf("runner", "start", check=False).returncode == 1
    group.jf("admin", "upgrade", "--force", "--no-dry-run", answer="group\n")
    assert "up to date" in group.jf("admin", "upgrade", "--no-dry-run").stderr

    group.start("--single")
    wait_until(lambda: not _in_motion(group), "all jobs have ended")
    states = {flow["uuid"]: (flow["name"], flow["state"]) for flow in _flows(group)}
    held = {"PAUSED", "STOPPED", "RUNNING"}  # paused, stopped, unreachable or with pilots: as they were
    for name, state in states.values():
        assert state in ({ENDS_BADLY[name]} if name in ENDS_BADLY else {"COMPLETED", *held}), (name, state)
    done = Counter(name for name, state in states.values() if state == "COMPLETED")
    assert {name for name, number in done.items() if number >= 2} == set(LAST_OUTPUTS), states
    _check_outputs(group)


def _in_motion(group: OldRelease) -> list[str]:
    with group.client() as client:
        query = {"state": {"$in": sorted(_MOVING)}, "worker": "local"}
        return [job["db_id"] for job in client[group.database].jobs.find(query, {"db_id": 1})]


def _check_outputs(group: OldRelease) -> None:
    """The last jobs of each completed flow."""
    with group.client() as client:
        database = client[group.database]
        for flow in database.flows.find({"state": "COMPLETED"}):
            jobs = list(database.jobs.find({"flow_uuid": flow["uuid"]}))
            inner = {parent for job in jobs for parent in job["parents"]}
            last = {job["uuid"] for job in jobs} - inner
            found = {
                document["output"] for document in database.outputs.find({"uuid": {"$in": sorted(last)}})
            }
            assert found == LAST_OUTPUTS[flow["name"]], flow["name"]
