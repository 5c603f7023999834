"""``jf job report`` and ``jf flow report``: counts of everything, as tables, bars, a picture or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.formatting import format_date, format_duration, local_zone
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.output import out_console, print_json, print_message

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from jobflow_remote.cli.jfr_typer import JFRTyper
    from jobflow_remote.control.report import FlowCounts, JobCounts, OneFlow, Trends
    from jobflow_remote.model.records import Document
    from jobflow_remote.model.states import FlowState, JobState

_BAR = 40
_TREND_BAR = 24


class ReportInterval(StrEnum):
    """Intervals of the trends."""

    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"


Interval = Annotated[ReportInterval, typer.Argument(help="Interval of the trends.", metavar="INTERVAL")]
NumIntervals = Annotated[
    int | None,
    typer.Argument(
        min=1,
        metavar="NUM_INTERVALS",
        help="How many intervals; by default 12 hours, 7 days, 4 weeks, 12 months or 3 years.",
    ),
]
PlotFile = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw the report: a .png, .svg or .pdf file.")
]


def register_job_report(app: JFRTyper) -> None:
    """Add ``jf job report``."""
    app.command("report")(job_report)


def register_flow_report(app: JFRTyper) -> None:
    """Add ``jf flow report``."""
    app.command("report")(flow_report)


def job_report(
    interval: Interval = ReportInterval.DAYS,
    num_intervals: NumIntervals = None,
    plot: PlotFile = None,
    as_json: t.AsJson = False,
) -> None:
    """Report on all jobs: their states, the workers, those that run longest, and how many ended when.

    Jobs are counted in the interval in which they came to their present state, in local time.
    """
    from jobflow_remote.control.report import report_jobs

    queue = current().queue(for_machines=as_json)
    report = report_jobs(queue, interval=interval.value, num_intervals=num_intervals)
    if not _plotted_or_printed(report, plot, as_json=as_json, title="Jobs"):
        more = [_longest(report.longest_running)] if report.longest_running else []
        _print_report(report, "Jobs", *more, *([_workers(report)] if report.workers else []))


def flow_report(
    interval: Interval = ReportInterval.DAYS,
    num_intervals: NumIntervals = None,
    plot: PlotFile = None,
    as_json: t.AsJson = False,
) -> None:
    """Report on all flows: their states, and how many ended when.

    Flows are counted in the interval in which they came to their present state, in local time.
    """
    from jobflow_remote.control.report import report_flows

    queue = current().queue(for_machines=as_json)
    report = report_flows(queue, interval=interval.value, num_intervals=num_intervals)
    if not _plotted_or_printed(report, plot, as_json=as_json, title="Flows"):
        _print_report(report, "Flows")


def _print_report(report: JobCounts | FlowCounts, title: str, *more: Table) -> None:
    console = out_console()
    states = _histogram(report.state_counts, leave_out="COMPLETED")
    for table in (_summary(report, title), states, *more, _trends(report.trends)):
        console.print(table)


def _plotted_or_printed(
    report: JobCounts | FlowCounts, plot: Path | None, *, as_json: bool, title: str
) -> bool:
    """Whether the report went into a file, or out as JSON."""
    if plot is not None:
        from jobflow_remote.control.drawing.reportplot import draw_report
        from jobflow_remote.control.drawing.save import check_format, save_picture

        check_format(plot)
        name = current().project(for_machines=as_json).name
        save_picture(draw_report(report, title=f"{title} of {name}"), plot)
        print_message(f"The report is drawn in {plot}", to_stderr=as_json)
    if as_json:
        from jobflow_remote.control.report import as_plain

        print_json(as_plain(report))
    return as_json or plot is not None


def show_flow_report(flow_id: str, *, is_job: bool, as_json: bool) -> None:
    """What ``jf flow info --report`` prints."""
    from jobflow_remote.control.report import report_flow
    from jobflow_remote.model.clock import utcnow

    flow = report_flow(current().queue(for_machines=as_json), flow_id, is_job=is_job)
    elapsed = flow.elapsed_seconds(utcnow())
    if as_json:
        report = {
            "jobs": flow.total,
            "completed": flow.completed,
            "state_counts": {state.value: number for state, number in flow.state_counts.items()},
            "created_on": flow.created_on,
            "started_on": flow.started_on,
            "ended_on": flow.ended_on,
            "elapsed_seconds": round(elapsed, 3),
            "run_seconds": round(flow.run_seconds, 3),
        }
        print_json({"uuid": flow.uuid, "name": flow.name, "state": flow.state.value, "report": report})
        return
    console = out_console()
    console.print(_flow_header(flow, elapsed))
    console.print(_histogram(flow.state_counts, leave_out=""))
    console.print(_progress(flow))


def _flow_header(flow: OneFlow, elapsed: float) -> Table:
    from rich.table import Table
    from rich.text import Text

    from jobflow_remote.control.drawing.shapes import plain_line
    from jobflow_remote.control.drawing.timelinepicture import format_seconds

    table = Table(title=Text(plain_line(f"Flow: {flow.name}")), title_style="bold", show_header=False)
    rows = {
        "Flow id": flow.uuid,
        "State": flow.state.value,
        "Jobs": str(flow.total),
        f"Submitted [{local_zone()}]": format_date(flow.created_on),
        f"Started [{local_zone()}]": format_date(flow.started_on),
        f"Ended [{local_zone()}]": format_date(flow.ended_on),
        "Elapsed": format_seconds(elapsed),
        "Total run time": format_seconds(flow.run_seconds),
    }
    for key, value in rows.items():
        if value:
            table.add_row(Text(key), Text(value))
    return table


def _progress(flow: OneFlow) -> Text:
    from jobflow_remote.control.drawing.colors import STATE_COLORS

    bar = make_bar(
        [(number, STATE_COLORS[state]) for state, number in _done_first(flow)], flow.total, width=_BAR
    )
    percent = round(100 * flow.completed / flow.total) if flow.total else 0
    bar.append(f"  {flow.completed} of {flow.total} jobs completed, {percent} %")
    return bar


def _done_first(flow: OneFlow) -> list[tuple[JobState, int]]:
    from jobflow_remote.model.states import JobState

    return sorted(flow.state_counts.items(), key=lambda each: each[0] is not JobState.COMPLETED)


# -- tables ----------------------------------------------------------------------------------------


def _summary(report: JobCounts | FlowCounts, title: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    numbers = {
        "Completed": ("green", report.completed),
        "Running": ("blue", report.running),
        "Error": ("red", report.error),
    }
    active = getattr(report, "active", None)
    if active is not None:
        numbers["Active"] = ("", active)
    numbers["All"] = ("bold", report.total)
    table = Table(title=f"{title}: summary", title_style="bold")
    for header in numbers:
        table.add_column(header, justify="right")
    table.add_row(*(Text(f"{number:,}", style=style if number else "") for style, number in numbers.values()))
    return table


def _histogram(counts: Mapping[JobState, int] | Mapping[FlowState, int], *, leave_out: str) -> Table:
    from jobflow_remote.control.drawing.colors import FLOW_COLORS, STATE_COLORS

    colors = {state.value: color for state, color in (STATE_COLORS | FLOW_COLORS).items()}
    shown = [(state.value, number) for state, number in counts.items() if number and state.value != leave_out]
    table = _bare_table(f"States (without {leave_out})" if leave_out else "States")
    longest = max((number for _, number in shown), default=0)
    for name, number in shown:
        table.add_row(name, make_bar([(number, colors[name])], longest, width=_BAR), f"{number:,}")
    if not shown:
        table.add_row("none in any other state", "", "")
    return table


def _bare_table(title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_style="bold", show_header=False, box=None, padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    return table


def make_bar(parts: Sequence[tuple[float, str]], longest: float, *, width: int) -> Text:
    """A bar of coloured parts; the longest number of all bars fills ``width`` characters."""
    from rich.text import Text

    text = Text()
    done, printed = 0.0, 0
    for number, color in parts:
        done += number
        end = round(width * done / longest) if longest else 0
        if number and end <= printed and printed < width:
            end = printed + 1  # something is never nothing
        text.append("█" * (end - printed), style=color)
        printed = max(printed, end)
    return text


def _longest(jobs: Sequence[Document]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from jobflow_remote.control.inspect import run_seconds
    from jobflow_remote.model.clock import utcnow

    table = Table(title="Running longest", title_style="bold")
    for header in ("DB id", "Name", "Worker", f"Since [{local_zone()}]", "Run time [h:mm]"):
        table.add_column(Text(header), overflow="fold")
    for job in jobs:
        seconds = run_seconds(job, utcnow())
        name = (job.get("job") or {}).get("name") or ""
        cells = (job["db_id"], name, job["worker"], format_date(job["start_time"]))
        table.add_row(*map(Text, cells), format_duration(seconds[0]) if seconds else "")
    return table


def _workers(report: JobCounts) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Workers", title_style="bold")
    for header in ("Worker", "Ready", "Active", "Running", "Completed", "Error", "All"):
        table.add_column(header, justify="left" if header == "Worker" else "right", overflow="fold")
    for name, counts in report.workers.items():
        numbers = (counts.ready, counts.active, counts.running, counts.completed, counts.error, counts.total)
        table.add_row(Text(name), *(f"{number:,}" if number else "-" for number in numbers))
    return table


def _trends(trends: Trends) -> Table:
    from rich.table import Table
    from rich.text import Text

    from jobflow_remote.control.drawing.colors import STATE_COLORS
    from jobflow_remote.model.states import JobState

    colors = (
        STATE_COLORS[JobState.COMPLETED],
        STATE_COLORS[JobState.FAILED],
        STATE_COLORS[JobState.REMOTE_ERROR],
    )
    series = trends.series()
    title = Text(f"Came to an end, by {trends.interval.removesuffix('s')} [{local_zone()}]")
    table = Table(title=title, title_style="bold")
    table.add_column(trends.interval.removesuffix("s").capitalize(), no_wrap=True)
    for name in series:
        table.add_column(name.replace("_", " ").title(), justify="right")
    table.add_column("", no_wrap=True)
    rows = list(zip(*series.values(), strict=True))
    longest = max(map(sum, rows), default=0)
    for date, row in zip(trends.dates, rows, strict=True):
        bar = make_bar(list(zip(row, colors, strict=False)), longest, width=_TREND_BAR)
        table.add_row(date, *(f"{number:,}" if number else "-" for number in row), bar)
    return table
