"""Only some fields of a document: what MongoDB calls an inclusive projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Wanted = dict[str, Any]
"""Name → True (all of it), or the wanted names below it."""


def wanted_fields(fields: Sequence[str]) -> Wanted:
    """The tree of dotted paths; a path above another one wins."""
    tree: Wanted = {}
    for path in fields:
        *above, last = path.split(".")
        node = tree
        for part in above:
            below = node.setdefault(part, {})
            if below is True:
                break
            node = below
        else:
            node[last] = True
    return tree


def project(document: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """The wanted fields of a document, where it has them and in its order; arrays of documents are entered."""
    chosen: dict[str, Any] = {}
    for name, value in document.items():
        below = wanted.get(name)
        if below is True:
            chosen[name] = value
        elif below is None:
            continue
        elif isinstance(value, Mapping):
            chosen[name] = project(value, below)
        elif isinstance(value, list):
            chosen[name] = _project_array(value, below)
    return chosen


def _project_array(array: list[Any], wanted: Wanted) -> list[Any]:
    """The wanted fields of what is in an array: values that have no fields are left out."""
    return [
        _project_array(item, wanted) if isinstance(item, list) else project(item, wanted)
        for item in array
        if isinstance(item, (list, Mapping))
    ]
