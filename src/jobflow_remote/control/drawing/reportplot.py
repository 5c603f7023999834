"""A report as a picture: the states as bars, and what ended in each interval as stacked columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobflow_remote.control.drawing.colors import FLOW_COLORS, STATE_COLORS
from jobflow_remote.control.drawing.shapes import (
    HAIRLINE,
    INK,
    MUTED,
    Label,
    Line,
    Picture,
    Rectangle,
    Shape,
)
from jobflow_remote.control.report import FlowCounts, JobCounts
from jobflow_remote.model.states import JobState

_WIDTH, _MARGIN, _ROW = 860.0, 28.0, 24.0
_NAMES, _NUMBERS = 150.0, 80.0
_COLUMNS_HEIGHT = 190.0
_SERIES = {
    "completed": (JobState.COMPLETED, "completed"),
    "failed": (JobState.FAILED, "failed"),
    "remote_error": (JobState.REMOTE_ERROR, "remote error"),
}


def draw_report(report: JobCounts | FlowCounts, *, title: str) -> Picture:
    """The report as one picture."""
    shapes: list[Shape] = [Label(_MARGIN, 30, title, size=18, bold=True)]
    parts = (("in all", report.total), ("completed", report.completed), ("running", report.running))
    summary = " · ".join(f"{number:,} {words}" for words, number in (*parts, ("in error", report.error)))
    shapes.append(Label(_MARGIN, 54, summary, size=13, color=MUTED))
    colors = {state.value: color for state, color in (STATE_COLORS | FLOW_COLORS).items()}
    counts = [
        (state.value, number, colors[state.value]) for state, number in report.state_counts.items() if number
    ]
    bottom = _draw_bars(shapes, counts, top=84)
    trends = report.trends
    _draw_columns(shapes, trends.dates, trends.series(), interval=trends.interval, top=bottom + 26)
    return Picture(_WIDTH, bottom + 26 + _COLUMNS_HEIGHT + 90, tuple(shapes), title)


def _draw_bars(shapes: list[Shape], counts: Sequence[tuple[str, int, str]], *, top: float) -> float:
    """States as horizontal bars; returns where they end."""
    longest = max((number for _, number, _ in counts), default=1)
    room = _WIDTH - 2 * _MARGIN - _NAMES - _NUMBERS
    if not counts:
        shapes.append(Label(_MARGIN, top + _ROW / 2, "there are none", color=MUTED))
        return top + _ROW
    for row, (name, number, color) in enumerate(counts):
        y = top + row * _ROW
        length = max(2.0, room * number / longest)
        shapes.append(Label(_MARGIN + _NAMES - 10, y + _ROW / 2, name, anchor="end"))
        shapes.append(
            Rectangle(_MARGIN + _NAMES, y + 4, length, _ROW - 8, color, radius=2, tip=f"{name}: {number}")
        )
        shapes.append(Label(_MARGIN + _NAMES + length + 8, y + _ROW / 2, f"{number:,}", color=MUTED))
    return top + len(counts) * _ROW


def _draw_columns(
    shapes: list[Shape],
    dates: Sequence[str],
    series: Mapping[str, Sequence[int]],
    *,
    interval: str,
    top: float,
) -> None:
    shapes.append(Label(_MARGIN, top, f"Came to an end, by {interval.removesuffix('s')}", size=13, bold=True))
    _draw_legend(shapes, series, y=top)
    floor, left = top + 24 + _COLUMNS_HEIGHT, _MARGIN + 52
    room = _WIDTH - _MARGIN - left
    totals = [sum(values[position] for values in series.values()) for position in range(len(dates))]
    marks = _marks(max(totals, default=0))
    scale = (_COLUMNS_HEIGHT - 10) / marks[-1]
    for mark in marks:
        y = floor - mark * scale
        shapes.append(Line(left, y, _WIDTH - _MARGIN, y, stroke=INK if mark == 0 else HAIRLINE))
        shapes.append(Label(left - 8, y, f"{mark:,}", size=11, color=MUTED, anchor="end"))
    step = room / max(1, len(dates))
    width = min(56.0, step * 0.62)
    every = -(-len(dates) * 84 // int(room)) or 1  # as many dates as can be read
    for position, date in enumerate(dates):
        middle, y = left + step * (position + 0.5), floor
        for name, values in series.items():
            number = values[position]
            if number:
                height = number * scale
                y -= height
                tip = f"{date}: {number} {_SERIES[name][1]}"
                shapes.append(
                    Rectangle(middle - width / 2, y, width, height, STATE_COLORS[_SERIES[name][0]], tip=tip)
                )
        if position % every == (len(dates) - 1) % every:
            shapes.append(Label(middle, floor + 16, date, size=11, color=MUTED, anchor="middle"))


def _draw_legend(shapes: list[Shape], series: Mapping[str, Sequence[int]], *, y: float) -> None:
    x = _WIDTH - _MARGIN - 110 * len(series)
    for name in series:
        state, words = _SERIES[name]
        shapes.append(Rectangle(x, y - 6, 12, 12, STATE_COLORS[state], radius=2))
        shapes.append(Label(x + 18, y, words, size=11, color=MUTED))
        x += 110


def _marks(highest: int) -> list[int]:
    """Round numbers up to at least ``highest``, four steps at most."""
    step = 1
    while step * 4 < highest:
        for factor in (2, 5, 10):
            if step * factor * 4 >= highest:
                return list(range(0, step * factor * 4 + 1, step * factor))
        step *= 10
    steps = max(1, -(-highest // step))
    return list(range(0, steps * step + 1, step))
