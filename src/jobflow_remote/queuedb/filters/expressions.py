"""``$expr``: the few expression operators that a filter needs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from jobflow_remote.errors import FilterError
from jobflow_remote.queuedb.filters.values import MISSING, as_number, kind, operand, order_key

Evaluate = Callable[[Mapping[str, Any]], Any]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
KNOWN = (*_COMPARE, "$and", "$or", "$not", "$size", "$in", "$literal")


def truthy(value: Any) -> bool:
    """Whether MongoDB takes ``value`` as true: all but missing, null, false and zero."""
    if value is MISSING or value is None or value is False:
        return False
    return kind(value) != "number" or as_number(value) != 0


def _key(value: Any) -> tuple[int, Any]:
    return (-1, 0) if value is MISSING else order_key(value)


def _follow(value: Any, parts: list[str]) -> Any:
    for number, part in enumerate(parts):
        if isinstance(value, list):
            below = [_follow(item, parts[number:]) for item in value if isinstance(item, Mapping)]
            return [item for item in below if item is not MISSING]
        if not isinstance(value, Mapping) or part not in value:
            return MISSING
        value = value[part]
    return value


def _parse_path(path: str) -> Evaluate:
    if path.startswith("$$"):
        raise FilterError(f"variables such as {path} cannot be used in $expr here")
    parts = path[1:].split(".")
    if not all(parts) or any(part.startswith("$") for part in parts):
        raise FilterError(f"{path} is not the path of a field: $ is followed by names with dots between them")
    return lambda document: _follow(document, parts)


def parse_expression(expression: Any) -> Evaluate:
    """A function that computes an aggregation expression for a document.

    Raises
    ------
    FilterError
        If it uses an operator that is not known here.
    """
    if isinstance(expression, str) and expression.startswith("$"):
        return _parse_path(expression)
    if isinstance(expression, (list, tuple)):
        items = [parse_expression(item) for item in expression]
        return lambda document: [None if (v := item(document)) is MISSING else v for item in items]
    if isinstance(expression, Mapping):
        if any(str(key).startswith("$") for key in expression):
            return _parse_operator(expression)
        if any(not key or "." in key for key in expression):
            raise FilterError(f"the names of fields in $expr are without dots, and not empty: {expression!r}")
        fields = {key: parse_expression(item) for key, item in expression.items()}
        return lambda document: {
            key: value for key, item in fields.items() if (value := item(document)) is not MISSING
        }
    constant = operand(expression)
    return lambda document: constant


def _parse_operator(expression: Mapping[str, Any]) -> Evaluate:
    name, argument = next(iter(expression.items()))
    if len(expression) != 1 or name not in KNOWN:
        raise FilterError(
            f"$expr cannot use {', '.join(expression)} here", hint=f"it knows {', '.join(KNOWN)}"
        )
    if name == "$literal":
        constant = operand(argument)
        return lambda document: constant
    given = list(argument) if isinstance(argument, (list, tuple)) else [argument]
    args = [parse_expression(item) for item in given]
    if name in ("$size", "$in") and given and _is_constant(given[-1]):
        _array(args[-1]({}), name)
    if name in ("$and", "$or"):
        join = all if name == "$and" else any
        return lambda document: join(truthy(arg(document)) for arg in args)
    wanted = 1 if name in ("$not", "$size") else 2
    if len(args) != wanted:
        raise FilterError(
            f"{name} in $expr takes {wanted} argument{'s' if wanted > 1 else ''}, not {len(args)}"
        )
    if name in _COMPARE:
        compare = _COMPARE[name]
        return lambda document: compare(_key(args[0](document)), _key(args[1](document)))
    if name == "$not":
        return lambda document: not truthy(args[0](document))
    if name == "$size":
        return lambda document: len(_array(args[0](document), "$size"))
    return lambda document: _contains(_array(args[1](document), "$in"), args[0](document))


def _is_constant(expression: Any) -> bool:
    """Whether an expression has the same value for all documents."""
    if isinstance(expression, Mapping):
        return "$literal" in expression or all(map(_is_constant, expression.values()))
    if isinstance(expression, (list, tuple)):
        return all(map(_is_constant, expression))
    return not (isinstance(expression, str) and expression.startswith("$"))


def _array(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise FilterError(f"{name} in $expr needs an array, and not {value!r}")
    return value


def _contains(array: list[Any], value: Any) -> bool:
    wanted = _key(value)
    return any(_key(item) == wanted for item in array)
