"""The first page: how everything is, on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fasthtml.components import H1, A, Code, Div, Li, P, Span, Strong, Td, Tr, Ul

from jobflow_remote.control.failures import Cause, group_failures
from jobflow_remote.control.inspect import list_flows
from jobflow_remote.control.trends import get_trends
from jobflow_remote.control.workers import WorkerState, list_workers
from jobflow_remote.model.selection import FlowSelection
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.webgui import runnerstate
from jobflow_remote.webgui.parts import (
    Element,
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
from jobflow_remote.webgui.rows import flow_row, job_row
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.world import Opened

_ENDS = (JobState.COMPLETED, JobState.FAILED, JobState.REMOTE_ERROR)
_CAUSES = 8
_RUNNING = (JobState.RUNNING, JobState.BATCH_RUNNING)
_RUNNING_FIELDS = (
    "uuid",
    "index",
    "db_id",
    "state",
    "worker",
    "flow_uuid",
    "start_time",
    "end_time",
    "job.name",
)


def read(opened: Opened) -> dict[str, Any]:
    """Everything of the page."""
    queue = opened.services.queue
    running = queue.find_jobs(
        {"state": {"$in": [state.value for state in _RUNNING]}},
        fields=_RUNNING_FIELDS, sort=(("updated_on", -1),), limit=10,
    )  # fmt: skip
    finished = FlowSelection(states=(FlowState.COMPLETED, FlowState.FAILED))
    return {
        "job_states": queue.count_job_states(),
        "flow_states": queue.count_flow_states(),
        "runner": runnerstate.read(opened, processes=False),
        "workers": list_workers(queue, list(opened.project.workers)),
        "running": [job_row(job) for job in running],
        "failures": group_failures(queue),
        "throughput": get_trends(queue, _ENDS, interval="hours", num_intervals=24),
        "finished_flows": [flow_row(flow) for flow in list_flows(queue, finished, limit=8)],
    }


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    total = sum(data["job_states"].values())
    content: list[Any] = [_states(seen, data)]
    if not total:
        content.insert(0, _welcome())
    content.append(
        Div(
            section(
                "Runner", runnerstate.summary(seen, data["runner"]), _lanes(data["runner"]), key="runner"
            ),
            section("Workers", _workers(data["workers"]), key="workers"),
            section("Runs now", _running(seen, data["running"]), key="running"),
            section("The last 24 hours", _throughput(data["throughput"]), key="throughput"),
            section("Failures by cause", _failures(seen, data["failures"]), key="failures"),
            section("Flows that ended last", _finished(seen, data["finished_flows"]), key="finished"),
            cls="columns packed",
        )
    )
    assert seen.opened is not None
    return frame(seen, "Overview", *content, heading=H1(seen.opened.name))


def _welcome() -> Element:
    return empty(
        "There are no jobs yet.",
        P(
            "Submit a flow from Python with ",
            Code("submit_flow(flow, worker=…)"),
            ", or try ",
            Code("jf quickstart"),
            ".",
        ),
    )


def _states(seen: Seen, data: Mapping[str, Any]) -> Element:
    jobs: Mapping[str, int] = data["job_states"]
    tiles = [
        A(Strong(count(jobs[state.value])), state_badge(state.value), href=f"{seen.root}/jobs?state={state.value}",
          cls="tile")
        for state in JobState
        if jobs.get(state.value)
    ]  # fmt: skip
    flows = data["flow_states"]
    return section(
        "Jobs",
        state_bar(jobs),
        Div(*tiles, cls="tiles"),
        P(
            A(plural(sum(jobs.values()), "job"), href=f"{seen.root}/jobs"), " in ",
            A(plural(sum(flows.values()), "flow"), href=f"{seen.root}/flows"),
            ": ", ", ".join(f"{count(number)} {state}" for state, number in sorted(flows.items())) or "none",
            cls="muted",
        ),
        key="states",
    )  # fmt: skip


def _lanes(runner: Mapping[str, Any]) -> Element:
    return runnerstate.lanes(runner, everything=False) if runner["reports"] else None


def _workers(workers: Sequence[WorkerState]) -> Element:
    if not workers:
        return empty(
            "The project has no workers.", P("Add one to the project file: ", Code("jf project edit"), ".")
        )
    return grid_table(
        ("Worker", "Health", "Ready", "In hand", "In scheduler", "Running"),
        [
            Tr(
                Td(worker.name),
                Td(_health(worker)),
                *(Td(count(number), cls="number") for number in (
                    worker.load.ready, worker.load.in_hand, worker.load.in_scheduler, worker.load.running)),
            )
            for worker in workers
        ],
        label="Workers",
    )  # fmt: skip


def _health(worker: WorkerState) -> Element:
    if worker.is_up:
        return Span("up", cls="state green")
    trouble = worker.troubles[0]
    return Div(
        Span("down", cls="state red"), " since ", moment(worker.since), P(trouble.first_line),
        P("next try ", moment(worker.next_try)) if worker.next_try else None,
    )  # fmt: skip


def _running(seen: Seen, rows: Sequence[Mapping[str, Any]]) -> Element:
    if not rows:
        return empty("Nothing runs at present.")
    return grid_table(
        ("Job", "Name", "Worker", "For"),
        [
            Tr(
                Td(A(row["db_id"], href=f"{seen.root}/jobs/{path_part(row['db_id'])}")),
                Td(row["name"], cls="wrap"),
                Td(row["worker"]),
                Td(duration(row["run_seconds"]), cls="number"),
            )
            for row in rows
        ],
        label="Jobs that run",
    )


def _failures(seen: Seen, causes: Sequence[Cause]) -> Element:
    if not causes:
        return empty("No job is FAILED or REMOTE_ERROR.")
    more = sum(cause.number for cause in causes[_CAUSES:])
    return Div(
        Ul(*(_cause(seen, cause) for cause in causes[:_CAUSES]), cls="causes"),
        P(f"… and {plural(more, 'job')} for other causes", cls="muted") if more else None,
    )


def _cause(seen: Seen, cause: Cause) -> Element:
    return Li(
        P(
            state_badge(cause.state),
            " ",
            Strong(plural(cause.number, "job")),
            ", latest ",
            moment(cause.latest),
        ),
        P(Code(cause.text), cls="clamp", title=cause.text),
        P("jobs " if cause.number > 1 else "job ", *_job_links(seen, cause), cls="muted"),
    )


def _job_links(seen: Seen, cause: Cause) -> list[Any]:
    parts: list[Any] = []
    for db_id in cause.db_ids:
        parts += [A(db_id, href=f"{seen.root}/jobs/{path_part(db_id)}"), " "]
    return [*parts, "…"] if cause.number > len(cause.db_ids) else parts


def _throughput(trends: Mapping[str, Mapping[str, int]]) -> Element:
    if not any(number for row in trends.values() for number in row.values()):
        return empty("No job came to an end in the last 24 hours.")
    return bars(trends, label="Jobs that came to an end in each of the last 24 hours")


def _finished(seen: Seen, flows: Sequence[Mapping[str, Any]]) -> Element:
    if not flows:
        return empty("No flow has ended yet.")
    return grid_table(
        ("Flow", "State", "Jobs", "Ended"),
        [
            Tr(
                Td(A(flow["name"] or flow["uuid"][:8], href=f"{seen.root}/flows/{flow['uuid']}"), cls="wrap"),
                Td(state_badge(flow["state"])),
                Td(count(flow["n_jobs"] or 0), cls="number"),
                Td(moment(flow["updated_on"])),
            )
            for flow in flows
        ],
        label="Flows that ended last",
    )
