"""``jf admin`` unlock, unlock-flow and unlock-runner: nobody needs them, and they say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import typer

from jobflow_remote.cli import jobactions
from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.output import confirm, print_message, print_note
from jobflow_remote.cli.selecting import FlowQuery, JobQuery

if TYPE_CHECKING:
    from jobflow_remote.control import act


def unlock(
    which: JobQuery, yes: t.Yes = False, verbosity: t.Verbosity = 0, force: t.force_opt = False
) -> None:
    """Take jobs from the runner that holds them.

    It is never needed: a runner that was killed is followed by the next one, which takes its jobs over, and actions do
    not wait for locks. A runner that works takes the jobs up again at once.
    """
    from jobflow_remote.control import unlocking

    queue = current().queue()
    fields = ("uuid", "index", "db_id", "job.name")
    selection = which.select(queue, locked=True)
    found = queue.find_jobs(selection.to_filter(), fields=fields, sort=(("db_number", 1),))
    if not found:
        print_message("No job is locked", style="gold1", to_stderr=True)
        raise typer.Exit(0 if yes else 1)
    question = (
        f"This will take {len(found)} job(s) from their runner: {jobactions.name_some(found)}. Proceed?"
    )
    if not (yes or confirm(question)):
        raise typer.Exit(0)
    services = current().services()
    outcomes: list[act.JobOutcome] = []

    def run(wanted: Iterable[act.Key], on_progress: Callable[[act.JobOutcome], None]) -> None:
        outcomes.extend(unlocking.unlock_jobs(services, wanted, on_progress=on_progress))

    jobactions.with_progress([jobactions.key_of(job) for job in found], run, raise_on_error=False)
    jobactions.tell_refused(outcomes, everything=bool(verbosity))
    released = [outcome.db_id for outcome in outcomes if outcome.done]
    print_message(f"Released {len(released)} job(s): {', '.join(released)}")
    if unlocking.look_at_runner(queue).live:
        print_note("A runner is active: it takes them up again")
    raise typer.Exit(0 if released else 1)


def unlock_flow(which: FlowQuery, yes: t.Yes = False, force: t.force_opt = False) -> None:
    """Take locks from flows that an older release left behind; flows are not locked any more."""
    from jobflow_remote.control import unlocking

    queue = current().queue()
    found = queue.find_flows(which.select(queue, locked=True).to_filter(), fields=["uuid", "name"])
    if not found:
        print_message("No flow is locked (this release never locks one)", style="gold1", to_stderr=True)
        raise typer.Exit(0 if yes else 1)
    names = ", ".join(str(flow["name"]) for flow in found[:10]) + (", …" if len(found) > 10 else "")
    if not (yes or confirm(f"This will take the locks from {len(found)} flow(s): {names}. Proceed?")):
        raise typer.Exit(0)
    number = unlocking.unlock_flows(queue, [flow["uuid"] for flow in found])
    print_message(f"Released {number} flow(s)")


def unlock_runner() -> None:
    """Look whether the record of the runner is locked: it never is."""
    from jobflow_remote.control import unlocking

    found = unlocking.look_at_runner(current().queue())
    if found.session is None:
        print_message("No runner is recorded: there is nothing to release", style="gold1")
        return
    what = "is active" if found.live else "has not been heard of for longer than its lease"
    print_message(f"Nothing is locked. The runner of {found.session} {what}")
    if not found.live:
        print_note("The next runner follows it by itself; `jf runner reset` forgets it at once")
