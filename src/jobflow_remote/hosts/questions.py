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


async def ask_on_terminal(questions: Questions) -> list[str] | None:
    """Ask the person at the terminal of this process."""
    import asyncio
    import sys

    if not sys.stdin.isatty():
        return None
    return await asyncio.to_thread(_ask, questions)


def _ask(questions: Questions) -> list[str] | None:
    import getpass

    print(f"Login to {questions.host}")
    for line in (questions.title, questions.text):
        if line.strip():
            print(line.strip())
    try:
        return [
            input(prompt.text) if prompt.echo else getpass.getpass(prompt.text)
            for prompt in questions.prompts
        ]
    except (EOFError, KeyboardInterrupt):
        return None
