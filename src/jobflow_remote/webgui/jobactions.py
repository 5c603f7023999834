"""What can be done to selected jobs: which were meant, what it would do, doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from jobflow_remote.control import act
from jobflow_remote.control.flows import Deletion
from jobflow_remote.control.removing import delete_jobs
from jobflow_remote.errors import JobflowRemoteError, NotAllowedError
from jobflow_remote.model.lifecycle import transition
from jobflow_remote.services.opened import Services
from jobflow_remote.webgui.gate import Form
from jobflow_remote.webgui.params import Params, job_selection, parse_keys
from jobflow_remote.webgui.parts import plural
from jobflow_remote.webgui.tasks import Task
from jobflow_remote.webgui.world import Opened

TRIED = 200
"""For up to so many jobs it is found out beforehand what an action would do."""
NAMED = 10


Told = Callable[[act.JobOutcome], None]
Run = Callable[[Services, Sequence[act.Key], Form, bool, Told], list[act.JobOutcome]]
"""Acts on jobs as a form says, or (``True``) only says what would happen."""


@dataclass(frozen=True, slots=True)
class Action:
    """One button."""

    label: str
    run: Run
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


def _deciding(decide: Callable[[Form], act.Decide]) -> Run:
    """An action that is a decision for each job."""
    return lambda services, keys, form, dry_run, told: act.act_on_jobs(
        services, keys, decide(form), dry_run=dry_run, on_progress=told
    )


def _delete(
    services: Services, keys: Sequence[act.Key], form: Form, dry_run: bool, told: Told
) -> list[act.JobOutcome]:
    what = Deletion(outputs=_given(form, "outputs"), files=_given(form, "files"))
    done = delete_jobs(services, keys, what, why=_why(form), dry_run=dry_run, on_progress=told)
    if done.outcomes and done.problems:  # what stays on a worker is told beside the first job
        done.outcomes[0] = replace(done.outcomes[0], warnings=(*done.outcomes[0].warnings, *done.problems))
    return done.outcomes


ACTIONS: dict[str, Action] = {
    "rerun": Action(
        "Rerun",
        _deciding(lambda form: act.run_again(force=_given(form, "force"), why=_why(form))),
        "rerun",
        "What the former run left is lost: its outputs, its files, and the jobs that it brought about.",
    ),
    "retry": Action("Retry", _deciding(lambda form: act.retry(_why(form))), "retry"),
    "play": Action("Play", _deciding(lambda form: act.play(_why(form))), "play"),
    "pause": Action("Pause", _deciding(lambda form: act.pause(_why(form))), "pause"),
    "stop": Action(
        "Stop",
        _deciding(lambda form: act.stop(_why(form))),
        "stop",
        "What running jobs have done so far is lost; Play starts them from the beginning.",
        "danger",
    ),
    "delete": Action(
        "Delete",
        _delete,
        "delete",
        "The jobs leave the queue, and their processes are ended. This cannot be undone.",
        "danger",
    ),
}
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

    def run(
        self, services: Services, *, dry_run: bool = False, told: Told = lambda outcome: None
    ) -> list[act.JobOutcome]:
        """Do it."""
        return self.action.run(services, self.keys, self.form, dry_run, told)


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
    outcomes = wish.run(opened.services, dry_run=True)
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
        outcomes = wish.run(services, told=on_progress)
    for outcome in outcomes:
        for warning in outcome.warnings:
            task.note(f"job {outcome.db_id}: {warning}")
    if not changed:
        raise JobflowRemoteError("nothing was changed", hint=None)
