"""Who gets what of an allocation, and what an allocation is."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobflow_remote.execution.pilot.allocation import (
    expand_nodes,
    here,
    parse_gpu_ids,
    parse_ranges,
    read_allocation,
)
from jobflow_remote.execution.pilot.nodefiles import parse_duration
from jobflow_remote.execution.pilot.placement import NodeShare, Place, Placement
from jobflow_remote.execution.pilot.ticket import Needs, Ticket
from jobflow_remote.execution.pilot.timing import TimeBook

DATA = Path(__file__).parents[2] / "data" / "schedulers"
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


def test_an_allocation_of_torque(tmp_path: Path) -> None:
    nodes, gpus = tmp_path / "nodes", tmp_path / "gpus"
    nodes.write_text("far1\nfar1\nfar2\n")
    gpus.write_text("far2-gpu1\n")
    environment = {
        "PBS_JOBID": "1.s", "PBS_NODEFILE": str(nodes), "PBS_WALLTIME": "3600", "PBS_GPUFILE": str(gpus),
    }  # fmt: skip
    found = read_allocation(environment, run=lambda command: "")
    assert found.nodes == (
        NodeShare("far1", (0, 1), pins=False),
        NodeShare("far2", (0,), ("1",), pins=False),
    )
    assert found.ends_at == pytest.approx(time.time() + 3600, abs=60)


def test_an_allocation_of_openpbs_as_it_answers(tmp_path: Path) -> None:
    recorded = json.loads((DATA / "openpbs-23.06.06.json").read_text())
    (answer,) = [each["stdout"] for each in recorded if each["name"] == "qstat-f-all"]
    nodes = tmp_path / "nodes"
    nodes.write_text("server1\n")
    environment = {"PBS_JOBID": "16.server1", "PBS_NODEFILE": str(nodes), "NCPUS": "2"}
    asked: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> str:
        asked.append(command)
        first: str = answer.split("\nJob Id:")[0]
        return first

    found = read_allocation(environment, run=run)
    assert asked == [["qstat", "-f", "16.server1"]]
    assert found.nodes == (NodeShare("server1", (0, 1), (), 100, pins=False),)
    assert time.strftime("%a %H:%M:%S", time.localtime(found.ends_at)) == "Mon 08:41:52"
    silent = read_allocation(environment, run=lambda command: "")
    assert (silent.nodes, silent.ends_at) == ((NodeShare("server1", (0, 1), pins=False),), None)


def test_what_openpbs_gives_of_each_node(tmp_path: Path) -> None:
    """The file has one line for each chunk, whatever its size."""
    nodes = tmp_path / "nodes"
    nodes.write_text("n1.cluster\nn2.cluster\n")
    answer = "    exec_vnode = (n1:ncpus=16:mem=4gb)+(n2[0]:ncpus=2:mem=1048576kb+n2[1]:\n\tncpus=4:ngpus=2:mem=1gb)\n"
    found = read_allocation({"PBS_JOBID": "1", "PBS_NODEFILE": str(nodes)}, run=lambda command: answer)
    assert [(node.name, len(node.cores), node.gpus, node.memory_mb) for node in found.nodes] == [
        ("n1.cluster", 16, (), 4096), ("n2.cluster", 6, ("0", "1"), 2048),
    ]  # fmt: skip


def test_an_allocation_of_grid_engine(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("far1 3 all.q@far1 UNDEFINED\nfar2 2 all.q@far2 UNDEFINED\nfar1 1 b.q@far1 UNDEFINED\n")
    answers = {
        "qstat": "job_number:     9\nhard resource_list:         h_rt=600,h_vmem=1G\n",
        "qconf": "qname   all.q\ns_rt    INFINITY\nh_rt    0:5:0\n",
    }
    environment = {
        "JOB_ID": "9",
        "PE_HOSTFILE": str(hosts),
        "QUEUE": "all.q",
        "SGE_JOB_SPOOL_DIR": str(tmp_path),
    }
    (tmp_path / "environment").touch()
    os.utime(tmp_path / "environment", (1e9, 1e9))
    found = read_allocation(environment, run=lambda command: answers[command[0]])
    assert [(node.name, len(node.cores)) for node in found.nodes] == [("far1", 4), ("far2", 2)]
    assert found.ends_at == 1e9 + 300
    found = read_allocation({"JOB_ID": "9", "SGE_ROOT": "/sge", "NSLOTS": "3"}, run=lambda command: "")
    assert [(node.name, len(node.cores)) for node in found.nodes] == [(here(), 3)]
    assert found.ends_at is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("01:00:00", 3600), ("1:0:0:0", 86400), ("INFINITY", None)],
)
def test_durations_of_batch_systems(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


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
