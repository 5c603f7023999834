"""``jf flow`` delete, resume and clean."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import (
    confirm,
    err_console,
    out_console,
    print_error,
    print_json,
    print_message,
)
from jobflow_remote.cli.selecting import FlowQuery
from jobflow_remote.control.ids import resolve_flow
from jobflow_remote.errors import JobflowRemoteError

_MAX_FLOWS = 10

Wait = Annotated[
    int | None, typer.Option("--wait", "-w", hidden=True, help="No longer needed: nobody waits for locks.")
]
BreakLock = Annotated[
    bool,
    typer.Option("--break-lock", "-bl", hidden=True, help="No longer needed: a person wins over the runner."),
]


def register(app: JFRTyper) -> None:
    """Add the actions to ``jf flow``."""
    app.command("delete")(delete)
    app.command("resume")(resume)
    app.command("clean")(clean)
    settings = JFRTyper(name="set", help="Set what holds for a whole flow.")
    settings.command("store")(set_store)
    app.add_typer(settings)


def _table(flows: list[dict[str, Any]], verbosity: int) -> None:
    from jobflow_remote.cli.flowtables import flow_rows, make_flow_table

    queue = current().queue()
    out_console().print(
        make_flow_table(flow_rows(queue, flows, with_jobs=verbosity > 1), verbosity=verbosity - 1)
    )


def delete(
    which: FlowQuery,
    max_flows: Annotated[
        int | None,
        typer.Option(
            "--max", "-m", help="Refuse where more flows than this are meant (by default 10); 0: no limit."
        ),
    ] = None,
    output: Annotated[
        bool, typer.Option("--output", "-o", help="Also delete the outputs of the jobs.", show_default=False)
    ] = False,
    files: Annotated[
        bool,
        typer.Option(
            "--files", "-fi", help="Also delete the run folders on the workers.", show_default=False
        ),
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Outputs and run folders.", show_default=False)
    ] = False,
    keep_processes: Annotated[
        bool,
        typer.Option(
            "--keep-processes", "-kp", help="Let running jobs run to their end.", show_default=False
        ),
    ] = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
    force: t.force_opt = False,
    wait: Wait = None,
    break_lock: BreakLock = False,
) -> None:
    """Delete flows with all of their jobs from the queue; running jobs are cancelled."""
    from rich.progress import Progress

    from jobflow_remote.control import flows as control

    services = current().services(for_machines=as_json)
    chosen = services.queue.find_flows(which.select(services.queue).to_filter(), sort=(("updated_on", -1),))
    if not chosen:
        print_message("No flow matches", style="gold1", to_stderr=True)
        raise typer.Exit(0)
    if which.is_empty and yes and max_flows is None:
        raise JobflowRemoteError(
            f"no filter: this would delete all {len(chosen)} flows of the project",
            hint="say which ones, or how many at most: --max 0 means any number",
        )
    max_flows = _MAX_FLOWS if max_flows is None else max_flows
    if max_flows and len(chosen) > max_flows:
        raise JobflowRemoteError(
            f"this would delete {len(chosen)} flows, more than {max_flows}", hint="--max 0 lifts the limit"
        )
    what = control.Deletion(
        outputs=output or everything, files=files or everything, cancel=not keep_processes
    )
    if verbosity:
        _table(chosen, verbosity)
    if not yes and not confirm(_question(chosen, what)):
        raise typer.Exit(0)
    with Progress(console=err_console(), transient=True, disable=len(chosen) < 3) as progress:
        task = progress.add_task("flows", total=len(chosen))
        done = control.delete_flows(
            services, [flow["uuid"] for flow in chosen], what, on_progress=lambda _: progress.advance(task)
        )
    if as_json:
        print_json({"deleted": done.deleted, "folders": done.folders, "problems": done.problems})
    else:
        print_message(f"Deleted flow(s): {', '.join(done.deleted)}")
        if what.files:
            print_message(f"Removed {len(done.folders)} run folder(s)")
    for problem in done.problems:
        print_error(f"not everything could be cleared: {problem}")
    if not done.deleted:
        raise typer.Exit(1)


def _question(chosen: list[dict[str, Any]], what: Any) -> str:
    names = ", ".join(f"{flow['name']} ({flow['n_jobs']} jobs)" for flow in chosen[:5])
    more = ", …" if len(chosen) > 5 else ""
    extras = [name for name, wanted in (("outputs", what.outputs), ("run folders", what.files)) if wanted]
    also = f", their {' and '.join(extras)}" if extras else ""
    return f"This will delete {len(chosen)} flow(s){also}: {names}{more}. Proceed?"


def set_store(
    flow_id: t.FlowId,
    store: Annotated[
        str | None,
        typer.Argument(
            metavar="STORE",
            help="One of the optional_jobstores of the project; by default its own jobstore.",
        ),
    ] = None,
    job: t.IsJobId = False,
) -> None:
    """Set the store that keeps the outputs of a flow, before its first job begins."""
    from jobflow_remote.control import flows as control

    services = current().services()
    control.set_store(services, resolve_flow(services.queue, flow_id, is_job=job), store or None)
    print_message(f"Outputs of the flow go to {store or 'the jobstore of the project'}")


def resume(flow_id: t.FlowId, job: t.IsJobId = False) -> None:
    """Let all paused and stopped jobs of a flow go on."""
    from jobflow_remote.control import flows as control

    services = current().services()
    number = control.resume_flow(services, resolve_flow(services.queue, flow_id, is_job=job))
    print_message(f"{number} Job(s) resumed")


def clean(
    which: FlowQuery,
    metadata: t.Metadata = None,
    locked: t.Locked = False,
    all_states: Annotated[
        bool,
        typer.Option("--all-states", "-as", help="Also of jobs that have not ended.", show_default=False),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Even while the runner is active.", show_default=False)
    ] = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
) -> None:
    """Remove the run folders of jobs that have ended from the workers; queue and outputs stay."""
    from jobflow_remote.control import flows as control
    from jobflow_remote.control.admin import check_runner_stopped

    invocation = current()
    services = invocation.services(for_machines=as_json)
    if all_states and not force:
        check_runner_stopped(services.daemon_dir, services.queue)
    selection = which.select(services.queue, metadata=metadata, locked=locked)
    chosen = services.queue.find_flows(selection.to_filter())
    if not chosen:
        print_message("No flow matches", style="gold1", to_stderr=True)
        raise typer.Exit(0)
    if verbosity:
        _table(chosen, verbosity)
    jobs = sum(flow["n_jobs"] for flow in chosen)
    if not yes and not confirm(
        f"This will remove the run folders of {len(chosen)} flow(s), {jobs} jobs. Proceed?"
    ):
        raise typer.Exit(0)
    done = control.clean_flows(services, [flow["uuid"] for flow in chosen], all_states=all_states)
    if as_json:
        print_json({"removed": done.folders, "skipped": done.skipped, "problems": done.problems})
    else:
        print_message(f"Removed {len(done.folders)} run folder(s)")
        if done.skipped:
            listed = ", ".join(f"{job['db_id']} ({job['state']})" for job in done.skipped[:10])
            more = ", …" if len(done.skipped) > 10 else ""
            print_message(f"Left as they are: {len(done.skipped)} jobs: {listed}{more}", style="gold1")
    for problem in done.problems:
        print_error(problem)
