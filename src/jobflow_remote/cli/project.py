"""``jf project``: make, list, check and remove projects; list what is in them."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import projectedit, projectinit
from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper, TreeOption
from jobflow_remote.cli.output import (
    confirm,
    err_console,
    out_console,
    print_error,
    print_json,
    print_message,
    print_note,
)
from jobflow_remote.errors import ConfigError, JobflowRemoteError, ProjectParsingError, ProjectUndefinedError

if TYPE_CHECKING:
    from jobflow_remote.config.manager import ConfigManager, ProjectData
    from jobflow_remote.config.project import Project


class FileFormat(StrEnum):
    """Formats of a project file."""

    JSON = "json"
    YAML = "yaml"
    TOML = "toml"


def _without_command(ctx: typer.Context, tree: TreeOption = False) -> None:
    if ctx.invoked_subcommand is None:
        print_message("Run `jf project -h` to see the commands that concern projects", style="")


app = JFRTyper(
    name="project",
    help="Commands concerning the definition of projects.",
    callback=_without_command,
    no_args_is_help=False,
    invoke_without_command=True,
)


def _manager(**options: bool) -> ConfigManager:
    from jobflow_remote.config.manager import ConfigManager

    return ConfigManager(**options)


def _project(*, for_machines: bool = False) -> ProjectData:
    """The selected project, read in full; its name has been told."""
    data = _manager().get_project_data(current().project_name)
    current().announce(data.project.name, data.filepath, for_machines=for_machines)
    return data


# -- which projects ------------------------------------------------------------------------------------------


@app.command("list")
def list_projects(
    warn: Annotated[
        bool, typer.Option("--warn", "-w", help="Say what is wrong with broken files.", show_default=False)
    ] = False,
    as_json: t.AsJson = False,
) -> None:
    """List the projects, and the files in the projects folder that are none."""
    manager = _manager()
    files = manager.read_files()
    selected = _announce_selected(manager, for_machines=as_json)
    valid = {path: data for path, data in files if not isinstance(data, ProjectParsingError)}
    broken = {path: data for path, data in files if isinstance(data, ProjectParsingError)}
    if as_json:
        projects = [
            {"name": data.project.name, "file": path, "selected": data.project.name == selected}
            for path, data in valid.items()
        ]
        invalid = [{"file": path, "error": exc.message} for path, exc in broken.items()]
        print_json({"projects_folder": manager.projects_folder, "projects": projects, "invalid": invalid})
        return
    if not files:
        print_message(f"There is no project in {manager.projects_folder}", style="gold1", to_stderr=True)
        print_note("`jf project generate NAME` makes one that works at once")
        return
    print_message(f"List of projects in {manager.projects_folder}", style="")
    for data in valid.values():
        name = data.project.name
        print_message(f" - {name}", style="green" if name == selected else "")
    if broken:
        print_message("These files are not valid projects:", style="red")
    for path, exc in broken.items():
        print_message(f" - {path.name}" + (f": {exc.message}" if warn else ""), style="red")
    if broken and not warn:
        print_note("`jf project list -w` says what is wrong with them")


def _announce_selected(manager: ConfigManager, *, for_machines: bool) -> str | None:
    try:
        data = manager.get_project_data(current().project_name)
    except (ProjectUndefinedError, ConfigError):
        return None  # a listing is what people turn to when no project can be selected
    current().announce(data.project.name, data.filepath, for_machines=for_machines)
    return data.project.name


@app.command("generate")
def generate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the project.")],
    file_format: Annotated[
        FileFormat, typer.Option("--format", "-f", help="Format of the file.")
    ] = FileFormat.YAML,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="With every key, in YAML explained, and examples to be edited.", show_default=False
        ),
    ] = False,
) -> None:
    """Make a project, and its folders.

    It runs jobs on this machine and keeps everything in files in its folder, so that it works at once; edit its file
    for other workers and databases.
    """
    from pydantic import ValidationError

    from jobflow_remote.config.helper import generate_dummy_project

    manager = _manager(exclude_unset=not full)
    try:
        project = generate_dummy_project(name, full=full)
    except ValidationError as exc:
        raise ConfigError(str(exc.errors()[0]["msg"]).removeprefix("Value error, ")) from None
    manager.create_project(project, ext=file_format.value, explained=full)
    path = manager.get_project_data(name).filepath
    print_message(f"The project {name} is described in {path}")
    print_note(f"`jf -p {name} project check` tells whether it works")


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the project.")],
    keep_folders: Annotated[
        bool, typer.Option("--keep-folders", "-k", help="Delete the project file only.", show_default=False)
    ] = False,
    yes: t.Yes = False,
    force: t.force_opt = False,
) -> None:
    """Delete a project's file and its folder, with the queue and the outputs that are kept there."""
    manager = _manager()
    data = manager.get_project_data(name)
    project = data.project
    refuse_while_running(project)
    what = f"the file {data.filepath}"
    if not keep_folders and os.path.isdir(project.base_dir):
        what += f" and the folder {project.base_dir} with all it contains"
    if not yes and not confirm(f"This will delete {what}. Proceed?"):
        raise typer.Exit(0)
    manager.remove_project(name, remove_folders=not keep_folders)
    print_message(f"The project {name} was removed")


def refuse_while_running(project: Project) -> None:
    """Refuse what a runner that works on the project would not survive."""
    from jobflow_remote.control.admin import check_runner_stopped
    from jobflow_remote.queuedb import open_queue_database

    spec = project.queue_spec()
    if "path" in spec.options and not os.path.exists(spec.options["path"]):
        return  # never used
    try:
        queue = open_queue_database(spec)
    except JobflowRemoteError:
        return  # a project whose database cannot be opened has to be removable
    try:
        check_runner_stopped(project.daemon_dir, queue)
    finally:
        queue.close()


# -- does it work? -------------------------------------------------------------------------------------------


@app.command("check")
def check(
    jobstore: Annotated[
        bool, typer.Option("--jobstore", "-js", help="Only the output store.", show_default=False)
    ] = False,
    queue: Annotated[
        bool, typer.Option("--queue", "-q", help="Only the queue database.", show_default=False)
    ] = False,
    worker: Annotated[str | None, typer.Option("--worker", "-w", help="Only this worker.")] = None,
    run: Annotated[
        bool,
        typer.Option("--run", "-r", help="Send a job that does nothing to each worker.", show_default=False),
    ] = False,
    timeout: Annotated[
        int, typer.Option("--timeout", "-t", help="With --run: how many seconds to wait for a job.")
    ] = 300,
    print_errors: Annotated[
        bool, typer.Option("--errors", "-e", help="Show tracebacks of errors.", show_default=False)
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", "-f", help="Compare all packages on the workers.", show_default=False)
    ] = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
) -> None:
    """Check that workers, output store and queue database of the project work.

    The exit code is 1 if something does not. -v shows all that was looked at.
    """
    if jobstore + queue + (worker is not None) > 1:
        raise JobflowRemoteError(
            "--jobstore, --queue and --worker cannot be used together", hint="give one, or none for all"
        )
    from jobflow_remote.cli.checking import show_checks
    from jobflow_remote.control.checks.project import Wanted
    from jobflow_remote.control.checks.worker import CheckOptions

    _warn_of_variables()
    data = _project(for_machines=as_json)
    everything = not (jobstore or queue or worker)
    wanted = Wanted(
        workers=everything,
        worker=worker,
        jobstores=everything or jobstore,
        queue=everything or queue,
        file=Path(data.filepath) if everything else None,
        options=CheckOptions(run=run, run_seconds=timeout, all_packages=full),
    )
    if not show_checks(
        data.project, wanted, verbose=verbosity > 0, with_tracebacks=print_errors, as_json=as_json
    ):
        raise typer.Exit(1)


def _warn_of_variables() -> None:
    from jobflow_remote.config.settings import unknown_variables

    for name, meant in unknown_variables():
        text = f"The environment variable {name} means nothing" + (
            f"; did you mean {meant}?" if meant else ""
        )
        print_message(text, style="gold1", to_stderr=True)


@app.command("check-conflicts")
def check_conflicts(as_json: t.AsJson = False) -> None:
    """Check that no two projects use the same folders, pilots' folders or queue database."""
    from jobflow_remote.config.helper import check_projects_conflicts

    projects = _manager().projects
    if as_json:
        found = check_projects_conflicts(projects)
        print_json(
            [{"kind": each.kind, "message": each.message, "projects": each.projects} for each in found]
        )
        raise typer.Exit(1 if found else 0)
    if len(projects) < 2:
        print_message("There are fewer than two projects: nothing to compare", style="gold1", to_stderr=True)
        return
    issues = check_projects_conflicts(projects)
    for issue in issues:
        print_error(issue.message)
    if issues:
        raise typer.Exit(1)
    print_message(f"The {len(projects)} projects have nothing in common")


# -- what is in a project ------------------------------------------------------------------------------------

exec_config_app = JFRTyper(name="exec_config", help="Commands concerning execution configurations.")
worker_app = JFRTyper(name="worker", help="Commands concerning workers.")
app.add_typer(exec_config_app)
app.add_typer(worker_app)


@exec_config_app.command("list")
def list_exec_configs(verbosity: t.Verbosity = 0, as_json: t.AsJson = False) -> None:
    """List the execution configurations of the project; -v shows what is in them."""
    from jobflow_remote.config.redact import redact

    project = _project(for_machines=as_json).project
    rows = {name: redact(config.model_dump(mode="json")) for name, config in project.exec_config.items()}
    if as_json:
        print_json([{"name": name, **content} for name, content in rows.items()])
        return
    fields = ("modules", "export", "pre_run", "post_run") if verbosity else ()
    if not rows:
        print_message("The project has no execution configurations", style="gold1", to_stderr=True)
        return
    _print_table("Execution configurations", fields, rows)


@worker_app.command("list")
def list_workers(verbosity: t.Verbosity = 0, as_json: t.AsJson = False) -> None:
    """List the workers of the project; -v shows where they are, -vv all that is set."""
    from jobflow_remote.config.redact import redact

    workers = _project(for_machines=as_json).project.workers
    complete = {
        name: redact(worker.model_dump(mode="json", exclude_unset=not as_json))
        for name, worker in workers.items()
    }
    if as_json:
        print_json([{"name": name, **content} for name, content in complete.items()])
        return
    if not workers:
        print_message("The project has no workers", style="gold1", to_stderr=True)
        return
    info = complete if verbosity > 1 else {name: worker.cli_info for name, worker in workers.items()}
    rows = {
        name: {
            "type": worker.type,
            "info": {key: value for key, value in info[name].items() if key != "type"},
        }
        for name, worker in workers.items()
    }
    _print_table("Workers", ("type", "info") if verbosity else (), rows)


def _print_table(title: str, fields: tuple[str, ...], rows: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from jobflow_remote.cli.formatting import format_value

    table = Table(title=title)
    for header in ("Name", *(field.capitalize() for field in fields)):
        table.add_column(header)
    for name, content in rows.items():
        values = (content.get(field) for field in fields)
        cells = (
            "" if value is None else value if isinstance(value, str) else format_value(value)
            for value in values
        )
        table.add_row(Text(name, style="bold"), *(Text(cell) for cell in cells))
    out_console().print(table)
    if not fields and err_console().is_terminal:
        print_note("-v shows more")


projectinit.register(app)
app.add_typer(projectedit.app)
