"""How many jobs or flows came to a state in each hour, day, week, month or year."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.clock import LocalZone, to_stored
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase

INTERVALS = {"hours": 12, "days": 7, "weeks": 4, "months": 12, "years": 3}
"""Interval → how many of them by default."""
LOCAL = "local"
"""Name of the time zone of this machine."""
_FORMATS = {"hours": "%Y-%m-%d %H", "days": "%Y-%m-%d", "weeks": "%G-%V", "months": "%Y-%m", "years": "%Y"}


def _start_of(moment: datetime, interval: str) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if interval == "hours":
        return hour
    day = hour.replace(hour=0)
    if interval == "weeks":
        return day - timedelta(days=day.weekday())
    if interval == "months":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if interval == "years" else day


def _previous(start: datetime, interval: str) -> datetime:
    """Start of the interval before the one that begins at ``start``."""
    if interval == "hours":
        return (start.astimezone(UTC) - timedelta(hours=1)).astimezone(start.tzinfo)
    return _start_of(start - timedelta(hours=1), interval)


def interval_starts(interval: str, number: int, *, now: datetime) -> list[datetime]:
    """Beginnings of the last ``number`` intervals, the present one included, oldest first."""
    starts = [_start_of(now, interval)]
    while len(starts) < number:
        starts.append(_previous(starts[-1], interval))
    return starts[::-1]


def get_trends(
    queue: QueueDatabase,
    states: Sequence[JobState] | Sequence[FlowState],
    *,
    interval: str = "days",
    num_intervals: int | None = None,
    zone: str = "UTC",
    now: datetime | None = None,
) -> dict[str, dict[str, int]]:
    """Label of an interval → state → how many jobs (or flows) that are in it now came to it then.

    Parameters
    ----------
    zone
        Where days begin: the name of a time zone, or ``local``.

    Raises
    ------
    JobflowRemoteError
        If there is no such interval or zone.
    """
    if interval not in INTERVALS:
        raise JobflowRemoteError(
            f"no interval is called {interval!r}", hint=f"there are {', '.join(INTERVALS)}"
        )
    timezone = _find_zone(zone)
    present = (now or datetime.now(UTC)).astimezone(timezone)
    starts = interval_starts(interval, num_intervals or INTERVALS[interval], now=present)
    names = [state.value for state in states]
    collection = "flows" if any(isinstance(state, FlowState) for state in states) else "jobs"
    counted = queue.count_updates(collection, names, [to_stored(start) for start in starts])
    result: dict[str, dict[str, int]] = {}
    for start, counts in zip(starts, counted, strict=True):
        # an hour that the clock shows twice, when summer time ends, is one label
        row = result.setdefault(start.strftime(_FORMATS[interval]), dict.fromkeys(names, 0))
        for name in names:
            row[name] += counts.get(name, 0)
    return result


def _find_zone(zone: str) -> tzinfo:
    if zone == LOCAL:
        return LocalZone()
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise JobflowRemoteError(
            f"no time zone is called {zone!r}", hint=f"for example UTC, Europe/Rome, or {LOCAL}"
        ) from exc
