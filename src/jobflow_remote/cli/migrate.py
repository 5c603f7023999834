"""``jf admin migrate``: move a project's queue and outputs into the databases of another project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.output import confirm, err_console, out_console, print_message, print_note

if TYPE_CHECKING:
    from jobflow_remote.control.migrate import Plan, Report

Progress = Callable[[str, int, int], None]


def migrate(
    to: Annotated[str, typer.Option("--to", metavar="PROJECT", help="Project to copy everything to.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.", show_default=False)
    ] = False,
    no_outputs: Annotated[
        bool, typer.Option("--no-outputs", help="Leave the outputs where they are.", show_default=False)
    ] = False,
    yes: t.Yes = False,
) -> None:
    """Copy the queue and the outputs of this project (-p) into the databases of another one, and compare.

    Between SQLite and MongoDB, both ways. The runners of both projects must be stopped. What was interrupted goes on
    when the command is repeated. Nothing is removed here, and run folders stay where they are.
    """
    from jobflow_remote.bootstrap import open_services
    from jobflow_remote.control import migrate as control

    invocation = current()
    source = invocation.services()
    with open_services(to) as target:
        plan = control.plan_migration(source, target, outputs=not no_outputs)
        names = (source.project.name, target.project.name)
        _show_plan(plan, *names)
        if dry_run:
            return
        if not yes and not confirm(f"Copy all this from project {names[0]} to project {names[1]}?"):
            raise typer.Exit(0)
        with progress_bars() as progress:
            report = control.migrate(source, target, plan, progress=progress)
    _show_report(report, *names)


def _show_plan(plan: Plan, source: str, target: str) -> None:
    from rich.table import Table

    if plan.interrupted:
        print_note("A copy from here was interrupted before: it goes on.")
    print_message(f"from project {source}: {plan.source}", style="")
    print_message(f"to project {target}: {plan.target}", style="")
    table = Table("what", "documents", "there already")
    for name, number in plan.counts.items():
        table.add_row(name, str(number), str(plan.present[name]))
    for pair, number in plan.stores:
        table.add_row(pair.label, str(number), "")
    out_console().print(table)
    for label in plan.shared:
        print_message(f"{label}: both projects use the same store", style="")
    for warning in plan.warnings:
        print_note(warning)


def _show_report(report: Report, source: str, target: str) -> None:
    from rich.table import Table

    table = Table("what", "documents", "written", "digest (the same on both sides)")
    for name, digest in report.queue.items():
        table.add_row(name, str(digest.count), str(report.written[name]), digest.hex)
    for copied in report.outputs:
        table.add_row(copied.label, str(copied.digest.count), "", copied.digest.hex)
    out_console().print(table)
    print_message(f"Everything of project {source} is in project {target}")
    print_note(
        f"Start the runner of {target}, and no more that of {source}: jobs under way would run in both."
    )


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A bar for each thing that is done; nothing where nobody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = err_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield show
