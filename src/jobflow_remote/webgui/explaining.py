"""Why a job or a flow is where it is, as ``jf explain`` says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fasthtml.components import Code, Li, Span, Ul

from jobflow_remote.control import explain
from jobflow_remote.webgui.parts import Element, empty
from jobflow_remote.webgui.world import Opened

_SHADES = {"fine": "green", "note": "blue", "wait": "cyan", "problem": "red"}


def read(opened: Opened, key: str, index: int | None = None, *, is_flow: bool = False) -> dict[str, Any]:
    """What there is to know."""
    found = explain.explain(opened.services.queue, opened.project, key, index, is_flow=is_flow)
    return explain.as_plain(found)


def findings(data: Mapping[str, Any]) -> Element:
    """A line for each finding, with the commands that would help."""
    if not data["findings"]:
        return empty("There is nothing to say.")
    return Ul(
        *(
            Li(
                Span(finding["about"], cls=f"state {_SHADES.get(finding['weight'], 'grey')}"),
                " ",
                finding["text"],
                *(part for command in finding["commands"] for part in (" ", Code(command))),
            )
            for finding in data["findings"]
        ),
        cls="findings",
    )
