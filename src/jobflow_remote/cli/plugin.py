"""``jf plugin``: what other packages add to the command line."""

from __future__ import annotations

import traceback
from typing import Annotated

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import print_error, print_json, print_message, print_note
from jobflow_remote.cli.plugins import check_plugins

app = JFRTyper(name="plugin", help="Commands concerning plug-ins.")


@app.command("list")
def list_plugins(
    error: Annotated[
        bool, typer.Option("--error", "-e", help="Show why plug-ins cannot be loaded.", show_default=False)
    ] = False,
    as_json: t.AsJson = False,
) -> None:
    """List the plug-ins that are installed, and those of them that cannot be loaded."""
    plugins = check_plugins()
    if as_json:
        print_json(
            [
                {"name": each.name, "module": each.module, "error": repr(each.error) if each.error else None}
                for each in plugins
            ]
        )
        return
    if not plugins:
        print_message("No plug-in is installed", style="gold1", to_stderr=True)
        return
    for each in plugins:
        if each.error is None:
            print_message(f"- {each.name} ({each.module})", style="")
    broken = [each for each in plugins if each.error is not None]
    for each in broken:
        print_error(f"- {each.name} ({each.module}) cannot be loaded: {each.error}")
        if error and each.error is not None:
            print_message("".join(traceback.format_exception(each.error)), style="", to_stderr=True)
    if broken and not error:
        print_note("-e shows where the errors come from")
    if not current().settings.cli_load_plugins:
        print_note("The setting cli_load_plugins is off: none of them is used")
