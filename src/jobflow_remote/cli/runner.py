"""``jf runner``: start, stop and ask the runner."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.formatting import format_date, format_value
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import confirm, err_console, out_console, print_json, print_message
from jobflow_remote.config.loglevel import LogLevel
from jobflow_remote.errors import QueueDatabaseAwayError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.services.awaynote import read_note

if TYPE_CHECKING:
    from jobflow_remote.daemon.manager import DaemonManager
    from jobflow_remote.model.records import RunnerSession
    from jobflow_remote.queuedb.port import QueueDatabase

app = JFRTyper(name="runner", help="Commands for handling the runner.")

Wait = Annotated[bool, typer.Option("--wait", "-w", help="Return when it is done.", show_default=False)]


def _manager(*, for_machines: bool = False) -> DaemonManager:
    from jobflow_remote.daemon.manager import DaemonManager

    return DaemonManager.from_project(current().project_of_runner(for_machines=for_machines))


def _busy(text: str) -> AbstractContextManager[Any]:
    """A spinner on a terminal."""
    console = err_console()
    return console.status(text) if console.is_terminal else nullcontext()


@app.command("run")
def run(
    transfer: Annotated[
        bool, typer.Option("--transfer", "-t", help="Upload inputs, download results.", show_default=False)
    ] = False,
    complete: Annotated[
        bool, typer.Option("--complete", "-com", help="Store outputs and complete jobs.", show_default=False)
    ] = False,
    queue: Annotated[
        bool, typer.Option("--queue", "-q", help="Submit jobs and ask the schedulers.", show_default=False)
    ] = False,
    checkout: Annotated[
        bool, typer.Option("--checkout", "-cho", help="Take jobs that are READY.", show_default=False)
    ] = False,
    log_level: t.LogLevelOption = LogLevel.INFO,
    set_pid: Annotated[
        bool,
        typer.Option("--set-pid", "-pid", help="Kept for scripts: the log always has the pid.", hidden=True),
    ] = False,
    daemonized: Annotated[
        bool, typer.Option("--daemonized", "-d", help="End when the parent process ends.", show_default=False)
    ] = False,
) -> None:
    """Run the runner in the foreground, until Ctrl-C.

    Without -t, -com, -q and -cho it does everything in one process.
    """
    from jobflow_remote.engine.runner import run_runner

    chosen = {"transfer": transfer, "complete": complete, "queue": queue, "checkout": checkout}
    roles = frozenset(role for role, wanted in chosen.items() if wanted) or None
    project = current().project()
    raise typer.Exit(run_runner(project.name, roles=roles, log_level=log_level.value, daemonized=daemonized))


@app.command("start")
def start(
    transfer: Annotated[int, typer.Option("--transfer", "-t", help="Processes that transfer files.")] = 1,
    complete: Annotated[int, typer.Option("--complete", "-com", help="Processes that complete jobs.")] = 1,
    single: Annotated[
        bool, typer.Option("--single", "-s", help="One process for everything.", show_default=False)
    ] = False,
    log_level: t.LogLevelOption = LogLevel.INFO,
    takeover: Annotated[
        bool,
        typer.Option(
            "--takeover",
            help="Take the queue over from a runner elsewhere that does not answer.",
            show_default=False,
        ),
    ] = False,
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive",
            "-i",
            help="Log in to hosts that ask questions (one-time passwords), at this terminal; takes -s.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Start the runner as a daemon."""
    current().project()  # here the file has to be valid
    manager = _manager()
    with nullcontext() if interactive else _busy("Starting the runner…"):
        manager.start(
            num_procs_transfer=transfer,
            num_procs_complete=complete,
            single=single,
            log_level=log_level.value,
            raise_on_error=True,
            connect_interactive=interactive,
            takeover=takeover,
        )
        manager.wait_start()


@app.command("stop")
def stop(wait: Wait = False) -> None:
    """Stop the processes of the runner: they finish the steps in hand. Jobs that run go on."""
    manager = _manager()
    with _busy("Stopping the runner…"):
        done = manager.stop(wait=wait)
    if not done and not _ask_elsewhere():
        _say_not_running()


@app.command("shutdown")
def shutdown(wait: Wait = False) -> None:
    """Stop the runner, and the daemon that keeps its processes alive. Jobs that run go on."""
    manager = _manager()
    with _busy("Shutting the runner down…"):
        done = manager.shut_down(wait=wait)
    if not done and not _ask_elsewhere():
        _say_not_running()


@app.command("kill")
def kill(wait: Wait = False) -> None:
    """Kill the processes of the runner at once. Nothing is lost: steps that were cut short are repeated."""
    if not _manager().kill(wait=wait):
        _say_not_running()


def _say_not_running() -> None:
    print_message("The runner is not running", style="gold1", to_stderr=True)


def _ask_elsewhere() -> bool:
    """Ask a runner that this machine's daemon does not know (foreground, another machine) to stop."""
    queue = current().queue()
    session = queue.get_session()
    if session is None or not session.is_live(utcnow()):
        return False
    asked = queue.request_stop("stop")
    if asked:
        owner = session.owner
        print_message(f"The runner of {owner.get('user')} on {owner.get('hostname')} was asked to stop")
    return asked


@app.command("status")
def status(as_json: t.AsJson = False) -> None:
    """Say whether the runner's daemon is running, and whether the queue database has gone away from it."""
    manager = _manager(for_machines=as_json)
    state = manager.check_status().value.lower()
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


def _session_values(session: RunnerSession) -> dict[str, Any]:
    """What the queue database knows of the runner, without the token by which it is known."""
    return {
        **session.owner,
        "start_time": session.started_on,
        "last_pinged": session.renewed_on,
        "lease_ends": session.expires_on,
        "stop_requested": session.stop_requested,
    }


@app.command("info")
def info(
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
) -> None:
    """Show the processes of the runner, and what the queue database knows of it."""
    from jobflow_remote.control.runnerproject import configuration_in_use

    manager = _manager(for_machines=as_json)
    processes = manager.get_processes_info()
    configuration = None
    try:
        queue = current().queue(for_machines=as_json)
        session, away = queue.get_session(), None
        configuration = configuration_in_use(queue, session)
    except QueueDatabaseAwayError as error:
        session, away = None, error
    if as_json:
        database = {} if away is None else {"database_away": {"why": away.message}}
        print_json({**_info_json(processes, session), "configuration": configuration, **database})
    else:
        _print_processes(processes)
        if away is None:
            _print_session(session, verbosity)
            _print_configuration(configuration)
    if away is not None:
        known = read_note(manager.files.daemon_dir) if processes else None
        raise QueueDatabaseAwayError(known.describe() if known else away.message, hint=away.hint)


def _print_processes(processes: dict[str, dict[str, Any]] | None) -> None:
    if processes is None:
        print_message("The daemon of this machine is not running", style="gold1")
    else:
        out_console().print(_process_table(processes))


def _info_json(processes: dict[str, dict[str, Any]] | None, session: RunnerSession | None) -> dict[str, Any]:
    return {
        "processes": None
        if processes is None
        else {name: {"pid": each["pid"], "state": each["statename"]} for name, each in processes.items()},
        "session": None
        if session is None
        else {**_session_values(session), "live": session.is_live(utcnow())},
    }


def _process_table(processes: dict[str, dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table("Process", "PID", "State")
    for name, process in processes.items():
        table.add_row(name, str(process["pid"] or ""), process["statename"])
    return table


def _print_session(session: RunnerSession | None, verbosity: int) -> None:
    if session is None:
        print_message("No runner is registered in the database", style="gold1")
        return
    live = "" if session.is_live(utcnow()) else " (it does not answer any more)"
    print_message(f"Data about running runner in the DB{live}:", style="")
    for key, value in sorted(_session_values(session).items()):
        if value is not None and (verbosity or key != "pid"):
            print_message(f"{key} = {format_value(value)}", style="")


def _print_configuration(configuration: dict[str, Any] | None) -> None:
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


@app.command("foreground")
def foreground() -> None:
    """Connect this terminal to the daemon's processes: their logs and their state. Leave with Ctrl-D."""
    import subprocess

    from jobflow_remote.errors import DaemonError

    manager = _manager()
    if manager.get_processes_info() is None:
        raise DaemonError("the daemon is not running", hint="start it: `jf runner start`")
    raise typer.Exit(subprocess.run(manager.foreground_command(), check=False).returncode)


@app.command("reset")
def reset(yes: t.Yes = False, force: t.force_opt = False) -> None:
    """Forget the runner that is registered in the database.

    Only needed when its machine is gone for good and nobody wants to wait until its lease ends.
    """
    queue = current().queue()
    session = queue.get_session()
    if session is None:
        print_message("No runner is registered in the database", style="gold1", to_stderr=True)
        return
    if not yes and not confirm(_describe_session(session) + " Forget it?"):
        raise typer.Exit(0)
    _forget(queue)


def _describe_session(session: RunnerSession) -> str:
    owner = session.owner
    lines = [
        f"The runner of project {owner.get('project_name')}, started by {owner.get('user')} on "
        f"{owner.get('hostname')} on {format_date(session.started_on)}, was last heard of on "
        f"{format_date(session.renewed_on)}; its folder is {owner.get('daemon_dir')}.",
    ]
    return "\n".join(lines)


def _forget(queue: QueueDatabase) -> None:
    queue.clear_session()
    print_message("The runner is forgotten")
