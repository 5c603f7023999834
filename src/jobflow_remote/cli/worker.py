"""``jf worker``: how the workers of the project are."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import err_console, out_console, print_json, print_message, print_note

if TYPE_CHECKING:
    from rich.text import Text

    from jobflow_remote.config.workers import WorkerBase
    from jobflow_remote.control.answering import Answer
    from jobflow_remote.control.workers import WorkerState

app = JFRTyper(name="worker", help="Commands concerning workers.")


@app.command("list")
def list_workers(
    verbosity: t.Verbosity = 0,
    connect: Annotated[
        bool,
        typer.Option("--connect/--no-connect", help="With -v: ask each worker how quickly it answers."),
    ] = True,
    as_json: t.AsJson = False,
) -> None:
    """List the workers of the project.

    -v shows how they are: whether the runner can work with them, since when and why not, how many jobs they have, and
    how long they take to answer.
    """
    from jobflow_remote.control import workers as control

    services = current().services(for_machines=as_json)
    configured = services.project.workers
    if not configured and not as_json:
        print_message("The project has no workers", style="gold1", to_stderr=True)
        return
    names = list(configured)
    states: list[WorkerState] = []
    answers: dict[str, Answer] = {}
    live = True
    if verbosity:
        states = control.list_workers(services.queue, names)
        live = control.is_runner_live(services.queue)
        if connect:
            from jobflow_remote.control.answering import measure_round_trips

            with err_console().status("Asking the workers …"):
                answers = measure_round_trips(services, names)
    if as_json:
        rows = [_describe(name, configured[name]) for name in names]
        for row, state in zip(rows, states, strict=False):  # no states without -v
            row.update(_state_as_json(state, answers.get(state.name), live))
        print_json(rows)
        return
    _print_workers(configured)
    if verbosity:
        _print_states(states, answers, live)
    elif err_console().is_terminal:
        print_note("-v shows how they are")


@app.command("login")
def login(
    name: Annotated[str, typer.Argument(help="Name of the worker.")],
) -> None:
    """Log in to the host of a worker, and answer what it asks.

    With `transport: openssh` this opens the session of ssh over which runner, jf and the web pages reach the host.
    With `interactive_login` it logs the running runner in. Elsewhere it tries whether the login works.
    """
    from jobflow_remote.control.logins import log_in

    services = current().services()
    print_message(f"{name}: {log_in(services, name).value}")


def _describe(name: str, worker: WorkerBase) -> dict[str, Any]:
    host = getattr(worker, "host", None)
    user = getattr(worker, "user", None)
    return {
        "name": name,
        "type": worker.type,
        "host": f"{user}@{host}" if host and user else host,
        "scheduler": worker.scheduler_name,
        "work_dir": str(worker.work_dir),
        "max_jobs": worker.max_jobs,
        "batch": worker.is_batch,
    }


def _state_as_json(state: WorkerState, answer: Answer | None, live: bool) -> dict[str, Any]:
    return {
        "state": "up" if state.is_up else "down",
        "since": state.since,
        "next_try": state.next_try,
        "by_script": state.by_script,
        "troubles": [
            {"step": each.step, "since": each.since, "why": each.why, "next_try": each.next_try}
            for each in state.troubles
        ],
        "ready": state.load.ready,
        "in_hand": state.load.in_hand,
        "in_scheduler": state.load.in_scheduler,
        "running": state.load.running,
        "round_trip_seconds": answer.round_trip_seconds if answer else None,
        "connection_error": answer.error if answer else None,
        "runner_active": live,
    }


def _print_workers(configured: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Workers")
    for header in ("Name", "Type", "Host", "Scheduler", "Work dir", "Max jobs"):
        table.add_column(header, overflow="fold", justify="right" if header == "Max jobs" else "left")
    for name, worker in configured.items():
        row = _describe(name, worker)
        scheduler = row["scheduler"] + (" (batch)" if row["batch"] else "")
        limit = "" if row["max_jobs"] is None else str(row["max_jobs"])
        cells = (row["type"], row["host"] or "", scheduler, row["work_dir"], limit)
        table.add_row(Text(name, style="bold"), *(Text(cell) for cell in cells))
    out_console().print(table)


def _print_states(states: list[WorkerState], answers: dict[str, Answer], live: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="How they are")
    for header in ("Name", "State"):
        table.add_column(header, overflow="fold")
    for header in ("Ready", "In hand", "In scheduler", "Running", "Round trip"):
        table.add_column(header, justify="right")
    for state in states:
        load = state.load
        numbers = (load.ready, load.in_hand, load.in_scheduler, load.running)
        table.add_row(
            Text(state.name, style="bold"),
            _state_words(state),
            *(Text(str(number) if number else "-") for number in numbers),
            _answer_words(answers.get(state.name)),
        )
    out_console().print(table)
    for state in states:
        for line, style in _explain(state, answers.get(state.name)):
            print_message(line, style=style)
    if not live:
        print_note("No runner is active: states are as the last one left them. `jf runner start` starts one")


def _state_words(state: WorkerState) -> Text:
    from rich.text import Text

    if state.is_up:
        return Text("up", style="green")
    since = state.since
    return Text(f"down since {_when(since)}" if since else "down", style="bold red")


def _answer_words(answer: Answer | None) -> Text:
    from rich.text import Text

    if answer is None:
        return Text("")
    if answer.round_trip_seconds is None:
        return Text("no answer", style="bold red")
    milliseconds = answer.round_trip_seconds * 1000
    return Text(f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms")


def _explain(state: WorkerState, answer: Answer | None) -> list[tuple[str, str]]:
    """What is the matter with a worker, as lines and their colours."""
    lines = []
    said: set[str] = set()
    for trouble in state.troubles:
        if trouble.why in said:
            continue
        said.add(trouble.why)
        steps = ", ".join(each.step for each in state.troubles if each.why == trouble.why)
        next_try = f"; next try {_when(trouble.next_try, seconds=True)}" if trouble.next_try else ""
        lines.append(
            (
                f"{state.name}: down since {_when(trouble.since)} ({steps}){next_try}: {trouble.first_line}",
                "red",
            )
        )
        lines += [(f"    {line}", "yellow") for line in trouble.why.splitlines()[1:]]
    if state.by_script is not None:
        lines.append((f"{state.name}: jobs start by script, not as forks: {state.by_script}", "yellow"))
    if answer is not None and answer.error is not None and answer.error not in said:
        lines.append((f"{state.name}: does not answer now: {answer.error}", "red"))
        if answer.hint:
            lines.append((f"    {answer.hint}", "yellow"))
    return lines


def _when(moment: datetime | None, *, seconds: bool = False) -> str:
    """A stored moment in local time; the day only if it is not today's."""
    from jobflow_remote.model.clock import to_local, utcnow

    if moment is None:
        return ""
    local = to_local(moment)
    clock = "%H:%M:%S" if seconds else "%H:%M"
    today = to_local(utcnow()).date() == local.date()
    return local.strftime(clock if today else f"%Y-%m-%d {clock}")
