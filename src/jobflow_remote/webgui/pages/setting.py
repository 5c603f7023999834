"""The fields that say how jobs shall run, and the one for their state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fasthtml.components import Input, Label, P, Span, Textarea

from jobflow_remote.control.act import SETTABLE
from jobflow_remote.model.lifecycle import describe
from jobflow_remote.model.states import JobState
from jobflow_remote.webgui.gate import Form
from jobflow_remote.webgui.jobactions import Outlook, first
from jobflow_remote.webgui.parts import Element, choice, field, plural
from jobflow_remote.webgui.rows import to_json
from jobflow_remote.webgui.shell import Seen


def setting_fields(seen: Seen, outlook: Outlook) -> Sequence[Element]:
    """Worker, priority, exec_config and resources; each says how it is at present."""
    assert seen.opened is not None
    project, form, present = seen.opened.project, outlook.wish.form, outlook.present
    return [
        _hands(outlook),
        _choice("worker", "Worker", list(project.workers), form, present),
        field("priority", "Priority (those with a higher one run first)", first(form, "priority"), inputmode="numeric",
              placeholder=_as_it_is(present, "priority")),
        _choice("exec_config", "Execution configuration", list(project.exec_config), form, present),
        Label(
            Span("Resources, as JSON or KEY=VALUE,…"),
            Textarea(first(form, "resources"), name="resources", rows="3", spellcheck="false",
                     placeholder=_as_it_is(present, "resources")),
        ),
        _tick(form, "replace", "forget the present resources (else those that are not named stay)"),
        _tick(form, "qresources", "the names are those of QResources"),
    ]  # fmt: skip


def state_field(chosen: str) -> Element:
    """Any state."""
    states = [("", "choose …"), *((state.value, state.value) for state in JobState)]
    return choice("new_state", "New state", states, [chosen.upper()], required=True)


def _hands(outlook: Outlook) -> Element:
    if not outlook.in_hand:
        return None
    return P(
        f"The runner has {plural(outlook.in_hand, 'job')} in hand: there only the priority can be set. The others can "
        f"be set in {describe(SETTABLE)}.",
        cls="hint",
    )


def _as_it_is(present: Mapping[str, Any], name: str) -> str:
    """The present value, where all jobs have the same."""
    if name not in present:
        return "as it is (not the same for all)"
    value = present[name]
    return f"as it is ({value if isinstance(value, str | int) else to_json(value) if value else 'none'})"


def _choice(name: str, label: str, names: list[str], form: Form, present: Mapping[str, Any]) -> Element:
    if not names:
        return None
    options = [("", _as_it_is(present, name)), *((each, each) for each in names)]
    return choice(name, label, options, [first(form, name)])


def _tick(form: Form, name: str, label: str) -> Element:
    ticked = first(form, name) == "1"
    return Label(Input(type="checkbox", name=name, value="1", checked=ticked), Span(label), cls="check")
