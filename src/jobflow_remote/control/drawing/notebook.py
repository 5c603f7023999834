"""Tables for notebooks: plain HTML that suits light and dark pages, with every value escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from jobflow_remote.control.drawing.colors import FLOW_COLORS, STATE_COLORS
from jobflow_remote.control.drawing.shapes import plain_line
from jobflow_remote.model.clock import to_local
from jobflow_remote.model.states import STATE_ALIASES

MANY = 50
"""Rows that are shown; the rest is only counted."""
_CELL = "text-align:left;padding:2px 12px 2px 0;vertical-align:top"
_DOT = "display:inline-block;width:9px;height:9px;border-radius:5px;margin-right:6px"
_TABLE = '<table style="border-collapse:collapse">'
_COLORS = {state.value: color for state, color in (FLOW_COLORS | STATE_COLORS).items()}


def text_cell(value: Any) -> str:
    """A value as text of HTML: moments in local time, None as nothing."""
    if value is None:
        return ""
    if hasattr(value, "utcoffset"):
        return f"{to_local(value):%Y-%m-%d %H:%M:%S}"
    return escape("\n".join(plain_line(line) for line in str(value).splitlines()))


def state_cell(state: str) -> str:
    """A state with a dot in its colour."""
    name = STATE_ALIASES.get(str(state), str(state))
    color = _COLORS.get(name, "#888888")
    return f'<span style="{_DOT};background:{color}"></span>{escape(name)}'


def render_table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    """A table; ``rows`` are cells in HTML, ``headers`` and ``caption`` are text."""
    all_rows = list(rows)
    head = "".join(f'<th style="{_CELL}">{text_cell(header)}</th>' for header in headers)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>"
        for row in all_rows[:MANY]
    )
    more = f"<div>… and {len(all_rows) - MANY} more</div>" if len(all_rows) > MANY else ""
    title = f"<div><b>{text_cell(caption)}</b></div>" if caption else ""
    table = f"{_TABLE}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div>{title}{table}{more}</div>"


def render_values(values: Mapping[str, Any], *, caption: str = "") -> str:
    """Names and values of one thing; those that are None are left out. ``state`` is shown with its colour."""
    rows = [
        f'<tr><th style="{_CELL}">{text_cell(name)}</th><td style="{_CELL};white-space:pre-wrap">'
        f"{state_cell(value) if name == 'state' else text_cell(value)}</td></tr>"
        for name, value in values.items()
        if value is not None and value != ""
    ]
    title = f"<div><b>{text_cell(caption)}</b></div>" if caption else ""
    return f"<div>{title}{_TABLE}<tbody>{''.join(rows)}</tbody></table></div>"


def render_jobs(jobs: Iterable[Mapping[str, Any]], *, caption: str = "") -> str:
    """Jobs, each with db_id, name, state, worker, uuid, index and updated_on."""
    rows = [
        (
            text_cell(job["db_id"]),
            text_cell(job["name"]),
            state_cell(job["state"]),
            text_cell(job["worker"]),
            text_cell(f"{job['uuid']} ({job['index']})"),
            text_cell(job.get("updated_on")),
        )
        for job in jobs
    ]
    return render_table(
        ("DB id", "Name", "State", "Worker", "Job id (index)", "Last updated"), rows, caption=caption
    )


def render_counts(counts: Mapping[Any, int], *, caption: str = "") -> str:
    """State → number, as a table."""
    rows = [(state_cell(state), f"{number:,}") for state, number in counts.items() if number]
    return render_table(("State", "Number"), rows, caption=caption)


def render_trends(interval: str, dates: Sequence[str], series: Mapping[str, Sequence[int]]) -> str:
    """What ended in each interval."""
    rows = [
        (text_cell(date), *(f"{values[position]:,}" for values in series.values()))
        for position, date in enumerate(dates)
    ]
    names = [name.replace("_", " ").capitalize() for name in series]
    return render_table((interval.removesuffix("s").capitalize(), *names), rows, caption="Came to an end")
