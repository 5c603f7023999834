"""One job: everything that is known of it. What its worker or the output store has to be asked is loaded on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fasthtml.components import H1, A, Button, Code, Details, Div, P, Span, Summary, Td, Tr

from jobflow_remote.control.inspect import job_info, run_seconds
from jobflow_remote.control.workers import why_waiting
from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.states import JobState
from jobflow_remote.webgui import explaining
from jobflow_remote.webgui.jobactions import ACTIONS
from jobflow_remote.webgui.parts import (
    Element,
    duration,
    empty,
    facts,
    grid_table,
    hidden,
    moment,
    path_part,
    post_form,
    section,
    state_badge,
    text_block,
)  # fmt: skip
from jobflow_remote.webgui.rows import job_row, to_json
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.world import Opened

_RELATIVE = (
    "uuid",
    "index",
    "db_id",
    "state",
    "worker",
    "flow_uuid",
    "updated_on",
    "start_time",
    "end_time",
    "job.name",
)
MOST_RELATIVES = 50


def read(opened: Opened, key: str, index: int | None = None) -> dict[str, Any]:
    """Everything that the queue database knows of a job."""
    queue = opened.services.queue
    job = job_info(queue, key, index)
    parents = list(job.get("parents") or ())
    before = queue.find_jobs({"uuid": {"$in": parents[:MOST_RELATIVES]}}, fields=_RELATIVE) if parents else []
    others = queue.find_jobs({"uuid": job["uuid"]}, fields=_RELATIVE, sort=(("index", 1),))
    flows = queue.find_flows({"uuid": job["flow_uuid"]}, fields=("name",))
    return {
        "job": job,
        "flow_name": str(flows[0].get("name") or "") if flows else "",
        "waits_for": why_waiting(queue, job),
        "explanation": explaining.read(opened, job["uuid"], job["index"]),
        "parents": [job_row(each) for each in before],
        "n_parents": len(parents),
        "children": [job_row(each) for each in queue.find_children([job["uuid"]])[:MOST_RELATIVES]],
        "indexes": [job_row(each) for each in others if each["index"] != job["index"]],
        "actions": possible_actions(JobState(job["state"])),
    }


def possible_actions(state: JobState) -> dict[str, bool]:
    """Action → whether it takes a job in this state; those that need insisting count."""
    return {
        name: action.event is None or state in lifecycle.sources(action.event, force=True)
        for name, action in ACTIONS.items()
    }


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    job = data["job"]
    name = str((job.get("job") or {}).get("name") or "")
    state = Span(state_badge(job["state"]), data_live="state")
    heading = Div(H1(f"{job['db_id']} {name}"), state, cls="page-head")
    address = f"{seen.root}/jobs/{path_part(job['db_id'])}"
    return frame(
        seen,
        f"{job['db_id']} {name}",
        Div(_actions(seen, data, address), data_live="actions"),
        Div(_trouble(data), data_live="trouble"),
        Div(
            section("Facts", _facts(seen, job, data["flow_name"]), key="facts"),
            section("History", _history(job), key="history"),
            cls="columns",
        ),
        section("Why it is where it is", explaining.findings(data["explanation"]), key="explanation"),
        section("Parents and children", _relatives(seen, data), key="relatives"),
        _lazy("What it printed", f"{address}/printed?index={job['index']}"),
        _lazy("Files of the run folder", f"{address}/files?index={job['index']}"),
        _lazy("Output", f"{address}/output?index={job['index']}"),
        section("How it runs", _settings(job), key="settings"),
        Div(_folded("Everything that is stored of it", job), data_live="document"),
        Div(data_watch=f"{job['uuid']}:{job['index']}", hidden=True),
        heading=heading,
    )


def _lazy(title: str, address: str) -> Element:
    return Details(Summary(title), Div(P(A("Load", href=address)), data_load=address), cls="card")


def _folded(title: str, content: Any) -> Element:
    return Details(Summary(title), text_block(to_json(content, indent=2), label=title), cls="card")


def _actions(seen: Seen, data: Mapping[str, Any], address: str) -> Element:
    if not seen.may_change:
        return None
    job = data["job"]
    buttons = [
        Button(ACTIONS[name].label, type="submit", name="action", value=name, cls=ACTIONS[name].cls,
               disabled=not possible, title=ACTIONS[name].title)
        for name, possible in data["actions"].items()
    ]  # fmt: skip
    return post_form(
        f"{seen.root}/jobs/act", seen.form_key,
        *hidden([("job", f"{job['uuid']}:{job['index']}"), ("back", address)]),
        Div(*buttons, cls="toolbar", role="group", aria_label="Actions on the job"), data_dialog="1",
    )  # fmt: skip


def _trouble(data: Mapping[str, Any]) -> Element:
    job, waits = data["job"], data["waits_for"]
    remote = job.get("remote") or {}
    parts: list[Any] = []
    if waits:
        parts.append(
            Div(
                P(f"The runner cannot work with worker {waits['worker']} ({waits['step']}): {waits['why']}"),
                P(
                    "since ",
                    moment(waits["since"]),
                    *((", next try ", moment(waits["next_try"])) if waits["next_try"] else ()),
                ),
                cls="notice warning",
            )
        )
    error = job.get("error") or remote.get("error")
    if error:
        lines = str(error).strip().splitlines() or [""]
        parts.append(
            Div(
                P(lines[-1]),
                Details(Summary("All of it"), text_block(str(error), label="Error"))
                if len(lines) > 1
                else None,
                cls="notice error",
            )
        )
    for key, label in (("queue_out", "Last lines of queue.out"), ("queue_err", "Last lines of queue.err")):
        if remote.get(key):
            parts.append(Details(Summary(label), text_block(str(remote[key]), label=label)))
    return Div(*parts) if parts else None


def _flow_link(seen: Seen, uuid: str, name: str) -> Element:
    return A(name or uuid[:8], href=f"{seen.root}/flows/{path_part(uuid)}")


def _facts(seen: Seen, job: Mapping[str, Any], flow_name: str) -> Element:
    remote = job.get("remote") or {}
    ran = run_seconds(job, utcnow())
    queue_state = ": ".join(str(remote[key]) for key in ("queue_state", "reason") if remote.get(key))
    values: list[tuple[str, Any]] = [
        ("DB id", job["db_id"]),
        ("Uuid", Code(job["uuid"])),
        ("Index", str(job["index"])),
        ("Flow", _flow_link(seen, job["flow_uuid"], flow_name)),
        ("Worker", job["worker"]),
        ("Scheduler's id", remote.get("process_id")),
        ("Scheduler says", queue_state),
        ("Run folder", Code(job["run_dir"]) if job.get("run_dir") else None),
        ("Created", moment(job["created_on"])),
        ("Updated", moment(job["updated_on"])),
        ("Started", moment(job.get("start_time"))),
        ("Ended", moment(job.get("end_time"))),
        ("Ran", duration(ran[0]) + ("" if ran[1] else " so far") if ran else None),
        ("Attempts of this step", str(remote["step_attempts"]) if remote.get("step_attempts") else None),
        ("Before the error", job.get("previous_state")),
        ("Brought about by", _link(seen, job["generated_by"]) if job.get("generated_by") else None),
        ("Superseded", "yes: a rerun of its parent replaced it" if job.get("superseded") else None),
    ]
    return facts((name, value) for name, value in values if value)


def _settings(job: Mapping[str, Any]) -> Element:
    """What ``Settings …`` sets, and what jobs stored."""
    values: list[tuple[str, Any]] = [("Worker", job["worker"]), ("Priority", str(job.get("priority") or 0))]
    long: list[Element] = []
    for key, label in (("exec_config", "Execution configuration"), ("resources", "Resources"),
                       ("metadata", "Metadata"), ("stored_data", "Stored data")):  # fmt: skip
        value = (job.get("job") or {}).get(key) if key == "metadata" else job.get(key)
        if isinstance(value, str):
            values.append((label, value))
        elif value:
            long.append(Details(Summary(label), text_block(to_json(value, indent=2), label=label)))
        elif key in ("exec_config", "resources"):
            values.append((label, "as the worker has it" if key == "resources" else "none"))
    return Div(facts(values), *long)


def _link(seen: Seen, db_id: str) -> Element:
    return A(db_id, href=f"{seen.root}/jobs/{path_part(db_id)}")


def _history(job: Mapping[str, Any]) -> Element:
    entries: Sequence[Mapping[str, Any]] = job.get("history") or ()
    if not entries:
        return empty("An older release has left no history.")
    return grid_table(
        ("When", "State", "Event", "Who", "Why"),
        [
            Tr(
                Td(moment(entry["when"])),
                Td(state_badge(entry["state"])),
                Td(str(entry.get("event", "")).replace("_", " ")),
                Td(entry.get("who") or ""),
                Td(entry.get("why") or "", cls="wrap"),
            )
            for entry in reversed(entries)
        ],
        label="History, the latest first",
    )


def _relatives(seen: Seen, data: Mapping[str, Any]) -> Element:
    lines = []
    for what, key in (("needs", "parents"), ("is needed by", "children"), ("other index", "indexes")):
        lines += [_relative(seen, what, row) for row in data[key]]
    if not lines:
        return empty("It needs no other job, and none needs it.")
    more = data["n_parents"] - len(data["parents"])
    return Div(
        grid_table(("", "Job", "Name", "State", "Worker"), lines, label="Parents and children"),
        P(f"… and {more} more parents", cls="muted") if more > 0 else None,
    )


def _relative(seen: Seen, what: str, row: Mapping[str, Any]) -> Element:
    return Tr(
        Td(what, cls="muted"),
        Td(_link(seen, row["db_id"])),
        Td(row["name"], cls="wrap"),
        Td(state_badge(row["state"])),
        Td(row["worker"]),
    )
