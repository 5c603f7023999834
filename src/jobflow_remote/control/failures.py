"""What went wrong, grouped by cause: a hundred jobs with one reason are one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobflow_remote.control.progress import last_line
from jobflow_remote.model import lifecycle
from jobflow_remote.queuedb.port import QueueDatabase

_FIELDS = ("uuid", "index", "db_id", "state", "worker", "updated_on", "job.name", "error", "remote.error")
LATEST = 500
"""How many of the latest failures are looked at."""
_VARYING = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(_\d+)?", re.IGNORECASE), "…"),
    (re.compile(r"(/[^\s/'\":,;]+){2,}/?"), "…"),
    (re.compile(r"0x[0-9a-f]+", re.IGNORECASE), "…"),
    (re.compile(r"\d+(\.\d+)?"), "…"),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Failures that say the same."""

    text: str
    """What the latest of them says."""
    state: str
    number: int
    latest: datetime
    db_ids: tuple[str, ...]
    """Up to five of the jobs, the latest first."""
    names: tuple[str, ...]
    workers: tuple[str, ...]


def _alike(text: str) -> str:
    """The text without what differs from job to job: ids, paths, numbers."""
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text


def group_failures(queue: QueueDatabase, *, latest: int = LATEST) -> list[Cause]:
    """Causes of the latest failures, the most frequent first."""
    found = queue.find_jobs(
        {"state": {"$in": sorted(lifecycle.ERRORS)}, "superseded": {"$ne": True}},
        fields=_FIELDS, sort=(("updated_on", -1),), limit=latest,
    )  # fmt: skip
    return group_by_cause(found)


def group_by_cause(jobs: Iterable[Mapping[str, Any]]) -> list[Cause]:
    """The same for documents at hand, the latest first."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for job in jobs:
        groups.setdefault((job["state"], _alike(last_line(job))), []).append(job)
    causes = [_cause(members) for members in groups.values()]
    return sorted(causes, key=lambda cause: (-cause.number, cause.text))


def _cause(members: list[Mapping[str, Any]]) -> Cause:
    return Cause(
        text=last_line(members[0]) or "nothing was said",
        state=members[0]["state"],
        number=len(members),
        latest=members[0]["updated_on"],
        db_ids=tuple(job["db_id"] for job in members[:5]),
        names=tuple(dict.fromkeys(str((job.get("job") or {}).get("name")) for job in members))[:3],
        workers=tuple(sorted({job["worker"] for job in members})),
    )
