"""Values → text, as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from jobflow_remote.model.clock import to_local

DATE_FORMAT = "%Y-%m-%d %H:%M"
_WIDTH = 100


def local_zone() -> str:
    """Abbreviation of the local time zone."""
    return datetime.now(UTC).astimezone().tzname() or "local"


def format_date(moment: datetime | None) -> str:
    """A stored moment in local time."""
    return to_local(moment).strftime(DATE_FORMAT) if moment else ""


def format_duration(seconds: float) -> str:
    """Hours and minutes."""
    minutes = int(seconds) // 60
    return f"{minutes // 60}:{minutes % 60:02d}"


def format_size(size: float) -> str:
    """Bytes in units of 1024, as ``ls -h``."""
    unit = 0
    while size >= 1024 and unit < 4:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {'BKMGT'[unit]}B" if unit else f"{size:.0f} B"


def shorten(text: str, length: int) -> str:
    """The beginning of a text."""
    return text if len(text) <= length else text[: length - 1] + "…"


def elide(values: Sequence[Any], *, keep: int = 2, longest: int = 5) -> list[Any]:
    """The first and last of many values."""
    return list(values) if len(values) <= longest else [*values[:keep], "...", *values[-keep:]]


def _pairs(value: Mapping[str, Any], *, show_none: bool) -> list[tuple[str, Any]]:
    return [(key, content) for key, content in value.items() if show_none or content is not None]


def format_value(value: Any, *, show_none: bool = False, indent: int = 0) -> str:
    """A value as in Python source, except that moments are dates and long texts are left as they are."""
    if isinstance(value, datetime):
        return repr(format_date(value))
    if isinstance(value, Enum):
        return repr(value.value)
    if isinstance(value, str) and "\n" in value:
        return value.strip("\n")
    if isinstance(value, Mapping):
        return _format_mapping(value, show_none=show_none, indent=indent)
    if isinstance(value, list | tuple):
        return _format_list(value, show_none=show_none, indent=indent)
    return repr(value)


def _format_mapping(value: Mapping[str, Any], *, show_none: bool, indent: int) -> str:
    inner = indent + 4
    parts = [
        f"{key!r}: {format_value(content, show_none=show_none, indent=inner)}"
        for key, content in _pairs(value, show_none=show_none)
    ]
    return _bracket(parts, "{}", indent)


def _format_list(value: Sequence[Any], *, show_none: bool, indent: int) -> str:
    return _bracket(
        [format_value(item, show_none=show_none, indent=indent + 4) for item in value], "[]", indent
    )


def _bracket(parts: list[str], brackets: str, indent: int) -> str:
    line = brackets[0] + ", ".join(parts) + brackets[1]
    if "\n" not in line and len(line) <= _WIDTH - indent:
        return line
    space = " " * indent
    return f"{brackets[0]}\n" + "".join(f"{space}    {part},\n" for part in parts) + space + brackets[1]
