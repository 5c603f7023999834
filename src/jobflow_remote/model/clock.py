"""Time as the documents store it: naive, UTC, whole milliseconds (what MongoDB keeps)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


def to_stored(moment: datetime) -> datetime:
    """A moment as it is stored: UTC without time zone, cut to milliseconds. A naive one is taken as UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def utcnow() -> datetime:
    """Now, as it is stored (the one place that reads the wall clock for documents)."""
    return to_stored(datetime.now(UTC))


def local_to_stored(moment: datetime) -> datetime:
    """A moment that a person typed (naive: local time) as it is stored."""
    return to_stored(moment.astimezone(UTC))


def to_local(moment: datetime) -> datetime:
    """A stored moment in the local time zone, aware."""
    return moment.replace(tzinfo=UTC).astimezone()


class LocalZone(tzinfo):
    """The time zone of this machine, summer time included."""

    def utcoffset(self, dt: datetime | None, /) -> timedelta | None:
        """Offset at a local time."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None, /) -> timedelta | None:
        """Not told apart from the offset."""
        return None

    def tzname(self, dt: datetime | None, /) -> str | None:
        """Abbreviation at a local time."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime, /) -> datetime:
        """Local time at a moment."""
        return dt.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)
