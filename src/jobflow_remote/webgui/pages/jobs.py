"""The list of jobs: filters, selection, actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastcore.xml import A, Td, Tr  # as FastHTML's, in a third of the time: they are many
from fasthtml.components import Button

from jobflow_remote.control.inspect import list_jobs
from jobflow_remote.control.news import JOB_FIELDS
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.states import JobState
from jobflow_remote.webgui.jobactions import ACTIONS
from jobflow_remote.webgui.pages import listing
from jobflow_remote.webgui.pages.listing import Listing, picker, read_lines
from jobflow_remote.webgui.params import GROUPS, Params, job_selection
from jobflow_remote.webgui.parts import (
    Element,
    choice,
    duration,
    field,
    moment,
    path_part,
    sort_head,
    state_badge,
)
from jobflow_remote.webgui.rows import job_row
from jobflow_remote.webgui.shell import Seen
from jobflow_remote.webgui.world import Opened

FIELDS = (*JOB_FIELDS, "created_on")


def read(opened: Opened, params: Params) -> dict[str, Any]:
    """One page of the list, and how many there are."""
    queue = opened.services.queue
    selection = job_selection(queue, params)
    return read_lines(
        "jobs",
        queue.count_jobs(selection.to_filter()),
        params,
        lambda sort, skip, limit: [
            job_row(job)
            for job in list_jobs(queue, selection, fields=FIELDS, sort=sort, skip=skip, limit=limit)
        ],
    )


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    return listing.render(_JOBS, seen, data)


def render_refused(seen: Seen, error: JobflowRemoteError) -> Element:
    """The page when the filter cannot be understood."""
    return listing.render_refused(_JOBS, seen, error)


def _filters(seen: Seen) -> Sequence[Element]:
    assert seen.opened is not None
    params = seen.params
    states = [
        ("", "any"),
        *((name, name) for name in GROUPS),
        *((state.value, state.value) for state in JobState),
    ]
    workers = [("", "any"), *((name, name) for name in seen.opened.project.workers)]
    return [
        field("id", "Id", params.get("id"), placeholder="DB id or uuid", type="search"),
        field("name", "Name", params.get("name"), placeholder="relax*", type="search"),
        choice("state", "State", states, params.get_all("state") or [""]),
        choice("worker", "Worker", workers, params.get_all("worker") or [""]),
    ]


def _more_filters(params: Params) -> Sequence[Element]:
    return [field("flow", "Flow", params.get("flow"), placeholder="of it or a job in it")]


def _heads(params: Params) -> Sequence[Any]:
    return [
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


def _line(seen: Seen, row: Mapping[str, Any]) -> Element:
    key = f"{row['uuid']}:{row['index']}"
    again = f" ({row['index']})" if row["index"] > 1 else ""
    address = job_address(seen, row)
    return Tr(
        Td(picker("job", key, f"Select job {row['db_id']}"), cls="pick"),
        Td(A(row["db_id"], href=address)),
        Td(A(row["name"] + again, href=address, tabindex="-1", cls="plain"), cls="wrap"),
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


_JOBS = Listing(
    word="job",
    filters=_filters,
    more_filters=_more_filters,
    more_keys=("flow",),
    query_example='{"priority": {"$gt": 1}}',
    heads=_heads,
    line=_line,
    buttons=[
        Button(action.label, type="submit", name="action", value=name, cls=action.cls, title=action.title)
        for name, action in ACTIONS.items()
    ],
)
