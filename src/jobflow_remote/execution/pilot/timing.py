"""How long jobs take, and how much time is left."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from jobflow_remote.execution.pilot.ticket import Ticket

_WINDOW_SECONDS = 10.0
_MARGIN = 1.2
"""Jobs may take so much longer than what was seen of their name."""
_CLOSING_SECONDS = 5.0
"""Left for reports and for handing back."""


@dataclass
class TimeBook:
    """Times of the jobs that have run here, and the end of the allocation."""

    ends_at: float | None = None
    warn_seconds: float = 30.0
    """Jobs are asked to end so long before the allocation does."""
    began: float = field(default_factory=time.time)
    _ends: deque[float] = field(default_factory=deque)
    _longest: dict[str, float] = field(default_factory=dict)

    def note(self, ticket: Ticket, seconds: float) -> None:
        """A job has ended after so many seconds."""
        now = time.monotonic()
        self._ends.append(now)
        while self._ends[0] < now - _WINDOW_SECONDS:
            self._ends.popleft()
        self._longest[ticket.name] = max(seconds, self._longest.get(ticket.name, 0.0))

    def jobs_per_second(self) -> float:
        """Of late."""
        if len(self._ends) < 2:
            return 0.0
        return len(self._ends) / max(1.0, time.monotonic() - self._ends[0])

    def estimate(self, ticket: Ticket) -> float:
        """How long a job will take: what it says, else what jobs of its name took, else nothing is known."""
        if ticket.needs.seconds is not None:
            return ticket.needs.seconds
        return self._longest.get(ticket.name, 0.0) * _MARGIN

    def seconds_left(self) -> float:
        """Until jobs are asked to end."""
        if self.ends_at is None:
            return float("inf")
        return self.ends_at - self._warning() - time.time()

    def _warning(self) -> float:
        """A short allocation cannot spare much."""
        assert self.ends_at is not None
        return min(self.warn_seconds, max(_CLOSING_SECONDS, 0.2 * (self.ends_at - self.began)))

    def fits(self, ticket: Ticket) -> bool:
        """Whether a job that starts now will be through in time."""
        return self.estimate(ticket) <= max(0.0, self.seconds_left())

    def why_never(self, ticket: Ticket) -> str | None:
        """Why not even a fresh allocation would be long enough; None: it would."""
        if self.ends_at is None or ticket.needs.seconds is None:
            return None
        whole = self.ends_at - self.began - self._warning()
        if ticket.needs.seconds <= whole:
            return None
        return f"it asks for {ticket.needs.seconds:g} s, and its pilots have {max(0, int(whole))} s"

    def warning_is_due(self) -> bool:
        """Whether jobs have to be asked to end."""
        return self.ends_at is not None and self.seconds_left() <= 0

    def grace_seconds(self, usual: float) -> float:
        """How long a job that was asked to end may take."""
        if self.ends_at is None:
            return usual
        return max(0.5, min(usual, self.ends_at - time.time() - _CLOSING_SECONDS))
