"""Dialogs: what an action will do, how far it is, what became of it. Also whole pages, for browsers without scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fasthtml.components import (
    H1,
    H2,
    A,
    Button,
    Code,
    Details,
    Div,
    Input,
    Label,
    Li,
    P,
    Progress,
    Span,
    Summary,
    Td,
    Tr,
    Ul,
)

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.webgui.flowactions import ASKS, FlowWish
from jobflow_remote.webgui.gate import Form
from jobflow_remote.webgui.jobactions import Outlook, first
from jobflow_remote.webgui.pages.setting import setting_fields, state_field
from jobflow_remote.webgui.parts import (
    Element,
    count,
    grid_table,
    hidden,
    notice,
    path_part,
    plural,
    post_form,
    state_badge,
)  # fmt: skip
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.tasks import Task

SHOWN = 20
"""Jobs of which a notice says what became of them; the page of the task has more."""


def ask_about_jobs(
    seen: Seen, outlook: Outlook, back: str, problem: JobflowRemoteError | None = None
) -> Element:
    """What an action on jobs will do. ``problem``: why the former answer to this question was none."""
    wish = outlook.wish
    form = wish.form
    listed = [Li(Code(job["db_id"]), f" {job['name']} ", state_badge(job["state"])) for job in outlook.jobs]
    extras: Mapping[str, Callable[[], Sequence[Element]]] = {
        "rerun": lambda: [_force(outlook)],
        "delete": _extras,
        "set": lambda: setting_fields(seen, outlook),
        "set_state": lambda: [state_field(first(form, "new_state"))],
    }
    return _question(
        _heading(outlook),
        notice(problem.message, problem.hint) if problem else None,
        P(wish.action.asks),
        Ul(*listed, Li(f"… and {count(len(wish.keys) - len(listed))} more") if len(wish.keys) > len(listed) else None),
        _outlook(outlook),
        post_form(
            f"{seen.root}/jobs/act", seen.form_key,
            *hidden(_again(form, outlook, back)),
            *(extras[wish.name]() if wish.name in extras else ()),
            Label(Span("Reason, for the history"), Input(name="why", maxlength="500", value=first(form, "why")))
            if wish.name != "set" else None,
            _buttons(_yes(outlook), back, danger=wish.name in ("rerun", "stop", "delete", "set_state")),
            data_dialog="1",
        ),
    )  # fmt: skip


def _heading(outlook: Outlook) -> str:
    jobs = plural(len(outlook.wish.keys), "job")
    asked = {"set": f"Settings of {jobs}", "set_state": f"Set the state of {jobs}"}
    return asked.get(outlook.wish.name, f"{outlook.wish.title}?")


def _yes(outlook: Outlook) -> str:
    """What the button says that does it."""
    jobs = plural(len(outlook.wish.keys), "job")
    return {"set": f"Set for {jobs}", "set_state": f"Write the state of {jobs}"}.get(
        outlook.wish.name, outlook.wish.title
    )


def _again(form: Form, outlook: Outlook, back: str) -> list[tuple[str, str]]:
    pairs = [("action", outlook.wish.name), ("confirmed", str(len(outlook.wish.keys))), ("back", back)]
    if form.get("scope") == ["filter"]:
        return [*pairs, ("scope", "filter"), ("filter", (form.get("filter") or [""])[0])]
    return [*pairs, *(("job", f"{uuid}:{index}") for uuid, index in outlook.wish.keys)]


def _extras() -> list[Element]:
    """What can be deleted along."""
    return [
        Label(Input(type="checkbox", name=name, value="1"), Span(f"delete their {what}, too"), cls="check")
        for name, what in (("outputs", "outputs"), ("files", "run folders"))
    ]


def _outlook(outlook: Outlook) -> Element:
    if outlook.wish.name in ("set", "set_state"):
        return None
    if outlook.changed is None:
        return P("Each job is looked at on its own; those that cannot be changed are left as they are.")
    parts: list[Any] = []
    if outlook.changed:
        along = ", those that go with them included" if outlook.changed > (outlook.possible or 0) else ""
        parts.append(P(f"{plural(outlook.changed, 'job')} will change{along}."))
    if outlook.refusals:
        parts.append(P(f"{plural(len(outlook.refusals), 'job')} will be left as they are:"))
        parts.append(Ul(*(Li(refusal) for refusal in outlook.refusals[:5])))
    return Div(*parts)


def _force(outlook: Outlook) -> Element:
    return Label(
        Input(
            type="checkbox",
            name="force",
            value="1",
            checked=(outlook.wish.form.get("force") or [""])[0] == "1",
        ),
        Span("also where others have built upon a job: all that depends on it runs again"),
        cls="check",
    )


def ask_about_flows(
    seen: Seen, wish: FlowWish, named: Sequence[Mapping[str, Any]], n_jobs: int, back: str
) -> Element:
    """What an action on flows will do."""
    listed = [
        Li(
            f"{flow['name']} ",
            Code(flow["uuid"][:8]),
            " ",
            state_badge(flow["state"]),
            f" {plural(flow['n_jobs'], 'job')}",
        )
        for flow in named
    ]
    again = [("action", wish.name), ("confirmed", str(len(wish.uuids))), ("back", back)]
    if wish.form.get("scope") == ["filter"]:
        again += [("scope", "filter"), ("filter", (wish.form.get("filter") or [""])[0])]
    else:
        again += [("flow", uuid) for uuid in wish.uuids]
    return _question(
        f"{wish.title} with {plural(n_jobs, 'job')}?",
        P(ASKS[wish.name]),
        Ul(
            *listed,
            Li(f"… and {count(len(wish.uuids) - len(listed))} more")
            if len(wish.uuids) > len(listed)
            else None,
        ),
        post_form(
            f"{seen.root}/flows/act",
            seen.form_key,
            *hidden(again),
            *_extras(),
            _buttons(wish.title, back, danger=True),
            data_dialog="1",
        ),
    )


def ask_about_runner(seen: Seen, action: str, label: str, back: str) -> Element:
    """What stopping the runner means."""
    return _question(
        f"{label} the runner?",
        P("Steps in hand are finished. Jobs that run go on; their results are fetched when the runner works again."),
        post_form(
            f"{seen.root}/runner/act", seen.form_key, *hidden([("action", action), ("confirmed", "1"), ("back", back)]),
            _buttons(f"{label} the runner", back), data_dialog="1",
        ),
    )  # fmt: skip


def _question(title: str, *content: Any) -> Element:
    return Div(H2(title, id="question"), *content, cls="question", data_fragment="dialog")


def _buttons(label: str, back: str, *, danger: bool = False) -> Element:
    return Div(
        Button(label, type="submit", cls="danger" if danger else "primary"),
        A("Cancel", href=back, cls="button", data_close="1"),
        cls="buttons",
    )


def task_box(seen: Seen, task: Task, *, account: bool = True) -> Element:
    """How far a task is, or what became of it."""
    address = f"{seen.root}/tasks/{task.key}"
    if not task.is_done:
        return Div(
            P(f"{task.title}: {count(task.done)} of {count(task.total)}" if task.total else f"{task.title} …"),
            Progress(value=str(task.done), max=str(task.total), aria_label=task.title) if task.total
            else Progress(aria_label=task.title),
            cls="notice working", data_fragment="task", data_task=address,
        )  # fmt: skip
    if task.error:
        head: Any = notice(f"{task.title}: {task.error}", task.hint)
    else:
        left = f", {count(task.refused)} left as they were" if task.refused else ""
        head = P(f"{task.title}: {count(task.changed)} changed{left}.")
    kind = "error" if task.error else "warning" if task.refused else "done"
    return Div(
        head, *(P(message) for message in task.messages), _short_account(task, address) if account else None,
        cls=f"notice {kind}", data_fragment="task", data_ended="1",
    )  # fmt: skip


def _short_account(task: Task, address: str) -> Element:
    """What became of the first jobs, and the way to the others; refusals are there to be read at once."""
    jobs = task.account
    if not jobs:
        return None
    shown = [Li(Code(job["db_id"]), f" {job['name']}: {_became(job)}") for job in jobs[:SHOWN]]
    return Details(
        Summary("What became of each job"),
        Ul(*shown, cls="account"),
        P(A("All of them, on a page", href=address)) if task.total > len(shown) else None,
        open=bool(task.refused),
    )


def _became(job: Mapping[str, Any]) -> str:
    if not job["done"]:
        return str(job["refusal"]) + (f" ({job['hint']})" if job["hint"] else "")
    moved = f" ({job['before']} → {job['after']})" if job["after"] != job["before"] else ""
    along = f", and {plural(len(job['along']), 'job')} with it" if job["along"] else ""
    return f"{job['what']}{moved}{along}"


def task_page(seen: Seen, task: Task) -> Element:
    """The same as a page, with what became of each job."""
    rows = [
        Tr(
            Td(A(job["db_id"], href=f"{seen.root}/jobs/{path_part(job['db_id'])}") if job["db_id"] else "–"),
            Td(job["name"], cls="wrap"),
            Td(
                Span(
                    "changed" if job["done"] else "left", cls=f"state {'green' if job['done'] else 'orange'}"
                )
            ),
            Td(_became(job), cls="wrap"),
        )
        for job in task.account
    ]
    more = task.total - len(rows)
    table = Div(
        grid_table(("Job", "Name", "", "What became of it"), rows, label="What became of each job"),
        P(f"… and {count(more)} more", cls="muted") if more > 0 else None,
        cls="card",
    )
    box = task_box(seen, task, account=False)
    return frame(
        seen, task.title, box, table if rows else None, P(A("Back", href=task.back)), heading=H1(task.title)
    )


def question_page(seen: Seen, question: Element) -> Element:
    """A dialog as a page."""
    return frame(seen, "Confirm", question, heading=H1("Please confirm"))
