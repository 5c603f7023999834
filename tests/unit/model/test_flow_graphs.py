"""The graph of a flow, and where its jobs are drawn."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from jobflow_remote.model.arrange import HEADER, MOST_ROWS, Box, arrange
from jobflow_remote.model.flowgraph import Edge, EdgeKind, FlowGraph, build_graph
from jobflow_remote.model.states import JobState


def job(
    db_id: int, *parents: str, uuid: str | None = None, hosts: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """``hosts``: innermost first, without the flow."""
    inner = {"name": f"job {db_id}", "hosts": [*hosts, "flow"]}
    known = {
        "db_id": f"p{db_id}",
        "db_number": db_id,
        "uuid": uuid or f"u{db_id}",
        "index": 1,
        "state": "READY",
    }
    return {**known, "worker": "w", "parents": list(parents), "job": inner, **more}


def graph(*jobs: dict[str, Any]) -> FlowGraph:
    return build_graph(jobs)


def test_jobs_and_outputs() -> None:
    found = graph(job(2, "u1", "elsewhere", state="RUN_FINISHED"), job(1), job(10, "u2", "u1"))
    assert [node.db_id for node in found.nodes] == ["p1", "p2", "p10"]
    assert found.nodes[1].state is JobState.TERMINATED
    assert found.edges == (Edge("p1", "p2"), Edge("p2", "p10"), Edge("p1", "p10"))
    assert found.sources("p10") == ["p2", "p1"]
    assert found.sources("p1") == []


def test_nested_flows() -> None:
    (node,) = graph(job(1, hosts=("inner", "outer"))).nodes
    assert node.hosts == ("outer", "inner")
    assert graph({**job(1), "job": {}}).nodes[0].hosts == ()


def test_names_of_nested_flows() -> None:
    found = graph(
        job(1, hosts=("inner", "outer"), host_names=["strain", "elastic"]), job(2, hosts=("abcdef0123",))
    )
    assert [found.flow_label(host) for host in ("inner", "outer", "abcdef0123")] == [
        "strain", "elastic", "abcdef01",
    ]  # fmt: skip
    assert [flow.name for flow in arrange(found).flows] == ["elastic", "strain", "abcdef01"]


def test_replacements_additions_and_detours() -> None:
    found = graph(
        job(1),
        job(2, "u1"),
        job(3, "u4", uuid="u1", index=2),  # the last job of what replaced the first one
        job(4, generated_by="p1"),
        job(5, "u4", generated_by="p1"),
        job(6, generated_by="gone"),
    )
    assert set(found.edges) == {
        Edge("p3", "p2"),
        Edge("p4", "p3"),
        Edge("p4", "p5"),
        Edge("p1", "p3", EdgeKind.REPLACED),
        Edge("p1", "p4", EdgeKind.ADDED),
    }
    assert found.sources("p3", EdgeKind.REPLACED) == ["p1"]


def test_superseded_jobs_are_nobodys_source() -> None:
    found = graph(job(1), job(2, uuid="u1", index=2, superseded=True), job(3, "u1"))
    assert Edge("p1", "p3") in found.edges
    assert Edge("p2", "p3") not in found.edges


# -- where they are drawn --------------------------------------------------------------------------


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def inside(one: Box, other: Box) -> bool:
    return other.x <= one.x and one.x + one.width <= other.x + other.width and other.y <= one.y and (
        one.y + one.height <= other.y + other.height
    )  # fmt: skip


NESTED = [
    job(1),
    *(job(number, "u1", hosts=("fan",)) for number in range(2, 9)),
    job(9, *(f"u{number}" for number in range(2, 9)), hosts=("fan",)),
    job(10, "u9", hosts=("deep", "outer")),
    job(11, "u10", hosts=("outer",)),
    job(12, "u11"),
    job(13),
]


def test_nothing_overlaps_and_everything_flows_to_the_right() -> None:
    flow = graph(*NESTED)
    places = arrange(flow)
    assert set(places.nodes) == {node.db_id for node in flow.nodes}
    assert not [pair for pair in combinations(places.nodes.values(), 2) if overlap(*pair)]
    assert all(places.nodes[edge.source].x < places.nodes[edge.target].x for edge in flow.edges)
    whole = Box(0, 0, places.width, places.height)
    assert all(inside(box, whole) for box in places.nodes.values())
    boxes = {nested.uuid: nested for nested in places.flows}
    assert [(name, flow.depth, flow.jobs) for name, flow in boxes.items()] == [
        ("fan", 1, 8), ("outer", 1, 2), ("deep", 2, 1),
    ]  # fmt: skip
    assert inside(boxes["deep"].box, boxes["outer"].box)
    assert inside(places.nodes["p10"], boxes["deep"].box)
    assert places.nodes["p10"].y - boxes["deep"].box.y == HEADER
    assert not overlap(boxes["fan"].box, places.nodes["p12"])


def test_an_order_follows_that_of_what_is_before() -> None:
    places = arrange(graph(job(1), job(2), job(3, "u2"), job(4, "u1")))
    assert places.nodes["p4"].y < places.nodes["p3"].y


@pytest.mark.parametrize("number", [MOST_ROWS, MOST_ROWS + 1, 1000])
def test_wide_fans_are_broken(number: int) -> None:
    fan = [job(position, "u0") for position in range(1, number + 1)]
    places = arrange(graph(job(0), *fan))
    assert places.height < (MOST_ROWS + 1) * 60
    columns = {box.x for name, box in places.nodes.items() if name != "p0"}
    assert len(columns) == -(-number // MOST_ROWS)


def test_flows_that_need_each_other_are_drawn() -> None:
    places = arrange(graph(job(1, hosts=("a",)), job(2, "u1", hosts=("b",)), job(3, "u2", hosts=("a",))))
    assert len(places.nodes) == 3
    assert not overlap(places.flows[0].box, places.flows[1].box)


def test_an_empty_flow() -> None:
    places = arrange(graph())
    assert (places.nodes, places.flows) == ({}, ())
    assert places.width > 0


def test_a_long_chain_of_nested_flows() -> None:
    chain = [job(number, f"u{number - 1}", hosts=(f"h{number // 100}",)) for number in range(2000)]
    assert len(arrange(graph(*chain)).nodes) == 2000
