"""Directives at the top of a submission script, by qtoolkit's templates."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from jobflow_remote.errors import SchedulerError

VERBATIM = "qverbatim"
"""The keyword whose lines are the user's own."""


def render_directives(io: Any, resources: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Directives for ``resources`` (keywords, or a serialised QResources) with ``own`` on top of them.

    Parameters
    ----------
    io
        The qtoolkit object of the scheduler.

    Raises
    ------
    SchedulerError
        If the scheduler does not know a keyword, or a value would break out of its line.
    """
    given = _keywords(io, resources)
    _check_keywords(io, given)
    verbatim = given.pop(VERBATIM, None)
    keywords = {key: value for key, value in {**given, **own}.items() if value is not None}
    for key, value in keywords.items():
        if any(ord(letter) < 32 for letter in str(value)) or "$$" in str(value):
            raise SchedulerError(
                f"the value of the resource {key!r} cannot be part of a directive: {str(value)!r}",
                hint=f"further lines of the script belong under {VERBATIM!r}",
            )
    text: str = io.generate_header(keywords)
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join([*lines, str(verbatim).rstrip()] if verbatim else lines)


def user_name_of(io: Any, resources: Mapping[str, Any]) -> str | None:
    """The name that the user gave the job in the scheduler, if any."""
    name = _keywords(io, resources).get("job_name")
    return str(name) if name else None


def _keywords(io: Any, resources: Mapping[str, Any]) -> dict[str, Any]:
    if "@class" not in resources:
        return dict(resources)
    from monty.json import MontyDecoder

    try:
        decoded = MontyDecoder().process_decoded(dict(resources))
        return dict(io.check_convert_qresources(decoded))
    except Exception as error:
        raise SchedulerError(
            f"the resources cannot be used: {error}",
            hint="say them with the scheduler's own keywords, or leave out what it does not support",
        ) from error


def _check_keywords(io: Any, given: Mapping[str, Any]) -> None:
    from qtoolkit.io.base import QTemplate

    known = sorted(QTemplate(io.header_template).get_identifiers())
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise SchedulerError(
                f"the scheduler {type(io).__name__} knows no resource {key!r}"
                + (f"; did you mean {near[0]!r}?" if near else ""),
                hint=f"it knows {', '.join(known)}",
            )
