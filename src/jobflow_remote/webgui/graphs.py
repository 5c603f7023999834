"""The graph of a flow with a place for everything, as the script that draws it wants it: short lists, few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from jobflow_remote.model.arrange import Box, arrange
from jobflow_remote.model.flowgraph import Edge, FlowGraph, JobNode
from jobflow_remote.webgui.parts import shade

_CLOSED = "flow "


def close_flows(graph: FlowGraph, closed: Collection[str]) -> tuple[FlowGraph, Mapping[str, str]]:
    """The graph with nested flows as one node each, and for each job inside one of them the id of that node."""
    inside: dict[str, str] = {}
    nodes: dict[str, JobNode] = {}
    for node in graph.nodes:
        depth = next((at for at, host in enumerate(node.hosts) if host in closed), None)
        if depth is None:
            nodes[node.db_id] = node
            continue
        name = _CLOSED + node.hosts[depth]
        inside[node.db_id] = name
        nodes.setdefault(name, replace(node, db_id=name, hosts=node.hosts[:depth], superseded=False))
    edges = dict.fromkeys(
        Edge(source, target, edge.kind)
        for edge in graph.edges
        if (source := inside.get(edge.source, edge.source))
        != (target := inside.get(edge.target, edge.target))
    )
    return FlowGraph(tuple(nodes.values()), tuple(edges)), inside


def place(graph: FlowGraph, closed: Collection[str]) -> dict[str, Any]:
    """Nodes, edges and boxes of nested flows; edges name nodes by their position.

    ``hidden``: key of a job in a closed flow → position of its node and its state.
    """
    shown, inside = close_flows(graph, closed)
    arrangement = arrange(shown)
    position = {node.db_id: number for number, node in enumerate(shown.nodes)}
    states: dict[str, Counter[str]] = {}
    hidden = {}
    for node in graph.nodes:
        if node.db_id in inside:
            states.setdefault(inside[node.db_id], Counter())[node.state.value] += 1
            hidden[f"{node.uuid}:{node.index}"] = [position[inside[node.db_id]], node.state.value]
    return {
        "size": [round(arrangement.width), round(arrangement.height)],
        "nodes": [
            _node(node, arrangement.nodes[node.db_id], states.get(node.db_id), graph) for node in shown.nodes
        ],
        "edges": [[position[edge.source], position[edge.target], edge.kind.value] for edge in shown.edges],
        "flows": [
            {
                "uuid": each.uuid,
                "name": graph.flow_label(each.uuid),
                "jobs": each.jobs,
                "box": _numbers(each.box),
            }
            for each in arrangement.flows
        ],
        "hidden": hidden,
        "closed": sorted(closed),
        "shades": {state.value: shade(state.value) for state in {node.state for node in graph.nodes}},
    }


def _numbers(box: Box) -> list[int]:
    return [round(box.x), round(box.y), round(box.width), round(box.height)]


def _node(node: JobNode, box: Box, counts: Counter[str] | None, graph: FlowGraph) -> dict[str, Any]:
    found: dict[str, Any] = {"id": node.db_id, "state": node.state.value, "box": _numbers(box)}
    if counts is not None:
        uuid = node.db_id.removeprefix(_CLOSED)
        return {
            **found,
            "flow": uuid,
            "name": f"{graph.flow_label(uuid)}, {sum(counts.values())} jobs",
            "counts": counts,
        }
    again = f" ({node.index})" if node.index > 1 else ""
    found |= {"key": f"{node.uuid}:{node.index}", "name": node.name + again}
    return {**found, "superseded": True} if node.superseded else found
