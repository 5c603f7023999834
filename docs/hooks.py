"""What the pages in this folder need to become a site: no links out of it, and diagrams without a foreign script.

On the pages diagrams are written for Mermaid, which many viewers of Markdown draw. The site has them as pictures, made
while it is built: nothing is fetched when somebody looks at it.
"""

from __future__ import annotations

import html
import re
from typing import Any

_FENCE = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+(?:src|tests|changelog\.d|CONTRIBUTING\.md|README\.md)[^)]*)\)")
_EDGE = re.compile(r"(\w+) -->\|([^|]*)\| (\w+)")
_NAMED = re.compile(r'(\w+) ?\["([^"]+)"\]')
_ORDER = [
    "not_begun", "WAITING", "READY", "CHECKED_OUT", "UPLOADED", "SUBMITTED", "BATCH_SUBMITTED", "RUNNING",
    "BATCH_RUNNING", "TERMINATED", "DOWNLOADED", "COMPLETED", "FAILED", "active", "REMOTE_ERROR", "PAUSED", "STOPPED",
    "USER_STOPPED",
]  # fmt: skip
"""From top to bottom."""
_ROW, _TOP, _BOX, _STEP = 46, 14, 190, 24
"""Pixels: from one box to the next, above the first, width of a box, between one arc and the next wider one."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A page as the site shows it."""
    return _FENCE.sub(lambda found: draw_flowchart(found.group(1)), _LINK.sub(r"\1", markdown))


def draw_flowchart(text: str) -> str:
    """A flowchart as SVG: boxes in a column, arrows to later ones on the right, to earlier ones on the left.

    What happens stands where an arrow begins.
    """
    edges = _EDGE.findall(text)
    names = dict(_NAMED.findall(text))
    used = dict.fromkeys(each for a, _, b in edges for each in (a, b))
    nodes = sorted(used, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    rows = {node: number for number, node in enumerate(nodes)}
    depth = max((abs(rows[a] - rows[b]) for a, _, b in edges), default=1)
    margin = 40 + _STEP * min(depth, 9)
    left = margin if any(rows[a] > rows[b] for a, _, b in edges) else 20
    width, height = left + _BOX + margin, _TOP * 2 + _ROW * len(nodes)
    parts = [_draw_edge(a, label, b, rows=rows, left=left) for a, label, b in edges]
    parts += _draw_labels(edges, rows, left)
    parts += [_draw_node(names.get(node, node), row, left) for node, row in rows.items()]
    marker = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="currentColor"/></marker>'
    )
    head = f'<svg viewBox="0 0 {width} {height}" style="max-width: {width}px; width: 100%" role="img"'
    style = 'font-family="sans-serif" font-size="11" fill="currentColor" stroke="none"'
    return "\n".join(
        [
            f'<div>{head} {style} xmlns="http://www.w3.org/2000/svg"><defs>{marker}</defs>',
            *parts,
            "</svg></div>",
        ]
    )


def _draw_node(label: str, row: int, left: int) -> str:
    y = _TOP + row * _ROW
    box = (
        f'<rect x="{left}" y="{y}" width="{_BOX}" height="28" rx="5" fill="currentColor" fill-opacity="0.08" '
        'stroke="currentColor" stroke-opacity="0.5"/>'
    )
    text = f'<text x="{left + _BOX / 2}" y="{y + 18}" text-anchor="middle">{html.escape(label)}</text>'
    return box + text


def _draw_edge(source: str, label: str, to: str, *, rows: dict[str, int], left: int) -> str:
    a, b = rows[source], rows[to]
    line = 'fill="none" stroke="currentColor" stroke-opacity="0.65" marker-end="url(#tip)"'
    if b == a + 1:
        x, y = left + _BOX / 2, _TOP + a * _ROW + 28
        path = f'<path d="M{x},{y} V{y + _ROW - 29}" {line}/>'
        return path + f'<text x="{x + 6}" y="{y + 12}">{html.escape(label)}</text>'
    side = 1 if b > a else -1
    edge = left + _BOX if side > 0 else left
    reach = edge + side * (20 + _STEP * min(abs(b - a), 9))
    y1, y2 = _TOP + a * _ROW + (18 if side > 0 else 10), _TOP + b * _ROW + (10 if side > 0 else 18)
    return f'<path d="M{edge},{y1} C{reach},{y1} {reach},{y2} {edge + side},{y2}" {line}/>'


def _draw_labels(edges: list[tuple[str, str, str]], rows: dict[str, int], left: int) -> list[str]:
    """What leads away from each box, beside it, once on either side."""
    said: dict[tuple[int, int], dict[str, None]] = {}
    for source, label, to in edges:
        step = rows[to] - rows[source]
        if step != 1:
            said.setdefault((rows[source], 1 if step > 0 else -1), {})[label] = None
    return [
        f'<text x="{left + (_BOX + 8 if side > 0 else -8)}" y="{_TOP + row * _ROW + (14 if side > 0 else 6)}" '
        f'text-anchor="{"start" if side > 0 else "end"}">{html.escape(", ".join(labels))}</text>'
        for (row, side), labels in said.items()
    ]
