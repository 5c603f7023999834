"""References that the runner leaves to the compute node, because following them takes the user's classes.

The runner follows a reference through plain lists and dictionaries. Where it meets a serialised object, it
puts a placeholder into the job: the object and the rest of the path. The compute node decodes the object
and walks the rest with attributes and items, as ``OutputReference.resolve`` of jobflow does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MARK = "@jfremote"
"""Key by which a placeholder is known; one with an ``@`` cannot be a field of a serialised object."""


def make_placeholder(
    value: Any, path: Sequence[Sequence[Any]] = (), *, wrapped_as: tuple[str, Any] | None = None
) -> dict[str, Any]:
    """What stands for ``value`` followed along ``path``.

    Parameters
    ----------
    value
        Plain document; may contain placeholders.
    path
        Pairs of ``"a"`` (attribute) or ``"i"`` (index) and name or index.
    wrapped_as
        uuid and attributes of the reference, if the function is to get a ``ResolvedReference``.
    """
    made: dict[str, Any] = {MARK: "reference", "value": value, "path": [list(step) for step in path]}
    if wrapped_as is not None:
        made["reference"] = list(wrapped_as)
    return made


def fill_placeholders(value: Any) -> Any:
    """``value`` with each placeholder replaced by the object that it stands for, innermost first."""
    if isinstance(value, dict):
        if MARK in value:
            return _follow(value)
        return {key: fill_placeholders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill_placeholders(inner) for inner in value]
    return value


def _follow(placeholder: dict[str, Any]) -> Any:
    from jobflow import ResolvedReference
    from monty.json import MontyDecoder

    found = MontyDecoder().process_decoded(fill_placeholders(placeholder["value"]))
    for kind, step in placeholder["path"]:
        found = found[step] if kind == "i" or isinstance(found, dict) else getattr(found, step)
    if "reference" in placeholder:
        uuid, attributes = placeholder["reference"]
        found = ResolvedReference(uuid=uuid, attributes=attributes, value=found)
    return found
