"""``jf runner``: start, stop and ask the runner."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import runnerinfo
from jobflow_remote.cli import types as t
from jobflow_remote.cli.formatting import format_date
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import confirm, err_console, print_message
from jobflow_remote.cli.runnerinfo import find_manager
from jobflow_remote.config.loglevel import LogLevel
from jobflow_remote.errors import ConfigError
from jobflow_remote.model.clock import utcnow

if TYPE_CHECKING:
    from jobflow_remote.model.records import RunnerSession
    from jobflow_remote.queuedb.port import QueueDatabase

app = JFRTyper(name="runner", help="Commands for handling the runner.")

Wait = Annotated[bool, typer.Option("--wait", "-w", help="Return when it is done.", show_default=False)]


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
    _warn_of_conflicts(current().project().name)  # here the file has to be valid
    manager = find_manager()
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


def _warn_of_conflicts(name: str) -> None:
    """Say what the project shares with others, and only one can have."""
    from jobflow_remote.config.helper import check_projects_conflicts
    from jobflow_remote.config.manager import ConfigManager

    try:
        issues = check_projects_conflicts(ConfigManager().projects)
    except ConfigError as error:  # of other projects, which are in nobody's way
        print_message(error.message, style="gold1", to_stderr=True)
        return
    for issue in issues:
        if name in issue.projects:
            print_message(issue.message, style="gold1", to_stderr=True)


@app.command("stop")
def stop(wait: Wait = False) -> None:
    """Stop the processes of the runner: they finish the steps in hand. Jobs that run go on."""
    manager = find_manager()
    with _busy("Stopping the runner…"):
        done = manager.stop(wait=wait)
    if not done and not _ask_elsewhere():
        _say_not_running()


@app.command("shutdown")
def shutdown(wait: Wait = False) -> None:
    """Stop the runner, and the daemon that keeps its processes alive. Jobs that run go on."""
    manager = find_manager()
    with _busy("Shutting the runner down…"):
        done = manager.shut_down(wait=wait)
    if not done and not _ask_elsewhere():
        _say_not_running()


@app.command("kill")
def kill(wait: Wait = False) -> None:
    """Kill the processes of the runner at once. Nothing is lost: steps that were cut short are repeated."""
    if not find_manager().kill(wait=wait):
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


app.command("status")(runnerinfo.status)
app.command("info")(runnerinfo.info)


@app.command("foreground")
def foreground() -> None:
    """Connect this terminal to the daemon's processes: their logs and their state. Leave with Ctrl-D."""
    import subprocess

    from jobflow_remote.errors import DaemonError

    manager = find_manager()
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
