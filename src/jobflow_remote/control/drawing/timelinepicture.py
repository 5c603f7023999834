"""The timeline of a flow as a picture (a Gantt chart)."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobflow_remote.control.drawing.colors import STATE_COLORS
from jobflow_remote.control.drawing.shapes import (
    HAIRLINE,
    MUTED,
    Label,
    Line,
    Picture,
    Rectangle,
    Shape,
    fit_text,
    text_width,
)
from jobflow_remote.model.clock import to_local
from jobflow_remote.model.states import JobState
from jobflow_remote.model.timeline import Activity, FlowTimeline, JobTimeline

ACTIVITY_COLORS = {
    Activity.WAITING: "#dde2e8",
    Activity.QUEUED: "#9cc3e6",
    Activity.RUNNING: "#2f6fc0",
    Activity.FINISHING: "#4ba3a8",
    Activity.HELD: "#c9b8dd",
}
"""What happens to a job → colour."""
_MARGIN, _NAMES, _CHART, _ROW, _TOP = 22.0, 210.0, 720.0, 22.0, 104.0
_ERRORS = (JobState.FAILED, JobState.REMOTE_ERROR)


def format_seconds(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds) // 60
    if minutes < 120:
        return f"{minutes} min {int(seconds) % 60:02d} s" if minutes < 10 else f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def describe_times(timeline: FlowTimeline) -> str:
    """How long it took, and what the jobs together spent their time on."""
    parts = [
        f"{activity.value} {format_seconds(timeline.seconds(activity))}"
        for activity in Activity
        if timeline.seconds(activity) > 0
    ]
    return f"{format_seconds(timeline.duration_seconds)} in all; all jobs together: {', '.join(parts) or 'nothing yet'}"


def draw_timeline(timeline: FlowTimeline, *, title: str) -> Picture:
    """A row for each job."""
    width = 2 * _MARGIN + _NAMES + _CHART
    bottom = _TOP + _ROW * max(1, len(timeline.jobs))
    shapes: list[Shape] = [
        Label(_MARGIN, 26, fit_text(title, width - 2 * _MARGIN, 18), size=18, bold=True),
        Label(_MARGIN, 50, fit_text(describe_times(timeline), width - 2 * _MARGIN, 12), size=12, color=MUTED),
    ]
    _draw_legend(shapes)
    _draw_axis(shapes, timeline, bottom)
    for row, job in enumerate(timeline.jobs):
        _draw_job(shapes, timeline, job, y=_TOP + row * _ROW)
    return Picture(width, bottom + 44, tuple(shapes), title)


def _draw_legend(shapes: list[Shape]) -> None:
    x = _MARGIN + _NAMES
    for activity, color in ACTIVITY_COLORS.items():
        shapes.append(Rectangle(x, 72, 12, 12, color, radius=2))
        shapes.append(Label(x + 17, 78, activity.value, size=11, color=MUTED))
        x += 40 + text_width(activity.value, 11)


def _x(timeline: FlowTimeline, moment: datetime) -> float:
    whole = timeline.duration_seconds
    share = (moment - timeline.start).total_seconds() / whole if whole else 0.0
    return _MARGIN + _NAMES + _CHART * share


def _draw_axis(shapes: list[Shape], timeline: FlowTimeline, bottom: float) -> None:
    step = _step_seconds(timeline.duration_seconds)
    moment = 0.0
    while moment <= timeline.duration_seconds:
        x = _x(timeline, timeline.start + timedelta(seconds=moment))
        shapes.append(Line(x, _TOP - 6, x, bottom + 4, stroke=HAIRLINE))
        words = "0" if moment == 0 else format_mark(moment, step)
        shapes.append(Label(x, bottom + 14, words, size=10.5, color=MUTED, anchor="middle"))
        moment += step
    began = f"since {to_local(timeline.start):%Y-%m-%d %H:%M:%S %Z}"
    shapes.append(Label(_MARGIN, bottom + 14, began, size=10.5, color=MUTED))


def _step_seconds(whole: float) -> float:
    """Distance between marks: a length that people count in, eight of them at most."""
    for step in (
        0.1,
        0.2,
        0.5,
        1,
        2,
        5,
        10,
        15,
        30,
        60,
        120,
        300,
        600,
        900,
        1800,
        3600,
        7200,
        14400,
        21600,
        43200,
    ):
        if whole <= step * 8:
            return step
    days = 1
    while whole > days * 86400 * 8:
        days *= 2
    return days * 86400.0


def format_mark(seconds: float, step: float) -> str:
    """A mark of the axis, in the unit of the distance between marks."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if step >= length:
            return f"{seconds / length:g} {unit}"
    return f"{round(seconds, 1):g} s"


def _draw_job(shapes: list[Shape], timeline: FlowTimeline, job: JobTimeline, *, y: float) -> None:
    again = f" ({job.index})" if job.index > 1 else ""
    color = STATE_COLORS[job.state] if job.state in _ERRORS else MUTED
    name = fit_text(f"{job.name}{again}", _NAMES - 62, 11.5)
    shapes.append(Label(_MARGIN + _NAMES - 14, y + _ROW / 2, name, size=11.5, anchor="end"))
    shapes.append(Label(_MARGIN, y + _ROW / 2, fit_text(job.db_id, 44, 10.5), size=10.5, color=MUTED))
    shapes.append(
        Rectangle(
            _MARGIN + _NAMES - 9, y + _ROW / 2 - 3, 6, 6, _dot(job, color), radius=3, tip=job.state.value
        )
    )
    for span in job.spans:
        x = _x(timeline, span.start)
        width = max(1.5, _x(timeline, span.end) - x)
        thin = span.activity in (Activity.WAITING, Activity.HELD)
        height = 4.0 if thin else _ROW - 8
        tip = f"{job.name}{again}: {span.activity.value} {format_seconds(span.seconds)}"
        top = y + (_ROW - height) / 2
        shapes.append(
            Rectangle(
                x, top, width, height, ACTIVITY_COLORS[span.activity], radius=min(2.0, width / 2), tip=tip
            )
        )


def _dot(job: JobTimeline, color: str) -> str:
    return color if job.state in _ERRORS else STATE_COLORS[job.state]
