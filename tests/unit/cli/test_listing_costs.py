"""Listings, infos and reports ask the queue database for little, however many jobs there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.plans import find_scans, record_statements
from tests.shows.commands_listings import COMMANDS, WHOLE_TABLE
from tests.shows.manyjobs import ManyJobs

from jobflow_remote.model.clock import utcnow


@pytest.fixture
def names(world: Any) -> dict[str, str]:
    """A small queue of the kind that is measured at full size."""
    ManyJobs(jobs=60, flows=6, seed=1, now=utcnow()).fill(world.queue)
    job, failed = world.queue.find_jobs({"db_number": 30})[0], world.queue.find_jobs({"state": "FAILED"})[0]
    return {
        "db_id": "30", "uuid": job["uuid"], "prefix": job["uuid"][:12], "flow": job["flow_uuid"],
        "pid": job["remote"]["process_id"], "failed": failed["db_id"],
    }  # fmt: skip


def test_no_command_reads_a_whole_table(
    world: Any, names: dict[str, str], jf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = record_statements(monkeypatch)
    path = Path(world.folder / "tutorial" / "queue.sqlite")
    scanning = set()
    for words in COMMANDS:
        statements.clear()
        jf(words.format_map(names))
        if words.startswith("job list"):
            assert statements, words
        if find_scans(path, statements):
            scanning.add(words)
    assert scanning <= WHOLE_TABLE
