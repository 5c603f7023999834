"""The graph of a flow: read from the queue database, as Mermaid text, as one file of any kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow_remote.control.ids import resolve_flow
from jobflow_remote.control.inspect import flow_summary
from jobflow_remote.errors import CapabilityMissingError, NotAllowedError
from jobflow_remote.model.flowgraph import FIELDS, EdgeKind, FlowGraph, JobNode, build_graph
from jobflow_remote.model.records import Document
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase

LABELS = ("name", "db_id", "uuid", "index", "state", "worker")
"""What may be written on a job."""
DETAILS = (
    *FIELDS, "db_number", "created_on", "updated_on", "start_time", "end_time", "error", "remote.error",
    "remote.process_id", "run_dir", "priority",
)  # fmt: skip
"""Fields of the jobs that the page shows."""


@dataclass(frozen=True, slots=True)
class LoadedGraph:
    """A flow, the documents of its jobs, and their graph."""

    flow: Document
    jobs: Sequence[Document]
    graph: FlowGraph

    @property
    def title(self) -> str:
        """Name and state of the flow."""
        return f"{self.flow['name']} · {self.flow['state']}"


def load_graph(
    queue: QueueDatabase, identifier: str, *, is_job: bool = False, fields: Sequence[str] = FIELDS
) -> LoadedGraph:
    """The graph of the flow that answers to an id.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    uuid = resolve_flow(queue, identifier, is_job=is_job)
    jobs = queue.find_jobs({"flow_uuid": uuid}, fields=[*fields, "db_number"], sort=(("db_number", 1),))
    return LoadedGraph(flow_summary(queue, uuid), jobs, build_graph(jobs))


def check_label(label: str) -> str:
    """The label, if a job has something of that name.

    Raises
    ------
    NotAllowedError
        If not.
    """
    if label not in LABELS:
        raise NotAllowedError(
            f"jobs cannot be labelled by {label!r}", hint=f"choose one of {', '.join(LABELS)}"
        )
    return label


def label_of(node: JobNode, label: str) -> str:
    """What is written on a job."""
    return str(getattr(node, label))


def save_graph(loaded: LoadedGraph, path: Path, *, label: str = "name") -> None:
    """Write the graph into a file: .html, .svg, .png or .pdf.

    Raises
    ------
    CapabilityMissingError
        If that needs matplotlib, and it is not installed.
    """
    from jobflow_remote.control.drawing.save import FORMATS, check_format, save_picture

    check_label(label)
    if check_format(path, (".html", *FORMATS)) == ".html":
        from jobflow_remote.control.drawing.graphpage import render_graph_page

        text = render_graph_page(loaded.flow, loaded.jobs, loaded.graph, label=label)
        path.write_text(text, encoding="utf-8")
        return
    from jobflow_remote.control.drawing.graphpicture import draw_graph

    save_picture(draw_graph(loaded.graph, title=loaded.title, label=label), path)


def dash_is_missing() -> CapabilityMissingError:
    """Why there is no dash application, and what there is."""
    return CapabilityMissingError(
        "there is no dash application: the page that `jf flow graph ID --path FILE.html` writes can do the same",
        hint="open that file in a browser; it needs neither a server nor a network",
    )


# -- Mermaid ---------------------------------------------------------------------------------------

_ARROWS = {EdgeKind.OUTPUT: "-->", EdgeKind.REPLACED: "-. replaced by .->", EdgeKind.ADDED: "-. added .->"}
_ENTITIES = {ord(char): f"#{ord(char)};" for char in "#&<>\"'`\\[](){}|;%~"}


def render_mermaid(graph: FlowGraph, *, show_subflows: bool = True, label: str = "name") -> str:
    """The graph in the language of Mermaid; every job has its label, also one without any edge."""
    lines = ["flowchart TD"]
    for line in _nested(graph, graph.nodes, 0, label) if show_subflows else _flat(graph.nodes, label):
        lines.append(f"    {line}")
    for edge in graph.edges:
        lines.append(f"    {_mermaid_id(edge.source)} {_ARROWS[edge.kind]} {_mermaid_id(edge.target)}")
    lines += _class_lines({node.state for node in graph.nodes})
    return "\n".join(lines) + "\n"


def _class_lines(states: Iterable[JobState]) -> list[str]:
    from jobflow_remote.control.drawing.colors import STATE_COLORS, tint
    from jobflow_remote.control.drawing.shapes import INK

    present = set(states)
    return [
        f"    classDef {state.value} fill:{tint(color, 0.3)},stroke:{color},color:{INK}"
        for state, color in STATE_COLORS.items()
        if state in present
    ]


def _mermaid_id(db_id: str) -> str:
    return "job_" + re.sub(r"\W", lambda found: f"_{ord(found[0]):x}_", db_id)


def _escape(text: str) -> str:
    from jobflow_remote.control.drawing.shapes import plain_line

    return plain_line(text).translate(_ENTITIES)


def _flat(nodes: Iterable[JobNode], label: str) -> list[str]:
    return [
        f'{_mermaid_id(node.db_id)}["{_mermaid_label(node, label)}"]:::{node.state.value}' for node in nodes
    ]


def _mermaid_label(node: JobNode, label: str) -> str:
    again = f" ({node.index})" if node.index > 1 and label == "name" else ""
    return _escape(f"{label_of(node, label)}{again}") or _escape(node.db_id)


def _nested(graph: FlowGraph, nodes: Sequence[JobNode], depth: int, label: str) -> list[str]:
    """Jobs, and boxes around those of nested flows, where the first of them stands."""
    lines: list[str] = []
    done: set[str] = set()
    for node in nodes:
        host = node.hosts[depth] if len(node.hosts) > depth else None
        if host is None:
            lines += _flat([node], label)
        elif host not in done:
            done.add(host)
            inside = [other for other in nodes if len(other.hosts) > depth and other.hosts[depth] == host]
            key, name = re.sub(r"[^0-9a-zA-Z]", "_", host), _escape(graph.flow_label(host))
            lines.append(f'subgraph flow_{key}["nested flow {name}"]')
            lines += [f"    {line}" for line in _nested(graph, inside, depth + 1, label)]
            lines.append("end")
    return lines


# -- as plain data ---------------------------------------------------------------------------------


def as_plain(loaded: LoadedGraph) -> Mapping[str, Any]:
    """The graph as JSON takes it."""
    graph = loaded.graph
    return {
        "uuid": loaded.flow["uuid"],
        "name": loaded.flow["name"],
        "state": loaded.flow["state"],
        "nodes": [
            {key: getattr(node, key) for key in (*LABELS, "hosts", "host_names", "superseded")}
            for node in graph.nodes
        ],
        "edges": [
            {"source": edge.source, "target": edge.target, "kind": edge.kind.value} for edge in graph.edges
        ],
    }
