"""``jf runner status`` and ``info``: how the runner is and what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.formatting import format_date, format_value, shorten
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.output import out_console, print_json, print_message
from jobflow_remote.errors import QueueDatabaseAwayError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.services.awaynote import read_note

if TYPE_CHECKING:
    from rich.table import Table

    from jobflow_remote.control.runners import RunnerView
    from jobflow_remote.daemon.manager import DaemonManager
    from jobflow_remote.model.processes import LaneReport, ProcessReport
    from jobflow_remote.model.records import RunnerSession

_LONGEST = 120


def find_manager(*, for_machines: bool = False) -> DaemonManager:
    """The daemon of the project by which the runner works."""
    from jobflow_remote.daemon.manager import DaemonManager

    return DaemonManager.from_project(current().project_of_runner(for_machines=for_machines))


def status(as_json: t.AsJson = False) -> None:
    """Say whether the runner's daemon is running, and whether the queue database has gone away from it."""
    manager = find_manager(for_machines=as_json)
    state = manager.check_status(False).value.lower()
    away = None if state == "shut_down" else read_note(manager.files.daemon_dir)
    if as_json:
        known = {} if away is None else {"database_away": {"since": away.since, "why": away.why}}
        print_json({"status": state, **known})
        return
    colors = {"running": "green", "shut_down": "red", "stopped": "red"}
    from rich.text import Text

    out_console().print(Text.assemble("Daemon status: ", (state, f"bold {colors.get(state, 'gold1')}")))
    if away is not None:
        print_message(away.describe(), style="gold1")


def info(
    verbosity: t.Verbosity = 0,
    pings: Annotated[
        bool,
        typer.Option("--pings", "-p", help="Also which runners were at work, and when.", show_default=False),
    ] = False,
    as_json: t.AsJson = False,
) -> None:
    """Show the processes of the runner, what each of them does, and which workers it cannot work with.

    Lanes (a step for a worker) are shown if they do something or have met an error; -v shows all.
    """
    manager = find_manager(for_machines=as_json)
    processes = manager.get_processes_info()
    try:
        told, away = _ask_database(manager, pings=pings, for_machines=as_json), None
    except QueueDatabaseAwayError as error:
        told, away = None, error
    if as_json:
        database = {"session": None, "configuration": None} if told is None else told.as_json()
        unreachable = {} if away is None else {"database_away": {"why": away.message}}
        print_json({"processes": _processes_json(processes), **database, **unreachable})
    else:
        _print_processes(processes)
        if told is not None:
            told.print(verbosity)
    if away is not None:
        known = read_note(manager.files.daemon_dir) if processes else None
        raise QueueDatabaseAwayError(known.describe() if known else away.message, hint=away.hint)


def _ask_database(manager: DaemonManager, *, pings: bool, for_machines: bool) -> _Told:
    from jobflow_remote.control.runnerproject import configuration_in_use
    from jobflow_remote.control.runners import look_at_runner
    from jobflow_remote.services.pings import get_pings

    queue = current().queue(for_machines=for_machines)
    view = look_at_runner(queue, list(manager.project.workers), daemon_dir=manager.files.daemon_dir)
    configuration = configuration_in_use(queue, view.session)
    return _Told(view, configuration, get_pings(queue) if pings else None)


class _Told:
    """What the queue database tells of the runner."""

    def __init__(
        self, view: RunnerView, configuration: dict[str, Any] | None, pings: list[dict[str, Any]] | None
    ) -> None:
        self.view, self.configuration, self.pings = view, configuration, pings

    def as_json(self) -> dict[str, Any]:
        view = self.view
        session = view.session
        return {
            "session": None if session is None else {**_session_values(session), "live": view.is_live},
            "configuration": self.configuration,
            "reports": [report.to_document() for report in view.processes],
            "workers_down": [
                {"name": worker.name, "troubles": [asdict(trouble) for trouble in worker.troubles]}
                for worker in view.down
            ],
            **({} if self.pings is None else {"pings": self.pings}),
        }

    def print(self, verbosity: int) -> None:
        view = self.view
        _print_session(view.session, live=view.is_live, verbosity=verbosity)
        _print_configuration(self.configuration)
        if view.processes:
            _print_reports(view.processes)
            _print_lanes(view.processes, everything=verbosity > 0)
        if view.is_live:
            _print_down(view)
        if self.pings is not None:
            _print_pings(self.pings)


# -- processes of this machine ---------------------------------------------------------------------------------


def _processes_json(processes: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Any] | None:
    if processes is None:
        return None
    return {name: {"pid": each["pid"], "state": each["statename"]} for name, each in processes.items()}


def _print_processes(processes: Mapping[str, Mapping[str, Any]] | None) -> None:
    if processes is None:
        print_message("The daemon of this machine is not running", style="gold1")
        return
    rows = [(name, str(each["pid"] or ""), each["statename"]) for name, each in processes.items()]
    out_console().print(_table(("Process", "PID", "State"), rows))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


# -- what the database tells -----------------------------------------------------------------------------------


def _session_values(session: RunnerSession) -> dict[str, Any]:
    """What the queue database knows of the runner, without the token by which it is known."""
    return {
        **session.owner,
        "start_time": session.started_on,
        "last_pinged": session.renewed_on,
        "lease_ends": session.expires_on,
        "stop_requested": session.stop_requested,
    }


def _print_session(session: RunnerSession | None, *, live: bool, verbosity: int) -> None:
    if session is None:
        print_message("No runner is registered in the database", style="gold1")
        return
    silent = "" if live else " (it does not answer any more)"
    print_message(f"Data about running runner in the DB{silent}:", style="")
    for key, value in sorted(_session_values(session).items()):
        if value is not None and (verbosity or key != "pid"):
            print_message(f"{key} = {format_value(value)}", style="")


def _print_configuration(configuration: Mapping[str, Any] | None) -> None:
    if configuration is None:
        return
    print_message(
        f"configuration = {configuration['digest']} since {format_date(configuration['since'])}", style=""
    )
    if configuration.get("problem"):
        since = format_date(configuration["problem_since"])
        print_message(
            f"The project file, changed by {since}, is not used: {configuration['problem']}", style="gold1"
        )


def _print_reports(reports: Sequence[ProcessReport]) -> None:
    """Who and where the processes are."""
    now = utcnow()
    rows = [
        (
            report.name,
            report.hostname,
            str(report.pid),
            format_date(report.started_on),
            f"{max(0, round((now - report.reported_on).total_seconds()))} s ago",
            report.python.split(" ")[0],
            ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        )
        for report in reports
    ]
    out_console().print(_table(("Runs", "Host", "PID", "Since", "Heard of", "Python", "Versions"), rows))


def _print_lanes(reports: Sequence[ProcessReport], *, everything: bool) -> None:
    """What the lanes do."""
    lanes = [(report.name, lane) for report in reports for lane in report.lanes]
    shown = [
        (name, lane)
        for name, lane in lanes
        if everything or lane.doing != "idle" or lane.last_error is not None
    ]
    if shown:
        rows = [
            (name, lane.step, lane.worker, describe_lane(lane), str(lane.done), _last_error(lane))
            for name, lane in shown
        ]
        out_console().print(_table(("Runs", "Step", "Worker", "Does", "Jobs", "Last error"), rows))
    idle = len(lanes) - len(shown)
    if idle:
        more = "other " if shown else ""
        print_message(f"{idle} {more}lane{'s are' if idle > 1 else ' is'} idle", style="")


def describe_lane(lane: LaneReport) -> str:
    """What a lane does, in words."""
    since = format_date(lane.since)
    if lane.doing == "working":
        return f"works on {lane.jobs} job{'s' if lane.jobs != 1 else ''} since {since}"
    if lane.doing == "waiting":
        tries = f", tries again at {format_date(lane.until)}" if lane.until else ""
        return f"waits since {since}{tries}: {shorten((lane.why or '').splitlines()[0], _LONGEST)}"
    return f"idle since {since}"


def _last_error(lane: LaneReport) -> str:
    if lane.last_error is None:
        return ""
    return f"{format_date(lane.last_error_on)}: {shorten(lane.last_error, _LONGEST)}"


def _print_down(view: RunnerView) -> None:
    for worker in view.down:
        first = worker.troubles[0]
        steps = ", ".join(trouble.step for trouble in worker.troubles)
        tries = f"; next try {format_date(worker.next_try)}" if worker.next_try else ""
        print_message(
            f"Worker {worker.name} is down since {format_date(worker.since)} ({steps}): {first.first_line}{tries}",
            style="gold1",
        )


def _print_pings(pings: Sequence[Mapping[str, Any]]) -> None:
    if not pings:
        print_message("No pings of runners are known", style="")
        return
    columns = {
        "Time": "time", "Host": "hostname", "User": "user", "Project": "project_name", "Folder": "daemon_dir",
        "Daemon": "daemon_id", "Runner": "runner_id",
    }  # fmt: skip
    rows = [[_cell(ping.get(key)) for key in columns.values()] for ping in pings]
    out_console().print(_table(tuple(columns), rows))


def _cell(value: Any) -> str:
    return format_date(value) if hasattr(value, "strftime") else str(value or "")
