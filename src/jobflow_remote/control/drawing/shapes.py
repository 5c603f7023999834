"""What pictures are made of. Lengths are pixels; y grows downwards."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

INK, MUTED, HAIRLINE, PAPER = "#1f2933", "#66707c", "#d5dae0", "#ffffff"
_CHARACTER_WIDTH = 0.58
"""Of the size of a text, on average, in the fonts that are used."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A filled rectangle; ``tip``: what is said when the pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "none"
    stroke: str = "none"
    radius: float = 0.0
    dashed: bool = False
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str = HAIRLINE
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Arrow:
    """A curve that leaves and arrives horizontally, with a head at its end."""

    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str = MUTED
    dashed: bool = False

    @property
    def bend(self) -> float:
        """How far the points that shape the curve are from its ends."""
        return max(24.0, abs(self.x2 - self.x1) / 2)


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text; ``y`` is its middle."""

    x: float
    y: float
    text: str
    size: float = 12.0
    color: str = INK
    anchor: str = "start"
    """start, middle or end."""
    bold: bool = False


Shape = Rectangle | Line | Arrow | Label


@dataclass(frozen=True, slots=True)
class Picture:
    """Shapes on paper, the first at the bottom."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
    title: str = ""


def fit_text(text: str, width: float, size: float = 12.0) -> str:
    """As much of a text as fits; line breaks and control characters become spaces."""
    plain = plain_line(text)
    room = max(1, int(width / (size * _CHARACTER_WIDTH)))
    return plain if len(plain) <= room else plain[: max(1, room - 1)].rstrip() + "…"


def plain_line(text: str) -> str:
    """A text without what would break a line, a terminal, or an XML file."""
    kept = "".join(
        " " if unicodedata.category(each) in ("Cc", "Cs", "Cf", "Zl", "Zp") else each for each in text
    )
    return "".join(each for each in kept if ord(each) not in (0xFFFE, 0xFFFF))


def text_width(text: str, size: float = 12.0) -> float:
    """About how wide a text is."""
    return len(text) * size * _CHARACTER_WIDTH
