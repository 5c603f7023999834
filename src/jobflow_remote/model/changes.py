"""Changes: what the queue database is asked to do for one flow, as frozen data.

A :class:`ChangeSet` is applied as a whole or not at all. It says only what was *decided*; what *follows* from it (which
children become READY, the flow's counters and state) is worked out where it is applied, by the pure functions of
:mod:`jobflow_remote.model.graph`, and belongs to the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from jobflow_remote.model.records import Document
from jobflow_remote.model.states import JobState


@dataclass(frozen=True, slots=True)
class JobChange:
    """One job, if it is still in this state under this claim, becomes that."""

    uuid: str
    index: int
    expect: frozenset[JobState]
    """The whole change set is refused unless the job is in one of these states."""
    to: JobState | None = None
    """New state; None: it stays. Outside the active states the claim is given back."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Dotted path → new value, for example ``{"remote.process_id": "42"}``. Of the inputs only
    ``job.function_args`` and ``job.function_kwargs`` as a whole."""
    holder: str | None = None
    """Token of the runner session that makes the change: refused if the job belongs to another session.
    None: a person's action, which wins over the runner."""
    attempt: str | None = None
    """When given, refused if the job is in another attempt by now (it was rerun meanwhile)."""
    event: str = ""
    """Event of the lifecycle table, for the history."""
    who: str = "runner"
    why: str | None = None


@dataclass(frozen=True, slots=True)
class JobRemoval:
    """One job, if it is still in this state and attempt, is forgotten (a person's act)."""

    uuid: str
    index: int
    expect: frozenset[JobState]
    attempt: str | None = None
    """When given, the whole change set is refused if the job is in another attempt by now."""


class HaltScope(StrEnum):
    """Which jobs a job's response stops."""

    DESCENDANTS = "descendants"
    """``stop_children``: children, their children, and so on."""
    FLOW = "flow"
    """``stop_jobflow``."""


@dataclass(frozen=True, slots=True)
class Halt:
    """WAITING and READY jobs in ``scope`` become STOPPED (event ``halt``); others are left alone."""

    scope: HaltScope
    of: str
    """uuid of the job that asked for it."""


@dataclass(frozen=True, slots=True)
class ExtraParents:
    """Every present child of ``children_of`` (not jobs of this change set) waits for ``parents`` too (a detour)."""

    children_of: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Changes to one flow. Order of effects: changes, removals, extra parents, new jobs, halt, then what follows."""

    flow_uuid: str
    changes: tuple[JobChange, ...] = ()
    extra_parents: tuple[ExtraParents, ...] = ()
    new_jobs: tuple[Document, ...] = ()
    """Documents of :func:`jobflow_remote.model.records.new_job_document`."""
    halts: tuple[Halt, ...] = ()
    removals: tuple[JobRemoval, ...] = ()
    """Jobs of the flow that are forgotten; nobody waits for them any longer. Not together with new jobs."""


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What became of one change set."""

    applied: bool
    refusal: str | None = None
    """Why it was refused: which job is not as expected, and how it is."""
    db_ids: tuple[str, ...] = ()
    """Ids of the new jobs, in their order."""
    ready: int = 0
    """How many jobs became READY as a consequence: somebody should wake the check-out."""
