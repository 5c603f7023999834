"""What can be done to selected jobs: which were meant, what it would do, doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from jobflow_remote.config.project import Project
from jobflow_remote.control import act
from jobflow_remote.control.flows import Deletion
from jobflow_remote.control.removing import delete_jobs
from jobflow_remote.control.runsettings import read_settings
from jobflow_remote.errors import ConfigError, JobflowRemoteError, NotAllowedError
from jobflow_remote.model.lifecycle import transition
from jobflow_remote.model.states import JobState
from jobflow_remote.services.opened import Services
from jobflow_remote.webgui.gate import Form
from jobflow_remote.webgui.params import Params, job_selection, parse_keys
from jobflow_remote.webgui.parts import plural
from jobflow_remote.webgui.tasks import Task
from jobflow_remote.webgui.world import Opened

TRIED = 200
"""For up to so many jobs it is found out beforehand what an action would do."""
NAMED = 10
SETTINGS = ("worker", "priority", "exec_config", "resources")
"""How jobs run: the fields of a form."""

Told = Callable[[act.JobOutcome], None]
Run = Callable[[Services, Sequence[act.Key], Form, bool, Told], list[act.JobOutcome]]
"""Acts on jobs as a form says, or (``True``) only says what would happen."""


@dataclass(frozen=True, slots=True)
class Action:
    """One button."""

    label: str
    run: Run
    event: str | None
    """Its row in the lifecycle; None: it changes no state."""
    asks: str = ""
    """What is lost or has to be known; such an action asks before it is done."""
    cls: str = ""
    help: str = ""
    say: Callable[[Form, str], str] | None = None
    """The action on ``3 jobs``, in words."""
    check: Callable[[Project, Form], object] = lambda project, form: None
    """Refuses a form that does not say what is needed."""

    @property
    def title(self) -> str:
        """What the button does, in a sentence."""
        return self.help or (transition(self.event).help if self.event else "")


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


def settings_of(project: Project, form: Form) -> act.RunSettings:
    """How jobs shall run, by what a form says.

    Raises
    ------
    NotAllowedError
        If it says nothing, or what the project does not know.
    """
    texts = {name: first(form, name).strip() for name in SETTINGS}
    try:
        found = read_settings(
            project, **texts, replace=_given(form, "replace"), qresources=_given(form, "qresources")
        )
    except ConfigError as error:
        raise NotAllowedError(error.message, hint=error.hint) from None
    if found.is_empty:
        raise NotAllowedError("nothing is to be set; nothing was changed", hint=f"give {', '.join(SETTINGS)}")
    return found


def new_state_of(form: Form) -> JobState:
    """The state that a form asks for.

    Raises
    ------
    NotAllowedError
        If it is none.
    """
    text = first(form, "new_state").strip()
    try:
        return JobState(text.upper())
    except ValueError:
        problem = f"no state of jobs is called {text!r}" if text else "no state was chosen"
        raise NotAllowedError(f"{problem}; nothing was changed") from None


def _set(
    services: Services, keys: Sequence[act.Key], form: Form, dry_run: bool, told: Told
) -> list[act.JobOutcome]:
    decide = act.set_properties(settings_of(services.project, form))
    return act.act_on_jobs(services, keys, decide, dry_run=dry_run, on_progress=told)


def _say_settings(form: Form, jobs: str) -> str:
    given = [f"{name} {text}" for name in SETTINGS if (text := first(form, name).strip())]
    return f"Set {', '.join(given)} of {jobs}" if given else f"Settings of {jobs}"


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
    "set": Action(
        "Settings …",
        _set,
        None,
        "What is left empty stays as it is.",
        help="set worker, priority, resources and exec_config",
        say=_say_settings,
        check=settings_of,
    ),
    "set_state": Action(
        "State …",
        _deciding(lambda form: act.set_state(new_state_of(form), _why(form))),
        "set_state",
        "For repairs: the state is written without any check. Nothing is run, stopped or removed.",
        say=lambda form, jobs: (
            f"Set {jobs} to {first(form, 'new_state').upper()}"
            if first(form, "new_state")
            else f"Set the state of {jobs}"
        ),
        check=lambda project, form: new_state_of(form),
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
        jobs = plural(len(self.keys), "job")
        return self.action.say(self.form, jobs) if self.action.say else f"{self.action.label} {jobs}"

    def check(self, project: Project) -> None:
        """Refuse a form that does not say all that is needed.

        Raises
        ------
        NotAllowedError
            With what is missing or wrong.
        """
        self.action.check(project, self.form)

    def find_problem(self, project: Project) -> NotAllowedError | None:
        """What is missing or wrong; None: nothing."""
        try:
            self.check(project)
        except NotAllowedError as error:
            return error
        return None

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
    outcomes: Sequence[act.JobOutcome] | None
    """What would become of each; None: too many to try, or the form does not say yet what is to be done."""

    present: Mapping[str, Any] = field(default_factory=dict)
    """How the jobs run, what is the same for all of them (for settings)."""
    in_hand: int = 0
    """How many of them the runner has in hand (for settings)."""

    @property
    def changed(self) -> int | None:
        """How many would change, those that go with them included."""
        if self.outcomes is None:
            return None
        return len({db_id for outcome in self.outcomes for db_id in outcome.changed})

    @property
    def possible(self) -> int | None:
        """How many of those that were selected would change."""
        return None if self.outcomes is None else sum(outcome.done for outcome in self.outcomes)

    @property
    def refusals(self) -> Sequence[str]:
        """Why others would not."""
        return [refusal_of(outcome) for outcome in self.outcomes or () if not outcome.done]


def look_ahead(opened: Opened, wish: Wish, *, complete: bool = True) -> Outlook:
    """Find out what an action would do, without doing it. ``complete``: the form says all that is needed."""
    queue = opened.services.queue
    named = [job for key in wish.keys[:NAMED] if (job := queue.get_job(*key)) is not None]
    jobs = [{"db_id": job["db_id"], "name": job["job"].get("name"), "state": job["state"]} for job in named]
    present, in_hand = _present_settings(opened, wish.keys) if wish.name == "set" else ({}, 0)
    tried = complete and len(wish.keys) <= TRIED
    outcomes = wish.run(opened.services, dry_run=True) if tried else None
    return Outlook(wish, jobs, outcomes, present, in_hand)


def _present_settings(opened: Opened, keys: Sequence[act.Key]) -> tuple[dict[str, Any], int]:
    found: list[Mapping[str, Any]] = []
    for start in range(0, min(len(keys), TRIED), 50):
        query = {"$or": [{"uuid": uuid, "index": index} for uuid, index in keys[start : start + 50]]}
        found += opened.services.queue.find_jobs(query, fields=(*SETTINGS, "state"))
    same = {name: found[0].get(name) for name in SETTINGS if found
            and all(job.get(name) == found[0].get(name) for job in found)}  # fmt: skip
    return same, sum(JobState(job["state"]) not in act.SETTABLE for job in found)


def refusal_of(outcome: act.JobOutcome) -> str:
    """Why a job was left as it was, and what helps."""
    return (outcome.refusal or "") + (f" ({outcome.hint})" if outcome.hint else "")


def plain_outcome(outcome: act.JobOutcome, words: str = "") -> dict[str, Any]:
    """What became of one job."""
    own = next((effect for effect in outcome.effects if effect.db_id == outcome.db_id), None)
    after = (own.after or own.before) if own and own.event != "deleted" else outcome.before
    return {
        "db_id": outcome.db_id, "uuid": outcome.uuid, "index": outcome.index, "name": outcome.name,
        "done": outcome.done, "what": words or (own.event if own else ""), "before": outcome.before, "after": after,
        "along": [db_id for db_id in outcome.changed if db_id != outcome.db_id],
        "refusal": outcome.refusal, "hint": outcome.hint,
    }  # fmt: skip


def perform(opened: Opened, wish: Wish, task: Task) -> None:
    """Do it; each job on its own."""
    task.total = len(wish.keys)
    changed: set[str] = set()

    def on_progress(outcome: act.JobOutcome) -> None:
        task.done += 1
        changed.update(outcome.changed)
        task.changed = len(changed)
        task.refused += not outcome.done
        task.tell(plain_outcome(outcome))

    with opened.borrow() as services:
        outcomes = wish.run(services, told=on_progress)
    for outcome in outcomes:
        for warning in outcome.warnings:
            task.note(f"job {outcome.db_id}: {warning}")
    if not changed:
        raise JobflowRemoteError("nothing was changed", hint=None)
