"""What somebody may have meant by a name that does not exist. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like ``name``, if one does."""
    from difflib import get_close_matches  # only needed when something is wrong

    by_lower = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean `x`?"``, or nothing."""
    found = nearest_name(name, known)
    return f"; did you mean `{found}`?" if found else ""
