"""Every action on a job in every state, against the lifecycle table, on any queue database.

The table is the specification: what it lists must end where it says, everything else must be refused in words that
name the state, and leave the job as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow_remote.bootstrap import make_host, make_outputs, make_scheduler
from jobflow_remote.config.project import Project
from jobflow_remote.control import act, removing
from jobflow_remote.control.flows import Deletion
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.lifecycle import ACTIVE, TABLE, Actor, Target, Transition
from jobflow_remote.model.records import Document
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.services.opened import Services
from jobflow_remote.testing.contracts.queuedb.documents import ANY_STATE, WORKER, ToyFlow, toy_flow

S = JobState
SHAPE = {"parent": [], "subject": ["parent"], "child": ["subject"], "other": []}
HELD = frozenset({S.PAUSED, S.STOPPED, S.USER_STOPPED})
BATCH = frozenset({S.BATCH_SUBMITTED, S.BATCH_RUNNING})
REMEMBERED = S.SUBMITTED
"""What a REMOTE_ERROR of these tests was before."""

ROWS = {row.event: row for row in TABLE if row.actor is not Actor.RUNNER}


@dataclass(frozen=True, slots=True)
class Case:
    """One action on one job."""

    event: str
    state: JobState
    force: bool = False
    parent_done: bool = True
    to: JobState | None = None
    """Of ``set_state``."""

    @property
    def row(self) -> Transition:
        """The row of the table."""
        return ROWS[self.event]

    @property
    def allowed(self) -> bool:
        """Whether the table lists it."""
        return self.state in lifecycle.sources(self.event, force=self.force)

    @property
    def end(self) -> set[JobState | None]:
        """Where the job may be afterwards; None: nowhere."""
        if not self.allowed:
            return {self.state}
        fixed: set[JobState | None] = {to for to in self.row.targets if isinstance(to, JobState)}
        if fixed == {S.READY, S.WAITING}:
            return {S.READY if self.parent_done else S.WAITING}
        if self.event == "retry":
            return {REMEMBERED if self.state is S.REMOTE_ERROR else self.state}
        if Target.ANY in self.row.targets:
            return {self.to if (self.to, self.parent_done) != (S.WAITING, True) else S.READY}
        return {None} if Target.GONE in self.row.targets else fixed

    def __str__(self) -> str:
        to = f" to {self.to.value}" if self.to else ""
        parent = "" if self.parent_done else ", parent open"
        return f"{self.event}{to}{' --force' if self.force else ''} of {self.state.value}{parent}"


def all_cases(*, every_target: bool) -> list[Case]:
    """One for each action, state and force; ``every_target``: of ``set_state`` each pair of states."""
    return [case for row in ROWS.values() for case in _cases_of(row, every_target=every_target)]


def _cases_of(row: Transition, *, every_target: bool) -> Iterator[Case]:
    states = list(S)
    for number, state in enumerate(states):
        if Target.ANY in row.targets:
            targets = states if every_target else [states[(number * 5 + 3) % len(states)]]
            yield from (Case(row.event, state, parent_done=state is not S.WAITING, to=to) for to in targets)
            continue
        for force in (False, True) if row.forced else (False,):
            if state is not S.WAITING:  # without an open parent it would not be WAITING
                yield Case(row.event, state, force)
            if state in HELD | {S.WAITING} and row.event != "wait_again":
                yield Case(row.event, state, force, parent_done=False)


# -- acting ----------------------------------------------------------------------------------------------------


def make_services(folder: Path, queue: QueueDatabase) -> Services:
    """Services of a project with one worker, over a queue database that is open already."""
    project = Project.model_validate(
        {
            "name": "table",
            "base_dir": str(folder),
            "workers": {
                WORKER: {"type": "local", "scheduler_type": "shell", "work_dir": str(folder / "run")},
                "another": {"type": "local", "scheduler_type": "shell", "work_dir": str(folder / "run2")},
            },
            "queue": {"store": {"type": "SQLiteStore", "path": str(folder / "unused.sqlite")}},
        }
    )
    return Services(project, queue, make_host, make_scheduler, make_outputs)


def _perform(services: Services, case: Case, flow: ToyFlow) -> act.JobOutcome:
    key = (flow["subject"], 1)
    if case.event == "delete":
        return removing.delete_jobs(services, [key], Deletion()).outcomes[0]
    simple: dict[str, Callable[[], act.Decide]] = {
        "retry": act.retry,
        "pause": act.pause,
        "play": act.play,
        "stop": act.stop,
        "rerun": lambda: act.run_again(force=case.force),
        "wait_again": lambda: act.run_again(force=case.force),
        "set_state": lambda: act.set_state(case.to or S.READY),
    }
    if case.event == "wait_again":
        key = (flow["parent"], 1)
    return act.act_on_jobs(services, [key], simple[case.event]())[0]


def walk(services: Services, *, every_target: bool = False) -> tuple[int, list[str]]:
    """Do everything; returns how many actions there were, and a line for each that went otherwise."""
    queue = services.queue
    token = queue.open_session({"user": "ada"}, lease_seconds=600).token
    cases = all_cases(every_target=every_target)
    flows = [toy_flow(SHAPE) for _ in cases]
    for flow in flows:
        queue.insert_flow(flow.new)
    folder = Path(services.project.base_dir or "") / "folders"
    prepared = [_prepare(case, flow, token, folder) for case, flow in zip(cases, flows, strict=True)]
    wrong = [result.refusal or "" for result in queue.apply(prepared) if not result.applied]
    for case, flow in zip(cases, flows, strict=True):
        before = queue.get_job(flow["subject"])
        assert before is not None
        assert before["state"] == case.state, (case, before["state"])
        outcome = _perform(services, case, flow)
        wrong += [f"{case}: {line}" for line in _judge(case, before, outcome, queue.get_job(flow["subject"]))]
    queue.close_session(token)
    return len(cases), wrong + queue.check_integrity()


def _prepare(case: Case, flow: ToyFlow, token: str, folder: Path) -> ChangeSet:
    parent = S.COMPLETED if case.parent_done else S.READY
    if case.event == "wait_again":
        parent = S.FAILED
    run_dir = folder / flow["subject"]
    if case.state is S.BATCH_SUBMITTED:  # pilots are kept from it by a file in its folder
        run_dir.mkdir(parents=True)
    fields: Document = {"run_dir": str(run_dir)}
    if case.state is S.REMOTE_ERROR:
        fields["previous_state"] = REMEMBERED.value
    holder = token if case.state in ACTIVE else None
    return ChangeSet(
        flow.uuid,
        (
            JobChange(flow["parent"], 1, ANY_STATE, parent, event="set_state"),
            JobChange(
                flow["subject"], 1, ANY_STATE, case.state, fields=fields, holder=holder, event="set_state"
            ),
        ),
    )


def _judge(case: Case, before: Document, outcome: act.JobOutcome, after: Document | None) -> Iterator[str]:
    state = JobState(after["state"]) if after else None
    if case.event == "wait_again":
        yield from _judge_child(case, outcome, state)
        return
    if outcome.done is not case.allowed:
        yield f"{'allowed' if outcome.done else 'refused: ' + str(outcome.refusal)}"
    if state not in case.end:
        yield f"it is {state}, and should be {sorted(map(str, case.end))}"
    if not case.allowed:
        yield from _judge_refusal(case, outcome)
        if after != before:
            yield "it was refused, and the job changed all the same"
    elif after is not None:
        events = [entry["event"] for entry in after["history"][-2:]]
        if case.event not in events:
            yield f"its history says {events}"
        if state not in ACTIVE and after["claim"] is not None:
            yield "a runner still holds it"


def _judge_child(case: Case, outcome: act.JobOutcome, state: JobState | None) -> Iterator[str]:
    if outcome.done is not case.allowed:
        yield f"rerun of its parent was {'allowed' if outcome.done else 'refused'}"
    if state is not (S.WAITING if case.allowed else case.state):
        yield f"it is {state}"
    if not case.allowed and f"({case.state.value})" not in (outcome.refusal or ""):
        yield f"the refusal does not name it: {outcome.refusal}"


def _judge_refusal(case: Case, outcome: act.JobOutcome) -> Iterator[str]:
    words = [f"cannot {case.event.replace('_', ' ')}", case.state.value, lifecycle.describe(case.row.sources)]
    for word in words:
        if word not in (outcome.refusal or ""):
            yield f"the refusal does not say {word!r}: {outcome.refusal}"
    if (case.state in case.row.forced) is not ("--force" in (outcome.hint or "")):
        yield f"the hint is {outcome.hint}"


def walk_settings(services: Services) -> tuple[int, list[str]]:
    """How jobs run, set in every state."""
    queue = services.queue
    wrong, number = [], 0
    settings: Sequence[tuple[act.RunSettings, bool]] = [
        (act.RunSettings(worker="another"), True),
        (act.RunSettings(exec_config={"pre_run": "true"}), True),
        (act.RunSettings(resources={"nodes": 2}), True),
        (act.RunSettings(resources={"nodes": 2}, priority=3), True),
        (act.RunSettings(priority=7), False),
    ]
    for state in S:
        for given, restricted in settings:
            number += 1
            flow = toy_flow({"parent": [], "subject": ["parent"]})
            queue.insert_flow(flow.new)
            change = JobChange(flow["subject"], 1, ANY_STATE, state, event="set_state")
            queue.apply([ChangeSet(flow.uuid, (change,))])
            outcome = act.act_on_jobs(services, [(flow["subject"], 1)], act.set_properties(given))[0]
            job: dict[str, Any] = queue.get_job(flow["subject"]) or {}
            allowed = state in act.SETTABLE or not restricted
            if outcome.done is not allowed or job["state"] != state:
                wrong.append(f"{given} in {state.value}: {outcome.refusal or 'allowed'}, now {job['state']}")
            for name in ("worker", "exec_config", "resources", "priority"):
                wanted = getattr(given, name)
                if wanted is not None and (job[name] == wanted) is not allowed:
                    wrong.append(f"{given} in {state.value}: {name} is {job[name]}")
    return number, wrong + queue.check_integrity()
