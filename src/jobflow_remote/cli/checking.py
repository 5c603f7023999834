"""``jf project check`` as people see it: what is going on, then a line for each element and one for each trouble."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobflow_remote.cli.output import err_console, out_console, print_json, print_message
from jobflow_remote.control.checks.findings import Finding, Level, Progress, Report
from jobflow_remote.control.checks.project import Wanted, check_project

if TYPE_CHECKING:
    from jobflow_remote.config.project import Project

_MARKS = {Level.OK: ("✓", "green"), Level.WARNING: ("✓", "gold1"), Level.ERROR: ("x", "bold red")}
_STYLES = {Level.OK: "dim", Level.WARNING: "gold1", Level.ERROR: "red"}


def show_checks(
    project: Project, wanted: Wanted, *, verbose: bool, with_tracebacks: bool, as_json: bool
) -> bool:
    """Check, and show what was found; returns whether all is well."""

    def tell(report: Report) -> None:
        if not as_json:
            _print_report(report, verbose=verbose, with_tracebacks=with_tracebacks)

    with _questions(project, wanted) as asks, _progress(quiet=asks) as progress:
        reports = check_project(project, wanted, progress=progress, told=tell)
    if as_json:
        print_json([report.as_dict() for report in reports])
    return all(report.level is not Level.ERROR for report in reports)


def _print_report(report: Report, *, verbose: bool, with_tracebacks: bool) -> None:
    mark, style = _MARKS[report.level]
    out_console().print(f"[{style}]{mark}[/]", report.element, highlight=False, soft_wrap=True)
    for finding in report.findings:
        if verbose or finding.level is not Level.OK:
            _print_finding(finding, with_traceback=with_tracebacks)


def _print_finding(finding: Finding, *, with_traceback: bool) -> None:
    style = _STYLES[finding.level]
    text = (with_traceback and finding.traceback) or finding.text
    first, *more = text.splitlines() or [""]
    print_message("\n".join([f"    {first}", *(f"      {line}" for line in more)]), style=style)
    if finding.fix:
        print_message("\n".join(f"      → {line}" for line in finding.fix.splitlines()), style="yellow")


@contextmanager
def _questions(project: Project, wanted: Wanted) -> Iterator[bool]:
    """Let logins that ask questions ask them here; yields whether any may."""
    asks = any(
        getattr(worker, "interactive_login", False)
        for name, worker in project.workers.items()
        if wanted.workers or wanted.worker == name
    )
    if not asks:
        yield False
        return
    from jobflow_remote.hosts.pool import POOL
    from jobflow_remote.hosts.questions import answer_at_terminal

    former, POOL.answerer = POOL.answerer, answer_at_terminal
    try:
        yield True
    finally:
        POOL.answerer = former


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    """A line at the bottom of the terminal that says what is going on."""
    if quiet or not err_console().is_terminal:
        yield lambda element, doing: None
        return
    going_on: dict[str, str] = {}
    with err_console().status("Checking …") as status:

        def show(element: str, doing: str | None) -> None:
            going_on.pop(element, None)
            if doing is not None:
                going_on[element] = doing
            from rich.text import Text

            words = "; ".join(f"{name}: {what}" for name, what in going_on.items())
            status.update(Text(words or "Checking …"))

        yield show
