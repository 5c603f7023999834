"""Text of the command line → values. Every function raises ``ValueError`` with the reason."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from jobflow_remote.control.runsettings import json_or_text
from jobflow_remote.control.runsettings import parse_dict as parse_dict
from jobflow_remote.control.runsettings import parse_settings as parse_settings

_START_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
_END_FORMATS = _START_FORMATS


def _parse_moment(text: str, formats: tuple[str, ...]) -> datetime | None:
    for form in formats:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return None


def parse_number(text: str | int) -> int:
    """A whole number that is not negative."""
    if str(text).isdecimal():
        return int(text)
    raise ValueError(f"{text!r} is not a whole number of 0 or more")


def parse_start_date(text: str | datetime) -> datetime:
    """A local moment; a time of day alone is the last moment that had it (today, or yesterday)."""
    if isinstance(text, datetime):
        return text
    moment = _parse_moment(text, _START_FORMATS)
    if moment is not None:
        return moment
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date: write 2025-03-17, 2025-03-17T18:30:00 or 18:30:00") from None
    now = datetime.now()
    today = datetime.combine(now.date(), clock)
    return today if today <= now else today - timedelta(days=1)


def parse_end_date(text: str | datetime) -> datetime:
    """A local moment."""
    moment = text if isinstance(text, datetime) else _parse_moment(text, _END_FORMATS)
    if moment is None:
        raise ValueError(f"{text!r} is no date: write 2025-03-17 or 2025-03-17T18:30:00")
    return moment


def parse_query(text: str | dict[str, Any]) -> dict[str, Any]:
    """A filter: as :func:`parse_dict`, with moments written as ``{"$date": "2025-03-17T18:30:00Z"}``."""
    query: dict[str, Any] = _with_moments(parse_dict(text))
    return query


def _with_moments(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_moments(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$date"}:
        try:
            moment = datetime.fromisoformat(value["$date"])
        except (TypeError, ValueError):
            raise ValueError(
                f'{value["$date"]!r} is no moment: write {{"$date": "2025-03-17T18:30:00Z"}}'
            ) from None
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return {key: _with_moments(each) for key, each in value.items()}


def parse_assignment(text: str | tuple[str, Any]) -> tuple[str, Any]:
    """``name=value``: the value in JSON if it is, else a text."""
    if isinstance(text, tuple):
        return text
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"{text!r} is not NAME=VALUE")
    return name.strip(), json_or_text(value)


def parse_job_index(text: str | tuple[str, int]) -> tuple[str, int]:
    """``UUID:INDEX``."""
    if isinstance(text, tuple):
        return text
    uuid, separator, index = text.rpartition(":")
    if not separator or not uuid or not index.isdigit():
        raise ValueError(f"{text!r} is not UUID:INDEX, such as 1bb0ed7f-3cce-45aa-aebf-dad9a7ec2214:1")
    return uuid, int(index)


def parse_names(text: str | list[str]) -> list[str]:
    """Names separated by commas."""
    if isinstance(text, list):
        return text
    return [name.strip() for name in text.split(",") if name.strip()]
