"""What a process of the runner says of itself: who and where it is, and what each of its lanes does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from jobflow_remote.model.records import Document


class Doing(StrEnum):
    """What a lane does."""

    IDLE = "idle"
    """There is nothing to do for it."""
    WORKING = "working"
    WAITING = "waiting"
    """It cannot work at present; the reason is told."""


@dataclass(frozen=True, slots=True)
class LaneReport:
    """One step for one worker."""

    step: str
    worker: str
    doing: Doing
    since: datetime
    jobs: int = 0
    """Number of jobs in hand while it works."""
    until: datetime | None = None
    """When it tries again, while it waits."""
    why: str | None = None
    """What it waits for."""
    done: int = 0
    """Number of jobs that it has taken a step further since the process began."""
    last_error: str | None = None
    """First line of the last failure of a job's step, or of what kept it from working."""
    last_error_on: datetime | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The report in a document; fields that a newer release adds are left out."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(**{**known, "doing": Doing(document["doing"])})


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """One process of the runner."""

    name: str
    """Its roles, as ``transfer``, or ``transfer-1`` where a role has several processes; ``all`` if it has all roles."""
    hostname: str
    pid: int
    roles: tuple[str, ...]
    started_on: datetime
    reported_on: datetime
    python: str
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of this package, and of those of the packages it works with that have been imported."""
    lanes: tuple[LaneReport, ...] = ()

    def to_document(self) -> Document:
        """The report as it is stored."""
        document = asdict(self)
        lanes = [{**lane, "doing": lane["doing"].value} for lane in document["lanes"]]
        return {**document, "roles": list(self.roles), "lanes": lanes}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The report of a stored document; fields that a newer release adds are left out."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        lanes = tuple(map(LaneReport.from_document, document.get("lanes") or ()))
        return cls(**{**known, "roles": tuple(document["roles"]), "lanes": lanes})


def process_name(roles: tuple[str, ...], *, all_roles: tuple[str, ...], part: int, parts: int) -> str:
    """What a process is called among those of its runner."""
    name = "all" if set(roles) == set(all_roles) else "_".join(roles)
    return f"{name}-{part}" if parts > 1 else name
