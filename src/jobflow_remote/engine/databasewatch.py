"""Whether the queue database answers: known once for all of a process, said once, and the same for each lane.

While it is away the lanes do not ask it, one after the other, for what it cannot answer: they fail at once and wait.
Only the heartbeat goes on asking, and everybody goes on at its first answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

from jobflow_remote.errors import QueueDatabaseAwayError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.services.awaynote import Away, remove_note, write_note

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseWatch:
    """May be used from several threads.

    Parameters
    ----------
    daemon_dir
        Where the note for ``jf runner status`` is left.
    """

    def __init__(self, daemon_dir: str | Path) -> None:
        self._daemon_dir = daemon_dir
        self._away: Away | None = None
        self._noticed = 0.0
        self._lock = threading.Lock()
        self.on_back: Callable[[], object] = lambda: None
        """Called in the thread that got the first answer after the database was away."""

    @property
    def is_away(self) -> bool:
        """Whether nobody has got an answer since it last failed to give one."""
        return self._away is not None

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask the database, unless it is known to be away."""
        away = self._away
        if away is not None:
            raise QueueDatabaseAwayError(away.why)
        return self.ask(function, *args, **kwargs)

    def ask(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask the database in any case."""
        began, asked = utcnow(), time.monotonic()
        try:
            answer = function(*args, **kwargs)
        except QueueDatabaseAwayError as error:
            self.note_failure(error, since=began)
            raise
        self._note_answer(asked)
        return answer

    def note_failure(self, error: QueueDatabaseAwayError, *, since: datetime | None = None) -> None:
        """Somebody got no answer to what was asked at ``since``."""
        with self._lock:
            self._noticed = time.monotonic()
            if self._away is not None:
                return
            self._away = Away(since or utcnow(), error.message)
            write_note(self._daemon_dir, self._away)
        logger.warning("%s. Jobs that run go on; the runner goes on when it is back", self._away.describe())

    def _note_answer(self, asked: float) -> None:
        """An answer to what was asked before the last failure says nothing."""
        with self._lock:
            away = self._away
            if away is None or asked < self._noticed:
                return
            self._away = None
            remove_note(self._daemon_dir)
        seconds = (utcnow() - away.since) / timedelta(seconds=1)
        logger.warning("the queue database is back after %.0f s", seconds)
        self.on_back()

    def forget_former(self) -> None:
        """Remove the note of a runner that was killed while the database was away; this one got an answer."""
        if not self.is_away:
            remove_note(self._daemon_dir)
