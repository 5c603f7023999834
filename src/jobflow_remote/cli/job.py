"""``jf job``: list, inspect and act on jobs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import refreshing, reporting
from jobflow_remote.cli import types as t
from jobflow_remote.cli.columns import choose_job_columns, job_fields, make_table, to_json
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import out_console, print_json, print_message, print_note
from jobflow_remote.cli.selecting import JobQuery
from jobflow_remote.control import ids, inspect
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.lifecycle import ACTIVE, ERRORS
from jobflow_remote.model.states import JobState

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

app = JFRTyper(name="job", help="Commands for managing jobs.")


@app.command("list")
def list_jobs(
    which: JobQuery,
    verbosity: t.Verbosity = 0,
    max_results: t.MaxResults = 100,
    sort: t.Sort = inspect.SortOption.UPDATED_ON,
    reverse_sort: t.ReverseSort = False,
    locked: t.Locked = False,
    latest_flow: Annotated[
        int | None,
        typer.Option("--latest-flow", "-lf", help="Only jobs of this many flows, those created last."),
    ] = None,
    error: Annotated[
        bool, typer.Option("--error", "-e", help="Jobs that are FAILED or REMOTE_ERROR.", show_default=False)
    ] = False,
    running: Annotated[
        bool, typer.Option("--running", "-run", help="Jobs that the runner has in hand.", show_default=False)
    ] = False,
    count: t.Count = False,
    stored_data_key: t.StoredDataKeys = None,
    output: t.Columns = None,
    color: Annotated[
        bool,
        typer.Option("--color", "-col", help="One colour for the names of each flow.", show_default=False),
    ] = False,
    watch: t.Watch = False,
    as_json: t.AsJson = False,
) -> None:
    """List jobs.

    The jobs that were updated last come first. Options that say which jobs are combined: all must hold.
    """
    if latest_flow is not None and (latest_flow < 1 or which.flow_id):
        raise typer.BadParameter(
            "--latest-flow takes a positive number, and cannot be combined with --flow-id"
        )
    if output and verbosity:
        raise JobflowRemoteError("--output and --verbosity both choose the columns", hint="keep one of them")
    invocation = current()
    names = output or (invocation.settings.cli_job_list_columns if not verbosity else None)
    columns = choose_job_columns(names=names, verbosity=verbosity, stored_data_keys=stored_data_key)
    queue = invocation.queue(for_machines=as_json)
    flows = inspect.latest_flows(queue, latest_flow) if latest_flow else None
    states: set[JobState] = {*(ERRORS if error else ()), *(ACTIVE if running else ())}
    selection = which.select(queue, more_states=sorted(states), more_flows=flows, locked=locked)
    if count:
        number = queue.count_jobs(selection.to_filter())
        print_json({"count": number}) if as_json else print_message(f"Number of jobs: {number}", style="")
        return
    fields = job_fields(columns, more=["flow_uuid"] if color else [])
    order = sort.to_sort(ascending=reverse_sort)

    def look() -> list[dict[str, Any]]:
        return inspect.list_jobs(queue, selection, fields=fields, sort=order, limit=max_results)

    def table(jobs: list[dict[str, Any]]) -> Table | Text:
        return make_table(columns, jobs, title="Jobs info", color_flows=color)

    if watch:
        refreshing.watch(queue, look, table=table, rows=partial(to_json, columns), as_json=as_json)
        return
    jobs = look()
    if as_json:
        print_json(to_json(columns, jobs))
        return
    out_console().print(table(jobs))
    _suggest(jobs, max_results)


def _suggest(jobs: list[dict[str, Any]], max_results: int) -> None:
    if not current().settings.cli_suggestions:
        return
    if max_results and len(jobs) == max_results:
        print_note(f"The number of jobs printed is limited by the maximum selected: {max_results}")
    if any(job["state"] in ERRORS for job in jobs if "state" in job):
        print_note("`jf job info <DB id>` shows what went wrong with a job")
    if any((job.get("remote") or {}).get("retry_time_limit") for job in jobs):
        print_note("A step failed for jobs in orange, and will be tried again")


@app.command("info")
def info(
    job_id: t.OptionalJobId = None,
    index: t.JobIndex = None,
    pid: Annotated[
        str | None, typer.Option("--pid", help="Find the job by the id that the scheduler gave it.")
    ] = None,
    show_none: Annotated[
        bool, typer.Option("--show-none", "-n", help="Show values that are None too.", show_default=False)
    ] = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
) -> None:
    """Show all that is known about a job: its state, where it runs, what went wrong.

    -v shows the whole record, -vv the serialised job with its inputs as well.
    """
    if (job_id is None) == (pid is None):
        raise typer.BadParameter("give either the ID of the job or --pid")
    from jobflow_remote.control.workers import why_waiting

    queue = current().queue(for_machines=as_json)
    if pid is not None:
        job_id, index = ids.resolve_job_by_process_id(queue, pid)
    assert job_id is not None
    document = inspect.job_info(queue, job_id, index, with_inputs=verbosity > 1)
    document["waits_for"] = why_waiting(queue, document)
    if as_json:
        print_json(document)
        return
    if index is not None and pid is None and document["index"] != index:
        print_note("The index is ignored: a DB id names one job")
    from jobflow_remote.cli.jobpanel import make_job_panel

    out_console().print(make_job_panel(document, verbosity=0 if pid else verbosity, show_none=show_none))


@app.command("output")
def output(
    job_id: t.JobId,
    index: t.JobIndex = None,
    path: t.DumpPath = None,
    load: Annotated[
        bool, typer.Option("--load", "-l", help="Also the data of additional stores.", show_default=False)
    ] = False,
    as_json: t.AsJson = False,
) -> None:
    """Show the output of a job, from the output store."""
    from jobflow_remote.cli.dumping import check_dump_path, dump, show

    if path is not None:
        check_dump_path(path)
    services = current().services(for_machines=True)
    value = inspect.get_job_output(services.queue, services.outputs, job_id, index, load=load)
    if path is not None:
        dump(value, path)
        print_message(f"The output is in {path}")
    elif as_json:
        print_json(value)
    else:
        show(value)


@app.command("dump", hidden=True)
def dump(
    which: JobQuery,
    path: Annotated[
        Path, typer.Option("--path", "-p", metavar="FILE", help="The file to write: .json, or .jsonl.")
    ] = Path("jobs_dump.json"),
) -> None:
    """Write the documents of jobs, with their inputs, to a file: for looking at them elsewhere."""
    from jobflow_remote.cli.dumping import write_documents

    queue = current().queue()
    number = write_documents(inspect.iterate_jobs(queue, which.select(queue)), path)
    print_message(f"{number} jobs are in {path}")


reporting.register_job_report(app)
app.left_for_later += [
    (("queue-out", "todir", "files"), "jobflow_remote.cli.jobfiles"),
    (
        ("rerun", "retry", "pause", "resume", "play", "stop", "set-state", "set"),
        "jobflow_remote.cli.jobactions",
    ),
    (("delete",), "jobflow_remote.cli.jobdeleting"),
]
