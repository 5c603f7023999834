"""Changes: every POST of a project. Asks where something is lost, starts a task, and says how to follow it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobflow_remote.errors import JobflowRemoteError, NotAllowedError, NotFoundError
from jobflow_remote.webgui import flowactions, jobactions, runnerstate
from jobflow_remote.webgui.answers import (
    answer_error,
    is_api,
    is_fragment,
    json_answer,
    opened_of,
    safe_path,
    seen_by,
)
from jobflow_remote.webgui.gate import Form
from jobflow_remote.webgui.jobactions import first
from jobflow_remote.webgui.pages import asking
from jobflow_remote.webgui.parts import Element
from jobflow_remote.webgui.shell import respond
from jobflow_remote.webgui.tasks import Task
from jobflow_remote.webgui.world import Opened

_PATIENCE_SECONDS = 1.0
"""Most changes are done at once; what takes longer is followed."""


def change_jobs(request: Request) -> Response:
    """An action on selected jobs."""

    return _guarded(request, lambda opened: _change_jobs(request, opened, request.state.form))


def _change_jobs(request: Request, opened: Opened, form: Form) -> Response:
    wish = jobactions.read_wish(opened, form)
    if is_api(request):
        wish.check(opened.project)
        if first(form, "dry_run"):
            return json_answer(_plain_outlook(jobactions.look_ahead(opened, wish)))
    elif wish.action.asks:
        confirmed, problem = _is_confirmed(request, len(wish.keys)), wish.find_problem(opened.project)
        if problem or not confirmed:
            outlook = jobactions.look_ahead(opened, wish, complete=problem is None)
            told = problem if confirmed else None
            question = asking.ask_about_jobs(seen_by(request, opened), outlook, _back(request), told)
            return _ask(request, opened, question)
    return _start(request, opened, wish.title, lambda task: jobactions.perform(opened, wish, task))


def change_flows(request: Request) -> Response:
    """An action on selected flows, or on their jobs."""

    def change(opened: Opened) -> Response:
        if first(request.state.form, "action") in flowactions.ON_JOBS:
            return _change_jobs(request, opened, flowactions.form_for_jobs(opened, request.state.form))
        wish = flowactions.read_wish(opened, request.state.form)
        if wish.name in flowactions.ASKS and not _is_confirmed(request, len(wish.uuids)):
            named, n_jobs = flowactions.describe(opened, wish)
            question = asking.ask_about_flows(seen_by(request, opened), wish, named, n_jobs, _back(request))
            return _ask(request, opened, question)
        return _start(request, opened, wish.title, lambda task: flowactions.perform(opened, wish, task))

    return _guarded(request, change)


def change_runner(request: Request) -> Response:
    """Start, stop or shut down the runner."""

    def change(opened: Opened) -> Response:
        action = first(request.state.form, "action")
        if action not in runnerstate.ACTIONS:
            raise NotAllowedError(f"there is no action {action!r}")
        label = runnerstate.ACTIONS[action]
        if action != "start" and not _is_confirmed(request, 1):
            question = asking.ask_about_runner(seen_by(request, opened), action, label, _back(request))
            return _ask(request, opened, question)
        title = f"{label} the runner"
        return _start(request, opened, title, lambda task: runnerstate.perform(opened, task, action))

    return _guarded(request, change)


def show_task(request: Request) -> Response:
    """How far a task is."""

    def show(opened: Opened) -> Response:
        task = opened.tasks.get(request.path_params["key"])
        if task is None:
            raise NotFoundError("there is no such task any more")
        return _answer_task(request, opened, task)

    return _guarded(request, show)


def _guarded(request: Request, work: Callable[[Opened], Response]) -> Response:
    opened = None
    try:
        opened = opened_of(request)
        return work(opened)
    except JobflowRemoteError as error:
        return answer_error(request, error, opened)
    except Exception as error:  # noqa: BLE001  # it is logged, and whoever asked is told
        return answer_error(request, error, opened)


def _back(request: Request) -> str:
    return safe_path(first(request.state.form, "back"), f"/p/{request.path_params['project']}")


def _is_confirmed(request: Request, number: int) -> bool:
    """Whether a person has said yes to just so many; programs are taken at their word."""
    return is_api(request) or first(request.state.form, "confirmed") == str(number)


def _ask(request: Request, opened: Opened, question: Element) -> Response:
    return respond(
        question if is_fragment(request) else asking.question_page(seen_by(request, opened), question)
    )


def _start(request: Request, opened: Opened, title: str, work: Callable[[Task], None]) -> Response:
    task = opened.tasks.start(Task(title, _back(request)), work)
    task.ended.wait(_PATIENCE_SECONDS)
    if is_api(request) or is_fragment(request):
        return _answer_task(request, opened, task)
    return RedirectResponse(f"{seen_by(request, opened).root}/tasks/{task.key}", status_code=303)


def _answer_task(request: Request, opened: Opened, task: Task) -> Response:
    if is_api(request):
        return json_answer(task.to_plain(), status=200 if task.is_done else 202)
    seen = seen_by(request, opened)
    return respond(asking.task_box(seen, task) if is_fragment(request) else asking.task_page(seen, task))


def _plain_outlook(outlook: jobactions.Outlook) -> dict[str, Any]:
    return {
        "title": outlook.wish.title,
        "selected": len(outlook.wish.keys),
        "possible": outlook.possible,
        "changed": outlook.changed,
        "refusals": list(outlook.refusals),
        "jobs": [jobactions.plain_outcome(outcome) for outcome in outlook.outcomes or ()],
    }
