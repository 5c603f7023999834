"""What plug-ins written for jobflow-remote 1.0.1 import to say things, and to get at projects and jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from jobflow_remote.cli import output
from jobflow_remote.cli.indexes import IndexDirection
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.project import FileFormat as SerializeFileFormat
from jobflow_remote.control.inspect import SortOption

if TYPE_CHECKING:
    from rich.console import Console

    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.jobs.jobcontroller import JobController

    out_console: Console
    err_console: Console

__all__ = [
    "IndexDirection",
    "ReportInterval",
    "SerializeFileFormat",
    "SortOption",
    "check_stopped_runner",
    "err_console",
    "exit_with_error_msg",
    "exit_with_warning_msg",
    "get_config_manager",
    "get_job_controller",
    "loading_spinner",
    "out_console",
    "print_success_msg",
]


class ReportInterval(StrEnum):
    """Intervals of the trends of a report."""

    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"


def __getattr__(name: str) -> Any:
    if name == "out_console":
        return output.out_console()
    if name == "err_console":
        return output.err_console()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_config_manager() -> ConfigManager:
    """The projects of the user."""
    from jobflow_remote.config.manager import ConfigManager

    return ConfigManager()


def get_job_controller() -> JobController:
    """The controller of the selected project, closed when the command ends."""
    from jobflow_remote.jobs.jobcontroller import JobController

    current().project()
    controller = JobController.from_project_name(current().project_name)
    current().on_close(controller.close)
    return controller


def exit_with_error_msg(message: str, code: int = 1, **kwargs: Any) -> NoReturn:
    """Print an error and leave; ``kwargs`` are those of 1.0.1's console and have no effect."""
    output.print_error(message)
    raise typer.Exit(code)


def exit_with_warning_msg(message: str, code: int = 0, **kwargs: Any) -> NoReturn:
    """Print a warning and leave."""
    output.print_note(message)
    raise typer.Exit(code)


def print_success_msg(message: str = "operation completed", **kwargs: Any) -> None:
    """Say that all went well."""
    output.print_message(message)


@contextmanager
def loading_spinner(processing: bool = True) -> Iterator[Any]:
    """Show that something is going on, on a terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("[progress.description]{task.description}"))
    with Progress(*columns, transient=True, console=output.err_console()) as progress:
        if processing:
            progress.add_task(description="Processing...", total=None)
        yield progress


def check_stopped_runner(error: bool = True) -> None:
    """Refuse (or only warn) while a runner of the selected project is active."""
    from jobflow_remote.control.admin import check_runner_stopped
    from jobflow_remote.errors import RunnerActiveError

    invocation = current()
    try:
        check_runner_stopped(invocation.project().daemon_dir, invocation.queue())
    except RunnerActiveError as exc:
        if error:
            raise
        output.print_note(exc.message)
