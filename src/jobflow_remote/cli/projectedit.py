"""``jf project edit``: change project files, never into something that is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper, TreeOption
from jobflow_remote.cli.output import confirm, out_console, print_error, print_message
from jobflow_remote.errors import ConfigError, ProjectParsingError

if TYPE_CHECKING:
    from jobflow_remote.control.editproject import Proposal


def _edit(ctx: typer.Context, tree: TreeOption = False) -> None:
    """Without a command: open the project file in an editor."""
    if ctx.invoked_subcommand is not None:
        return
    from jobflow_remote.control.editproject import Draft

    with Draft(_selected_file()) as draft:
        while True:
            proposal = draft.edit()
            if not proposal.changes:
                print_message("Nothing was changed", style="gold1", to_stderr=True)
                return
            if proposal.problem is None:
                break
            print_error(proposal.problem)
            if not confirm("Edit it again?"):
                print_message("The project file is as before", style="gold1", to_stderr=True)
                raise typer.Exit(1)
    _refuse_while_running(proposal)
    _write(proposal, backup=False)


app = JFRTyper(
    name="edit",
    help="Open the project file in $EDITOR; it is checked before it is replaced.",
    callback=_edit,
    no_args_is_help=False,
    invoke_without_command=True,
)


@app.command("replace")
def replace(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Text to look for, as it is.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Text that takes its place.")],
    everywhere: Annotated[
        bool,
        typer.Option(
            "--all", "-a", help="In the files of all projects, broken ones too.", show_default=False
        ),
    ] = False,
    yes: t.Yes = False,
    no_backup: Annotated[
        bool, typer.Option("--no-backup", "-nb", help="Keep no copy of the file.", show_default=False)
    ] = False,
    force: t.force_opt = False,
) -> None:
    """Replace a text in the project file, or in all of them; shows the difference first."""
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.config.projectnames import list_project_files
    from jobflow_remote.control.editproject import propose

    if not old:
        raise ConfigError("the text to look for is empty")
    paths = list_project_files(ConfigManager().projects_folder) if everywhere else [_selected_file()]
    proposals = [propose(path, path.read_text(encoding="utf-8").replace(old, new)) for path in paths]
    proposals = [proposal for proposal in proposals if proposal.changes]
    if not proposals:
        print_message(f"{old!r} is not in {_files(paths)}", style="gold1", to_stderr=True)
        return
    for proposal in proposals:
        _show(proposal)
        _refuse_while_running(proposal)
    if not yes and not confirm(f"Change {_files([proposal.path for proposal in proposals])}?"):
        raise typer.Exit(0)
    for proposal in proposals:
        _write(proposal, backup=not no_backup)


def _files(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} project files"


def _selected_file() -> Path:
    """File of the selected project, which may be broken: this is how it is mended."""
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.config.projectnames import list_project_files
    from jobflow_remote.config.snapshot import select_project_file

    found = select_project_file(current().project_name)
    if found is not None:
        current().announce(*found)
        return found[1]
    manager = ConfigManager()
    try:
        data = manager.get_project_data(current().project_name)
    except ProjectParsingError:
        wanted = manager.select_project_name(current().project_name)
        for path in list_project_files(manager.projects_folder):
            if path.stem == wanted:
                return path
        raise
    current().announce(data.project.name, data.filepath)
    return data.filepath


def _show(proposal: Proposal) -> None:
    from rich.text import Text

    colors = {"+": "green", "-": "red"}
    for line in proposal.diff().splitlines():
        out_console().print(Text(line, style=colors.get(line[:1], "")), soft_wrap=True)
    if proposal.problem:
        print_message(f"The result is not a valid project: {proposal.problem}", style="bold red")


def _refuse_while_running(proposal: Proposal) -> None:
    """What a runner that works cannot change to must wait until it is stopped; it takes all else as it is."""
    from jobflow_remote.cli.project import refuse_while_running
    from jobflow_remote.config.problems import parse_project
    from jobflow_remote.config.projectfile import read_document

    if proposal.needs_new_runner:
        refuse_while_running(parse_project(read_document(proposal.path)))


def _write(proposal: Proposal, *, backup: bool) -> None:
    from jobflow_remote.control.editproject import write

    copy = write(proposal, backup=backup)
    print_message(f"{proposal.path} was changed" + (f"; the former one is {copy}" if copy else ""))
