"""``jf batch``: the scheduler jobs (pilots) of batch workers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import refreshing
from jobflow_remote.cli import types as t
from jobflow_remote.cli.formatting import format_date, format_value, local_zone
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import confirm, out_console, print_json, print_message, print_note
from jobflow_remote.cli.selecting import whole_db_ids, whole_job_ids
from jobflow_remote.control import batches as control
from jobflow_remote.layout import run_folder
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.selection import BatchSelection
from jobflow_remote.model.states import BatchState

if TYPE_CHECKING:
    from rich.table import Table

app = JFRTyper(name="batch", help="Commands for the scheduler jobs of batch workers.")


def _folders(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """batch_uid → its folder on the worker, for workers that the project still has."""
    if not found:
        return {}
    from jobflow_remote.config.manager import ConfigManager

    workers = ConfigManager().get_project(current().project().name).workers
    folders = {}
    for batch in found:
        worker = workers.get(batch["worker"])
        if worker is not None and worker.batch is not None:
            uid = batch["batch_uid"]
            folders[uid] = f"{os.path.dirname(run_folder(str(worker.batch.work_dir), uid, 1))}/{uid}"
    return folders


@app.command("list")
def list_batches(
    worker: t.Workers = None,
    max_results: t.MaxResults = control.AT_ONCE,
    state: t.BatchStates = None,
    job_id: t.JobIds = None,
    db_id: t.DbIds = None,
    verbosity: t.Verbosity = 0,
    watch: t.Watch = False,
    as_json: t.AsJson = False,
) -> None:
    """List the scheduler jobs of batch workers, the latest change first. -v also shows their jobs."""
    queue = current().queue(for_machines=as_json)
    selection = BatchSelection(
        workers=worker,
        states=state,
        job_ids=whole_job_ids(queue, job_id) if job_id else None,
        db_ids=whole_db_ids(queue, db_id) if db_id else None,
    )

    def look() -> list[dict[str, Any]]:
        found = control.list_batches(queue, selection, limit=max_results)
        folders = _folders(found)
        return [{**batch, "process_folder": folders.get(batch["batch_uid"])} for batch in found]

    if watch:
        table = partial(_table, verbosity=verbosity)
        refreshing.watch(queue, look, table=table, rows=list, as_json=as_json)
        return
    found = look()
    if as_json:
        print_json(found)
        return
    if not found:
        print_message("No batch matches", style="gold1", to_stderr=True)
        return
    out_console().print(_table(found, verbosity=verbosity))
    if max_results and len(found) == max_results and current().settings.cli_suggestions:
        print_note(f"The number of batches printed is limited by the maximum selected: {max_results}")


def _table(found: Sequence[Mapping[str, Any]], *, verbosity: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    headers = ["Process ID", "Batch UID", "Worker", "Process folder", "Status"]
    used = {batch["batch_uid"]: control.usage_of(dict(batch), now=utcnow()) for batch in found}
    live = any(used.values())
    if live:
        headers += ["Running", "Done", "In use", "Time left [h:mm]"]
    if verbosity:
        headers += ["Jobs", f"Last updated [{local_zone()}]"]
    table = Table(title="Batch processes", title_style="bold")
    for header in headers:
        table.add_column(Text(header), overflow="fold")
    for batch in found:
        uid = batch["batch_uid"]
        cells = [
            batch["process_id"] or "",
            uid,
            batch["worker"],
            batch["process_folder"] or "",
            batch["batch_state"],
        ]
        if live:
            cells += _usage_cells(used[uid])
        if verbosity:
            jobs = "\n".join(f"{db_id} {uuid} ({index})" for db_id, uuid, index in batch["jobs"])
            cells += [jobs, format_date(batch.get("updated_on"))]
        table.add_row(*map(Text, cells))
    return table


def _usage_cells(usage: control.Usage | None) -> list[str]:
    if usage is None:
        return [""] * 4
    in_use = "" if usage.in_use is None else f"{usage.in_use:.0%}"
    left = "" if usage.seconds_left is None else "{}:{:02}".format(*divmod(int(usage.seconds_left // 60), 60))
    return [str(usage.running), str(usage.done), in_use, left]


@app.command("info")
def info(
    batch_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id that the scheduler gave it, or its batch uid.")
    ],
    as_json: t.AsJson = False,
) -> None:
    """Show all that is known about one scheduler job of a batch worker."""
    batch = control.get_batch(current().queue(for_machines=as_json), batch_id)
    row = {**batch, "process_folder": _folders([batch]).get(batch["batch_uid"])}
    if as_json:
        print_json(row)
        return
    for key, value in row.items():
        if value is not None:
            print_message(f"{key} = {format_value(value)}", style="")


@app.command("delete")
def delete(
    state: t.BatchStates = None,
    process_id: Annotated[
        list[str] | None,
        typer.Option("--process-id", "-pid", help="Id that the scheduler gave it; repeatable."),
    ] = None,
    batch_uid: Annotated[
        list[str] | None, typer.Option("--batch-uid", "-bid", help="Batch uid; repeatable.")
    ] = None,
    worker: t.Workers = None,
    yes: t.Yes = False,
    as_json: t.AsJson = False,
) -> None:
    """Forget scheduler jobs of batch workers that are over (or in the state given); the latest 20 at a time.

    Only what the queue database knows of them is removed. Nothing is cancelled, and their jobs stay as they are.
    """
    queue = current().queue(for_machines=as_json)
    selection = BatchSelection(
        process_ids=process_id, batch_uids=batch_uid, workers=worker, states=state or [BatchState.FINISHED]
    )
    found = control.list_batches(queue, selection)
    if not found and not as_json:
        print_message("No batch matches", style="gold1", to_stderr=True)
    if not found:
        if as_json:
            print_json({"deleted": []})
        return
    alive = control.unfinished(found)
    if alive:
        print_message(
            f"{len(alive)} of them may still run; the runner would lose sight of them and of their jobs",
            style="bold red",
            to_stderr=True,
        )
    listed = ", ".join(f"{each['process_id'] or each['batch_uid']}" for each in found)
    if not yes and not confirm(f"This will forget {len(found)} batch(es): {listed}. Proceed?"):
        raise typer.Exit(0)
    number = control.delete_batches(queue, found)
    if as_json:
        print_json({"deleted": [each["batch_uid"] for each in found]})
    else:
        print_message(f"Deleted {number} batch(es)")


@app.command("fix-batch-doc-jobs-dict", hidden=True)
def fix_batch_doc_jobs_dict() -> None:
    """Turn lists of jobs that an early release wrote as objects into empty lists."""
    number = control.repair_jobs(current().queue())
    print_message(f"{number} batch(es) repaired")
