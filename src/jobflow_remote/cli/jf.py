"""The application ``jf``: global options, its groups by name, and the one place that catches errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from jobflow_remote.cli import completing
from jobflow_remote.cli.invocation import Invocation, begin, current
from jobflow_remote.cli.jfr_typer import Deferred, JFGroup, JFRTyper, LazyCommands, TreeOption
from jobflow_remote.cli.output import print_error
from jobflow_remote.config.loglevel import LogLevel

GROUPS = {
    "quickstart": "Make a project, start the runner and run an example, all in one command.",
    "admin": "Commands for the administrator of the queue database.",
    "backup": "Commands for backups of the queue database.",
    "batch": "Commands for the scheduler jobs of batch workers.",
    "explain": "Say why a job or a flow is where it is, and what would help.",
    "execution": "Commands that run on compute nodes.",
    "flow": "Commands for managing flows.",
    "gui": "Start the server for the web interface.",
    "job": "Commands for managing jobs.",
    "project": "Commands concerning the definition of projects.",
    "runner": "Commands for handling the runner.",
    "worker": "Commands concerning workers: how they are, logging in.",
    "plugin": "Commands concerning plug-ins.",
}
"""Name → help line. The commands are in the module of that name in this package, imported on use."""
LOGGER_NAMES = ["jobflow_remote"]
"""Loggers whose messages are for the person at the terminal."""
HIDDEN = frozenset({"execution"})


def _passes_through(exc: BaseException) -> bool:
    """Whether Typer knows what to do: leaving, usage errors, a closed pipe."""
    return isinstance(exc, typer.Exit | typer.Abort | BrokenPipeError) or hasattr(exc, "format_message")


def report(exc: Exception) -> int:
    """Print an error as a person wants to see it; returns the exit code."""
    from jobflow_remote.errors import JobflowRemoteError

    if isinstance(exc, JobflowRemoteError):
        print_error(exc.message, exc.hint)
        return exc.exit_code
    text = str(exc).strip() or "(no message)"
    print_error(f"{type(exc).__name__}: {text}", "`jf -fe …` shows where it comes from")
    return 1


class RootGroup(JFGroup):
    """``jf`` itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = {name: self._deferred(name, help_line) for name, help_line in GROUPS.items()}
        self.commands = LazyCommands(
            {**{name: _constant(each) for name, each in self.commands.items()}, **own}
        )

    @staticmethod
    def _deferred(name: str, help_line: str) -> Any:
        module = f"{__package__}.{name}"
        return lambda: Deferred(name, help_line, module, hidden=name in HIDDEN)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error becomes a message and an exit code."""
        try:
            if ctx.params.get("profile"):
                return _profiled(super().invoke, ctx)
            return super().invoke(ctx)
        except Exception as exc:
            if _passes_through(exc) or current().full_exc:
                raise
            raise typer.Exit(report(exc)) from None
        finally:
            current().close()


def _constant(value: Any) -> Any:
    return lambda: value


def _profiled(invoke: Any, ctx: Any) -> Any:
    import cProfile
    import pstats

    profile = cProfile.Profile()
    try:
        return profile.runcall(invoke, ctx)
    finally:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"jobflow-remote {version('jobflow-remote')}")
        raise typer.Exit


def jf(
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            "-p",
            help="Project to use for this command.",
            autocompletion=completing.complete_projects,
        ),
    ] = None,
    full_exc: Annotated[
        bool,
        typer.Option("--full-exc", "-fe", help="Show the full traceback of an error.", show_default=False),
    ] = False,
    warn_project: Annotated[
        bool,
        typer.Option(
            "--warn-project",
            "-wp",
            help="Say why files in the projects folder are no valid projects.",
            show_default=False,
        ),
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", "-prof", hidden=True)] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version.", show_default=False
        ),
    ] = False,
    tree: TreeOption = False,
) -> None:
    """Control jobflow-remote from the command line."""
    invocation = Invocation(project_name=project, full_exc=full_exc, profile=profile)
    begin(invocation)
    invocation.full_exc = full_exc or invocation.settings.cli_full_exc
    if project:
        invocation.choose_project(project)
    _show_log(invocation)
    if warn_project:
        from jobflow_remote.config import ConfigManager

        ConfigManager(warn=True).load_projects_data()


def _show_log(invocation: Invocation) -> None:
    """Have loggers say what the setting asks for. Warnings are shown by Python itself."""
    level = invocation.settings.cli_log_level
    if level is LogLevel.WARN and len(LOGGER_NAMES) == 1:
        return
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for name in LOGGER_NAMES:
        logger = logging.getLogger(name)
        logger.setLevel(level.to_logging())
        if not logger.handlers:
            logger.addHandler(handler)


app = JFRTyper(
    name="jf",
    cls=RootGroup,
    callback=jf,
    help="Control jobflow-remote: submit, follow and repair workflows.",
    epilog="",
    add_completion=True,
)


def add_cli_logger_names(names: str | Sequence[str]) -> None:
    """Have messages of these loggers appear in the terminal as those of ``jobflow_remote`` do (for plug-ins)."""
    LOGGER_NAMES.extend([names] if isinstance(names, str) else names)


def _load_plugins() -> None:
    from jobflow_remote.cli.plugins import load_plugins
    from jobflow_remote.config.settings import get_settings

    try:
        wanted = get_settings().cli_load_plugins
    except Exception:  # noqa: BLE001 - the command itself will say what is wrong with the settings
        return
    for plugin in load_plugins() if wanted else ():
        if plugin.error is not None:
            print_error(
                f"the plug-in {plugin.name} cannot be used: {type(plugin.error).__name__}: {plugin.error}",
                "`jf plugin list -e` shows where it comes from; it adds nothing to this command",
            )


_load_plugins()
