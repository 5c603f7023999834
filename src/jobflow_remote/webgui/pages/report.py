"""The report: where all jobs and flows are, and how many came to an end when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fasthtml.components import H1, A, Button, Div, Form, P, Td, Tr

from jobflow_remote.control.report import as_plain, report_flows, report_jobs
from jobflow_remote.control.trends import INTERVALS
from jobflow_remote.model.clock import utcnow
from jobflow_remote.webgui.params import Params
from jobflow_remote.webgui.parts import (
    Element,
    choice,
    count,
    duration,
    empty,
    grid_table,
    moment,
    path_part,
    plural,
    section,
    state_badge,
    state_bar,
)  # fmt: skip
from jobflow_remote.webgui.plots import bars
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.world import Opened

_ROWS = {"completed": "COMPLETED", "failed": "FAILED", "remote_error": "REMOTE_ERROR"}
MOST_INTERVALS = 120


def read(opened: Opened, params: Params) -> dict[str, Any]:
    """The report on jobs and that on flows."""
    interval = params.get("interval")
    interval = interval if interval in INTERVALS else "days"
    text = params.get("number") or ""
    number = min(int(text), MOST_INTERVALS) if text.isdigit() and int(text) else None
    queue = opened.services.queue
    return {
        "interval": interval,
        "number": number or INTERVALS[interval],
        "jobs": as_plain(report_jobs(queue, interval=interval, num_intervals=number)),
        "flows": as_plain(report_flows(queue, interval=interval, num_intervals=number)),
    }


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    jobs, flows = data["jobs"], data["flows"]
    return frame(
        seen,
        "Report",
        _intervals(seen, data),
        Div(
            section(f"Jobs that came to an end, by {data['interval'][:-1]}", _trends(jobs), key="job-trends"),
            section(
                f"Flows that came to an end, by {data['interval'][:-1]}", _trends(flows), key="flow-trends"
            ),
            section("States of jobs", _states(seen, jobs, "jobs"), key="job-states"),
            section("States of flows", _states(seen, flows, "flows"), key="flow-states"),
            section("Workers", _workers(jobs), key="workers"),
            section("Longest running", _longest(seen, jobs), key="longest"),
            cls="columns",
        ),
        heading=H1("Report"),
    )


def _intervals(seen: Seen, data: Mapping[str, Any]) -> Element:
    return Form(
        Div(
            choice("interval", "By", [(name, name) for name in INTERVALS], [data["interval"]]),
            choice("number", "How many", [("", "usual"), *((str(n), str(n)) for n in (6, 12, 24, 48, 60, 120))],
                   [seen.params.get("number") or ""]),
            Button("Show", type="submit", cls="primary"),
            cls="fields",
        ),
        method="get", action=seen.path, cls="filters", aria_label="Intervals",
    )  # fmt: skip


def _trends(report: Mapping[str, Any]) -> Element:
    trends = report["trends"]
    rows = {
        date: {state: trends[name][at] for name, state in _ROWS.items() if name in trends}
        for at, date in enumerate(trends["dates"])
    }
    if not any(number for row in rows.values() for number in row.values()):
        return empty("Nothing came to an end in this time.")
    return bars(rows, label="How many came to an end in each interval")


def _states(seen: Seen, report: Mapping[str, Any], what: str) -> Element:
    counts = {state: number for state, number in report["state_counts"].items() if number}
    if not counts:
        return empty(f"There are no {what} yet.")
    rows = [
        Tr(Td(state_badge(state)),
           Td(A(count(number), href=f"{seen.root}/{what}?state={state}"), cls="number"),
           Td(f"{100 * number / report['total']:.1f} %", cls="number"))
        for state, number in counts.items()
    ]  # fmt: skip
    return Div(
        state_bar(counts, label=f"{what} by state"),
        grid_table(("State", "Number", "Share"), rows, label=f"States of {what}"),
    )


def _workers(jobs: Mapping[str, Any]) -> Element:
    if not jobs["workers"]:
        return empty("No worker has any job.")
    names = ("ready", "active", "running", "completed", "error", "total")
    return grid_table(
        ("Worker", *(name.capitalize() for name in names)),
        [
            Tr(Td(worker), *(Td(count(numbers[name]), cls="number") for name in names))
            for worker, numbers in jobs["workers"].items()
        ],
        label="Jobs of workers",
    )


def _longest(seen: Seen, jobs: Mapping[str, Any]) -> Element:
    if not jobs["longest_running"]:
        return empty("Nothing runs at present.")
    now = utcnow()
    return Div(
        grid_table(
            ("Job", "Name", "Worker", "Started", "For"),
            [
                Tr(
                    Td(A(job["db_id"], href=f"{seen.root}/jobs/{path_part(job['db_id'])}")),
                    Td(job["name"], cls="wrap"),
                    Td(job["worker"]),
                    Td(moment(job["start_time"])),
                    Td(duration((now - job["start_time"]).total_seconds()), cls="number"),
                )
                for job in jobs["longest_running"]
            ],
            label="Jobs that run longest",
        ),
        P(f"{plural(jobs['running'], 'job')} in all", cls="muted"),
    )
