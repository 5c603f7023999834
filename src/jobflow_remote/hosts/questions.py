"""Questions that a login asks (passwords, one-time codes), and who answers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question."""

    text: str
    echo: bool = False
    """Whether what is typed may be seen."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What a host wants to know at once."""

    host: str
    title: str
    text: str
    prompts: tuple[Prompt, ...]


Answerer = Callable[[Questions], Awaitable[list[str] | None]]
"""Puts questions to a person; None: nobody is there, or wants to answer."""


async def answer_at_terminal(questions: Questions) -> list[str] | None:
    """An answerer for a process that has a terminal."""
    import asyncio

    return await asyncio.to_thread(ask_at_terminal, questions)


def ask_at_terminal(questions: Questions) -> list[str] | None:
    """Ask the person at the terminal of this process; None: nobody is there, or wants to answer."""
    import getpass
    import sys

    if not sys.stdin.isatty():
        return None
    for line in (f"Login to {questions.host}", questions.title.strip(), questions.text.strip()):
        if line:
            print(line)
    try:
        return [
            input(prompt.text) if prompt.echo else getpass.getpass(prompt.text)
            for prompt in questions.prompts
        ]
    except (EOFError, KeyboardInterrupt):
        return None
