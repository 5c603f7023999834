"""The runner of a project: what the daemon of this machine and the queue database say of it, starting and stopping."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fasthtml.components import Code, Div, P, Span, Td, Tr

from jobflow_remote.control.runners import look_at_runner
from jobflow_remote.daemon.manager import DaemonManager, DaemonStatus
from jobflow_remote.errors import DaemonError, JobflowRemoteError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.services.awaynote import read_note
from jobflow_remote.webgui.parts import Element, count, facts, grid_table, moment, notice, plural, post_button
from jobflow_remote.webgui.shell import Seen
from jobflow_remote.webgui.tasks import Task
from jobflow_remote.webgui.world import Opened

LOG_BYTES = 200_000
ACTIONS = {
    "start": "Start",
    "stop": "Stop",
    "shutdown": "Shut down",
}
_SHADES = {"running": "green", "starting": "blue", "partially_running": "orange", "stopping": "orange",
           "shutting_down": "orange", "stopped": "grey", "shut_down": "grey"}  # fmt: skip


def read(opened: Opened, *, processes: bool = True) -> dict[str, Any]:
    """State of the daemon here, the session in the database, and (on demand) the processes."""
    manager = DaemonManager.from_project(opened.project)
    view = look_at_runner(opened.services.queue, ())
    session = view.session
    status = manager.check_status(False)
    note = None if status is DaemonStatus.SHUT_DOWN else read_note(manager.files.daemon_dir)
    found: dict[str, Any] = {
        "status": status.value.lower(),
        "session": None
        if session is None
        else {
            **session.owner,
            "start_time": session.started_on,
            "last_pinged": session.renewed_on,
            "lease_ends": session.expires_on,
            "stop_requested": session.stop_requested,
            "live": view.is_live,
        },
        "reports": [report.to_document() for report in view.processes],
        "database_away": None if note is None else {"since": note.since, "why": note.why},
    }
    if processes:
        told = manager.get_processes_info()
        found["processes"] = {
            name: {"pid": each.get("pid"), "state": each["statename"]} for name, each in (told or {}).items()
        }
        found["logs"] = list_logs(opened)
    return found


def list_logs(opened: Opened) -> list[dict[str, Any]]:
    """Log files of the project, the latest first."""
    folder = Path(str(opened.project.log_dir))
    files = [path for path in folder.glob("*.log*") if path.is_file()] if folder.is_dir() else []
    files.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [{"name": path.name, "size": path.stat().st_size} for path in files[:20]]


def read_log(opened: Opened, name: str, *, lines: int = 300) -> str:
    """The end of a log file.

    Raises
    ------
    DaemonError
        If there is no log of that name.
    """
    if name not in {log["name"] for log in list_logs(opened)}:
        raise DaemonError(
            f"there is no log {name!r}", hint="the page of the runner lists those that there are"
        )
    path = Path(str(opened.project.log_dir)) / name
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LOG_BYTES))
        text = stream.read(LOG_BYTES).decode("utf-8", "replace")
    return "\n".join(deque(text.splitlines(), maxlen=lines))


def summary(seen: Seen, data: Mapping[str, Any]) -> Element:
    """How it is, in a few lines, with the buttons that fit."""
    status, session = data["status"], data["session"]
    elsewhere = session is not None and session["live"] and status in ("shut_down", "stopped")
    lines = [("On this machine", Span(status.replace("_", " "), cls=f"state {_SHADES.get(status, 'grey')}"))]
    if session is not None:
        lines += [
            ("Registered", f"{session.get('user')} on {session.get('hostname')}"),
            ("Since", moment(session["start_time"])),
            (
                "Last heard of",
                Span(moment(session["last_pinged"]), "" if session["live"] else " (it is gone)"),
            ),
        ]
    parts: list[Any] = [facts(lines)]
    if data["database_away"]:
        parts.append(notice(f"The queue database is away: {data['database_away']['why']}", kind="warning"))
    if elsewhere:
        parts.append(P("A runner works on this queue, which this machine has not started.", cls="muted"))
    if status == "shut_down" and not elsewhere:
        parts.append(
            P("Jobs are not taken up while no runner works: ", Code("jf runner start"), ".", cls="muted")
        )
    return Div(*parts, _buttons(seen, status, elsewhere=elsewhere) if seen.may_change else None)


def lanes(data: Mapping[str, Any], *, everything: bool) -> Element:
    """What the lanes of the runner do; without ``everything`` those that do something or have met an error."""
    found = [(report["name"], lane) for report in data["reports"] for lane in report["lanes"]]
    if not everything:
        found = [(name, lane) for name, lane in found if lane["doing"] != "idle" or lane["last_error"]]
    if not found:
        return P("No lane has anything to do at present." if data["reports"] else "No process has said what it does.",
                 cls="muted")  # fmt: skip
    return grid_table(
        ("Process", "Step", "Worker", "Does", "Since", "Done", "Error"),
        [
            Tr(
                Td(name), Td(lane["step"]), Td(lane["worker"]), Td(_doing(lane), cls="wrap"), Td(moment(lane["since"])),
                Td(count(lane["done"]), cls="number"), Td(lane["last_error"] or "", cls="error-line wrap"),
            )
            for name, lane in found
        ],
        label="Lanes of the runner",
    )  # fmt: skip


def _doing(lane: Mapping[str, Any]) -> Element:
    if lane["doing"] == "working":
        return Span("working", cls="state blue"), f" on {plural(lane['jobs'], 'job')}"
    if lane["doing"] == "waiting":
        return (
            Span("waiting", cls="state orange"),
            f" {lane['why'] or ''} ",
            moment(lane["until"]) if lane["until"] else "",
        )
    return Span(lane["doing"], cls="state")


def _buttons(seen: Seen, status: str, *, elsewhere: bool) -> Element:
    fitting = ["start"] if status in ("shut_down", "stopped", "partially_running") and not elsewhere else []
    if status not in ("shut_down", "stopped") or elsewhere:
        fitting.append("stop")
    if status != "shut_down":
        fitting.append("shutdown")
    return Div(
        *(
            post_button(f"{seen.root}/runner/act", seen.form_key, ACTIONS[name], [("action", name)],
                        cls="primary" if name == "start" else "")
            for name in fitting
        ),
        cls="buttons",
    )  # fmt: skip


def perform(opened: Opened, task: Task, action: str) -> None:
    """Start, stop or shut down the runner."""
    manager = DaemonManager.from_project(opened.project)
    task.total = 1
    if action == "start":
        manager.start(single=False, raise_on_error=True)
        manager.wait_start()
        task.note("The runner is running.")
    elif (manager.stop if action == "stop" else manager.shut_down)(wait=True):
        task.note(
            "The runner has stopped. Jobs that run go on." if action == "stop" else "The runner is shut down."
        )
    elif _ask_elsewhere(opened):
        task.note("The runner elsewhere was asked to stop.")
    else:
        raise JobflowRemoteError("the runner is not running")
    task.done = task.changed = 1


def _ask_elsewhere(opened: Opened) -> bool:
    session = opened.services.queue.get_session()
    live = session is not None and session.is_live(utcnow())
    return live and opened.services.queue.request_stop("stop")
