"""One host at a time: what makes an embedded database on a network file system bearable.

Locks between machines cannot be trusted there, so the database remembers which host used it last, and
refuses any other one for a while.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime

from jobflow_remote.errors import ConfigError
from jobflow_remote.queuedb.filters.sql import to_milliseconds
from jobflow_remote.queuedb.sqlite.codec import decode, encode

KEY = "embedded_host"
FRESH_SECONDS = 120.0
_RENEW_SECONDS = 30.0


def _hostname() -> str:
    import socket  # not needed where the file system is local

    return socket.gethostname()


def read_pin(connection: sqlite3.Connection) -> tuple[str, int] | None:
    """Which host used the database last, and when (in milliseconds)."""
    row = connection.execute("SELECT value FROM auxiliary WHERE key = ?", (KEY,)).fetchone()
    pin = decode(row[0]) if row else None
    return (pin["hostname"], pin["seen"]) if pin else None


def is_stale(connection: sqlite3.Connection, now: datetime, *, hostname: str | None = None) -> bool:
    """Whether the pin has to be written again.

    Raises
    ------
    ConfigError
        If another host used the database a moment ago.
    """
    pin = read_pin(connection)
    if pin is None:
        return True
    host, seen = pin
    age_seconds = (to_milliseconds(now) - seen) / 1000
    if host == (hostname or _hostname()):
        return age_seconds > _RENEW_SECONDS
    if age_seconds < FRESH_SECONDS:
        raise ConfigError(
            f"the queue database is on a network file system and was used on {host} {age_seconds:.0f} seconds ago",
            hint=f"work on {host}, or wait {FRESH_SECONDS:.0f} seconds after its runner has stopped; "
            "a queue for several machines needs queue.store.type MongoStore",
        )
    return True


def write_pin(connection: sqlite3.Connection, now: datetime, *, hostname: str | None = None) -> None:
    """Remember this host (inside a write transaction)."""
    value = encode({"hostname": hostname or _hostname(), "seen": to_milliseconds(now)})
    connection.execute("INSERT OR REPLACE INTO auxiliary VALUES (?, ?)", (KEY, value))
