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
from collections.abc import Callable
from pathlib import Path
from typing import IO

from jobflow_remote.engine.databasewatch import DatabaseWatch
from jobflow_remote.errors import JobflowRemoteError, QueueDatabaseAwayError, SessionLostError
from jobflow_remote.queuedb.port import QueueDatabase

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
        parent: int | None,
        on_end: Callable[[str], None],
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.queue, self.token, self._watch = queue, token, watch
        self.every_seconds, self.lease_seconds = every_seconds, lease_seconds
        self._on_end = on_end
        self._parent = parent
        self._stopped = threading.Event()
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._lock_path = daemon_dir / "heartbeat.lock"
        self._lock: IO[str] | None = None

    def stop(self) -> None:
        """Beat no more."""
        self._stopped.set()

    def run(self) -> None:
        """Body of the thread."""
        left = 0.0
        while not self._stopped.is_set():
            if self._parent is not None and os.getppid() != self._parent:
                self._on_end("orphaned")
                return
            if left <= 0:
                reason = self._beat()
                if reason:
                    self._on_end(reason)
                    return
                left = self._next_seconds()
            pause = min(left, _LOOK_AT_PARENT_SECONDS) if self._parent is not None else left
            self._stopped.wait(pause)
            left -= pause

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
