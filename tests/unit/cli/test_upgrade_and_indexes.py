"""``jf admin upgrade`` and ``jf admin index`` where the queue is an SQLite file."""

from __future__ import annotations

from typing import Any

from jobflow_remote.control.upgrade import our_version
from jobflow_remote.queuedb.port import QueueDatabase


def test_a_database_of_this_release_needs_no_upgrade(world: Any, jf: Any) -> None:
    jf("admin upgrade", required_out="up to date")
    jf("admin upgrade --no-dry-run --check-env", required_out="up to date")
    versions = world.queue.get_auxiliary("versions")
    assert versions["jobflow_remote_version"] == our_version()
    jf("admin upgrade --check-env", required_out="up to date", excluded_out="changed")


def test_changes_of_jobflow_are_told(world: Any, jf: Any) -> None:
    former = {
        "jobflow_remote_version": our_version(),
        "jobflow_version": "0.1.0",
        "full_environment": {"gone": "1.0"},
    }
    world.queue.set_auxiliary("versions", former)
    jf("admin upgrade", required_out=["jobflow: 0.1.0 →", "up to date"], excluded_out="gone")
    jf("admin upgrade -ce", required_out="gone: 1.0 → not there")


def test_a_newer_release_is_told(world: Any, jf: Any) -> None:
    world.queue.set_auxiliary("versions", {"jobflow_remote_version": "99.1"})
    jf("admin upgrade -ndr", required_out="99.1, which is newer")
    assert world.queue.get_auxiliary("versions") == {"jobflow_remote_version": "99.1"}


def test_there_is_one_target(jf: Any) -> None:
    jf("admin upgrade --target 1.0.1", error=True, required_out="not to 1.0.1")
    jf(f"admin upgrade --target {our_version()}", required_out="up to date")


def test_compacting(world: Any, jf: Any) -> None:
    flow, _ = world.add_flow(name="x" * 3_000_000)
    world.queue.delete_flows([flow])
    before = world.queue.path.stat().st_size
    jf("admin compact", required_out="MB were given back")
    assert world.queue.path.stat().st_size < before - 2_000_000
    jf("admin compact", required_out="0.0 MB were given back")
    assert world.queue.check_integrity() == []


def _plan(queue: QueueDatabase, bound: int) -> str:
    """How jobs that end after a moment are found. The bound differs each time: plans are cached with their text."""
    sql = f"SELECT db_number FROM jobs WHERE end_time > {bound}"
    with queue._reading() as connection:  # type: ignore[attr-defined]
        connection.execute(
            "SELECT count(*) FROM jobs"
        ).fetchall()  # an EXPLAIN alone does not see other indexes
        return str(connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())


def test_indexes_of_ones_own(world: Any, jf: Any) -> None:
    world.add_flow()
    assert "SCAN" in _plan(world.queue, 1)
    jf("admin index create end_time desc", required_out="own_jobs_end_time_desc")
    jf("admin index create end_time desc --foreground", required_out="own_jobs_end_time_desc")
    assert "own_jobs_end_time_desc" in _plan(world.queue, 2)
    jf("admin index create name -c flows --unique", required_out="own_flows_name_asc")
    jf("admin index rebuild", required_out="indexes were built")
    assert "SCAN" in _plan(world.queue, 3)


def test_what_would_not_be_used_is_refused(world: Any, jf: Any) -> None:
    world.add_flow()
    jf("admin index create job.metadata.tag", error=True, required_out=["would not use", "db_number"])
    jf("admin index create runner_pings -c aux", error=True, required_out="would not use")
    world.add_flow()
    jf("admin index create worker --unique", error=True, required_out="occur twice")
