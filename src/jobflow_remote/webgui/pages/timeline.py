"""The timeline of a flow: what each job spent its time on, as a picture and as figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from html import escape
from typing import Any

from fastcore.xml import NotStr
from fasthtml.components import Div, Figure, P, Span

from jobflow_remote.control.timeline import as_plain, load_timeline
from jobflow_remote.webgui.parts import Element, count, duration, empty, facts, moment
from jobflow_remote.webgui.shell import Seen
from jobflow_remote.webgui.world import Opened

DRAWN = 200
"""Jobs that are drawn; the JSON interface has all of them."""
_SHADES = {"waiting": "grey", "queued": "cyan", "running": "blue", "finishing": "green", "held": "violet"}
_WIDTH, _ROW, _LEFT, _TOP = 1000, 18, 190, 8


def read(opened: Opened, key: str) -> dict[str, Any]:
    """All of it."""
    flow, timeline = load_timeline(opened.services.queue, key)
    return as_plain(flow, timeline)


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The picture of the first jobs, and sums of all."""
    jobs = data["jobs"]
    if not jobs:
        return empty("The flow has no jobs.")
    sums = [(name, duration(data[f"{name}_seconds"])) for name in _SHADES if data.get(f"{name}_seconds")]
    more = len(jobs) - DRAWN
    return Div(
        P("From ", moment(data["start"]), " to ", moment(data["end"]), "; all jobs together:"),
        facts(sums),
        Figure(NotStr(_draw(data)), cls="plot"),
        Div(*(Span(Span("", cls=f"dot {shade}"), name) for name, shade in _SHADES.items()), cls="legend"),
        P(f"… and {count(more)} jobs that began later", cls="muted") if more > 0 else None,
    )


def _draw(data: Mapping[str, Any]) -> str:
    jobs = data["jobs"][:DRAWN]
    start: datetime = data["start"]
    total: float = max((data["end"] - start).total_seconds(), 0.001)
    height = _TOP * 2 + _ROW * len(jobs)

    def place(when: datetime) -> float:
        return _LEFT + (_WIDTH - _LEFT) * ((when - start) / timedelta(seconds=1)) / total

    parts = []
    for row, job in enumerate(jobs):
        y = _TOP + row * _ROW
        name = f"{job['db_id']} {job['name']}"
        shown = name if len(name) <= 28 else name[:27] + "…"
        parts.append(f'<text x="0" y="{y + 13}" class="tick">{escape(shown)}</text>')
        for span in job["spans"]:
            left, right = place(span["start"]), place(span["end"])
            seconds = (span["end"] - span["start"]).total_seconds()
            parts.append(
                f'<rect x="{left:.1f}" y="{y + 3}" width="{max(right - left, 0.8):.1f}" height="{_ROW - 6}"'
                f' class="fill {_SHADES.get(span["activity"], "grey")}"><title>{escape(name)}: '
                f"{escape(str(span['activity']))} {duration(seconds)}</title></rect>"
            )
    label = f"Timeline of {len(jobs)} jobs"
    size = f'viewBox="0 0 {_WIDTH} {height}" class="timeline"'
    return f'<svg {size} role="img" aria-label="{label}">{"".join(parts)}</svg>'
