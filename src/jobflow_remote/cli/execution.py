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


@app.command("run-batch")
def run_batch(
    base_run_dir: Annotated[
        str, typer.Argument(metavar="BASE_RUN_DIR", help="Folder of the run folders of jobs.")
    ],
    files_dir: Annotated[str, typer.Argument(metavar="FILES_DIR", help="The worker's jobs_handle_dir.")],
    batch_uid: Annotated[str, typer.Argument(metavar="BATCH_UID", help="Name of this pilot.")],
    max_time: Annotated[
        float | None, typer.Option("--max-time", "-mt", help="Start no job after so many seconds.")
    ] = None,
    max_wait: Annotated[
        float | None, typer.Option("--max-wait", "-mw", help="End after so many idle seconds.")
    ] = 60.0,
    max_jobs: Annotated[int | None, typer.Option("--max-jobs", "-mj", help="End after so many jobs.")] = None,
    parallel_jobs: Annotated[
        int | None, typer.Option("--parallel-jobs", "-pj", help="Jobs at the same time.")
    ] = None,
    sleep_time: Annotated[
        float | None, typer.Option("--sleep-time", "-st", help="Pause between looks when idle, in seconds.")
    ] = None,
) -> None:
    """Be a pilot: run jobs of a batch worker, one after another."""
    from jobflow_remote.execution import main

    given = {"-mt": max_time, "-mw": max_wait, "-mj": max_jobs, "-pj": parallel_jobs, "-st": sleep_time}
    options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    raise typer.Exit(main(["run-batch", base_run_dir, files_dir, batch_uid, *options]))
