"""The list of flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastcore.xml import A, Td, Tr  # as FastHTML's, in a third of the time: they are many
from fasthtml.components import Button

from jobflow_remote.control.inspect import list_flows
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.states import FlowState
from jobflow_remote.webgui.flowactions import ON_JOBS, TITLES
from jobflow_remote.webgui.pages import listing
from jobflow_remote.webgui.pages.listing import Listing, picker, read_lines
from jobflow_remote.webgui.params import Params, flow_selection
from jobflow_remote.webgui.parts import (
    Element,
    choice,
    count,
    field,
    moment,
    sort_head,
    state_badge,
    state_bar,
)
from jobflow_remote.webgui.rows import flow_row
from jobflow_remote.webgui.shell import Seen
from jobflow_remote.webgui.world import Opened


def read(opened: Opened, params: Params) -> dict[str, Any]:
    """One page of the list, and how many there are."""
    queue = opened.services.queue
    selection = flow_selection(queue, params)
    return read_lines(
        "flows",
        queue.count_flows(selection.to_filter()),
        params,
        lambda sort, skip, limit: [
            flow_row(flow) for flow in list_flows(queue, selection, sort=sort, skip=skip, limit=limit)
        ],
    )


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    return listing.render(_FLOWS, seen, data)


def render_refused(seen: Seen, error: JobflowRemoteError) -> Element:
    """The page when the filter cannot be understood."""
    return listing.render_refused(_FLOWS, seen, error)


def _filters(seen: Seen) -> Sequence[Element]:
    params = seen.params
    states = [("", "any"), *((state.value, state.value) for state in FlowState)]
    return [
        field("id", "Id", params.get("id"), placeholder="of it or a job in it", type="search"),
        field("name", "Name", params.get("name"), placeholder="bands*", type="search"),
        choice("state", "State", states, params.get_all("state") or [""]),
    ]


def _heads(params: Params) -> Sequence[Any]:
    return [
        sort_head(params, "db_id", "Flow"),
        "Name",
        "State",
        "Jobs",
        "In which states",
        sort_head(params, "updated_on", "Updated"),
        sort_head(params, "created_on", "Created"),
    ]


def _line(seen: Seen, row: Mapping[str, Any]) -> Element:
    address = f"{seen.root}/flows/{row['uuid']}"
    return Tr(
        Td(picker("flow", row["uuid"], f"Select flow {row['uuid'][:8]}"), cls="pick"),
        Td(A(row["uuid"][:8], href=address), cls="mono"),
        Td(A(row["name"], href=address, tabindex="-1", cls="plain"), cls="wrap"),
        Td(state_badge(row["state"]), data_cell="state"),
        Td(count(row["n_jobs"] or 0), data_cell="n_jobs", cls="number"),
        Td(state_bar(row["counts"]), cls="bar-cell", data_cell="counts"),
        Td(moment(row["updated_on"]), data_cell="updated_on"),
        Td(moment(row["created_on"])),
        data_key=row["uuid"],
    )


_FLOWS = Listing(
    word="flow",
    filters=_filters,
    more_filters=lambda params: (),
    more_keys=(),
    query_example='{"metadata.batch": 3}',
    heads=_heads,
    line=_line,
    buttons=[
        *(
            Button(
                label,
                type="submit",
                name="action",
                value=name,
                title=TITLES[name],
                cls="danger" if name == "stop" else "",
            )
            for name, label in (
                *((name, label) for name, (label, _) in ON_JOBS.items()),
                ("resume", "Resume held jobs"),
            )
        ),
        Button("Delete", type="submit", name="action", value="delete", cls="danger"),
    ],
)
