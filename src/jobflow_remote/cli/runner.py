"""``jf runner``: start, stop and ask the runner."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobflow_remote.cli import runnerinfo
from jobflow_remote.cli import types as t
from jobflow_remote.cli.formatting import format_date
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import busy, confirm, print_error, print_message
from jobflow_remote.cli.runnerinfo import find_manager
from jobflow_remote.config.loglevel import LogLevel
from jobflow_remote.daemon.programs import End, RunnerLayout
from jobflow_remote.errors import ConfigError, RunnerActiveError
from jobflow_remote.model.clock import utcnow

if TYPE_CHECKING:
    from jobflow_remote.model.records import RunnerSession
    from jobflow_remote.queuedb.port import QueueDatabase

app = JFRTyper(name="runner", help="Commands for handling the runner.")

Wait = Annotated[bool, typer.Option("--wait", "-w", help="Return when it is done.", show_default=False)]
Everywhere = Annotated[
    bool, typer.Option("--all", "-a", help="The runners of all projects.", show_default=False)
]
NamesFile = Annotated[
    Path | None,
    typer.Option(
        "--json",
        "-j",
        metavar="FILE",
        help="Write the names of the projects that had a runner to a JSON file.",
    ),
]
MaxWait = Annotated[
    int, typer.Option("--max-wait", "-m", min=0, help="Seconds to wait at most, with --all --wait.")
]
Transfer = Annotated[int, typer.Option("--transfer", "-t", min=1, help="Processes that transfer files.")]
Complete = Annotated[int, typer.Option("--complete", "-com", min=1, help="Processes that complete jobs.")]
Single = Annotated[
    bool, typer.Option("--single", "-s", help="One process for everything.", show_default=False)
]
InteractiveHere = Annotated[
    bool,
    typer.Option(
        "--connect-interactive",
        "--interactive",
        "-i",
        help="Log in to hosts that ask questions (one-time passwords), at this terminal.",
        show_default=False,
    ),
]
Interactive = Annotated[
    bool,
    typer.Option(
        "--connect-interactive",
        "--interactive",
        "-i",
        help="Log in to hosts that ask questions (one-time passwords), at this terminal; takes -s.",
        show_default=False,
    ),
]


def _name(level: LogLevel | None) -> str | None:
    return None if level is None else level.value


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
    log_level: t.LogLevelOption = None,
    set_pid: t.SetPid = False,
    interactive: InteractiveHere = False,
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
    if interactive:
        _answer_here()
    raise typer.Exit(run_runner(project.name, roles=roles, log_level=_name(log_level), daemonized=daemonized))


@app.command("start")
def start(
    transfer: Transfer = 1,
    complete: Complete = 1,
    single: Single = False,
    log_level: t.LogLevelOption = None,
    takeover: Annotated[
        bool,
        typer.Option(
            "--takeover",
            help="Take the queue over from a runner elsewhere, without asking: see `jf runner takeover`.",
            show_default=False,
        ),
    ] = False,
    interactive: Interactive = False,
) -> None:
    """Start the runner as a daemon.

    If only some of its processes run, the others are started again.
    """
    _start(RunnerLayout(single, transfer, complete, _name(log_level), interactive), takeover=takeover)


def _start(layout: RunnerLayout, *, takeover: bool) -> None:
    _warn_of_conflicts(current().project().name)  # here the file has to be valid
    manager = find_manager()
    with nullcontext() if layout.interactive else busy("Starting the runner…"):
        manager.start(
            num_procs_transfer=layout.transfer,
            num_procs_complete=layout.complete,
            single=layout.single,
            log_level=layout.log_level,
            raise_on_error=True,
            connect_interactive=layout.interactive,
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


@app.command("takeover")
def takeover(
    transfer: Transfer = 1,
    complete: Complete = 1,
    single: Single = False,
    log_level: t.LogLevelOption = None,
    interactive: Interactive = False,
    yes: t.Yes = False,
) -> None:
    """Start the runner here in the place of one on another machine.

    The other one is superseded: it can change nothing any more, and its processes end by themselves when they notice.
    Jobs that run go on; this runner looks after them.
    """
    from jobflow_remote.services.session import is_runner_alive

    manager = find_manager()
    if is_runner_alive(manager.files.daemon_dir):
        raise RunnerActiveError(
            "the runner of this project is on this machine", hint="`jf runner restart` starts it again"
        )
    session = current().queue().get_session()
    if session is None or not session.is_live(utcnow()):
        print_message("No other runner is active: this is an ordinary start", to_stderr=True)
    elif not yes and not confirm(_describe_session(session) + " Take its place?"):
        raise typer.Exit(0)
    _start(RunnerLayout(single, transfer, complete, _name(log_level), interactive), takeover=True)


@app.command("restart")
def restart() -> None:
    """Shut the daemon down and start it again with the same options. Jobs that run go on."""
    from jobflow_remote.daemon.manager import DaemonManager

    name = current().project().name  # here the file has to be valid
    manager, successor = find_manager(), DaemonManager.from_project_name(name)
    with busy("Starting the runner again…"):
        manager.restart(raise_on_error=True, successor=successor)
        successor.wait_start()


@app.command("stop")
def stop(
    wait: Wait = False, everywhere: Everywhere = False, names_file: NamesFile = None, max_wait: MaxWait = 120
) -> None:
    """Stop the processes of the runner: they finish the steps in hand. Jobs that run go on.

    A runner on another machine is asked to, through the queue database.
    """
    _end(End.STOP, _Ending(wait, everywhere, names_file, max_wait), ask_elsewhere=True)


@app.command("stop-processes", hidden=True)
def stop_processes(
    wait: Wait = False, everywhere: Everywhere = False, names_file: NamesFile = None, max_wait: MaxWait = 120
) -> None:
    """Stop the processes of the runner, as `stop` does."""
    _end(End.STOP, _Ending(wait, everywhere, names_file, max_wait), ask_elsewhere=True)


@app.command("shutdown")
def shutdown(
    wait: Wait = False, everywhere: Everywhere = False, names_file: NamesFile = None, max_wait: MaxWait = 120
) -> None:
    """Stop the runner, and the daemon that keeps its processes alive. Jobs that run go on."""
    _end(End.SHUTDOWN, _Ending(wait, everywhere, names_file, max_wait), ask_elsewhere=True)


@app.command("kill")
def kill(
    wait: Wait = False, everywhere: Everywhere = False, names_file: NamesFile = None, max_wait: MaxWait = 120
) -> None:
    """Kill the processes of the runner at once. Nothing is lost: steps that were cut short are repeated."""
    _end(End.KILL, _Ending(wait, everywhere, names_file, max_wait), ask_elsewhere=False)


@dataclass(frozen=True)
class _Ending:
    wait: bool
    everywhere: bool
    names_file: Path | None
    max_wait_seconds: int


_DOES = {End.STOP: "Stopping", End.SHUTDOWN: "Shutting down", End.KILL: "Killing"}
_DID = {End.STOP: "stopped", End.SHUTDOWN: "shut down", End.KILL: "killed"}


def _end(how: End, options: _Ending, *, ask_elsewhere: bool) -> None:
    if options.everywhere:
        _end_everywhere(how, options)
        return
    from jobflow_remote.daemon.everywhere import end_one

    manager = find_manager()
    with busy(f"{_DOES[how]} the runner…"):
        done = end_one(manager, how, wait=options.wait)
    _write_names(options.names_file, [manager.project.name] if done else [])
    if not done and not (ask_elsewhere and _ask_elsewhere()):
        _say_not_running()


def _end_everywhere(how: End, options: _Ending) -> None:
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.daemon.everywhere import end_everywhere

    with busy(f"{_DOES[how]} the runners of all projects…"):
        ended = end_everywhere(
            ConfigManager().projects, how, wait=options.wait, max_wait_seconds=options.max_wait_seconds
        )
    _write_names(options.names_file, ended.acted)
    for name in ended.acted:
        print_message(f"{name}: {'told to end' if not options.wait or name in ended.late else _DID[how]}")
    for name, problem in ended.problems.items():
        print_error(f"{name}: {problem}")
    if ended.late:
        print_error(
            f"not at rest after {options.max_wait_seconds} s: {', '.join(ended.late)}",
            hint="--max-wait allows more time; `jf -p PROJECT runner status` tells how it is",
        )
    if ended.late or ended.problems:
        raise typer.Exit(1)
    if not ended.acted:
        print_message("No project has a runner at work on this machine", style="gold1", to_stderr=True)


def _write_names(path: Path | None, names: list[str]) -> None:
    if path is not None:
        path.write_text(json.dumps(names) + "\n", encoding="utf-8")


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
    """Show at this terminal what the daemon's processes write into their logs. Leave with Ctrl-C."""
    find_manager().foreground_processes(print_function=typer.echo)


@app.command("update-status")
def update_status(
    log_level: t.LogLevelOption = None,
    set_pid: t.SetPid = False,
    interactive: InteractiveHere = False,
) -> None:
    """Ask the schedulers once how the jobs are, without a runner: nothing is submitted or downloaded."""
    import logging

    from jobflow_remote.engine.updating import update_status

    services = current().services()
    logging.getLogger("jobflow_remote").setLevel((log_level or services.project.log_level).to_logging())
    if interactive:
        _answer_here()
    with nullcontext() if interactive else busy("Asking the schedulers…"):
        updated = update_status(services)
    number = sum(updated.jobs.values())
    print_message(f"{number} job{'s are' if number != 1 else ' is'} in another state now")
    for worker, problem in updated.problems.items():
        print_error(f"worker {worker}: {problem}")
    if updated.problems:
        raise typer.Exit(1)


def _answer_here() -> None:
    """Put the questions of hosts at this terminal."""
    from jobflow_remote.hosts.pool import POOL
    from jobflow_remote.hosts.questions import answer_at_terminal

    POOL.answerer = answer_at_terminal


@app.command("reset")
def reset(
    yes: t.Yes = False,
    break_lock: Annotated[
        bool,
        typer.Option("--break-lock", "-bl", hidden=True, help="Kept for scripts: nothing is locked."),
    ] = False,
    force: t.force_opt = False,
) -> None:
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
