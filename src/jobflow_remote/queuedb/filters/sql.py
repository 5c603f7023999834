# ruff: noqa: S608 - what is put together are names of columns; values are parameters
"""From the tree of a filter to a condition in SQL that every matching row meets.

The condition may hold for rows that do not match (``exact`` is False then, and the predicate decides), but
it never drops one that does. Columns are scalars of one type, so conditions on them alone are exact; fields
inside the JSON text are compared only where SQLite's answer cannot be narrower than MongoDB's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from jobflow_remote.queuedb.filters.syntax import Expression, Field, Node, Test
from jobflow_remote.queuedb.filters.values import is_decimal, kind

SQLITE_REGEX = "jf_regex"
"""Name of the SQL function ``(column, pattern, flags)`` that a connection must have."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that holds a scalar of one kind, or NULL where the document has null (or nothing).

    ``scalar``: a text or a number.
    """

    name: str
    kind: Literal["text", "number", "bool", "date", "scalar"] = "text"


@dataclass(frozen=True, slots=True)
class Mapped:
    """How documents are laid out in a table: dotted path → column, the rest in a JSON text.

    ``outside``: paths that are not in the row. ``beside``: paths that are in the row, but in no column of
    their own and not in the JSON text.
    """

    columns: Mapping[str, Column]
    text: str | None = "head"
    outside: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def is_outside(self, path: str) -> bool:
        """Whether documents must be completed before a condition on ``path`` can be tested."""
        return _touches(path, self.outside)

    def is_searchable(self, path: str) -> bool:
        """Whether the JSON text has what ``path`` leads to."""
        return self.text is not None and not _touches(path, self.outside) and not _touches(path, self.beside)


def _touches(path: str, places: tuple[str, ...]) -> bool:
    return any(path == p or path.startswith(p + ".") or p.startswith(path + ".") for p in places)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition in SQL with its parameters; never NULL when ``exact``."""

    sql: str
    params: tuple[Any, ...] = ()
    exact: bool = True


_EVERY = Condition("1")
_NONE = Condition("0")
_UNKNOWN = Condition("1", exact=False)
_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_EPOCH = datetime(1970, 1, 1)
_MANY = 200
"""From this number of values on a list becomes one JSON parameter: SQLite limits how many there may be."""


def to_milliseconds(moment: datetime) -> int:
    """A stored moment as whole milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def build_condition(node: Node, mapped: Mapped) -> Condition:
    """The condition for a node of the tree."""
    if isinstance(node, Expression):
        return _UNKNOWN
    if isinstance(node, Field):
        if node.path in mapped.columns:
            column = mapped.columns[node.path]
            return _join([_on_column(test, column) for test in node.tests], "AND")
        if mapped.text is None or not mapped.is_searchable(node.path):
            return _UNKNOWN
        return _join([_on_text(test, node.path, mapped.text) for test in node.tests], "AND")
    parts = [build_condition(part, mapped) for part in node.nodes]
    if node.operator == "$and":
        return _join(parts, "AND")
    either = _join(parts, "OR")
    return either if node.operator == "$or" else _negated(either)


def _join(parts: list[Condition], word: str) -> Condition:
    exact = all(part.exact for part in parts)
    if word == "AND":
        parts = [part for part in parts if part.sql != "1"]
        if not parts:
            return Condition("1", exact=exact)
    elif any(part.sql == "1" for part in parts):
        return Condition("1", exact=exact)
    sql = f" {word} ".join(part.sql for part in parts)
    params = tuple(param for part in parts for param in part.params)
    return Condition(sql if len(parts) == 1 else f"({sql})", params, exact)


def _negated(part: Condition) -> Condition:
    if not part.exact:
        return _UNKNOWN
    return Condition(f"NOT coalesce({part.sql}, 0)", part.params)


# -- columns -------------------------------------------------------------------------------------------------


def _bindable(value: Any) -> bool:
    if isinstance(value, str):
        return value.isprintable() or value.encode("utf-8", "ignore").decode() == value
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def column_value(value: Any, column: Column) -> tuple[bool, Any]:
    """Whether a column of this kind can hold ``value``, and as what."""
    found = kind(value)
    if found == "string":
        return column.kind in ("text", "scalar"), str(value)
    if found == "number":
        return column.kind in ("number", "scalar") and value == value and not is_decimal(value), value
    if found == "bool":
        return column.kind == "bool", int(value)
    if found == "date":
        return column.kind == "date", to_milliseconds(value) if column.kind == "date" else None
    return False, None


def _on_column(test: Test, column: Column) -> Condition:
    name, argument = test.operator, test.operand
    if name == "$eq":
        return _one_of_column([argument], column)
    if name == "$in":
        return _one_of_column(argument, column)
    if name == "$ne":
        return _negated(_one_of_column([argument], column))
    if name == "$nin":
        return _negated(_one_of_column(argument, column))
    if name == "$not":
        return _negated(_join([_on_column(inner, column) for inner in argument], "AND"))
    if name == "$regex" and column.kind == "text":
        return Condition(f"{SQLITE_REGEX}({column.name}, ?, ?)", (argument.pattern, int(argument.flags)))
    if name in _SIGNS:
        return _bound_on_column(name, argument, column)
    return _UNKNOWN


def _bound_on_column(name: str, argument: Any, column: Column) -> Condition:
    if kind(argument) == "null":
        return Condition(f"{column.name} IS NULL") if name in ("$gte", "$lte") else _NONE
    fits, value = column_value(argument, column)
    if is_decimal(argument) or (fits and not _bindable(value)):
        return _UNKNOWN
    if not fits:
        return _NONE
    guard = ""
    if column.kind == "scalar":  # to SQLite any text is greater than any number
        guard = f" AND typeof({column.name}) IN " + (
            "('text')" if isinstance(value, str) else "('integer', 'real')"
        )
    return Condition(f"({column.name} {_SIGNS[name]} ?{guard})", (value,))


def _one_of_column(choices: list[Any], column: Column) -> Condition:
    if any(isinstance(choice, re.Pattern) for choice in choices):
        return _UNKNOWN
    values, with_null = [], False
    for choice in choices:
        fits, value = column_value(choice, column)
        if kind(choice) == "null":
            with_null = True
        elif is_decimal(choice) or (fits and not _bindable(value)):
            return _UNKNOWN
        elif fits:
            values.append(value)
    parts = [Condition(f"{column.name} IS NULL")] if with_null else []
    if len(values) == 1:
        parts.append(Condition(f"{column.name} = ?", (values[0],)))
    elif len(values) > _MANY:
        parts.append(Condition(f"{column.name} IN (SELECT value FROM json_each(?))", (json.dumps(values),)))
    elif values:
        parts.append(Condition(f"{column.name} IN ({_marks(values)})", tuple(values)))
    return _join(parts, "OR") if parts else _NONE


def _marks(values: list[Any]) -> str:
    return ", ".join("?" * len(values))


# -- fields inside the JSON text -----------------------------------------------------------------------------

_PLAIN_PART = re.compile(r"[A-Za-z_@][A-Za-z0-9_@ :+-]*\Z")
"""Names that JSON text spells as they are, and that are not the number of an element."""
_SAFE_INTEGER = 2**53


def _on_text(test: Test, path: str, text: str) -> Condition:
    parts = path.split(".")
    if not all(_PLAIN_PART.match(part) for part in parts):
        return _UNKNOWN
    name, argument = test.operator, test.operand
    choices = argument if name == "$in" else [argument]
    if name not in ("$eq", "$in", *_SIGNS) or not all(_comparable(choice) for choice in choices):
        return _UNKNOWN
    steps = ["$" + "".join(f'."{part}"' for part in parts[: depth + 1]) for depth in range(len(parts))]
    wanted = list(_text_tests(name, choices, text, steps[-1]))
    arrays = [Condition(f"json_type({text}, ?) = 'array'", (step,)) for step in steps]
    either = _join(wanted + arrays, "OR")
    return Condition(either.sql, either.params, exact=False)


def _comparable(value: Any) -> bool:
    found = kind(value)
    if found == "number":
        return not is_decimal(value) and bool(abs(value) <= _SAFE_INTEGER)
    return found == "date" or (found == "string" and "\0" not in value and _bindable(value))


def _text_tests(name: str, choices: list[Any], text: str, path: str) -> Iterator[Condition]:
    dates = [to_milliseconds(choice) for choice in choices if kind(choice) == "date"]
    plain = [
        str(choice) if isinstance(choice, str) else choice for choice in choices if kind(choice) != "date"
    ]
    if name in ("$eq", "$in"):
        if any(kind(choice) == "number" for choice in plain):  # decimals are stored as tagged objects
            yield Condition(f"json_type({text}, ?) = 'object'", (path,))
        if dates:
            yield Condition(f"json_extract({text}, ?) IN ({_marks(dates)})", (path + '."$date"', *dates))
        if len(plain) > _MANY:
            listed = f"json_extract({text}, ?) IN (SELECT value FROM json_each(?))"
            yield Condition(listed, (path, json.dumps(plain)))
        elif plain:
            yield Condition(f"json_extract({text}, ?) IN ({_marks(plain)})", (path, *plain))
        return
    if dates:
        yield Condition(f"json_extract({text}, ?) {_SIGNS[name]} ?", (path + '."$date"', *dates))
        return
    # json_extract ends a text at a null character; such a text may be equal to the bound and yet beyond it
    sign = ">=" if name == "$gt" else _SIGNS[name]
    yield Condition(f"json_extract({text}, ?) {sign} ?", (path, *plain))
    if name in ("$lt", "$lte") and not isinstance(plain[0], str):  # -inf is stored as a tagged object
        yield Condition(f"json_type({text}, ?) = 'object'", (path,))
