"""Flows as rows of a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jobflow_remote.cli.formatting import format_date, format_value, local_zone, shorten
from jobflow_remote.control.inspect import first_db_ids, jobs_of_flows
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase

if TYPE_CHECKING:
    from rich.table import Table

_MANY_JOBS = 20


def flow_rows(
    queue: QueueDatabase, flows: Sequence[Mapping[str, Any]], *, with_jobs: bool = False
) -> list[dict[str, Any]]:
    """What a listing shows of each flow, as plain data."""
    ids = first_db_ids(queue, flows)
    jobs = jobs_of_flows(queue, [flow["uuid"] for flow in flows]) if with_jobs else {}
    rows = []
    for flow in flows:
        row = {
            "db_id": ids.get(flow["uuid"]),
            "name": flow["name"],
            "state": flow["state"],
            "uuid": flow["uuid"],
            "n_jobs": flow["n_jobs"],
            "created_on": flow["created_on"],
            "updated_on": flow["updated_on"],
            "counts": flow.get("counts") or {},
            "metadata": flow.get("metadata") or {},
        }
        if with_jobs:
            row["workers"] = sorted({job["worker"] for job in jobs[flow["uuid"]]})
            row["job_states"] = [JobState(job["state"]).value for job in jobs[flow["uuid"]]]
        rows.append(row)
    return rows


def _states(row: Mapping[str, Any]) -> str:
    states: list[str] = row["job_states"]
    if len(states) <= _MANY_JOBS:
        return "-".join(JobState(state).short_value for state in states)
    return " ".join(
        f"{number}×{JobState(state).short_value}" for state, number in row["counts"].items() if number
    )


def make_flow_table(rows: Sequence[Mapping[str, Any]], *, verbosity: int) -> Table:
    """What ``jf flow list`` prints."""
    from rich.table import Table
    from rich.text import Text

    headers = ["DB id", "Name", "State", "Flow id", "Num Jobs", f"Last updated [{local_zone()}]"]
    if verbosity:
        headers += ["Workers", "Job states", "Flow metadata"]
    table = Table(title="Flows info", title_style="bold")
    for header in headers:
        table.add_column(Text(header), overflow="fold")
    for row in rows:
        style = "bold red" if row["state"] == FlowState.FAILED else ""
        cells: list[Any] = [
            row["db_id"] or "", row["name"], Text(row["state"], style=style), row["uuid"], str(row["n_jobs"]),
            format_date(row["updated_on"]),
        ]  # fmt: skip
        if verbosity:
            metadata = shorten(format_value(row["metadata"]), 60) if row["metadata"] else ""
            cells += [", ".join(row["workers"]), _states(row), metadata]
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    return table
