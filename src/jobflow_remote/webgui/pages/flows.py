"""The list of flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fasthtml.components import (
    H1,
    A,
    Button,
    Code,
    Details,
    Div,
    Form,
    Input,
    Label,
    P,
    Span,
    Summary,
    Td,
    Th,
    Tr,
)

from jobflow_remote.control.inspect import list_flows
from jobflow_remote.control.paging import read_page
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.states import FlowState
from jobflow_remote.webgui.pages.jobs import LAST
from jobflow_remote.webgui.params import Params, flow_selection
from jobflow_remote.webgui.parts import (
    Element,
    choice,
    count,
    empty,
    field,
    form_key,
    grid_table,
    hidden,
    moment,
    notice,
    pager,
    sort_head,
    state_badge,
    state_bar,
)  # fmt: skip
from jobflow_remote.webgui.rows import flow_row
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.world import Opened


def read(opened: Opened, params: Params) -> dict[str, Any]:
    """One page of the list, and how many there are."""
    queue = opened.services.queue
    selection = flow_selection(queue, params)
    total = queue.count_flows(selection.to_filter())
    found = read_page(
        lambda sort, skip, limit: list_flows(queue, selection, sort=sort, skip=skip, limit=limit),
        total,
        sort=params.to_sort(),
        skip=params.skip,
        limit=params.size,
    )
    return {
        "total": total,
        "page": params.page,
        "size": params.size,
        "flows": [flow_row(flow) for flow in found],
    }


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    error = data.get("problem")
    problem = notice(error.message, error.hint) if error else None
    return frame(seen, "Flows", _filters(seen), problem, _list(seen, data), heading=H1("Flows"))


def render_refused(seen: Seen, error: JobflowRemoteError) -> Element:
    """The page when the filter cannot be understood."""
    return render(seen, {"total": 0, "flows": [], "problem": error})


def _filters(seen: Seen) -> Element:
    params = seen.params
    states = [("", "any"), *((state.value, state.value) for state in FlowState)]
    more = [params.get(key) for key in ("since", "until", "query")]
    return Form(
        Div(
            field("id", "Id", params.get("id"), placeholder="of a flow or of a job in it", type="search"),
            field("name", "Name", params.get("name"), placeholder="bands*", type="search"),
            choice("state", "State", states, params.get_all("state") or [""]),
            choice("hours", "Updated in the last", LAST, [params.get("hours") or ""]),
            Button("Filter", type="submit", cls="primary"),
            A("Clear", href=seen.path, cls="button") if params.filters else None,
            cls="fields",
        ),
        Details(
            Summary("More filters"),
            Div(
                field("since", "Updated since", params.get("since"), type="datetime-local"),
                field("until", "Updated until", params.get("until"), type="datetime-local"),
                field("query", "Query (MongoDB's language)", params.get("query"),
                      placeholder='{"metadata.batch": 3}', spellcheck="false"),
                cls="fields",
            ),
            open=any(more),
        ),
        *hidden((key, value) for key, value in params.pairs if key in ("sort", "order", "size")),
        method="get", action=seen.path, cls="filters", role="search", aria_label="Filter flows",
    )  # fmt: skip


def _list(seen: Seen, data: Mapping[str, Any]) -> Element:
    rows: Sequence[Mapping[str, Any]] = data["flows"]
    if not rows:
        return Div(_nothing(seen, data), data_live="list")
    params = seen.params
    heads = [
        Th(Input(type="checkbox", data_page="1", aria_label="Select all flows of this page"), scope="col", cls="pick"),
        sort_head(params, "db_id", "Flow"), "Name", "State", "Jobs", "", sort_head(params, "updated_on", "Updated"),
        sort_head(params, "created_on", "Created"),
    ]  # fmt: skip
    table = grid_table(heads, [_line(seen, row) for row in rows], label="Flows", cls="flows")
    return Form(
        form_key(seen.form_key),
        _toolbar(data) if seen.may_change else None,
        Div(table, data_live="list", data_rows="flows", data_first=str(params.page == 1).lower()),
        Div(pager(params, data["total"], "flow"), data_live="pager"),
        *hidden([("filter", params.address()[1:]), ("back", seen.path + params.address())]),
        method="post", action=f"{seen.root}/flows/act", data_dialog="1", data_select="flow", cls="list",
    )  # fmt: skip


def _nothing(seen: Seen, data: Mapping[str, Any]) -> Element:
    if data.get("problem"):
        return None
    if seen.params.page > 1:
        return empty(
            "There is nothing on this page.", P(A("To the first page", href=seen.params.address(page=None)))
        )
    if seen.params.filters:
        return empty("No flow matches.", P(A("Show all flows", href=seen.path)))
    return empty("There are no flows yet.", P("Submit one with ", Code("submit_flow(flow)"), "."))


def _toolbar(data: Mapping[str, Any]) -> Element:
    everything = Label(
        Input(type="checkbox", name="scope", value="filter", data_all="1"),
        Span(f"all {data['total']} that match"),
        cls="check",
    )
    return Div(
        Span("None selected", cls="selected", role="status", data_none="None selected"),
        Button("Resume", type="submit", name="action", value="resume", title="Let paused and stopped jobs go on"),
        Button("Delete", type="submit", name="action", value="delete", cls="danger"),
        everything if data["total"] > len(data["flows"]) else None,
        cls="toolbar", role="group", aria_label="Actions on the selected flows",
    )  # fmt: skip


def _line(seen: Seen, row: Mapping[str, Any]) -> Element:
    return Tr(
        Td(
            Input(
                type="checkbox", name="flow", value=row["uuid"], aria_label=f"Select flow {row['uuid'][:8]}"
            ),
            cls="pick",
        ),
        Td(A(row["uuid"][:8], href=f"{seen.root}/flows/{row['uuid']}"), cls="mono"),
        Td(row["name"], cls="wrap"),
        Td(state_badge(row["state"]), data_cell="state"),
        Td(count(row["n_jobs"] or 0), data_cell="n_jobs", cls="number"),
        Td(state_bar(row["counts"]), cls="bar-cell", data_cell="counts"),
        Td(moment(row["updated_on"]), data_cell="updated_on"),
        Td(moment(row["created_on"])),
        data_key=row["uuid"],
    )
