"""The graph of a flow as one page that works without a network: styles, script and data are in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any

from jobflow_remote.control.drawing.colors import STATE_COLORS
from jobflow_remote.control.drawing.shapes import plain_line
from jobflow_remote.model.clock import to_local
from jobflow_remote.model.flowgraph import FlowGraph, JobNode
from jobflow_remote.model.states import JobState

MANY = 300
"""With more jobs, nested flows are closed at first."""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<div class="legend">{legend}</div>
<input id="search" type="search" placeholder="find jobs" aria-label="find jobs">
<span>{nesting}<button data-do="farther" title="smaller">−</button> <button data-do="closer" title="larger">+</button>
<button data-do="fit">fit</button></span>
</header>
<main>
<svg id="graph" role="img" aria-label="graph of the flow"></svg>
<aside id="details" hidden><button data-do="hide" title="close">×</button><h2></h2><table><tbody></tbody></table></aside>
</main>
<script type="application/json" id="data">{data}</script>
<script>
{script}</script>
</body>
</html>
"""  # noqa: E501  # it is HTML
_NESTING = '<button data-do="open">open all</button> <button data-do="close">close all</button> '


def render_graph_page(
    flow: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]], graph: FlowGraph, *, label: str = "name"
) -> str:
    """The page. ``jobs``: documents with the fields of :data:`jobflow_remote.control.graph.DETAILS`."""
    here = files("jobflow_remote.control.drawing")
    documents = {job["db_id"]: job for job in jobs}
    data = {
        "many": MANY,
        "colors": {state.value: color for state, color in STATE_COLORS.items()},
        "flows": {host: plain_line(graph.flow_label(host)) for node in graph.nodes for host in node.hosts},
        "nodes": [_node(node, documents[node.db_id], graph, label) for node in graph.nodes],
        "edges": [[edge.source, edge.target, edge.kind.value] for edge in graph.edges],
    }
    return _PAGE.format(
        title=escape(plain_line(f"{flow['name']} · {flow['state']}")),
        legend=_legend(graph),
        nesting=_NESTING if any(node.hosts for node in graph.nodes) else "",
        style=here.joinpath("graph.css").read_text(encoding="utf-8"),
        script=here.joinpath("graph.js").read_text(encoding="utf-8"),
        data=dump_for_script(data),
    )


def dump_for_script(data: Any) -> str:
    """JSON that can stand in a ``<script>`` element, whatever is in it."""
    text = json.dumps(data)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _legend(graph: FlowGraph) -> str:
    numbers = [(state, sum(node.state is state for node in graph.nodes)) for state in JobState]
    return " ".join(
        f'<span><i style="background:{STATE_COLORS[state]}"></i>{state.value} {number}</span>'
        for state, number in numbers
        if number
    )


def _node(node: JobNode, job: Mapping[str, Any], graph: FlowGraph, label: str) -> dict[str, Any]:
    again = f" ({node.index})" if node.index > 1 and label == "name" else ""
    return {
        "id": node.db_id,
        "uuid": node.uuid,
        "text": plain_line(f"{getattr(node, label)}{again}"),
        "state": node.state.value,
        "hosts": list(node.hosts),
        "superseded": node.superseded,
        "details": [[key, value] for key, value in _details(node, job, graph) if value],
    }


def _details(node: JobNode, job: Mapping[str, Any], graph: FlowGraph) -> list[tuple[str, str]]:
    remote = job.get("remote") or {}
    start, end = job.get("start_time"), job.get("end_time")
    return [
        ("name", node.name),
        ("state", node.state.value + (" (superseded)" if node.superseded else "")),
        ("DB id", node.db_id),
        ("uuid", node.uuid),
        ("index", str(node.index)),
        ("worker", node.worker),
        ("queue id", str(remote.get("process_id") or "")),
        ("needs", ", ".join(graph.sources(node.db_id))),
        ("created", _moment(job.get("created_on"))),
        ("updated", _moment(job.get("updated_on"))),
        ("started", _moment(start)),
        ("ended", _moment(end)),
        ("ran", str(end - start) if start and end else ""),
        ("run folder", str(job.get("run_dir") or "")),
        ("error", str(job.get("error") or remote.get("error") or "").strip()),
    ]


def _moment(moment: datetime | None) -> str:
    return f"{to_local(moment):%Y-%m-%d %H:%M:%S %Z}" if moment else ""
