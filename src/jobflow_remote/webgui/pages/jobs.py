"""The list of jobs: filters, selection, actions."""

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

from jobflow_remote.control.inspect import list_jobs
from jobflow_remote.control.news import JOB_FIELDS
from jobflow_remote.control.paging import read_page
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.states import JobState
from jobflow_remote.webgui.jobactions import ACTIONS
from jobflow_remote.webgui.params import GROUPS, Params, job_selection
from jobflow_remote.webgui.parts import (
    Element,
    choice,
    duration,
    empty,
    field,
    form_key,
    grid_table,
    hidden,
    moment,
    notice,
    pager,
    path_part,
    sort_head,
    state_badge,
)  # fmt: skip
from jobflow_remote.webgui.rows import job_row
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.world import Opened

FIELDS = (*JOB_FIELDS, "created_on")
LAST = (("", "any time"), ("1", "hour"), ("24", "day"), ("168", "week"), ("720", "30 days"))


def read(opened: Opened, params: Params) -> dict[str, Any]:
    """One page of the list, and how many there are."""
    queue = opened.services.queue
    selection = job_selection(queue, params)
    total = queue.count_jobs(selection.to_filter())
    found = read_page(
        lambda sort, skip, limit: list_jobs(
            queue, selection, fields=FIELDS, sort=sort, skip=skip, limit=limit
        ),
        total,
        sort=params.to_sort(),
        skip=params.skip,
        limit=params.size,
    )
    return {
        "total": total,
        "page": params.page,
        "size": params.size,
        "jobs": [job_row(job) for job in found],
    }


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    return frame(seen, "Jobs", _filters(seen), _problem(data), job_list(seen, data), heading=H1("Jobs"))


def render_refused(seen: Seen, error: JobflowRemoteError) -> Element:
    """The page when the filter cannot be understood."""
    return render(seen, {"total": 0, "jobs": [], "problem": error})


def _problem(data: Mapping[str, Any]) -> Element:
    error = data.get("problem")
    return notice(error.message, error.hint) if error else None


def _filters(seen: Seen) -> Element:
    assert seen.opened is not None
    params = seen.params
    states = [
        ("", "any"),
        *((name, name) for name in GROUPS),
        *((state.value, state.value) for state in JobState),
    ]
    workers = [("", "any"), *((name, name) for name in seen.opened.project.workers)]
    more = [params.get(key) for key in ("flow", "since", "until", "query")]
    return Form(
        Div(
            field("id", "Id", params.get("id"), placeholder="DB id, uuid or its beginning", type="search"),
            field("name", "Name", params.get("name"), placeholder="relax*", type="search"),
            choice("state", "State", states, params.get_all("state") or [""]),
            choice("worker", "Worker", workers, params.get_all("worker") or [""]),
            choice("hours", "Updated in the last", LAST, [params.get("hours") or ""]),
            Button("Filter", type="submit", cls="primary"),
            A("Clear", href=seen.path, cls="button") if params.filters else None,
            cls="fields",
        ),
        Details(
            Summary("More filters"),
            Div(
                field("flow", "Flow", params.get("flow"), placeholder="id of a flow or of a job in it"),
                field("since", "Updated since", params.get("since"), type="datetime-local"),
                field("until", "Updated until", params.get("until"), type="datetime-local"),
                field(
                    "query",
                    "Query (MongoDB's language)",
                    params.get("query"),
                    placeholder='{"priority": {"$gt": 1}}',
                    spellcheck="false",
                ),
                cls="fields",
            ),
            open=any(more),
        ),
        *hidden((key, value) for key, value in params.pairs if key in ("sort", "order", "size")),
        method="get",
        action=seen.path,
        cls="filters",
        role="search",
        aria_label="Filter jobs",
    )


def job_list(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The table with its actions and its pages."""
    rows: Sequence[Mapping[str, Any]] = data["jobs"]
    if not rows:
        return Div(_nothing(seen, data), data_live="list")
    table = grid_table(_heads(seen.params), [job_line(seen, row) for row in rows], label="Jobs", cls="jobs")
    pages = pager(seen.params, data["total"], "job")
    return Form(
        form_key(seen.form_key),
        _toolbar(seen, data) if seen.may_change else None,
        Div(table, data_live="list", data_rows="jobs", data_first=str(seen.params.page == 1).lower()),
        Div(pages, data_live="pager"),
        *hidden([("filter", seen.params.address()[1:]), ("back", seen.path + seen.params.address())]),
        method="post", action=f"{seen.root}/jobs/act", data_dialog="1", data_select="job", cls="list",
    )  # fmt: skip


def _nothing(seen: Seen, data: Mapping[str, Any]) -> Element:
    if data.get("problem"):
        return None
    if seen.params.page > 1:
        return empty(
            "There is nothing on this page.", P(A("To the first page", href=seen.params.address(page=None)))
        )
    if seen.params.filters:
        return empty("No job matches.", P(A("Show all jobs", href=seen.path)))
    return empty("There are no jobs yet.", P("Submit a flow with ", Code("submit_flow(flow)"), "."))


def _toolbar(seen: Seen, data: Mapping[str, Any]) -> Element:
    buttons = [
        Button(action.label, type="submit", name="action", value=name, cls=action.cls, title=action.title)
        for name, action in ACTIONS.items()
    ]
    everything = Label(
        Input(type="checkbox", name="scope", value="filter", data_all="1"),
        Span(f"all {data['total']} that match"),
        cls="check",
    )
    return Div(
        Span("None selected", cls="selected", role="status", data_none="None selected"),
        *buttons,
        everything if data["total"] > len(data["jobs"]) else None,
        cls="toolbar", role="group", aria_label="Actions on the selected jobs",
    )  # fmt: skip


def _heads(params: Params) -> list[Any]:
    return [
        Th(
            Input(type="checkbox", data_page="1", aria_label="Select all jobs of this page"),
            scope="col",
            cls="pick",
        ),
        sort_head(params, "db_id", "Job"),
        "Name",
        "State",
        "Worker",
        "Flow",
        sort_head(params, "updated_on", "Updated"),
        sort_head(params, "created_on", "Created"),
        "Ran",
        "Error",
    ]


def job_line(seen: Seen, row: Mapping[str, Any]) -> Element:
    """One job."""
    key = f"{row['uuid']}:{row['index']}"
    again = f" ({row['index']})" if row["index"] > 1 else ""
    return Tr(
        Td(
            Input(type="checkbox", name="job", value=key, aria_label=f"Select job {row['db_id']}"), cls="pick"
        ),
        Td(A(row["db_id"], href=job_address(seen, row))),
        Td(row["name"] + again, cls="wrap"),
        Td(state_badge(row["state"]), data_cell="state"),
        Td(row["worker"], data_cell="worker"),
        Td(A(str(row["flow_uuid"])[:8], href=f"{seen.root}/flows/{path_part(row['flow_uuid'])}"), cls="mono"),
        Td(moment(row["updated_on"]), data_cell="updated_on"),
        Td(moment(row.get("created_on"))),
        Td(duration(row["run_seconds"]), data_cell="run_seconds", cls="number"),
        Td(row["error"], data_cell="error", cls="error-line", title=row["error"] or None),
        data_key=key,
    )


def job_address(seen: Seen, row: Mapping[str, Any]) -> str:
    """Where the page of a job is."""
    return f"{seen.root}/jobs/{path_part(row['db_id'])}"
