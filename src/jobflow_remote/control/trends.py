"""How many jobs or flows came to a state in each hour, day, week, month or year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.clock import to_stored
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase

INTERVALS = {"hours": 12, "days": 7, "weeks": 4, "months": 12, "years": 3}
"""Interval → how many of them by default."""
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

    Raises
    ------
    JobflowRemoteError
        If there is no such interval.
    """
    if interval not in INTERVALS:
        raise JobflowRemoteError(
            f"no interval is called {interval!r}", hint=f"there are {', '.join(INTERVALS)}"
        )
    timezone = ZoneInfo(zone)
    present = (now or datetime.now(UTC)).astimezone(timezone)
    starts = interval_starts(interval, num_intervals or INTERVALS[interval], now=present)
    names = [state.value for state in states]
    result = {start.strftime(_FORMATS[interval]): dict.fromkeys(names, 0) for start in starts}
    query = {"state": {"$in": names}, "updated_on": {"$gte": to_stored(starts[0])}}
    find = queue.find_flows if any(isinstance(state, FlowState) for state in states) else queue.find_jobs
    found: list[Mapping[str, Any]] = list(find(query, fields=["state", "updated_on"])) if names else []
    for document in found:
        local = document["updated_on"].replace(tzinfo=UTC).astimezone(timezone)
        label = local.strftime(_FORMATS[interval])
        if label in result:
            result[label][document["state"]] += 1
    return result
