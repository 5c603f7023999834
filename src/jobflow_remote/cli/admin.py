"""``jf admin``: what an administrator of the queue database does."""

from __future__ import annotations

from typing import Annotated

import typer

from jobflow_remote.cli import indexes, unlocking
from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.migrate import migrate
from jobflow_remote.cli.output import busy, confirm, print_message
from jobflow_remote.cli.upgrade import upgrade
from jobflow_remote.control import admin as control

app = JFRTyper(name="admin", help="Commands for the administrator of the queue database.")


@app.command("reset")
def reset(
    date: Annotated[
        str | None,
        typer.Argument(metavar="DATE", help="Today, as YYYY-MM-DD: needed where there are 25 flows or more."),
    ] = None,
    output: Annotated[
        bool, typer.Option("--output", "-o", help="Also delete the outputs of all jobs.", show_default=False)
    ] = False,
    yes: t.Yes = False,
    force: t.force_opt = False,
) -> None:
    """Empty the queue database: all jobs and flows are forgotten, and ids start at 1 again.

    The runner must be stopped. Run folders of jobs on the workers stay as they are.
    """
    invocation = current()
    project = invocation.project()
    queue = invocation.queue()
    control.check_runner_stopped(project.daemon_dir, queue)
    flows = queue.count_flows({})
    what = "the outputs of its jobs and " if output else ""
    question = (
        f"This will delete {what}all {flows} flows of project {project.name} ({queue.describe()}). Proceed?"
    )
    if not yes and not confirm(question):
        raise typer.Exit(0)
    outputs = invocation.services().outputs if output else None
    done = control.reset(project.daemon_dir, queue, open_outputs=outputs, validation=date)
    if done:
        print_message("The database was reset")
    else:
        print_message(
            f"The database was NOT reset: it has {flows} flows; repeat with today's date: jf admin reset "
            f"{control.today()}",
            style="gold1",
        )


@app.command("compact")
def compact() -> None:
    """Give the space that deleted jobs left behind back to the file system.

    The runner may go on working, but waits meanwhile where the queue is an SQLite file.
    """
    with busy("Compacting…"):
        freed = current().queue().compact()
    print_message(f"{freed / 1e6:,.1f} MB were given back")


app.command("upgrade")(upgrade)
app.command("unlock")(unlocking.unlock)
app.command("unlock-flow")(unlocking.unlock_flow)
app.command("unlock-runner")(unlocking.unlock_runner)
app.command("migrate")(migrate)
app.add_typer(indexes.app)
