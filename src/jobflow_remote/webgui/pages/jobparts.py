"""What a job left behind, asked of its worker and of the output store: texts, files, output as a foldable tree."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fasthtml.components import H2, A, Code, Details, Div, Li, P, Span, Summary, Td, Tr, Ul

from jobflow_remote.control import files
from jobflow_remote.control.inspect import get_job_output
from jobflow_remote.errors import NotFoundError
from jobflow_remote.webgui.parts import (
    Element,
    count,
    empty,
    file_size,
    grid_table,
    moment,
    notice,
    path_part,
    text_block,
)  # fmt: skip
from jobflow_remote.webgui.shell import Seen
from jobflow_remote.webgui.world import Opened

TAIL_CHARACTERS = 100_000
MOST_FILES = 500
MOST_NODES = 3000
"""Of an output, so many parts are shown."""
_LONG_LIST, _LONG_TEXT = 20, 2000


# -- what the process wrote ------------------------------------------------------------------------------------


def read_printed(opened: Opened, key: str, index: int | None) -> dict[str, Any]:
    """The ends of queue.out and queue.err."""
    with opened.borrow() as services:
        found = files.read_queue_files(services, key, index)
    texts = [
        {"path": each.path, "error": each.error, "content": each.content[-TAIL_CHARACTERS:],
         "cut": len(each.content) > TAIL_CHARACTERS}
        for each in found or ()
    ]  # fmt: skip
    return {"sent": found is not None, "texts": texts}


def render_printed(seen: Seen, data: Mapping[str, Any]) -> Element:
    """Both texts."""
    if not data["sent"]:
        return empty("The job was not sent to its worker yet.")
    parts: list[Any] = []
    for text in data["texts"]:
        parts.append(H2(posixpath.basename(text["path"])))
        if text["error"]:
            parts.append(P(text["error"], cls="muted"))
        elif not text["content"]:
            parts.append(P("It is empty.", cls="muted"))
        else:
            parts.append(
                P(f"The last {count(TAIL_CHARACTERS)} characters:", cls="muted") if text["cut"] else None
            )
            parts.append(text_block(text["content"], label=posixpath.basename(text["path"])))
    return Div(*parts)


# -- files -----------------------------------------------------------------------------------------------------


def _folder(opened: Opened, key: str, index: int | None) -> files.RunFolder:
    folder = files.find_run_folder(opened.services, key, index)
    if folder is None:
        raise NotFoundError("the job was not sent to its worker yet", hint="look again when it is SUBMITTED")
    return folder


def read_files(opened: Opened, key: str, index: int | None) -> dict[str, Any]:
    """What is in the run folder."""
    with opened.borrow() as services:
        folder = _folder(opened, key, index)
        found = files.list_files(services, folder, deep=True)
    plain = [
        {"name": each.name, "size": each.size, "modified": each.modified, "is_folder": each.is_folder}
        for each in found
    ]
    return {
        "path": folder.path,
        "worker": folder.worker,
        "db_id": folder.db_id,
        "index": folder.index,
        "files": plain,
    }


def render_files(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The list, with links."""
    if not data["files"]:
        return empty("The run folder is empty.")
    from datetime import UTC, datetime

    rows = [
        Tr(
            Td(_file_link(seen, data, each), cls="wrap mono"),
            Td("folder" if each["is_folder"] else file_size(each["size"]), cls="number"),
            Td(moment(datetime.fromtimestamp(each["modified"], UTC))),
        )
        for each in data["files"][:MOST_FILES]
    ]
    more = len(data["files"]) - len(rows)
    return Div(
        P(Code(data["path"]), " on ", data["worker"]),
        grid_table(("Name", "Size", "Modified"), rows, label="Files of the run folder"),
        P(f"… and {count(more)} more", cls="muted") if more > 0 else None,
    )


def _file_link(seen: Seen, data: Mapping[str, Any], each: Mapping[str, Any]) -> Element:
    if each["is_folder"]:
        return f"{each['name']}/"
    address = f"{seen.root}/jobs/{path_part(data['db_id'])}/file?index={data['index']}&name={path_part(each['name'])}"
    return A(each["name"], href=address, download=posixpath.basename(each["name"]))


def fetch_file(opened: Opened, key: str, index: int | None, name: str) -> bytes:
    """One file of the run folder, by the name that the list shows; nothing outside of it can be named.

    Raises
    ------
    NotAllowedError, NotFoundError
        If the name leads out of the run folder, is a pattern, or there is no such file.
    """
    with opened.borrow() as services, tempfile.TemporaryDirectory(prefix="jobflow-remote-") as target:
        folder = _folder(opened, key, index)
        chosen = files.choose_files(files.list_files(services, folder, deep=True), [name])
        if chosen != [name]:
            raise NotFoundError(f"{name!r} is not one file of the run folder")
        (path,) = files.get_files(services, folder, [name], Path(target))
        return path.read_bytes()


# -- output ----------------------------------------------------------------------------------------------------


def read_output(opened: Opened, key: str, index: int | None) -> dict[str, Any]:
    """The output of a job, without the data of additional stores."""
    with opened.borrow() as services:
        return {"output": get_job_output(services.queue, services.outputs, key, index)}


def render_output(seen: Seen, data: Mapping[str, Any]) -> Element:
    """The output as a tree that folds."""
    budget = [MOST_NODES]
    tree = _node("output", data["output"], budget, depth=0)
    return Div(tree, notice("It is too large to be shown as a whole.", "the JSON interface has all of it",
                            kind="warning") if budget[0] <= 0 else None, cls="tree")  # fmt: skip


def _node(name: str, value: Any, budget: list[int], *, depth: int) -> Element:
    budget[0] -= 1
    label = Code(str(name))
    if isinstance(value, Mapping):
        return _branch(label, f"{{{count(len(value))}}}", list(value.items()), budget, depth)
    if isinstance(value, list | tuple):
        if len(value) > _LONG_LIST:
            return Div(label, " ", Span(summarise(value), cls="muted"), cls="leaf")
        if value and all(isinstance(each, int | float) for each in value):
            return Div(label, " ", Span(", ".join(f"{each:.6g}" for each in value), cls="value"), cls="leaf")
        return _branch(label, f"[{count(len(value))}]", list(enumerate(value)), budget, depth)
    text = value if isinstance(value, str) else repr(value)
    shown = text if len(text) <= _LONG_TEXT else f"{text[:_LONG_TEXT]} … ({count(len(text))} characters)"
    return Div(label, " ", Span(shown, cls="value"), cls="leaf")


def _branch(
    label: Element, size: str, items: Sequence[tuple[Any, Any]], budget: list[int], depth: int
) -> Element:
    inside = []
    for name, value in items:
        if budget[0] <= 0 or depth > 20:
            inside.append(Li("…"))
            break
        inside.append(Li(_node(name, value, budget, depth=depth + 1)))
    return Details(Summary(label, " ", Span(size, cls="muted")), Ul(*inside), open=depth < 2)


def summarise(values: Sequence[Any]) -> str:
    """A long list in a line: how many, of what shape, within which bounds."""
    shape, inner = [len(values)], values[0]
    while isinstance(inner, list | tuple) and inner:
        shape.append(len(inner))
        inner = inner[0]
    flat = list(_numbers(values, 100_000))
    kind = type(inner).__name__
    size = " × ".join(count(each) for each in shape)
    if flat and isinstance(inner, int | float):
        return f"{size} numbers, {min(flat):.6g} … {max(flat):.6g}; first: {', '.join(f'{n:.6g}' for n in flat[:4])}"
    return f"{size} of {kind}"


def _numbers(values: Any, most: int) -> Any:
    """Numbers in nested lists, up to so many."""
    stack, found = [iter(values)], 0
    while stack and found < most:
        for value in stack[-1]:
            if isinstance(value, list | tuple):
                stack.append(iter(value))
                break
            if isinstance(value, int | float):
                found += 1
                yield value
        else:
            stack.pop()
