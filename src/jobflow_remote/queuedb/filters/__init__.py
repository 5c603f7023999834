"""The Mongo filter language, for databases that do not speak it.

A filter is parsed once into a small tree (:func:`parse`); the tree becomes a predicate with mongod's
semantics (:func:`build_predicate`) and, where documents are kept in SQLite, a condition that drops no match
(:func:`build_condition`). Nothing here imports ``bson``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobflow_remote.queuedb.filters.predicate import Predicate, build_predicate
    from jobflow_remote.queuedb.filters.projection import project, wanted_fields
    from jobflow_remote.queuedb.filters.sql import SQLITE_REGEX, Column, Condition, Mapped, build_condition
    from jobflow_remote.queuedb.filters.syntax import QUEUE_ALIASES, Aliases, Group, parse, paths_of
    from jobflow_remote.queuedb.filters.values import order_key, sort_key

__all__ = [
    "QUEUE_ALIASES",
    "SQLITE_REGEX",
    "Aliases",
    "Column",
    "Condition",
    "Group",
    "Mapped",
    "Predicate",
    "build_condition",
    "build_predicate",
    "compile_filter",
    "order_key",
    "parse",
    "paths_of",
    "project",
    "sort_key",
    "wanted_fields",
]


_HOMES = {
    "predicate": ("Predicate", "build_predicate"),
    "projection": ("project", "wanted_fields"),
    "sql": ("SQLITE_REGEX", "Column", "Condition", "Mapped", "build_condition"),
    "syntax": ("QUEUE_ALIASES", "Aliases", "Group", "parse", "paths_of"),
    "values": ("order_key", "sort_key"),
}
"""Module → what is in it; loaded when it is asked for."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def compile_filter(query: Mapping[str, Any], *, aliases: Aliases | None = None) -> Predicate:
    """A function that says whether a document matches a filter, as mongod would.

    ``aliases`` are spellings that mean another stored value (``RUN_FINISHED`` of jobflow-remote 1.0.1 in
    ``state``).

    Raises
    ------
    FilterError
        If the filter cannot be understood; an unknown operator is never ignored.
    """
    from jobflow_remote.queuedb.filters.predicate import build_predicate
    from jobflow_remote.queuedb.filters.syntax import QUEUE_ALIASES, parse

    return build_predicate(parse(query, aliases=QUEUE_ALIASES if aliases is None else aliases))
