"""A picture as SVG: text that stands for itself, with nothing from elsewhere."""

from __future__ import annotations

from html import escape

from jobflow_remote.control.drawing.shapes import (
    PAPER,
    Arrow,
    Label,
    Line,
    Picture,
    Rectangle,
    Shape,
    plain_line,
)

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def render_svg(picture: Picture, *, standalone: bool = True) -> str:
    """The picture as an ``<svg>`` element; ``standalone``: as a file of its own."""
    width, height = _number(picture.width), _number(picture.height)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n' if standalone else ""
    title = f"<title>{_text(picture.title)}</title>" if picture.title else ""
    body = "\n".join(_shape(each) for each in picture.shapes)
    return (
        f'{head}<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{escape(FONTS)}">{title}\n'
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>\n{body}\n</svg>\n'
    )


def _shape(shape: Shape) -> str:
    if isinstance(shape, Rectangle):
        return _rectangle(shape)
    if isinstance(shape, Line):
        return (
            f'<line x1="{_number(shape.x1)}" y1="{_number(shape.y1)}" x2="{_number(shape.x2)}" '
            f'y2="{_number(shape.y2)}" stroke="{shape.stroke}" stroke-width="{_number(shape.width)}"'
            f"{_dashes(shape.dashed)}/>"
        )
    return _arrow(shape) if isinstance(shape, Arrow) else _label(shape)


def _rectangle(shape: Rectangle) -> str:
    attributes = (
        f'x="{_number(shape.x)}" y="{_number(shape.y)}" width="{_number(shape.width)}" '
        f'height="{_number(shape.height)}" rx="{_number(shape.radius)}" fill="{shape.fill}" '
        f'stroke="{shape.stroke}"{_dashes(shape.dashed)}'
    )
    return (
        f"<rect {attributes}><title>{_text(shape.tip)}</title></rect>"
        if shape.tip
        else f"<rect {attributes}/>"
    )


def _arrow(shape: Arrow) -> str:
    x2, y2, bend = shape.x2, shape.y2, shape.bend
    curve = (
        f"M{_number(shape.x1)} {_number(shape.y1)} C{_number(shape.x1 + bend)} {_number(shape.y1)} "
        f"{_number(x2 - bend)} {_number(y2)} {_number(x2 - 5)} {_number(y2)}"
    )
    head = f"M{_number(x2)} {_number(y2)} l-7 -3.5 v7 z"
    return (
        f'<path d="{curve}" fill="none" stroke="{shape.stroke}"{_dashes(shape.dashed)}/>'
        f'<path d="{head}" fill="{shape.stroke}"/>'
    )


def _label(shape: Label) -> str:
    weight = ' font-weight="600"' if shape.bold else ""
    anchor = f' text-anchor="{shape.anchor}"' if shape.anchor != "start" else ""
    return (
        f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" dy="0.35em" font-size="{_number(shape.size)}" '
        f'fill="{shape.color}"{anchor}{weight}>{_text(shape.text)}</text>'
    )


def _dashes(dashed: bool) -> str:
    return ' stroke-dasharray="4 3"' if dashed else ""


def _text(text: str) -> str:
    return escape("\n".join(plain_line(line) for line in text.splitlines()))


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
