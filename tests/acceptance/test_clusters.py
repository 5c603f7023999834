"""Clusters in small: the stories of ``make shows PART=clusters`` with a few jobs each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.services.cluster import Cluster
from tests.services.missing import or_skip
from tests.shows import farstories, pace
from tests.shows.farhome import drive, far_home, logs


@pytest.fixture
def make_cluster() -> Iterator[Callable[..., Cluster]]:
    """Starts clusters, and ends them after the test; in a folder with a short name, for sockets of Slurm are in it."""
    made: list[Cluster] = []
    with tempfile.TemporaryDirectory(prefix="jfc-", ignore_cleanup_errors=True) as folder:

        def make(*, gateway: bool = False) -> Cluster:
            cluster = Cluster(Path(folder) / f"c{len(made)}", gateway=gateway)
            made.append(or_skip(cluster.start))
            return cluster

        yield make
        for cluster in made:
            cluster.stop()


def test_the_demo_runs_on_slurm_behind_a_gateway_that_knows_no_way_back(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(gateway=True)
    or_skip(lambda: cluster.start_slurm(nodes=1))
    assert not cluster.can_reach(cluster.workstation, 22)
    with far_home({"far": cluster.worker(**farstories.SLURM, pre_run=farstories.PRE_RUN)}) as home:
        expected = drive(home, "demo_here", 5)["output"]
        home.start("--single")
        found = farstories.demo(home, "far", expected, points=5)
        assert found.state == "COMPLETED", logs(home)
        assert found.same_numbers


def test_many_jobs_take_few_round_trips(tmp_path: Path) -> None:
    with or_skip(lambda: pace.slow_link(tmp_path, delay_ms=5)) as link:
        there, back = pace.measure(link, 100)
    assert there.turns <= 60  # logins of two processes, and a look at the scheduler each second, among them
    assert back.turns <= 60


def test_a_healthy_worker_does_not_mind_two_that_cannot_be_reached(
    make_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    seen = farstories.isolation(make_cluster(), tmp_path, jobs=2, others=1)
    assert set(seen.reasons) == {"locked", "swallowed"}
    assert "refused the login" in seen.reasons["locked"]
    assert seen.afterwards == {"locked": {"COMPLETED": 1}, "swallowed": {"COMPLETED": 1}}


def test_each_job_runs_once_whatever_happens(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster()
    or_skip(lambda: cluster.start_slurm(nodes=1))
    seen = farstories.troubles(
        cluster,
        jobs=6,
        seed=4,
        events=["connection cut", "runner killed"],
        away_seconds=2,
        one_in=4,
    )
    assert not seen.problems
    assert seen.states == {"COMPLETED": 6}
    assert not seen.not_once


def test_jobs_that_are_ended_tell_by_what(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster()
    or_skip(lambda: cluster.start_slurm(nodes=2, accounting=True))
    for ended in farstories.endings(cluster, ["memory", "scancel"]):
        assert ended.state == "REMOTE_ERROR", ended.text
        assert not ended.missing, ended.text
