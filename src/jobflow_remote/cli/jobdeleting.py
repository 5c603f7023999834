"""``jf job delete``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import jobactions
from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import confirm, print_error, print_json, print_message
from jobflow_remote.cli.selecting import JobQuery
from jobflow_remote.errors import JobflowRemoteError

if TYPE_CHECKING:  # listings load this module, and delete nothing
    from jobflow_remote.control import act
    from jobflow_remote.control.flows import Deletion
    from jobflow_remote.control.removing import DeletedJobs

Output = Annotated[
    bool, typer.Option("--output", "-o", help="Also delete the outputs of the jobs.", show_default=False)
]
Files = Annotated[
    bool,
    typer.Option("--files", "-fi", help="Also delete the run folders on the workers.", show_default=False),
]
Everything = Annotated[bool, typer.Option("--all", "-a", help="Outputs and run folders.", show_default=False)]


def register(app: JFRTyper) -> None:
    """Add the command to ``jf job``."""
    app.command("delete")(delete)


def delete(
    which: JobQuery,
    one: t.OptionalJobId = None,
    index: t.JobIndex = None,
    max_jobs: Annotated[
        int, typer.Option("--max", "-m", help="Refuse where more jobs than this are meant; 0: no limit.")
    ] = 10,
    output: Output = False,
    files: Files = False,
    everything: Everything = False,
    dry_run: jobactions.DryRun = False,
    raise_on_error: jobactions.RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
    wait: jobactions.Wait = None,
) -> None:
    """Delete jobs from their flows; running ones are cancelled.

    Jobs that have not begun and can never have the output of a deleted job any more are stopped. The last job of a
    flow goes with its flow only: jf flow delete.
    """
    from jobflow_remote.control import removing
    from jobflow_remote.control.flows import Deletion

    found = jobactions.find_chosen(which, one, index, quiet=as_json)
    if not found:
        print_message("No job matches", style="gold1", to_stderr=True)
        raise typer.Exit(0)
    if max_jobs and len(found) > max_jobs:
        raise JobflowRemoteError(
            f"this would delete {len(found)} jobs, more than {max_jobs}", hint="--max 0 lifts the limit"
        )
    what = Deletion(outputs=output or everything, files=files or everything)
    if not (yes or dry_run or confirm(_question(found, what))):
        raise typer.Exit(0)
    services = current().services(for_machines=as_json)
    done = removing.DeletedJobs()

    def run(wanted: Iterable[act.Key], on_progress: Callable[[act.JobOutcome], None]) -> None:
        nonlocal done
        done = removing.delete_jobs(services, wanted, what, dry_run=dry_run, on_progress=on_progress)

    jobactions.with_progress([jobactions.key_of(job) for job in found], run, raise_on_error=raise_on_error)
    if as_json:
        print_json(asdict(done))
    else:
        _tell(done, what, dry_run=dry_run, everything=bool(verbosity) or len(found) == 1)
    raise typer.Exit(0 if done.deleted else 1)


def _question(found: list[dict[str, Any]], what: Deletion) -> str:
    extras = [name for name, wanted in (("outputs", what.outputs), ("run folders", what.files)) if wanted]
    also = f", their {' and '.join(extras)}" if extras else ""
    return f"This will delete {len(found)} job(s){also}: {jobactions.name_some(found)}. Proceed?"


def _tell(done: DeletedJobs, what: Deletion, *, dry_run: bool, everything: bool) -> None:
    jobactions.tell_refused(done.outcomes, everything=everything)
    if done.deleted:
        verb = "Would delete" if dry_run else "Deleted"
        print_message(f"{verb} {len(done.deleted)} job(s): {', '.join(done.deleted)}")
    gone = set(done.deleted)
    stopped = [db_id for outcome in done.outcomes for db_id in outcome.changed if db_id not in gone]
    if stopped:
        print_message(
            f"Stopped, since they need an output that will not come: {', '.join(dict.fromkeys(stopped))}",
            style="gold1",
        )
    if what.files and not dry_run:
        print_message(f"Removed {len(done.folders)} run folder(s)")
    for problem in done.problems:
        print_error(f"not everything could be cleared: {problem}")
