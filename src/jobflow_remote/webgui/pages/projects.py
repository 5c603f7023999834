"""The projects of this user: choosing one; and what is said where a page cannot be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fasthtml.components import H1, A, Code, P, Td, Tr

from jobflow_remote.webgui.parts import Element, empty, grid_table, notice, path_part, section
from jobflow_remote.webgui.shell import Seen, frame
from jobflow_remote.webgui.world import ProjectFile, World


def read(world: World) -> dict[str, Any]:
    """All project files."""
    return {"projects": world.list_projects()}


def render(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The page."""
    files: Sequence[ProjectFile] = data["projects"]
    if not files:
        content = empty(
            "There are no projects yet.", P("Make one with ", Code("jf project generate NAME"), ".")
        )
    else:
        content = grid_table(
            ("Project", "Queue", "Workers", "File"),
            [_line(each) for each in files],
            label="Projects",
        )
    return frame(seen, "Projects", section("Choose a project", content), heading=H1("Projects"))


def _line(each: ProjectFile) -> Element:
    if each.name is None:
        return Tr(Td("(cannot be read)"), Td(each.problem, colspan="2", cls="wrap"), Td(Code(each.filepath)))
    return Tr(
        Td(A(each.name, href=f"/p/{path_part(each.name)}")), Td(each.queue), Td(", ".join(each.workers) or "none"),
        Td(Code(each.filepath)),
    )  # fmt: skip


def problem_page(seen: Seen, title: str, message: str, hint: str | None) -> Element:
    """Something went wrong."""
    return frame(seen, title, notice(message, hint), P(A("Back to the first page", href=seen.root or "/")))
