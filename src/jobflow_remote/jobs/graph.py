"""The graph of a flow, under the names of jobflow-remote 1.0.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobflow_remote.control.drawing.colors import STATE_COLORS
from jobflow_remote.control.graph import check_label, dash_is_missing, render_mermaid
from jobflow_remote.jobs.data import FlowInfo
from jobflow_remote.model.flowgraph import EdgeKind, FlowGraph, build_graph

if TYPE_CHECKING:
    import networkx

__all__ = ["COLOR_MAPPING", "get_graph", "get_graph_elements", "get_mermaid", "plot_dash"]

COLOR_MAPPING = {state.value: color for state, color in STATE_COLORS.items()}
"""State of a job → colour."""


def _build(flow: FlowInfo) -> FlowGraph:
    jobs = [
        {
            **job,
            "job": {"name": job.get("name"), "hosts": job.get("hosts")},
            "state": job.get("state", "WAITING"),
        }
        for job in flow.iter_job_prop()
    ]
    return build_graph(jobs)


def get_graph_elements(
    flow: FlowInfo,
) -> tuple[
    list[tuple[str, dict[str, Any]]], list[tuple[str, str]], dict[str, list[str]], list[tuple[str, str]]
]:
    """Jobs, edges, nested flows, and edges between a job and the one that replaced it.

    Returns
    -------
    nodes
        Pairs of ``db_id`` and properties: name, state, uuid, index, worker, hosts, color.
    edges
        Pairs of ``db_id``: the second job needs the output of the first.
    hosts
        uuid of a nested flow → ``db_id`` of the jobs in it.
    replace_edges
        Pairs of ``db_id``: the second job took the place of the first.

    Examples
    --------
    >>> (flow,) = jc.get_flows_info(name="sums", with_jobs_info=True)
    >>> nodes, edges, hosts, replace_edges = get_graph_elements(flow)
    >>> edges
    [('1', '2')]
    """
    graph = _build(flow)
    hosts: dict[str, list[str]] = {}
    for node in graph.nodes:
        for host in node.hosts:
            hosts.setdefault(host, []).append(node.db_id)
    nodes = [
        (
            node.db_id,
            {
                "db_id": node.db_id,
                "name": node.name,
                "state": node.state,
                "uuid": node.uuid,
                "index": node.index,
                "worker": node.worker,
                "hosts": list(node.hosts),
                "color": COLOR_MAPPING[node.state.value],
            },
        )
        for node in graph.nodes
    ]
    return nodes, _pairs(graph, EdgeKind.OUTPUT), hosts, _pairs(graph, EdgeKind.REPLACED)


def _pairs(graph: FlowGraph, kind: EdgeKind) -> list[tuple[str, str]]:
    return [(edge.source, edge.target) for edge in graph.edges if edge.kind is kind]


def get_graph(flow: FlowInfo, label: str = "name") -> networkx.DiGraph:
    """The graph for networkx; each node has the attribute ``label`` besides its properties.

    Examples
    --------
    >>> (flow,) = jc.get_flows_info(name="sums", with_jobs_info=True)
    >>> list(get_graph(flow).edges)
    [('1', '2')]
    """
    from networkx import DiGraph

    check_label(label)
    nodes, edges, _, replace_edges = get_graph_elements(flow)
    graph = DiGraph()
    for db_id, properties in nodes:
        graph.add_node(db_id, label=str(properties[label]), **properties)
    graph.add_edges_from(edges)
    graph.add_edges_from(replace_edges, replaced=True)
    return graph


def get_mermaid(flow: FlowInfo, show_subflows: bool = True) -> str:
    """The graph in the language of Mermaid.

    Examples
    --------
    >>> (flow,) = jc.get_flows_info(name="sums", with_jobs_info=True)
    >>> "flowchart" in get_mermaid(flow)
    True
    """
    return render_mermaid(_build(flow), show_subflows=show_subflows)


def plot_dash(flow: FlowInfo) -> None:
    """Not available; raises CapabilityMissingError, which names the page that can do the same."""
    raise dash_is_missing()
