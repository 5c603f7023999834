"""``jf admin upgrade``: the queue database of an older release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.migrate import progress_bars
from jobflow_remote.cli.output import out_console, print_error, print_message, print_note

if TYPE_CHECKING:
    from jobflow_remote.control.upgrade import UpgradePlan
    from jobflow_remote.queuedb.port import QueueDatabase


def upgrade(
    no_dry_run: Annotated[
        bool,
        typer.Option(
            "--no-dry-run", "-ndr", help="Do it; else it is only said what would be done.", show_default=False
        ),
    ] = False,
    check_env: Annotated[
        bool,
        typer.Option("--check-env", "-ce", help="Compare the versions of all packages.", show_default=False),
    ] = False,
    target: Annotated[
        str | None, typer.Option("--target", "-t", metavar="VERSION", help="Version to upgrade to: this one.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", "-f", help="Do not mind what may be in the way.", show_default=False),
    ] = False,
) -> None:
    """Bring the queue database of jobflow-remote 0.1.x or 1.0.x up to date. Jobs in flight go on.

    Says what would be done; with --no-dry-run it asks for the name of the project and does it. The runner must be
    stopped. What was cut short goes on when the command is repeated. There is no way back but a backup.
    """
    from jobflow_remote.control import upgrade as control

    invocation = current()
    services = invocation.services()
    ours = control.our_version()
    _check_target(target, ours)
    plan = control.plan_upgrade(services.queue, services.daemon_dir)
    recorded = control.recorded_versions(services.queue, plan.survey if plan else None)
    _show_changes(control.compare_versions(recorded, everything=check_env), everything=check_env)
    if plan is None:
        _settle(services.queue, recorded.get("jobflow_remote_version"), ours, write=no_dry_run)
        return
    _show_plan(plan, services.queue, ours)
    blocked = plan.blocked_by(force=force)
    if blocked:
        print_error("In the way:")
        for what in blocked:
            print_error(f"- {what}")
        if not plan.blocked_by(force=True):
            print_note("If you know better: --force")
        raise typer.Exit(1)
    if not no_dry_run:
        print_message("Nothing was changed. To do it: jf admin upgrade --no-dry-run", style="gold1")
        return
    _confirm(services.project.name)
    with _progress() as report:
        left = control.upgrade(services, plan, force=force, report=report)
    print_message("The database has been upgraded")
    for what in left:
        print_note(f"This remains to be done by hand: {what}")


def _check_target(target: str | None, ours: str) -> None:
    from jobflow_remote.model.decide.upgrade import parse_version

    if target is not None and parse_version(target) != parse_version(ours):
        raise typer.BadParameter(
            f"this release brings databases to {ours}, not to {target}", param_hint="--target"
        )
    if any(word in ours for word in ("dev", "post", "rc")):
        print_note(f"{ours} is a version under development")


def _settle(queue: QueueDatabase, recorded: str | None, ours: str, *, write: bool) -> None:
    """Of a database that is up to date, note the versions if they have changed."""
    from jobflow_remote.control.upgrade import note_versions
    from jobflow_remote.model.decide.upgrade import parse_version

    if recorded and parse_version(recorded) > parse_version(ours):
        print_message(
            f"The database was written by {recorded}, which is newer than {ours}",
            style="gold1",
            to_stderr=True,
        )
        return
    if write:
        note_versions(queue)
    print_message("The database is up to date: nothing to upgrade", style="gold1", to_stderr=True)


def _show_changes(changes: list[str], *, everything: bool) -> None:
    if changes:
        what = "Packages have" if everything else "jobflow has"
        print_note(f"{what} changed since the database was written:")
        for change in changes:
            print_message(f"  {change}", style="")


def _show_plan(plan: UpgradePlan, queue: QueueDatabase, ours: str) -> None:
    from rich.table import Table

    survey = plan.survey
    print_message(
        f"{queue.describe()} was written by jobflow-remote {survey.version} "
        f"({survey.jobs} jobs, {survey.flows} flows); this is {ours}.",
        style="",
    )
    table = Table("what will be done", "how many")
    table.columns[1].justify = "right"
    for action in plan.actions:
        table.add_row(action.what, "" if action.number is None else str(action.number))
    out_console().print(table)
    for note in plan.notes:
        print_note(note[:1].upper() + note[1:])


def _confirm(name: str) -> None:
    """Ask for the name of the project: a y is typed too easily."""
    print_note("There is no way back but a backup: jf backup create")
    try:
        typed = typer.prompt("Type the name of the project to go on", default="", show_default=False)
    except typer.Abort:
        typed = ""
    if typed.strip() != name:
        print_error(f"That is not the name of the project, {name}: nothing was changed")
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    with progress_bars() as show:
        yield lambda done, total: show("jobs", done, total)
