"""What the command line prints: consoles, messages, JSON. Rich is imported when it is needed."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 1000
"""Columns where nobody's terminal limits them: tables in files and pipes are never wrapped."""


def _make_console(stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


@functools.cache
def _console_for(stream: IO[str], stderr: bool) -> Console:
    return _make_console(stderr)


def out_console() -> Console:
    """Console for results."""
    return _console_for(sys.stdout, False)


def err_console() -> Console:
    """Console for messages that are no results."""
    return _console_for(sys.stderr, True)


def print_message(text: str, *, style: str = "green", to_stderr: bool = False) -> None:
    """One message, as it is: no markup, no line breaks of ours."""
    console = err_console() if to_stderr else out_console()
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def busy(text: str) -> AbstractContextManager[Any]:
    """A spinner while something takes its time; on a terminal only."""
    console = err_console()
    return console.status(text) if console.is_terminal else nullcontext()


def print_note(text: str) -> None:
    """Something that is good to know."""
    print_message(text, style="yellow")


def print_error(text: str, hint: str | None = None) -> None:
    """An error in red, and what to do on a line of its own."""
    print_message(text, style="bold red", to_stderr=True)
    if hint:
        print_message(hint, style="yellow", to_stderr=True)


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if isinstance(value, Path):
        return str(value)
    as_dict = getattr(value, "as_dict", None)
    return as_dict() if callable(as_dict) else str(value)


_LINES: ContextVar[bool] = ContextVar("jobflow_remote_json_lines", default=False)


@contextmanager
def json_lines() -> Iterator[None]:
    """``--jsonl``: what is printed for programs is one object a line."""
    before = _LINES.set(True)
    try:
        yield
    finally:
        _LINES.reset(before)


def as_lines() -> bool:
    """Whether results are printed as one object a line."""
    return _LINES.get()


def dump_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON text; moments are ISO 8601 with their zone."""
    return json.dumps(value, default=_to_json, indent=indent, ensure_ascii=False)


def print_json(value: Any) -> None:
    """A result for programs, alone on stdout."""
    if not as_lines():
        sys.stdout.write(dump_json(value) + "\n")
        return
    for each in value if isinstance(value, list | tuple) else [value]:
        sys.stdout.write(dump_json(each, indent=None) + "\n")
    sys.stdout.flush()


def print_banner(name: str, filepath: str, *, for_machines: bool = False) -> None:
    """Say which project was selected; beside the result where that is read by programs."""
    from rich.text import Text

    text = Text.assemble(
        "The selected project is ", (name, "green"), " from config file ", (str(filepath), "green")
    )
    (err_console() if for_machines else out_console()).print(text, soft_wrap=True, highlight=False)


def confirm(question: str, *, default: bool = False) -> bool:
    """Ask a person; without one (no terminal, no input) the answer is the default."""
    from rich.prompt import Confirm

    try:
        return Confirm.ask(question, default=default, console=out_console())
    except EOFError:
        return default
