"""``jf execution``: what submission scripts of release 1.0.1 call; :mod:`.main` usually answers first."""

from __future__ import annotations

from typing import Annotated

import typer

from jobflow_remote.cli.jfr_typer import JFRTyper

app = JFRTyper(name="execution", help="Commands that run on compute nodes.", hidden=True)


@app.command("run")
def run(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="The run folder of the job.")] = ".",
) -> None:
    """Run the job whose input file is in a folder."""
    from jobflow_remote.execution import main

    raise typer.Exit(main(["run", run_dir]))
