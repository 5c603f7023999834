"""Who gets what of an allocation, and what an allocation is."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest

from jobflow_remote.execution.pilot.allocation import (
    expand_nodes,
    parse_gpu_ids,
    parse_ranges,
    read_allocation,
)
from jobflow_remote.execution.pilot.placement import NodeShare, Place, Placement
from jobflow_remote.execution.pilot.ticket import Needs, Ticket
from jobflow_remote.execution.pilot.timing import TimeBook

NODES = (NodeShare("n1", (0, 1, 2, 3), ("0", "1"), 1000), NodeShare("n2", (0, 1, 2, 3), (), 1000))


def test_places_without_packing_are_counted_only() -> None:
    placement = Placement(NODES, 3)
    places = [placement.take(Needs(cores=99)) for _ in range(4)]
    assert [place is not None for place in places] == [True, True, True, False]
    assert {place.node for place in places if place} == {"n1", "n2"}


def test_jobs_are_kept_to_their_own() -> None:
    dice = random.Random(1)
    placement = Placement(NODES, None, packs=True)
    running: list[Place] = []
    kinds = [
        Needs(cores=1), Needs(cores=3), Needs(gpus=1), Needs(gpus=0.5), Needs(whole_nodes=True), Needs(nodes=2),
        Needs(cores=1, memory_mb=600),
    ]  # fmt: skip
    for _ in range(2000):
        place = placement.take(dice.choice(kinds))
        if place is not None:
            running.append(place)
        elif running:
            placement.give(running.pop(dice.randrange(len(running))))
        check_apart(running)
    for place in running:
        placement.give(place)
    assert placement.take(Needs(nodes=2)) is not None


def check_apart(places: Sequence[Place]) -> None:
    cores: set[tuple[str, int]] = set()
    gpus: dict[tuple[str, str], float] = {}
    memory: dict[str, int] = {}
    whole = {node for place in places if place.whole_nodes for node in place.nodes}
    for place in places:
        for node in place.nodes:
            own = {(node, core) for core in place.cores}
            assert own
            assert not own & cores
            cores |= own
            memory[node] = memory.get(node, 0) + place.memory_mb
            for gpu in place.gpus:
                gpus[node, gpu] = gpus.get((node, gpu), 0) + place.gpu_share
        if not place.whole_nodes:
            assert place.node not in whole
    assert all(share <= 1 + 1e-6 for share in gpus.values())
    assert all(used <= 1000 for used in memory.values())


@pytest.mark.parametrize(
    "late", [Needs(cores=4), Needs(cores=2, gpus=2), Needs(memory_mb=900), Needs(whole_nodes=True)]
)
def test_what_is_held_for_a_job_is_taken_by_no_other(late: Needs) -> None:
    dice = random.Random(2)
    placement = Placement(NODES, None, packs=True)
    kinds = [Needs(cores=1), Needs(cores=2), Needs(gpus=0.5), Needs(memory_mb=300)]
    running: list[Place] = []

    def crowd() -> int:
        """Start all that can be, one job of each kind after the other; how many were."""
        started = 0
        while places := [place for kind in kinds if (place := placement.take(kind)) is not None]:
            running.extend(places)
            started += len(places)
        return started

    crowd()
    placement.hold(late)
    others = 0
    while (place := placement.take(late, is_held=True)) is None:
        placement.give(running.pop(dice.randrange(len(running))))
        others += crowd()
        check_apart(running)
        assert others < 1000
    placement.release()
    check_apart([*running, place])
    placement.give(place)
    assert crowd()


def test_a_job_that_waits_for_a_gpu_keeps_one_core_and_not_the_others() -> None:
    placement = Placement(NODES[:1], None, packs=True)
    assert placement.take(Needs(cores=1, gpus=2)) is not None
    placement.hold(Needs(cores=1, gpus=1))
    assert [placement.take(Needs(cores=1)) is not None for _ in range(3)] == [True, True, False]
    assert placement.take(Needs(cores=1, gpus=1), is_held=True) is None


def test_shares_of_a_gpu_go_together() -> None:
    placement = Placement(NODES, None, packs=True)
    halves = [placement.take(Needs(gpus=0.5)) for _ in range(3)]
    assert [place.gpus for place in halves if place] == [("0",), ("0",), ("1",)]
    assert placement.take(Needs(gpus=1)) is None


def test_jobs_without_gpus_leave_nodes_with_gpus_free() -> None:
    place = Placement(NODES, None, packs=True).take(Needs(cores=2))
    assert place is not None
    assert place.node == "n2"


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(cores=5), "5 cores"),
        (Needs(nodes=3), "3 nodes"),
        (Needs(gpus=3), "3 GPUs"),
        (Needs(memory_mb=2000), "2000 MB"),
        (Needs(cores=4, gpus=2, memory_mb=1000), None),
    ],
)
def test_what_never_fits_is_said(needs: Needs, words: str | None) -> None:
    why = Placement(NODES, None, packs=True).why_never(needs)
    assert (why is None) if words is None else (words in (why or ""))


# -- allocations -----------------------------------------------------------------------------------------------

_SCONTROL = (
    "JobId=7 JobName=b NumNodes=2 NumCPUs=6 Partition=debug EndTime=2026-11-27T23:30:00 "
    "JOB_GRES=gpu:2 Nodes=n1 CPU_IDs=0-3 Mem=800 GRES=gpu:2(IDX:0-1) Nodes=n2 CPU_IDs=4,6 Mem=400 GRES= "
    "MinCPUsNode=1 WorkDir=/tmp"
)


def test_an_allocation_of_slurm() -> None:
    environment = {
        "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_CPUS_PER_NODE": "4,2",
        "SLURM_JOB_END_TIME": "1795818908",
    }  # fmt: skip

    def run(command: Sequence[str]) -> str:
        return "n1\nn2\n" if "hostnames" in command else _SCONTROL

    allocation = read_allocation(environment, run=run)
    assert allocation.nodes == (
        NodeShare("n1", (0, 1, 2, 3), ("0", "1"), 800),
        NodeShare("n2", (4, 6), (), 400),
    )
    assert allocation.ends_at == 1795818908
    del environment["SLURM_JOB_END_TIME"]
    ends_at = read_allocation(environment, run=run).ends_at
    assert ends_at is not None
    assert time.strftime("%H:%M", time.localtime(ends_at)) == "23:30"
    silent = read_allocation(environment, run=lambda command: "")
    assert [(node.name, len(node.cores)) for node in silent.nodes] == [("n1", 4), ("n2", 2)]


def test_an_allocation_of_pbs_and_of_sge(tmp_path: pytest.TempPathFactory) -> None:
    nodes = str(tmp_path) + "/nodes"
    with open(nodes, "w") as file:
        file.write("far1\nfar1\nfar2\n")
    found = read_allocation({"PBS_JOBID": "1.s", "PBS_NODEFILE": nodes, "PBS_WALLTIME": "3600"})
    assert [(node.name, len(node.cores)) for node in found.nodes] == [("far1", 2), ("far2", 1)]
    assert found.ends_at is not None
    with open(nodes, "w") as file:
        file.write("far1 3 all.q@far1 UNDEFINED\n")
    found = read_allocation({"JOB_ID": "9", "PE_HOSTFILE": nodes})
    assert [(node.name, len(node.cores)) for node in found.nodes] == [("far1", 3)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a[1-2,09],c", ["a1", "a2", "a09", "c"]),
        ("x[08-10]", ["x08", "x09", "x10"]),
    ],
)
def test_lists_of_nodes(text: str, names: list[str]) -> None:
    assert expand_nodes(text) == names


def test_lists_of_numbers() -> None:
    assert parse_ranges("0-2,5") == (0, 1, 2, 5)
    assert parse_gpu_ids("gpu:a100:2(IDX:0-1),gpu:v:1(IDX:4)") == ("0", "1", "4")
    assert parse_gpu_ids("gpu:0(IDX:)") == ()


# -- time ------------------------------------------------------------------------------------------------------


def test_jobs_that_will_not_be_through_are_not_started() -> None:
    book = TimeBook(time.time() + 100, warn_seconds=30)
    assert book.fits(Ticket("a", "/", "u", 1, needs=Needs(seconds=60)))
    assert not book.fits(Ticket("a", "/", "u", 1, needs=Needs(seconds=90)))
    assert book.why_never(Ticket("a", "/", "u", 1, needs=Needs(seconds=300)))
    unknown = Ticket("a", "/", "u", 1, name="relax")
    assert book.fits(unknown)
    book.note(unknown, 200)
    assert not book.fits(unknown)
    assert book.why_never(unknown) is None
    assert not book.warning_is_due()
    assert TimeBook(time.time() + 1).warning_is_due()
    assert TimeBook(None).fits(Ticket("a", "/", "u", 1, needs=Needs(seconds=1e9)))
