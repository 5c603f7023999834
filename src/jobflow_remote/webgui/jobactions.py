"""What can be done to selected jobs: which were meant, what it would do, doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from jobflow_remote.control import act
from jobflow_remote.errors import JobflowRemoteError, NotAllowedError
from jobflow_remote.model.lifecycle import transition
from jobflow_remote.webgui.gate import Form
from jobflow_remote.webgui.params import Params, job_selection, parse_keys
from jobflow_remote.webgui.parts import plural
from jobflow_remote.webgui.tasks import Task
from jobflow_remote.webgui.world import Opened

TRIED = 200
"""For up to so many jobs it is found out beforehand what an action would do."""
NAMED = 10


@dataclass(frozen=True, slots=True)
class Action:
    """One button."""

    label: str
    decide: Callable[[Form], act.Decide]
    event: str
    asks: str = ""
    """What is lost; such an action asks before it is done."""
    cls: str = ""

    @property
    def title(self) -> str:
        """What the button does, in a sentence."""
        return transition(self.event).help


def _given(form: Form, key: str) -> bool:
    return first(form, key).lower() in ("1", "true", "on", "yes")


def first(form: Form, key: str) -> str:
    """The first value of a field, or nothing."""
    return (form.get(key) or [""])[0]


def _why(form: Form) -> str | None:
    return first(form, "why").strip() or None


ACTIONS: dict[str, Action] = {
    "rerun": Action(
        "Rerun", lambda form: act.run_again(force=_given(form, "force"), why=_why(form)), "rerun",
        "What the former run left is lost: its outputs, its files, and the jobs that it brought about.",
    ),
    "retry": Action("Retry", lambda form: act.retry(_why(form)), "retry"),
    "play": Action("Play", lambda form: act.play(_why(form)), "play"),
    "pause": Action("Pause", lambda form: act.pause(_why(form)), "pause"),
    "stop": Action(
        "Stop", lambda form: act.stop(_why(form)), "stop",
        "What running jobs have done so far is lost; Play starts them from the beginning.", "danger",
    ),
}  # fmt: skip
ALIASES = {"resume": "play"}


@dataclass(frozen=True, slots=True)
class Wish:
    """An action on jobs that were selected."""

    name: str
    action: Action
    keys: Sequence[act.Key]
    form: Form

    @property
    def title(self) -> str:
        """What is to be done."""
        return f"{self.action.label} {plural(len(self.keys), 'job')}"

    @property
    def decide(self) -> act.Decide:
        """The decision for each job."""
        return self.action.decide(self.form)


def read_wish(opened: Opened, form: Form) -> Wish:
    """What a form asks for.

    Raises
    ------
    NotAllowedError
        If nothing was selected, or the action is unknown. An empty selection never means everything.
    """
    name = first(form, "action")
    name = ALIASES.get(name, name)
    if name not in ACTIONS:
        raise NotAllowedError(f"there is no action {name!r}", hint=f"there are {', '.join(ACTIONS)}")
    if first(form, "scope") == "filter":
        keys = _matching(opened, first(form, "filter"))
    else:
        keys = list(dict.fromkeys(parse_keys(form.get("job") or ())))
    if not keys:
        raise NotAllowedError(
            "no job is selected; nothing was changed", hint="mark the jobs in the first column"
        )
    return Wish(name, ACTIONS[name], keys, form)


def _matching(opened: Opened, query: str) -> list[act.Key]:
    params = Params.from_pairs(parse_qsl(query, keep_blank_values=True))
    queue = opened.services.queue
    found = queue.find_jobs(
        job_selection(queue, params).to_filter(), fields=("uuid", "index"), sort=(("db_number", 1),)
    )
    return [(job["uuid"], job["index"]) for job in found]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an action would do."""

    wish: Wish
    jobs: Sequence[Mapping[str, Any]]
    """Some of the jobs, to be named."""
    changed: int | None
    """How many would change, those that go with them included; None: too many to try."""
    possible: int | None
    refusals: Sequence[str] = ()


def look_ahead(opened: Opened, wish: Wish) -> Outlook:
    """Find out what an action would do, without doing it."""
    queue = opened.services.queue
    named = [job for key in wish.keys[:NAMED] if (job := queue.get_job(*key)) is not None]
    jobs = [{"db_id": job["db_id"], "name": job["job"].get("name"), "state": job["state"]} for job in named]
    if len(wish.keys) > TRIED:
        return Outlook(wish, jobs, None, None)
    outcomes = act.act_on_jobs(opened.services, wish.keys, wish.decide, dry_run=True)
    changed = {db_id for outcome in outcomes for db_id in outcome.changed}
    refusals = [_refusal(outcome) for outcome in outcomes if not outcome.done]
    return Outlook(wish, jobs, len(changed), sum(outcome.done for outcome in outcomes), refusals)


def _refusal(outcome: act.JobOutcome) -> str:
    return (outcome.refusal or "") + (f" ({outcome.hint})" if outcome.hint else "")


def perform(opened: Opened, wish: Wish, task: Task) -> None:
    """Do it; each job on its own."""
    task.total = len(wish.keys)
    changed: set[str] = set()

    def on_progress(outcome: act.JobOutcome) -> None:
        task.done += 1
        changed.update(outcome.changed)
        task.changed = len(changed)
        if not outcome.done:
            task.refused += 1
            task.note(_refusal(outcome))

    with opened.borrow() as services:
        outcomes = act.act_on_jobs(services, wish.keys, wish.decide, on_progress=on_progress)
    for outcome in outcomes:
        for warning in outcome.warnings:
            task.note(f"job {outcome.db_id}: {warning}")
    if not changed:
        raise JobflowRemoteError("nothing was changed", hint=None)
