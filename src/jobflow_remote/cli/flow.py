"""``jf flow``: list, inspect, watch and act on flows."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from jobflow_remote.cli import flowactions, graphing, refreshing, reporting
from jobflow_remote.cli import types as t
from jobflow_remote.cli.columns import choose_job_columns, job_fields, make_table, to_json
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import out_console, print_json, print_message, print_note
from jobflow_remote.cli.selecting import FlowQuery
from jobflow_remote.control import inspect
from jobflow_remote.control.ids import resolve_flow
from jobflow_remote.errors import JobflowRemoteError

app = JFRTyper(name="flow", help="Commands for managing flows.")


@app.command("list")
def list_flows(
    which: FlowQuery,
    metadata: t.Metadata = None,
    locked: t.Locked = False,
    verbosity: t.Verbosity = 0,
    count: t.Count = False,
    max_results: t.MaxResults = 100,
    sort: t.Sort = inspect.SortOption.UPDATED_ON,
    reverse_sort: t.ReverseSort = False,
    watch: t.Watch = False,
    as_json: t.AsJson = False,
) -> None:
    """List flows.

    The flows that were updated last come first. -v also shows workers, states of the jobs and metadata.
    """
    from jobflow_remote.cli.flowtables import flow_rows, make_flow_table

    queue = current().queue(for_machines=as_json)
    selection = which.select(queue, metadata=metadata, locked=locked)
    if count:
        number = queue.count_flows(selection.to_filter())
        print_json({"count": number}) if as_json else print_message(f"Number of flows: {number}", style="")
        return
    order = sort.to_sort(ascending=reverse_sort)

    def look() -> list[dict[str, Any]]:
        flows = inspect.list_flows(queue, selection, sort=order, limit=max_results)
        return flow_rows(queue, flows, with_jobs=verbosity > 0)

    if watch:
        table = partial(make_flow_table, verbosity=verbosity)
        refreshing.watch(queue, look, table=table, rows=list, as_json=as_json)
        return
    rows = look()
    if as_json:
        print_json(rows)
        return
    if max_results and len(rows) == max_results and current().settings.cli_suggestions:
        print_note(f"The number of flows printed is limited by the maximum selected: {max_results}")
    out_console().print(make_flow_table(rows, verbosity=verbosity))


@app.command("info")
def info(
    flow_id: t.FlowId,
    job: t.IsJobId = False,
    verbosity: t.Verbosity = 0,
    stored_data_key: t.StoredDataKeys = None,
    output: t.Columns = None,
    jobs_sort: Annotated[
        inspect.SortOption, typer.Option("--jobs-sort", "--sort", help="By what to sort the jobs.")
    ] = (inspect.SortOption.DB_ID),
    reverse_jobs_sort: Annotated[
        bool,
        typer.Option(
            "--reverse-jobs-sort",
            "-jrevs",
            "--reverse-sort",
            "-revs",
            help="The latest first.",
            show_default=False,
        ),
    ] = False,
    with_report: Annotated[
        bool,
        typer.Option(
            "--report", "-rep", help="Times, states and progress instead of the jobs.", show_default=False
        ),
    ] = False,
    as_json: t.AsJson = False,
) -> None:
    """Show a flow and its jobs."""
    if with_report:
        reporting.show_flow_report(flow_id, is_job=job, as_json=as_json)
        return
    if output and verbosity:
        raise JobflowRemoteError("--output and --verbosity both choose the columns", hint="keep one of them")
    names = output or (current().settings.cli_job_list_columns if not verbosity else None)
    columns = choose_job_columns(names=names, verbosity=verbosity, stored_data_keys=stored_data_key)
    queue = current().queue(for_machines=as_json)
    order = jobs_sort.to_sort(ascending=not reverse_jobs_sort)
    flow, jobs = inspect.flow_info(queue, flow_id, is_job=job, fields=job_fields(columns), sort=order)
    if as_json:
        print_json({**flow, "jobs": to_json(columns, jobs)})
        return
    title = f"Flow: {flow['name']} - {flow['uuid']} - {flow['state']}"
    out_console().print(make_table(columns, jobs, title=title))
    if verbosity and flow.get("metadata"):
        from jobflow_remote.cli.formatting import format_value

        print_message(f"metadata = {format_value(flow['metadata'])}", style="")


@app.command("watch")
def watch(
    flow_id: t.FlowId,
    job: t.IsJobId = False,
    interval: Annotated[float, typer.Option("--interval", help="Seconds between two looks.")] = 1.0,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Give up after this many seconds (exit code 3).")
    ] = None,
    as_json: t.AsJson = False,
) -> None:
    """Follow a flow until it is finished.

    The exit code is 0 when the flow is COMPLETED, 1 when it came to an end otherwise (what failed is listed),
    and 3 after --timeout. Ctrl-C ends the watching, not the flow.
    """
    from jobflow_remote.cli.watching import EXIT_TIMEOUT, report_end, watch_flow
    from jobflow_remote.control.progress import jobs_in_trouble

    queue = current().queue(for_machines=as_json)
    uuid = resolve_flow(queue, flow_id, is_job=job)
    progress = watch_flow(queue, uuid, interval_seconds=interval, timeout_seconds=timeout, quiet=as_json)
    trouble: list[dict[str, Any]] = [] if progress.succeeded else jobs_in_trouble(queue, uuid)
    report_end(progress, trouble, as_json=as_json)
    if not progress.finished:
        raise typer.Exit(EXIT_TIMEOUT)
    raise typer.Exit(0 if progress.succeeded else 1)


flowactions.register(app)
reporting.register_flow_report(app)
graphing.register(app)
