"""What a check tells: what was looked at, how it is, and what helps if it is not well."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jobflow_remote.errors import JobflowRemoteError


class Level(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    """A word or two: ``connection``, ``work_dir``, …"""
    level: Level
    text: str
    """What was found; of a failure the cause."""
    fix: str | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one element of a project."""

    element: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of them."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in (Level.ERROR, Level.WARNING) if level in levels), Level.OK)

    def describe(self, level: Level) -> str | None:
        """Findings of a level as text, with what helps; None if there are none."""
        lines = [
            f"{each.text} ({each.fix})" if each.fix else each.text
            for each in self.findings
            if each.level is level
        ]
        return "\n".join(lines) or None

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "element": self.element,
            "error": self.describe(Level.ERROR),
            "warning": self.describe(Level.WARNING),
            "checks": [
                {"what": each.what, "level": each.level.value, "text": each.text, "fix": each.fix}
                for each in self.findings
            ],
        }


Progress = Callable[[str, str | None], None]
"""Takes an element and what is being done with it; None: it is done."""


def ok(what: str, text: str) -> Finding:
    """All is well."""
    return Finding(what, Level.OK, text)


def warning(what: str, text: str, fix: str | None = None) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(what, Level.WARNING, text, fix)


def error(what: str, text: str, fix: str | None = None) -> Finding:
    """It does not work."""
    return Finding(what, Level.ERROR, text, fix)


def from_exception(what: str, exc: BaseException, fix: str | None = None) -> Finding:
    """What an exception says; ``fix``: what to do if it does not say that itself."""
    text = str(exc).strip() or type(exc).__name__
    if not isinstance(exc, JobflowRemoteError):
        text = f"{type(exc).__name__}: {text}"
    hint = getattr(exc, "hint", None) or fix
    return Finding(what, Level.ERROR, text, hint, "".join(traceback.format_exception(exc)).rstrip())


def last_lines(text: str, number: int = 3) -> str:
    """The end of what a program complained of."""
    lines: Sequence[str] = [line for line in text.strip().splitlines() if line.strip()]
    return " | ".join(line.strip() for line in lines[-number:])[-500:]
