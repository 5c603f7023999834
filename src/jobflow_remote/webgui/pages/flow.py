"""One flow: its graph, its timeline, its jobs, what can be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fasthtml.components import H1, A, Button, Canvas, Code, Details, Div, Input, P, Span, Summary, Td, Tr

from jobflow_remote.control.graph import load_graph
from jobflow_remote.control.ids import resolve_flow
from jobflow_remote.control.inspect import flow_summary, list_jobs
from jobflow_remote.control.news import JOB_FIELDS
from jobflow_remote.control.progress import jobs_in_trouble
from jobflow_remote.model.selection import JobSelection
from jobflow_remote.webgui import explaining, graphs
from jobflow_remote.webgui.flowactions import ON_JOBS, TITLES
from jobflow_remote.webgui.pages.jobs import job_address
from jobflow_remote.webgui.parts import (
    Element,
    count,
    duration,
    empty,
    facts,
    grid_table,
    hidden,
    moment,
    plural,
    post_form,
    section,
    state_badge,
    state_bar,
    text_block,
)  # fmt: skip
from jobflow_remote.webgui.rows import flow_row, job_row, to_json
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.world import Opened

SHOWN = 50
CLOSED_FROM = 300
"""With more jobs, nested flows are closed at first."""


def read(opened: Opened, key: str) -> dict[str, Any]:
    """A flow with its counters, its first jobs, and those in trouble."""
    queue = opened.services.queue
    uuid = resolve_flow(queue, key)
    flow = flow_summary(queue, uuid)
    jobs = list_jobs(
        queue,
        JobSelection(flow_ids=[uuid]),
        fields=(*JOB_FIELDS, "created_on"),
        sort=(("db_number", 1),),
        limit=SHOWN,
    )
    return {
        "flow": {**flow_row(flow), "metadata": flow.get("metadata") or {}, "jobstore": flow.get("jobstore")},
        "jobs": [job_row(job) for job in jobs],
        "explanation": explaining.read(opened, uuid, is_flow=True),
        "trouble": [job_row(job) for job in jobs_in_trouble(queue, uuid, limit=5)],
    }


def read_graph(opened: Opened, key: str, closed: Sequence[str] | None = None) -> dict[str, Any]:
    """The graph with a place for everything. ``closed``: nested flows that are shown as one box; None: as fits."""
    loaded = load_graph(opened.services.queue, key)
    if closed is None:
        outermost = {node.hosts[0] for node in loaded.graph.nodes if node.hosts}
        closed = sorted(outermost) if len(loaded.graph.nodes) > CLOSED_FROM else []
    return {
        "uuid": loaded.flow["uuid"],
        "name": loaded.flow["name"],
        "state": loaded.flow["state"],
        **graphs.place(loaded.graph, frozenset(closed)),
    }


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    flow = data["flow"]
    name = flow["name"] or flow["uuid"][:8]
    heading = Div(H1(name), Span(state_badge(flow["state"]), data_live="state"), cls="page-head")
    return frame(
        seen,
        name,
        _actions(seen, flow),
        Div(_trouble(seen, data["trouble"]), data_live="trouble"),
        Div(
            section("Jobs by state", _states(seen, flow), key="states"),
            section("Facts", _facts(flow), key="facts"),
            cls="columns",
        ),
        section("Why it is where it is", explaining.findings(data["explanation"]), key="explanation"),
        _graph(seen, flow),
        Details(
            Summary("Timeline"),
            Div(
                P(A("Load", href=f"{seen.root}/flows/{flow['uuid']}/timeline")),
                data_load=f"{seen.root}/flows/{flow['uuid']}/timeline",
            ),
            cls="card",
        ),
        section(
            "Jobs",
            _jobs(seen, data),
            key="jobs",
            actions=A(
                "All, with filters and actions",
                href=f"{seen.root}/jobs?flow={flow['uuid']}&sort=db_id&order=asc",
            ),
        ),
        Div(data_watch_flow=flow["uuid"], hidden=True),
        heading=heading,
        scripts=("graph.js",),
    )


def _actions(seen: Seen, flow: Mapping[str, Any]) -> Element:
    if not seen.may_change:
        return None
    buttons = [
        Button(label, type="submit", name="action", value=name, title=TITLES[name],
               cls="danger" if name == "stop" else "")
        for name, (label, _) in ON_JOBS.items()
    ]  # fmt: skip
    return post_form(
        f"{seen.root}/flows/act", seen.form_key,
        *hidden([("flow", flow["uuid"]), ("back", f"{seen.root}/flows/{flow['uuid']}")]),
        Div(
            *buttons,
            Button("Resume held jobs", type="submit", name="action", value="resume", title=TITLES["resume"]),
            Button("Delete flow", type="submit", name="action", value="delete", cls="danger"),
            cls="toolbar", role="group", aria_label="Actions on the flow",
        ),
        data_dialog="1",
    )  # fmt: skip


def _trouble(seen: Seen, rows: Sequence[Mapping[str, Any]]) -> Element:
    if not rows:
        return None
    return Div(
        *(P(state_badge(row["state"]), " ", A(f"{row['db_id']} {row['name']}", href=job_address(seen, row)), " ",
            Code(row["error"]) if row["error"] else None) for row in rows),
        cls="notice warning",
    )  # fmt: skip


def _states(seen: Seen, flow: Mapping[str, Any]) -> Element:
    counts = flow["counts"]
    parts = [
        P(A(f"{count(number)} {state}", href=f"{seen.root}/jobs?flow={flow['uuid']}&state={state}"))
        for state, number in sorted(counts.items())
    ]
    return Div(state_bar(counts), Div(*parts, cls="tiles small"))


def _facts(flow: Mapping[str, Any]) -> Element:
    metadata = flow["metadata"]
    return Div(
        facts(
            (name, value)
            for name, value in (
                ("Uuid", Code(flow["uuid"])),
                ("Jobs", count(flow["n_jobs"] or 0)),
                ("Created", moment(flow["created_on"])),
                ("Updated", moment(flow["updated_on"])),
                ("Output store", flow["jobstore"]),
            )
            if value
        ),
        Details(Summary("Metadata"), text_block(to_json(metadata, indent=2), label="Metadata"))
        if metadata
        else None,
    )


def _graph(seen: Seen, flow: Mapping[str, Any]) -> Element:
    tools = Div(
        Input(type="search", id="graph-find", placeholder="find jobs", aria_label="Find jobs in the graph"),
        Button("−", type="button", data_graph="out", aria_label="Smaller"),
        Button("+", type="button", data_graph="in", aria_label="Larger"),
        Button("Fit", type="button", data_graph="fit"),
        Button("Open all", type="button", data_graph="open"),
        Button("Close all", type="button", data_graph="close"),
        cls="toolbar",
    )
    drawing = Div(
        Canvas("The graph of the flow. The table of jobs below says the same in words.", id="graph", tabindex="0",
               role="img", aria_label=f"Graph of the flow, {plural(flow['n_jobs'] or 0, 'job')}; arrow keys move it, "
               "plus and minus zoom",
               data_source=f"{seen.root}/flows/{flow['uuid']}/graph", data_jobs=f"{seen.root}/jobs/"),
        Div(id="graph-tip", cls="tip", hidden=True),
        P("Reading the graph …", id="graph-note", cls="muted", role="status"),
        cls="graph",
    )  # fmt: skip
    return section("Graph", tools, drawing)


def _jobs(seen: Seen, data: Mapping[str, Any]) -> Element:
    rows = data["jobs"]
    if not rows:
        return empty("The flow has no jobs.")
    lines = [
        Tr(
            Td(A(row["db_id"], href=job_address(seen, row))), Td(row["name"], cls="wrap"),
            Td(state_badge(row["state"]), data_cell="state"), Td(row["worker"], data_cell="worker"),
            Td(moment(row["updated_on"]), data_cell="updated_on"),
            Td(duration(row["run_seconds"]), data_cell="run_seconds", cls="number"),
            Td(row["error"], data_cell="error", cls="error-line", title=row["error"] or None),
            data_key=f"{row['uuid']}:{row['index']}",
        )
        for row in rows
    ]  # fmt: skip
    more = (data["flow"]["n_jobs"] or 0) - len(rows)
    return Div(
        grid_table(
            ("Job", "Name", "State", "Worker", "Updated", "Ran", "Error"), lines, label="Jobs of the flow"
        ),
        P(f"… and {count(more)} more", cls="muted") if more > 0 else None,
    )
