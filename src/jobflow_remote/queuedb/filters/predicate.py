"""From the tree of a filter to a function that says whether a document matches."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from jobflow_remote.queuedb.filters.expressions import truthy
from jobflow_remote.queuedb.filters.syntax import Expression, Field, Group, Node, Test
from jobflow_remote.queuedb.filters.values import (
    MISSING,
    Whole,
    as_number,
    expanded,
    getter,
    is_decimal,
    is_nan,
    kind,
    order_key,
    regex_source,
    same,
    type_name,
)

Predicate = Callable[[Mapping[str, Any]], bool]
OfValue = Callable[[Any], bool]
OfValues = Callable[[list[Any]], bool]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def build_predicate(node: Node) -> Predicate:
    """The function for a node of the tree."""
    if isinstance(node, Expression):
        evaluate = node.evaluate
        return lambda document: truthy(evaluate(document))
    if isinstance(node, Field):
        get, test = getter(node.path), _of_values(node.tests)
        return lambda document: test(get(document))
    parts = [build_predicate(part) for part in node.nodes]
    if node.operator == "$and":
        if len(parts) == 1:
            return parts[0]
        return lambda document: all(part(document) for part in parts)
    wanted = node.operator == "$or"
    return lambda document: any(part(document) for part in parts) is wanted


def _of_values(tests: tuple[Test, ...]) -> OfValues:
    """A test of the list of values to which a path leads."""
    built = [_build(test) for test in tests]
    if len(built) == 1:
        return built[0]
    return lambda values: all(test(values) for test in built)


def _build(test: Test) -> OfValues:
    name, argument = test.operator, test.operand
    if name in ("$ne", "$nin"):
        refuse = _of_value("$eq" if name == "$ne" else "$in", argument)
        return lambda values: not any(map(refuse, expanded(values)))
    if name == "$not":
        inner = _of_values(argument)
        return lambda values: not inner(values)
    if name == "$exists":
        return lambda values: any(value is not MISSING for value in values) is argument
    if name == "$size":
        return lambda values: any(isinstance(value, list) and len(value) == argument for value in values)
    if name == "$all":
        parts = [_of_values(tests) for tests in argument]
        return lambda values: bool(parts) and all(part(values) for part in parts)
    if name == "$elemMatch":
        holds = _of_element(argument)
        return lambda values: any(isinstance(value, list) and any(map(holds, value)) for value in values)
    accept = _of_value(name, argument)
    return lambda values: any(map(accept, expanded(values)))


def _of_element(argument: Group | tuple[Test, ...]) -> OfValue:
    if isinstance(argument, tuple):
        test = _of_values(argument)
        return lambda item: test([Whole(item) if isinstance(item, list) else item])
    matches = build_predicate(argument)

    def holds(item: Any) -> bool:
        if isinstance(item, list):  # an array stands for a document whose keys are numbers
            item = {str(number): part for number, part in enumerate(item)}
        return isinstance(item, dict) and matches(item)

    return holds


def _of_value(name: str, argument: Any) -> OfValue:
    """A test of one value."""
    if name in _COMPARE:
        return _comparison(name, argument)
    if name == "$eq":
        if type(argument) is str:
            return lambda value: bool(value == argument)
        return lambda value: same(value, argument)
    if name == "$in":
        return _membership(argument)
    if name == "$regex":
        return _search(argument)
    if name == "$mod":
        divisor, remainder = argument
        return lambda value: _rest(value, divisor) == remainder
    assert name == "$type", name
    return lambda value: value is not MISSING and type_name(value) in argument


def _search(pattern: re.Pattern[str]) -> OfValue:
    source, search = regex_source(pattern), pattern.search

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return search(value) is not None
        return kind(value) == "regex" and regex_source(value) == source

    return test


def _rest(value: Any, divisor: int) -> int | None:
    """What is left, with the sign of the value; None of what is no number, or one that 64 bits do not hold."""
    if kind(value) != "number":
        return None
    number = as_number(value)
    if not (math.isfinite(number) and -(2**63) <= number < 2**63):
        return None
    rest = abs(int(number)) % abs(divisor)
    return -rest if number < 0 else rest


def _comparison(name: str, argument: Any) -> OfValue:
    compare, wanted = _COMPARE[name], kind(argument)
    or_equal = name in ("$gte", "$lte")
    if wanted in ("null", "minKey", "maxKey"):
        return lambda value: or_equal and kind(value) == wanted
    if is_nan(argument):
        return lambda value: or_equal and is_nan(value)
    if wanted == "number":
        number = as_number(argument)
        if is_decimal(argument):  # which raises where a float is False
            return lambda value: (
                kind(value) == "number" and not is_nan(value) and compare(as_number(value), number)
            )
        return lambda value: kind(value) == "number" and compare(as_number(value), number)
    if wanted in ("string", "date", "bool", "objectId"):
        return lambda value: kind(value) == wanted and compare(value, argument)
    key = order_key(argument)
    return lambda value: kind(value) == wanted and compare(order_key(value), key)


def _membership(choices: list[Any]) -> OfValue:
    if all(isinstance(choice, str) for choice in choices):
        texts = frozenset(choices)
        return lambda value: isinstance(value, str) and value in texts
    tests = [_of_value("$regex" if isinstance(choice, re.Pattern) else "$eq", choice) for choice in choices]
    return lambda value: any(test(value) for test in tests)
