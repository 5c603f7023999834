"""When a failed step is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``max_attempts`` failures are forgiven; after the n-th one the job waits ``delays_seconds[n - 1]``.

    The last delay is repeated when there are more attempts than delays.
    """

    max_attempts: int = 3
    delays_seconds: Sequence[float] = (30.0, 300.0, 1200.0)

    def next_try(self, failures: int, now: datetime) -> datetime | None:
        """When to try again after ``failures`` failures (this one included); None: give up."""
        if failures > self.max_attempts:
            return None
        if not self.delays_seconds:
            return now
        return now + timedelta(seconds=self.delays_seconds[min(failures, len(self.delays_seconds)) - 1])
