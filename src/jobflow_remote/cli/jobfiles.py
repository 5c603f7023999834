"""``jf job files``, ``queue-out`` and ``todir``: what a job left on its worker."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import confirm, out_console, print_error, print_json, print_message, print_note

if TYPE_CHECKING:
    from jobflow_remote.control.files import RunFolder
    from jobflow_remote.hosts.port import FileInfo
    from jobflow_remote.services.opened import Services

files_app = JFRTyper(name="files", help="Commands for the files of a job on its worker.")

IndexOption = Annotated[
    int | None,
    typer.Option("--index", "-i", help="Index of the job (default: the highest); only beside a uuid."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to ``jf job``."""
    app.command("queue-out")(queue_out)
    app.command("todir")(todir)
    app.add_typer(files_app)


def _find(job_id: str, index: int | None, *, for_machines: bool = False) -> tuple[Services, RunFolder]:
    """The run folder of a job; without one there is nothing to do."""
    from jobflow_remote.control.files import find_run_folder

    services = current().services(for_machines=for_machines)
    folder = find_run_folder(services, job_id, index)
    if folder is None:
        print_message(
            "The job has no run folder yet: it was not sent to its worker", style="gold1", to_stderr=True
        )
        raise typer.Exit(0)
    return services, folder


# -- what it wrote ---------------------------------------------------------------------------------------------


def queue_out(
    job_id: t.JobId,
    index: t.JobIndex = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Print what is added until the job has ended.", show_default=False
        ),
    ] = False,
) -> None:
    """Print what a job's process wrote: queue.out and queue.err in its run folder."""
    from jobflow_remote.control.files import read_queue_files

    services = current().services(for_machines=not out_console().is_terminal)
    if follow:
        _follow(services, job_id, index)
        return
    files = read_queue_files(services, job_id, index)
    if files is None:
        print_message(
            "The job has no run folder yet: it was not sent to its worker", style="gold1", to_stderr=True
        )
        return
    for file in files:
        _print_head(file.path)
        if file.error is not None:
            print_error(file.error)
        else:
            typer.echo(file.content, nl=not file.content.endswith("\n"))


def _print_head(path: str) -> None:
    print_message(f"--- {path} ---", style="bold", to_stderr=not out_console().is_terminal)


def _follow(services: Services, job_id: str, index: int | None) -> None:
    from jobflow_remote.control.following import RUNNING_ON, follow_queue_files

    last: str | None = None

    def tell(name: str, text: str) -> None:
        nonlocal last
        if name != last:
            _print_head(name)
            last = name
        typer.echo(text, nl=False)

    def complain(message: str) -> None:
        print_message(f"{message}; waiting for it", style="gold1", to_stderr=True)

    state = follow_queue_files(services, job_id, index, tell=tell, complain=complain)
    more = "; its process has ended, which the runner has not noticed yet" if state in RUNNING_ON else ""
    print_message(f"The job is {state}{more}", style="", to_stderr=True)


# -- its files -------------------------------------------------------------------------------------------------


@files_app.command("ls")
def list_files(
    job_id: t.JobId,
    index: t.JobIndex = None,
    deep: Annotated[
        bool, typer.Option("--recursive", "-r", help="Also in folders below.", show_default=False)
    ] = False,
    as_json: t.AsJson = False,
) -> None:
    """List the files in the run folder of a job."""
    from jobflow_remote.control import files

    services, folder = _find(job_id, index, for_machines=as_json)
    found = files.list_files(services, folder, deep=deep)
    if as_json:
        print_json(
            {"worker": folder.worker, "run_dir": folder.path, "files": [_as_json(info) for info in found]}
        )
        return
    if out_console().is_terminal:
        print_message(f"{folder.path} on worker {folder.worker}", style="")
    _print_files(found)


def _as_json(info: FileInfo) -> dict[str, Any]:
    modified = datetime.fromtimestamp(info.modified, UTC)
    return {"name": info.name, "size": info.size, "modified": modified, "folder": info.is_folder}


def _print_files(found: list[FileInfo]) -> None:
    from rich.table import Table
    from rich.text import Text

    from jobflow_remote.cli.formatting import DATE_FORMAT, format_size, local_zone

    table = Table()
    table.add_column("Name", overflow="fold")
    table.add_column("Size", justify="right")
    table.add_column(f"Modified [{local_zone()}]".replace("[", r"\["))
    for info in found:
        name = Text(f"{info.name}/", style="bold blue") if info.is_folder else Text(info.name)
        modified = datetime.fromtimestamp(info.modified).strftime(DATE_FORMAT)
        table.add_row(name, "" if info.is_folder else format_size(info.size), modified)
    out_console().print(table)


@files_app.command("get")
def get_files(
    job_id: t.JobId,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE_NAMES…", help="Files or folders in the run folder; quoted, * ? [ ] are wildcards."
        ),
    ],
    index: IndexOption = None,
    path: Annotated[
        Path, typer.Option("--path", "-p", metavar="FOLDER", help="Folder of this machine to copy them to.")
    ] = Path("."),
    as_json: t.AsJson = False,
) -> None:
    """Copy files of a job from its worker to this machine."""
    from jobflow_remote.control import files

    if not path.is_dir():
        raise typer.BadParameter(f"--path {path} is no folder")
    services, folder = _find(job_id, index, for_machines=as_json)
    found = files.get_files(services, folder, names, path)
    if as_json:
        print_json([str(each) for each in found])
        return
    for each in found:
        print_message(str(each), style="")
    print_message(f"{len(found)} file{'s' if len(found) != 1 else ''} copied to {path}", to_stderr=True)


@files_app.command("delete")
def delete_files(
    job_id: t.JobId,
    index: IndexOption = None,
    all_states: Annotated[
        bool,
        typer.Option(
            "--all-states",
            "-as",
            help="Whatever state the job is in; the runner must be stopped.",
            show_default=False,
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", "-f", help="With --all-states: even if a runner is active.", show_default=False
        ),
    ] = False,
    yes: t.Yes = False,
) -> None:
    """Delete the run folder of a job on its worker, with all it contains.

    Jobs that are COMPLETED, FAILED or REMOTE_ERROR; what the queue database knows about the job stays.
    """
    from jobflow_remote.control import files
    from jobflow_remote.control.admin import check_runner_stopped

    services, folder = _find(job_id, index)
    files.check_deletable(folder, any_state=all_states)
    if all_states and not force:
        check_runner_stopped(services.daemon_dir, services.queue)
    question = (
        f"This will delete {folder.path} on worker {folder.worker} with all it contains ({folder.label}, "
        f"{folder.state}). Proceed?"
    )
    if not yes and not confirm(question):
        raise typer.Exit(0)
    if files.delete_files(services, folder):
        print_message(f"{folder.path} was deleted")
    else:
        print_message(f"There is no folder {folder.path} any more", style="gold1", to_stderr=True)


def todir(
    job_id: t.OptionalJobId = None,
    index: t.JobIndex = None,
    shell: Annotated[str, typer.Option("--shell", "-s", help="The shell, or another command.")] = "bash",
) -> None:
    """Open a shell on the worker of a job, in its run folder; `exit` leaves it."""
    from jobflow_remote.hosts.terminal import render_shell_command, run_in_terminal

    if job_id is None:
        raise typer.BadParameter("give the ID of the job")
    services, folder = _find(job_id, index)
    command = render_shell_command(services.worker(folder.worker), folder.path, shell=shell)
    if out_console().is_terminal:
        print_note(f"{folder.path} on worker {folder.worker}; `exit` brings you back")
    raise typer.Exit(run_in_terminal(command))
