"""Names of jobs in a batch system: readable, harmless, and with the attempt at the end."""

from __future__ import annotations

import re

_TOKEN_LENGTH = 8


def attempt_token(attempt: str) -> str:
    """The part of an attempt's id that its job in the scheduler is known by."""
    return re.sub(r"[^A-Za-z0-9]", "", attempt)[:_TOKEN_LENGTH] or "0"


def job_name(name: str, attempt: str, longest: int) -> str:
    """Name of the scheduler's job: letters, digits and ``_.+-`` only, a letter first, ``-`` and the token last."""
    ending = f"-{attempt_token(attempt)}"
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "_", name).strip("_.+-") or "job"
    if not plain[0].isalpha():
        plain = f"j{plain}"
    return plain[: longest - len(ending)].rstrip("_.+-") + ending


def is_of_attempt(name: str, attempt: str) -> bool:
    """Whether a job of this name in the scheduler is that attempt."""
    return name.rpartition("-")[2] == attempt_token(attempt)


def is_plain_path(path: str) -> bool:
    """Whether a path means itself in a directive of any scheduler."""
    return re.fullmatch(r"[A-Za-z0-9_./+=@,-]+", path) is not None
