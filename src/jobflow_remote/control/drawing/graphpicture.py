"""The graph of a flow as a picture."""

from __future__ import annotations

from jobflow_remote.control.drawing.colors import STATE_COLORS, tint
from jobflow_remote.control.drawing.shapes import (
    HAIRLINE,
    MUTED,
    Arrow,
    Label,
    Picture,
    Rectangle,
    Shape,
    fit_text,
    text_width,
)
from jobflow_remote.model.arrange import Arrangement, Box, NestedFlow, arrange
from jobflow_remote.model.flowgraph import EdgeKind, FlowGraph, JobNode
from jobflow_remote.model.states import JobState

_MARGIN, _TOP = 18.0, 74.0
_ARROW = "#8b95a1"


def draw_graph(graph: FlowGraph, *, title: str, label: str = "name") -> Picture:
    """Jobs as boxes in the colours of their states, from left to right; nested flows as boxes around theirs."""
    places = arrange(graph)
    states = [state for state in JobState if any(node.state is state for node in graph.nodes)]
    width = max(places.width + 2 * _MARGIN, 480.0, text_width(title, 18) + 2 * _MARGIN, _legend_width(states))
    shapes: list[Shape] = [
        Label(_MARGIN + 8, 26, fit_text(title, width - 2 * _MARGIN, 18), size=18, bold=True)
    ]
    _draw_legend(shapes, states, graph)
    shapes += [_draw_flow(flow) for flow in places.flows]
    shapes += [_flow_name(flow) for flow in places.flows]
    _draw_edges(shapes, graph, places)
    for node in graph.nodes:
        _draw_node(shapes, node, places.nodes[node.db_id], label=label)
    return Picture(width, places.height + _TOP + _MARGIN, tuple(shapes), title)


def _legend_width(states: list[JobState]) -> float:
    return 2 * _MARGIN + sum(46 + text_width(state.value, 11) for state in states) + 60


def _draw_legend(shapes: list[Shape], states: list[JobState], graph: FlowGraph) -> None:
    x = _MARGIN + 8
    for state in states:
        number = sum(node.state is state for node in graph.nodes)
        words = f"{state.value} {number}"
        shapes.append(Rectangle(x, 46, 11, 11, STATE_COLORS[state], radius=2))
        shapes.append(Label(x + 16, 52, words, size=11, color=MUTED))
        x += 34 + text_width(words, 11)


def _draw_flow(flow: NestedFlow) -> Rectangle:
    box = flow.box
    fill = "#f6f8fa" if flow.depth % 2 else "#eef1f5"
    return Rectangle(
        box.x + _MARGIN,
        box.y + _TOP,
        box.width,
        box.height,
        fill,
        HAIRLINE,
        radius=8,
        tip=f"nested flow {flow.name}\n{flow.uuid}",
    )


def _flow_name(flow: NestedFlow) -> Label:
    jobs = f"{flow.jobs} job{'s' if flow.jobs != 1 else ''}"
    text = fit_text(f"nested flow {flow.name} · {jobs}", flow.box.width - 20, 10)
    return Label(flow.box.x + _MARGIN + 10, flow.box.y + _TOP + 12, text, size=10, color=MUTED)


def _draw_edges(shapes: list[Shape], graph: FlowGraph, places: Arrangement) -> None:
    for edge in graph.edges:
        source, target = places.nodes[edge.source], places.nodes[edge.target]
        shapes.append(
            Arrow(
                source.x + source.width + _MARGIN,
                source.y + source.height / 2 + _TOP,
                target.x + _MARGIN,
                target.y + target.height / 2 + _TOP,
                stroke=_ARROW,
                dashed=edge.kind is not EdgeKind.OUTPUT,
            )
        )


def _draw_node(shapes: list[Shape], node: JobNode, box: Box, *, label: str) -> None:
    x, y, color = box.x + _MARGIN, box.y + _TOP, STATE_COLORS[node.state]
    again = f" ({node.index})" if node.index > 1 else ""
    tip = f"{node.name}{again}\n{node.state.value}\nDB id {node.db_id}\n{node.uuid}\nworker {node.worker}"
    shapes.append(
        Rectangle(x, y, box.width, box.height, tint(color), color, radius=6, dashed=node.superseded, tip=tip)
    )
    shapes.append(Rectangle(x, y, 6, box.height, color, radius=3))
    name = str(getattr(node, label)) + (again if label == "name" else "")
    shapes.append(Label(x + 14, y + 14, fit_text(name, box.width - 20, 12), size=12, bold=True))
    below = fit_text(f"{node.db_id} · {node.state.value}", box.width - 20, 10.5)
    shapes.append(Label(x + 14, y + 30, below, size=10.5, color=MUTED))
