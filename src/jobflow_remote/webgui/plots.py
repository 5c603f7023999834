"""Plots as SVG: columns over time. Numbers and our own words only, and the same figures as text beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from fastcore.xml import NotStr
from fasthtml.components import Details, Div, Figure, Span, Summary, Td, Tr

from jobflow_remote.webgui.parts import Element, count, grid_table, shade

_WIDTH, _HEIGHT, _BOTTOM, _LEFT = 640, 180, 24, 44


def bars(table: Mapping[str, Mapping[str, int]], *, label: str) -> Element:
    """Label of an interval → state → number, as stacked columns and, folded away, as a table."""
    states = list(dict.fromkeys(state for row in table.values() for state in row))
    legend = Div(*(Span(Span("", cls=f"dot {shade(state)}"), state) for state in states), cls="legend")
    return Figure(NotStr(_render(table, states, label)), legend, _as_table(table, states, label), cls="plot")


def _render(table: Mapping[str, Mapping[str, int]], states: Sequence[str], label: str) -> str:
    top = max((sum(row.values()) for row in table.values()), default=0) or 1
    top += top % 2 if top > 1 else 0  # the line in the middle stands for a whole number
    step = (_WIDTH - _LEFT) / max(1, len(table))
    height = _HEIGHT - _BOTTOM - 8
    parts = [_axis(top, height)]
    every = max(1, -(-len(table) // 8))
    for position, (name, row) in enumerate(table.items()):
        x, y = _LEFT + position * step, float(_HEIGHT - _BOTTOM)
        for state in states:
            size = height * row.get(state, 0) / top
            y -= size
            if size:
                parts.append(
                    f'<rect class="fill {shade(state)}" x="{x + step * 0.12:.1f}" y="{y:.1f}" width="{step * 0.76:.1f}"'
                    f' height="{size:.1f}"><title>{escape(name)}: {row[state]} {escape(state)}</title></rect>'
                )
        if position % every == 0:
            parts.append(
                f'<text x="{x + step / 2:.1f}" y="{_HEIGHT - 6}" class="tick middle">{escape(name[-8:])}</text>'
            )
    head = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" class="columns-plot"'
    return f'<svg {head} role="img" aria-label="{escape(label, quote=True)}">{"".join(parts)}</svg>'


def _axis(top: int, height: float) -> str:
    base = _HEIGHT - _BOTTOM
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = base - height * share
        lines.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        if share in (0.0, 1.0) or top > 1:
            number = count(round(top * share))
            lines.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="tick end">{number}</text>')
    return "".join(lines)


def _as_table(table: Mapping[str, Mapping[str, int]], states: Sequence[str], label: str) -> Element:
    rows = [
        Tr(Td(name), *(Td(count(row.get(state, 0)), cls="number") for state in states))
        for name, row in reversed(list(table.items()))
    ]
    return Details(Summary("As a table"), grid_table(("When", *states), rows, label=label))
