"""Pings: who was the runner, and when; a short history for people. The lease, not a ping, says who is the runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.port import QueueDatabase

_KEY = "runner_pings"
MAX_PINGS = 50


def get_pings(queue: QueueDatabase) -> list[Document]:
    """All that are remembered, the oldest first."""
    return list(queue.get_auxiliary(_KEY) or ())


def add_ping(queue: QueueDatabase, ping: Mapping[str, Any]) -> list[Document]:
    """Remember one more, now, and forget the oldest of too many; returns those that were known before."""
    known = get_pings(queue)
    queue.set_auxiliary(_KEY, [*known, {**ping, "time": utcnow()}][-MAX_PINGS:])
    return known


def remove_pings(queue: QueueDatabase) -> None:
    """Forget all of them."""
    queue.set_auxiliary(_KEY, [])
