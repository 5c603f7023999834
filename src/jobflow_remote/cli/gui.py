"""``jf gui``: the web interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import out_console, print_message, print_note
from jobflow_remote.errors import CapabilityMissingError

if TYPE_CHECKING:
    from jobflow_remote.webgui.options import GuiOptions

app = JFRTyper(name="gui")

TOKEN_VARIABLE, PASSWORD_VARIABLE = "JFREMOTE_GUI_TOKEN", "JFREMOTE_GUI_PASSWORD"


@app.callback(invoke_without_command=True)
def gui(
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port of the server.")] = 5001,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; only this machine can reach the default.")
    ] = "127.0.0.1",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Show everything, change nothing.", show_default=False)
    ] = False,
    password: Annotated[
        bool,
        typer.Option(
            "--password", help="Ask for a password that lets in beside the token.", show_default=False
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A name under which browsers may call the server; repeatable."),
    ] = None,
) -> None:
    """Serve the web interface, until Ctrl-C.

    Open the address that is printed: it lets you in. JFREMOTE_GUI_TOKEN and JFREMOTE_GUI_PASSWORD set the token and a
    password, so that open pages survive a restart.
    """
    serve, options_class = _load()
    chosen = os.environ.get(PASSWORD_VARIABLE) or (
        typer.prompt("Password", hide_input=True) if password else None
    )
    given: dict[str, Any] = {"token": token} if (token := os.environ.get(TOKEN_VARIABLE)) else {}
    options = options_class(
        host=host, port=port, read_only=read_only, password=chosen, allowed_hosts=tuple(allow_host or ()),
        project=current().project_name, **given,
    )  # fmt: skip
    if host not in ("127.0.0.1", "localhost", "::1"):
        print_note(
            "other machines can reach the server, and what is sent is not encrypted: an SSH tunnel is safer"
        )

    def on_started() -> None:
        print_message(f"The web interface is at {options.url}")
        print_message("Ctrl-C ends it", style="")
        out_console().file.flush()

    serve(options, on_started=on_started)


def _load() -> tuple[Callable[..., None], type[GuiOptions]]:
    try:
        from jobflow_remote.webgui.options import GuiOptions
        from jobflow_remote.webgui.server import serve
    except ModuleNotFoundError as error:
        raise CapabilityMissingError(
            f"the web interface needs {error.name}, which is not installed",
            hint="pip install 'jobflow-remote[gui]'",
        ) from None
    return serve, GuiOptions
