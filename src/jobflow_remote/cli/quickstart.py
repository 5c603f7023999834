"""``jf quickstart``: from nothing to the results of a real calculation."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import out_console, print_message
from jobflow_remote.errors import ConfigError, JobflowRemoteError

if TYPE_CHECKING:
    from jobflow import Flow

    from jobflow_remote.config.base import Project
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.control.submitted import SubmittedFlow
    from jobflow_remote.services.opened import Services

app = JFRTyper(name="quickstart")
_LOOK_SECONDS = 0.1


@app.callback(invoke_without_command=True)
def quickstart(
    points: Annotated[
        int, typer.Option("--points", min=5, max=101, help="Points of the first, coarse curve.")
    ] = 7,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds after which to give up waiting.")
    ] = 600,
) -> None:
    """Make a project, start the runner, and calculate the equation of state of copper.

    The project is called `local`; its queue and its outputs are files in its folder, and no server is needed. A
    project that exists is used as it is.
    """
    _check_libraries()
    from jobflow_remote.bootstrap import services_of
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.demo.project import ensure_project

    started = time.monotonic()
    manager = ConfigManager(exclude_unset=True)
    project, made = ensure_project(manager)
    current().project_name = project.name
    _say(
        "project",
        f"{project.name} ({'made' if made else 'exists'}): {manager.get_project_data(project.name).filepath}",
    )
    _start_runner(project)
    with services_of(project) as services:
        submitted, flow = _submit(services, project, points)
        _follow(services, submitted, timeout)
        _show(services, project, flow)
        _say_where(services, project, submitted)
    out_console().print(f"\nDone in {time.monotonic() - started:.0f} s. The runner goes on waiting for work.")
    _say_next(manager, project, submitted, flow.output.uuid)


def _check_libraries() -> None:
    missing = [name for name in ("ase", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the example needs {' and '.join(missing)}, which cannot be imported",
            hint='pip install "jobflow-remote[demo]"',
        )


def _say(what: str, text: str) -> None:
    from rich.text import Text

    out_console().print(Text.assemble((f"{what:<10}", "bold"), text), soft_wrap=True)


def _start_runner(project: Project) -> None:
    from jobflow_remote.daemon.manager import DaemonManager, DaemonStatus

    daemon = DaemonManager.from_project(project)
    status = daemon.check_status(False)
    if status not in (DaemonStatus.RUNNING, DaemonStatus.STARTING):
        daemon.start(single=True, raise_on_error=True)
        _say("runner", f"started; its log: {Path(str(project.log_dir)) / 'runner.log'}")
    else:
        _say("runner", "runs already")


def _submit(services: Services, project: Project, points: int) -> tuple[SubmittedFlow, Flow]:
    from jobflow_remote.control.submit import submit_with
    from jobflow_remote.demo.copper import equation_of_state
    from jobflow_remote.demo.project import usable_worker

    flow = equation_of_state(points)
    submitted = submit_with(services, flow, worker=usable_worker(project))
    _say("flow", f"{flow.name}: {len(submitted)} jobs submitted, ids {submitted[0]} to {submitted[-1]}")
    return submitted, flow


def _follow(services: Services, submitted: SubmittedFlow, timeout: float) -> None:
    """Show how far the flow is until nothing more can happen."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from jobflow_remote.control.submitted import can_move

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    end = time.monotonic() + timeout
    with Progress(*columns, console=out_console()) as progress:
        task = progress.add_task("jobs", total=None)
        while True:
            flow = services.queue.find_flows({"uuid": submitted.flow_uuid})[0]
            counts: dict[str, int] = flow["counts"]
            busy = ", ".join(
                f"{n} {s.lower()}" for s, n in counts.items() if n and s not in ("COMPLETED", "WAITING")
            )
            progress.update(
                task,
                total=flow["n_jobs"],
                completed=counts.get("COMPLETED", 0),
                description=f"{busy or flow['state']:<28}",
            )
            if not can_move(counts):
                break
            if time.monotonic() > end:
                raise JobflowRemoteError(
                    f"not finished after {timeout:g} s",
                    hint=f"jf -p {submitted.project} flow watch {submitted.flow_uuid}",
                )
            time.sleep(_LOOK_SECONDS)
    if flow["state"] != "COMPLETED":
        raise JobflowRemoteError(
            f"the flow is {flow['state']}",
            hint=f"jf -p {submitted.project} job list -fid {submitted.flow_uuid} -v",
        )


def _show(services: Services, project: Project, flow: Flow) -> None:
    from rich.table import Table

    from jobflow_remote.demo.present import result_rows, save_plot

    store = services.outputs()
    _, atom, coarse, _ = flow.jobs
    fine = store.get_output(flow.output.uuid)
    table = Table(title="fcc copper, effective-medium potential")
    for name in ("quantity", "unit", "calculated", "measured (Kittel)"):
        table.add_column(name, justify="left" if name in ("quantity", "unit") else "right")
    for name, unit, value, measured in result_rows(fine, store.get_output(atom.uuid)):
        table.add_row(name, unit, f"{value:.3f}", f"{measured:.3f}")
    out_console().print(table)
    path = plot_path(project)
    save_plot(store.get_output(coarse.output.uuid), fine, path)
    _say("plot", str(path))


def plot_path(project: Project) -> Path:
    """Where the plot is saved."""
    return Path(str(project.base_dir)) / "equation_of_state.png"


def _say_where(services: Services, project: Project, submitted: SubmittedFlow) -> None:
    outputs = (project.jobstore_spec() or {}).get("docs_store", {})
    _say("queue", services.queue.describe())
    _say("outputs", str(outputs.get("path") or outputs.get("type") or ""))
    _say("runs in", str(next(iter(project.workers.values())).work_dir))


def _say_next(manager: ConfigManager, project: Project, submitted: SubmittedFlow, result: str) -> None:
    try:
        selected = manager.select_project_name()
    except ConfigError:
        selected = None
    jf = "jf" if selected == project.name else f"jf -p {project.name}"
    print_message("\nWhat to type next:", style="bold")
    for command, why in (
        (f"{jf} flow list", "all flows and how they are"),
        (f"{jf} job list -fid {submitted[0]}", "the jobs of this one"),
        (f"{jf} job output {result[:8]}", "the fit, as it is in the output store"),
    ):
        print_message(f"  {command:<30} # {why}", style="")
    print_message(f"  ({jf} runner shutdown stops the runner)", style="dim")
