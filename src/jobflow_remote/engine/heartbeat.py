"""The heartbeat: prolongs the lease of the runner's session, and hears when the runner should stop.

It has a thread of its own, so that no slow step can hold it up. Every process of the runner has one; the one that
holds the lock writes, the others only look. While the queue database is away it is the one that goes on asking; a
lease that has run out meanwhile is taken again, unless somebody else has taken the queue.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from jobflow_remote.engine.databasewatch import DatabaseWatch
from jobflow_remote.engine.reporter import Reporter
from jobflow_remote.errors import JobflowRemoteError, QueueDatabaseAwayError, SessionLostError
from jobflow_remote.model.records import RunnerSession
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.services.pings import add_ping

logger = logging.getLogger(__name__)

_LOOK_AT_PARENT_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.25
"""Before a database that is away is asked again; doubled each time, up to the usual pace."""


class Heartbeat(threading.Thread):
    """Beats until :meth:`stop`.

    Parameters
    ----------
    on_end
        Called once with the reason when the runner should end: ``"superseded"``, ``"stop"`` (somebody asked through
        the database) or ``"orphaned"`` (the daemon that started this process is gone).
    reporter
        What it says of this process beside the session.
    parent
        Pid of the process that this one must not outlive; None if there is no such process.
    """

    def __init__(
        self,
        queue: QueueDatabase,
        token: str,
        *,
        watch: DatabaseWatch,
        daemon_dir: Path,
        every_seconds: float,
        lease_seconds: float,
        ping_seconds: float,
        parent: int | None,
        reporter: Reporter,
        on_end: Callable[[str], None],
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.queue, self.token, self._watch = queue, token, watch
        self.every_seconds, self.lease_seconds = every_seconds, lease_seconds
        self._ping_seconds = ping_seconds
        self._pinged: float | None = None
        self._on_end = on_end
        self._parent = parent
        self._reporter = reporter
        self._stopped = False
        self._called = threading.Event()
        self._shall_report = False
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._lock_path = daemon_dir / "heartbeat.lock"
        self._lock: IO[str] | None = None

    def stop(self) -> None:
        """Beat no more."""
        self._stopped = True
        self._called.set()

    def report_now(self) -> None:
        """Say at once what this process does: somebody asks, or it is news."""
        self._shall_report = True
        self._called.set()

    def run(self) -> None:
        """Body of the thread."""
        left = 0.0
        while not self._stopped:
            if self._parent is not None and os.getppid() != self._parent:
                self._on_end("orphaned")
                return
            if left <= 0:
                reason = self._beat()
                if reason:
                    self._on_end(reason)
                    return
                left = self._next_seconds()
                self._reporter.tell(self.queue, self.token, self._watch)
            left -= self._wait(min(left, _LOOK_AT_PARENT_SECONDS) if self._parent is not None else left)

    def _wait(self, seconds: float) -> float:
        """Wait, or do what somebody calls for; returns how long it took."""
        began = time.monotonic()
        if self._called.wait(seconds):
            self._called.clear()
            if self._shall_report and not self._stopped:
                self._shall_report = False
                self._reporter.tell(self.queue, self.token, self._watch, at_once=True)
        return time.monotonic() - began

    def _next_seconds(self) -> float:
        if not self._watch.is_away:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
            return self.every_seconds
        pause, self._pause_seconds = self._pause_seconds, 2 * self._pause_seconds
        return min(pause, self.every_seconds)

    def _beat(self) -> str | None:
        try:
            if self._is_writer():
                session = self._watch.ask(
                    self.queue.renew_session, self.token, lease_seconds=self.lease_seconds
                )
                self._ping(session)
            else:
                found = self._watch.ask(self.queue.get_session)
                if found is None or found.token != self.token:
                    return "superseded"
                session = found
        except SessionLostError:
            return "superseded"
        except QueueDatabaseAwayError:
            return None  # the watch has said so
        except Exception as error:  # a heart that stops would give the queue away
            logger.warning("no heartbeat: %s", error, exc_info=not isinstance(error, JobflowRemoteError))
            return None
        return session.stop_requested

    def _ping(self, session: RunnerSession) -> None:
        """Remember from time to time, for people, that it was this runner that was at work."""
        now = time.monotonic()
        if self._pinged is not None and now - self._pinged < self._ping_seconds:
            return
        self._pinged = now
        keys = ("project_name", "hostname", "user", "daemon_dir")
        who = {key: session.owner.get(key) for key in keys}
        daemon_id = None if self._parent is None else str(self._parent)
        roles = dict.fromkeys(self._reporter.roles, True)
        ping = {"daemon_id": daemon_id, "runner_id": str(os.getpid()), **who, "run_options": roles}
        self._watch.ask(add_ping, self.queue, ping)

    def _is_writer(self) -> bool:
        if self._lock is not None:
            return True
        lock = open(self._lock_path, "a", encoding="utf-8")  # noqa: SIM115  # held until the process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True
