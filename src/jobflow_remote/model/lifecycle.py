"""The life of a job, as a table. Open this file first.

One row of :data:`TABLE` is one line of data: what happens, from which states, to which state, who does it and in
which step of the runner. Whatever else speaks of states is derived from it, never typed again: the sets below, the
split of the runner into roles, refusals, help texts, the diagram in the docs and the tests.

``WAITING → READY → CHECKED_OUT → UPLOADED → SUBMITTED → RUNNING → TERMINATED → DOWNLOADED → COMPLETED``
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model.states import JobState as S


class Actor(StrEnum):
    """Who makes a transition happen."""

    RUNNER = "runner"
    PERSON = "person"
    ADMINISTRATOR = "administrator"


class Target(StrEnum):
    """Targets that are not a fixed state."""

    REMEMBERED = "remembered"
    """The state that the job had when it became REMOTE_ERROR (``previous_state``)."""
    SAME = "same"
    """No change of state: only attempts and errors are cleared."""
    ANY = "any"
    GONE = "gone"
    """The job is forgotten."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row: ``event`` takes a job from any of ``sources`` to one of ``targets``."""

    event: str
    sources: frozenset[S]
    targets: tuple[S | Target, ...]
    actor: Actor
    step: str | None = None
    role: str | None = None
    forced: frozenset[S] = frozenset()
    """States from which the event is possible only when the person insists (``--force``)."""
    aliases: tuple[str, ...] = ()
    help: str = ""


def _states(*states: S) -> frozenset[S]:
    return frozenset(states)


ACTIVE = _states(
    S.CHECKED_OUT, S.UPLOADED, S.SUBMITTED, S.RUNNING, S.TERMINATED, S.DOWNLOADED, S.BATCH_SUBMITTED, S.BATCH_RUNNING
)  # fmt: skip
"""The runner has the job in hand."""
_BATCH = _states(S.BATCH_SUBMITTED, S.BATCH_RUNNING)
_ANY = frozenset(S)

_RUN, _PERSON, _ADMIN = Actor.RUNNER, Actor.PERSON, Actor.ADMINISTRATOR

TABLE: tuple[Transition, ...] = (
    Transition("parents_done", _states(S.WAITING), (S.READY,), _RUN,
               help="every output that the job refers to exists"),
    Transition("check_out", _states(S.READY), (S.CHECKED_OUT,), _RUN, "checkout", "checkout",
               help="the runner takes the job"),
    Transition("upload", _states(S.CHECKED_OUT), (S.UPLOADED,), _RUN, "upload", "transfer",
               help="references are resolved and the input file is on the worker"),
    Transition("submit", _states(S.UPLOADED), (S.SUBMITTED, S.BATCH_SUBMITTED), _RUN, "submit", "queue",
               help="the scheduler (or the pilots of a batch worker) accepted the job"),
    Transition("start", _states(S.SUBMITTED, S.BATCH_SUBMITTED), (S.RUNNING, S.BATCH_RUNNING), _RUN, "poll", "queue",
               help="the job runs"),
    Transition("leave_queue", _states(S.SUBMITTED, S.RUNNING, S.BATCH_SUBMITTED, S.BATCH_RUNNING),
               (S.TERMINATED, S.DOWNLOADED), _RUN, "poll", "queue",
               help="the job has left the scheduler; DOWNLOADED where its files are local already"),
    Transition("give_back", _BATCH, (S.UPLOADED, S.CHECKED_OUT), _RUN,
               help="the pilot that had the job is gone: others shall run it"),
    Transition("download", _states(S.TERMINATED), (S.DOWNLOADED,), _RUN, "download", "transfer",
               help="the files with the results are on this machine"),
    Transition("complete", _states(S.DOWNLOADED), (S.COMPLETED, S.FAILED), _RUN, "complete", "complete",
               help="the output is in the output store, or the function raised"),
    Transition("give_up", ACTIVE, (S.REMOTE_ERROR,), _RUN,
               help="the runner could not act, or the job was killed; the state is remembered"),
    Transition("halt", _states(S.WAITING, S.READY), (S.STOPPED,), _RUN,
               help="another job asked for it (stop_children, stop_jobflow)"),
    Transition("retry", ACTIVE | {S.REMOTE_ERROR}, (Target.REMEMBERED, Target.SAME), _PERSON,
               help="try the failed step again"),
    Transition("rerun", (ACTIVE - _BATCH) | {S.REMOTE_ERROR, S.FAILED}, (S.READY, S.WAITING), _PERSON,
               forced=_BATCH | {S.COMPLETED, S.PAUSED, S.STOPPED, S.USER_STOPPED},
               help="run the job again from the beginning; its descendants wait for it"),
    Transition("wait_again", _states(S.READY, S.WAITING, S.PAUSED), (S.WAITING,), _PERSON,
               forced=ACTIVE | {S.REMOTE_ERROR, S.FAILED, S.COMPLETED, S.STOPPED, S.USER_STOPPED},
               help="a job that it depends on runs again"),
    Transition("pause", _states(S.READY, S.WAITING, S.BATCH_SUBMITTED), (S.PAUSED,), _PERSON,
               help="hold the job back until play"),
    Transition("play", _states(S.PAUSED, S.STOPPED, S.USER_STOPPED), (S.READY, S.WAITING), _PERSON,
               aliases=("resume",), help="let a paused or stopped job go on"),
    Transition("stop", _states(S.READY, S.WAITING, S.PAUSED) | ACTIVE, (S.USER_STOPPED,), _PERSON,
               help="stop the job, also where it runs; play takes it back"),
    Transition("delete", _ANY - _BATCH, (Target.GONE,), _PERSON,
               help="forget the job; its process is cancelled"),
    Transition("set_state", _ANY, (Target.ANY,), _ADMIN,
               help="write a state without any check"),
)  # fmt: skip

_BY_EVENT = {row.event: row for row in TABLE} | {alias: row for row in TABLE for alias in row.aliases}


def transition(event: str) -> Transition:
    """Row of an event, by its name or an alias."""
    return _BY_EVENT[event]


def sources(event: str, *, force: bool = False) -> frozenset[S]:
    """States from which ``event`` is possible; with ``force`` also those that need insisting."""
    row = _BY_EVENT[event]
    return row.sources | row.forced if force else row.sources


def allows(event: str, state: S, to: S | None = None, *, force: bool = False) -> bool:
    """Whether the table has a row for ``event`` from ``state`` (and, when given, to ``to``)."""
    if state not in sources(event, force=force):
        return False
    targets = _BY_EVENT[event].targets
    return to is None or to in targets or any(isinstance(t, Target) for t in targets)


def describe(states: Iterable[S]) -> str:
    """Names of states in the order of the lifecycle, for messages."""
    chosen = set(states)
    return ", ".join(s.value for s in S if s in chosen)


def check_allowed(event: str, state: S, *, force: bool = False, what: str = "the job") -> None:
    """Refuse with the reason when ``event`` is not possible in ``state``.

    Raises
    ------
    NotAllowedError
        The message names the states that the event takes, and ``--force`` where that would do.
    """
    if state in sources(event, force=force):
        return
    row = _BY_EVENT[event]
    hint = "it is possible with --force" if state in row.forced else None
    raise NotAllowedError(
        f"cannot {event.replace('_', ' ')} {what}: it is {state.value}, and {event.replace('_', ' ')} "
        f"takes {describe(row.sources)}",
        hint=hint,
    )


STEPS: dict[str, frozenset[S]] = {
    step: frozenset().union(*(row.sources for row in TABLE if row.step == step))
    for step in dict.fromkeys(row.step for row in TABLE if row.step)
}
"""Step of the runner → states in which a job waits for it."""

ROLES: dict[str, tuple[str, ...]] = {
    role: tuple(dict.fromkeys(row.step for row in TABLE if row.role == role and row.step))
    for role in dict.fromkeys(row.role for row in TABLE if row.role)
}
"""Role of a runner process → its steps."""

IN_SCHEDULER = STEPS["poll"]
"""A scheduler (or a pilot) knows the job."""
IN_PILOT = _BATCH
"""A pilot has the job, or will have it."""
PAUSABLE = sources("pause")
RESUMABLE = sources("play")
ERRORS = frozenset({S.FAILED, S.REMOTE_ERROR})
REACHABLE_BY_RUNNER = frozenset(
    t for row in TABLE if row.actor is Actor.RUNNER for t in row.targets if isinstance(t, S)
)
"""States that the runner itself can bring about."""
FINAL = _ANY - ACTIVE - {S.WAITING, S.READY}
"""Nothing happens to the job until a person acts."""
UNFINISHED = ACTIVE | {S.WAITING, S.READY}


def role_of(step: str) -> str:
    """Role of the runner that performs ``step``."""
    return next(role for role, steps in ROLES.items() if step in steps)


def next_steps(state: S) -> tuple[str, ...]:
    """Steps that look after a job in ``state``: whom to wake when a job arrives there."""
    return tuple(step for step, waiting in STEPS.items() if state in waiting)
