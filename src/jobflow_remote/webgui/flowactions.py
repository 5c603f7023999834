"""What can be done to selected flows: resume what is held, delete them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jobflow_remote.control import flows
from jobflow_remote.control.inspect import list_flows
from jobflow_remote.errors import JobflowRemoteError, NotAllowedError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.selection import FlowSelection
from jobflow_remote.model.states import JobState
from jobflow_remote.webgui.gate import Form
from jobflow_remote.webgui.jobactions import NAMED, first
from jobflow_remote.webgui.params import Params, flow_selection, job_selection
from jobflow_remote.webgui.parts import plural
from jobflow_remote.webgui.tasks import Task
from jobflow_remote.webgui.world import Opened

LABELS = {"resume": "Resume", "delete": "Delete"}
TITLES = {
    "pause": "hold back the jobs that have not begun",
    "retry": "try the failed steps of jobs in REMOTE_ERROR again",
    "rerun": "run the jobs again that are FAILED",
    "stop": "stop all jobs that have not ended",
    "resume": "let paused and stopped jobs go on",
}
ON_JOBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pause": ("Pause jobs", ()),
    "retry": ("Retry errors", ("REMOTE_ERROR",)),
    "rerun": ("Rerun failed", ("FAILED",)),
    "stop": ("Stop jobs", ()),
}
"""Actions on the jobs of flows, and the states of those that are meant: by default all that the action takes."""
ASKS = {
    "delete": "The flows and all of their jobs leave the queue, and their processes are ended. This cannot be undone."
}


@dataclass(frozen=True, slots=True)
class FlowWish:
    """An action on flows that were selected."""

    name: str
    uuids: Sequence[str]
    form: Form

    @property
    def title(self) -> str:
        """What is to be done."""
        return f"{LABELS[self.name]} {plural(len(self.uuids), 'flow')}"


def read_wish(opened: Opened, form: Form) -> FlowWish:
    """What a form asks for; an empty selection never means everything.

    Raises
    ------
    NotAllowedError
        If nothing was selected, or the action is unknown.
    """
    name = first(form, "action")
    if name not in LABELS:
        known = ", ".join([*LABELS, *ON_JOBS])
        raise NotAllowedError(f"there is no action {name!r}", hint=f"there are {known}")
    return FlowWish(name, _selected(opened, form), form)


def form_for_jobs(opened: Opened, form: Form) -> Form:
    """What an action on flows asks of their jobs, as a form for jobs.

    Raises
    ------
    NotAllowedError
        If no flow was selected, or none of their jobs is meant.
    """
    name, uuids = first(form, "action"), _selected(opened, form)
    query = jobs_query(name, uuids)
    selection = job_selection(opened.services.queue, Params.from_pairs(parse_qsl(query)))
    if not opened.services.queue.count_jobs(selection.to_filter()):
        states = lifecycle.describe(JobState(state) for state in _states(name))
        raise NotAllowedError(
            f"no job of {plural(len(uuids), 'flow')} is {states}; nothing was changed",
            hint=f"`{ON_JOBS[name][0]}` would {TITLES[name]}",
        )
    return {**form, "scope": ["filter"], "filter": [query]}


def jobs_query(name: str, uuids: Sequence[str]) -> str:
    """The jobs of flows that an action is about, as the query of an address."""
    return urlencode([*(("flow", uuid) for uuid in uuids), *(("state", state) for state in _states(name))])


def _states(name: str) -> Sequence[str]:
    return ON_JOBS[name][1] or sorted(state.value for state in lifecycle.sources(name))


def _selected(opened: Opened, form: Form) -> list[str]:
    if first(form, "scope") == "filter":
        params = Params.from_pairs(parse_qsl(first(form, "filter"), keep_blank_values=True))
        queue = opened.services.queue
        found = queue.find_flows(flow_selection(queue, params).to_filter(), fields=["uuid"])
        uuids = [flow["uuid"] for flow in found]
    else:
        uuids = list(dict.fromkeys(form.get("flow") or ()))
    if not uuids:
        raise NotAllowedError(
            "no flow is selected; nothing was changed", hint="mark the flows in the first column"
        )
    return uuids


def describe(opened: Opened, wish: FlowWish) -> tuple[Sequence[Mapping[str, Any]], int]:
    """Some of the flows, and how many jobs all of them have."""
    named = list_flows(opened.services.queue, FlowSelection(flow_ids=wish.uuids[:NAMED]), limit=NAMED)
    n_jobs = 0
    for start in range(0, len(wish.uuids), 500):
        query = {"uuid": {"$in": list(wish.uuids[start : start + 500])}}
        n_jobs += sum(
            flow.get("n_jobs") or 0 for flow in opened.services.queue.find_flows(query, fields=["n_jobs"])
        )
    return named, n_jobs


def perform(opened: Opened, wish: FlowWish, task: Task) -> None:
    """Do it."""
    task.total = len(wish.uuids)
    if wish.name == "delete":
        _delete(opened, wish, task)
    else:
        _resume(opened, wish, task)


def _delete(opened: Opened, wish: FlowWish, task: Task) -> None:
    what = flows.Deletion(outputs=bool(first(wish.form, "outputs")), files=bool(first(wish.form, "files")))

    def on_progress(uuid: str) -> None:
        task.done += 1

    with opened.borrow() as services:
        done = flows.delete_flows(services, wish.uuids, what, on_progress=on_progress)
    task.changed = len(done.deleted)
    task.refused = task.total - task.changed
    for problem in done.problems:
        task.note(problem)


def _resume(opened: Opened, wish: FlowWish, task: Task) -> None:
    for uuid in wish.uuids:
        try:
            task.changed += flows.resume_flow(opened.services, uuid)
        except JobflowRemoteError as error:
            task.refused += 1
            task.note(error.message)
        task.done += 1
