"""Pictures into files: SVG by ourselves, PNG and PDF by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobflow_remote.control.drawing.shapes import PAPER, Arrow, Label, Line, Picture, Rectangle, Shape
from jobflow_remote.control.drawing.svg import render_svg
from jobflow_remote.errors import CapabilityMissingError, NotAllowedError

FORMATS = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 100
_SHARPNESS = 2.0
_MOST_DOTS = 20_000
"""The longest side of a PNG file; larger pictures are scaled down."""


def check_format(path: Path, formats: Sequence[str] = FORMATS) -> str:
    """The extension of a file.

    Raises
    ------
    NotAllowedError
        If no picture has it.
    """
    extension = path.suffix.lower()
    if extension not in formats:
        raise NotAllowedError(
            f"{path} has no extension that says what it should be",
            hint=f"give it one of {', '.join(formats)}",
        )
    return extension


def save_picture(picture: Picture, path: Path) -> None:
    """Write a picture, as the extension of the file says.

    Raises
    ------
    CapabilityMissingError
        If that needs matplotlib, and it is not installed.
    """
    if check_format(path) == ".svg":
        path.write_text(render_svg(picture), encoding="utf-8")
    else:
        _save_with_matplotlib(picture, path)


def _save_with_matplotlib(picture: Picture, path: Path) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise CapabilityMissingError(
            f"{path.suffix.lower()} files are drawn by matplotlib, which is not installed",
            hint="`pip install 'jobflow-remote[plot]'`, or choose a file that ends with .svg",
        ) from exc
    size = (picture.width / _DOTS_PER_INCH, picture.height / _DOTS_PER_INCH)
    figure = Figure(figsize=size, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.axis("off")
    for order, shape in enumerate(picture.shapes):
        _draw(axes, shape, order)
    sharpness = min(_SHARPNESS, _MOST_DOTS / max(picture.width, picture.height))
    figure.savefig(path, format=path.suffix.lower()[1:], dpi=_DOTS_PER_INCH * sharpness)


def _draw(axes: Any, shape: Shape, order: int) -> None:
    """``order``: what has a higher one is drawn above."""
    if isinstance(shape, Rectangle):
        _draw_rectangle(axes, shape, order)
    elif isinstance(shape, Line):
        axes.plot(
            [shape.x1, shape.x2], [shape.y1, shape.y2], color=shape.stroke, linewidth=shape.width * _POINT,
            linestyle=_dashes(shape.dashed), zorder=order,
        )  # fmt: skip
    elif isinstance(shape, Arrow):
        _draw_arrow(axes, shape, order)
    elif isinstance(shape, Label):
        anchors = {"start": "left", "middle": "center", "end": "right"}
        axes.text(
            shape.x, shape.y, shape.text, fontsize=shape.size * _POINT * 0.94, color=shape.color, va="center_baseline",
            ha=anchors[shape.anchor], fontweight="bold" if shape.bold else "normal", parse_math=False, clip_on=True,
            zorder=order,
        )  # fmt: skip


_POINT = 72 / _DOTS_PER_INCH


def _dashes(dashed: bool) -> Any:
    return (0, (4, 3)) if dashed else "solid"


def _draw_rectangle(axes: Any, shape: Rectangle, order: int) -> None:
    from matplotlib.patches import FancyBboxPatch

    radius = min(shape.radius, shape.width / 2, shape.height / 2)
    style = f"round,pad=0,rounding_size={radius}" if radius > 0 else "square,pad=0"
    axes.add_patch(
        FancyBboxPatch(
            (shape.x, shape.y), shape.width, shape.height, boxstyle=style, facecolor=shape.fill,
            edgecolor=shape.stroke, linewidth=_POINT, linestyle=_dashes(shape.dashed), zorder=order,
        )
    )  # fmt: skip


def _draw_arrow(axes: Any, shape: Arrow, order: int) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path as Curve

    x2, y2, bend = shape.x2, shape.y2, shape.bend
    points = [(shape.x1, shape.y1), (shape.x1 + bend, shape.y1), (x2 - bend, y2), (x2 - 5, y2)]
    codes = [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
    axes.add_patch(
        PathPatch(
            Curve(points, codes), facecolor="none", edgecolor=shape.stroke, linewidth=_POINT,
            linestyle=_dashes(shape.dashed), zorder=order,
        )
    )  # fmt: skip
    axes.add_patch(
        Polygon(
            [(x2, y2), (x2 - 7, y2 - 3.5), (x2 - 7, y2 + 3.5)], color=shape.stroke, linewidth=0, zorder=order
        )
    )
