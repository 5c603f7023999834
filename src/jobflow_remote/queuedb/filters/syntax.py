"""From a Mongo filter dictionary to a small tree, with everything checked on the way.

Whatever is not understood is refused: a filter that people typed must not be wrong in silence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobflow_remote.errors import FilterError
from jobflow_remote.model.states import STATE_ALIASES
from jobflow_remote.queuedb.filters.expressions import Evaluate, parse_expression, truthy
from jobflow_remote.queuedb.filters.values import TYPE_NAMES, as_number, build_regex, kind, operand

Aliases = Mapping[str, Mapping[str, str]]
"""Path → spelling of a text → the spelling that is stored."""

QUEUE_ALIASES: Aliases = {"state": STATE_ALIASES, "previous_state": STATE_ALIASES}


@dataclass(frozen=True, slots=True)
class Test:
    """One operator with its operand, checked and in the form that the operator wants.

    ``$in``, ``$nin``: list of values and patterns. ``$not``: tuple of tests. ``$all``: tuple of tuples of
    tests. ``$elemMatch``: tuple of tests for values, or a node for documents. ``$regex``: compiled pattern.
    ``$type``: set of names. ``$mod``: two integers.
    """

    operator: str
    operand: Any


@dataclass(frozen=True, slots=True)
class Field:
    """All ``tests`` hold for what ``path`` leads to."""

    path: str
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes joined by ``$and``, ``$or`` or ``$nor``."""

    operator: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """``$expr``."""

    evaluate: Evaluate


Node = Field | Group | Expression

_LOGICAL = ("$and", "$or", "$nor")
_COMPARISONS = ("$gt", "$gte", "$lt", "$lte")


def parse(query: Mapping[str, Any], *, aliases: Aliases = QUEUE_ALIASES) -> Group:
    """The tree of a filter.

    Raises
    ------
    FilterError
        If the filter uses an operator that is not known here, or an operand of the wrong kind.
    """
    if not isinstance(query, Mapping):
        raise FilterError(f"a filter is a dictionary, not {query!r}")
    nodes: list[Node] = []
    for key, condition in query.items():
        if not isinstance(key, str):
            raise FilterError(f"the keys of a filter are texts, not {key!r}")
        if key in _LOGICAL:
            if not isinstance(condition, (list, tuple)) or not condition:
                raise FilterError(f"{key} takes a list of filters that is not empty, not {condition!r}")
            nodes.append(Group(key, tuple(parse(part, aliases=aliases) for part in condition)))
        elif key == "$expr":
            nodes.append(Expression(parse_expression(condition)))
        elif key == "$comment":
            continue
        elif key.startswith("$"):
            raise FilterError(f"{key} is not an operator that can be used here", hint=_hint(key))
        else:
            nodes.append(Field(key, _parse_condition(condition, aliases.get(key, {}), aliases)))
    return Group("$and", tuple(nodes))


def _hint(operator: str) -> str:
    if operator in _OPERATORS:
        return f'it belongs behind the name of a field: {{"state": {{"{operator}": …}}}}'
    return f"operators that are known: {', '.join(sorted([*_OPERATORS, *_LOGICAL, '$expr']))}"


def is_operators(condition: Any) -> bool:
    """Whether a condition is a dictionary of operators, and not a document to be equal to."""
    return isinstance(condition, Mapping) and bool(condition) and str(next(iter(condition))).startswith("$")


def _parse_condition(condition: Any, spelling: Mapping[str, str], aliases: Aliases) -> tuple[Test, ...]:
    if kind(condition) == "regex":
        return (Test("$regex", build_regex(condition)),)
    if not is_operators(condition):
        return (Test("$eq", _value(condition, spelling)),)
    tests = []
    for operator, argument in condition.items():
        if operator in ("$regex", "$options"):
            if operator == "$regex":
                tests.append(Test("$regex", _parse_regex(condition)))
            elif "$regex" not in condition:
                raise FilterError("$options needs a $regex beside it")
        elif operator in _OPERATORS:
            tests.append(Test(operator, _OPERATORS[operator](argument, spelling, aliases)))
        else:
            raise FilterError(
                f"{operator} is not an operator that can be used here", hint=_hint(str(operator))
            )
    return tuple(tests)


def _value(value: Any, spelling: Mapping[str, str]) -> Any:
    value = operand(value)
    return spelling.get(value, value) if spelling and isinstance(value, str) else value


def _parse_regex(condition: Mapping[str, Any]) -> Any:
    pattern, options = condition["$regex"], condition.get("$options", "")
    if not isinstance(options, str):
        raise FilterError(f"$options takes a text, not {options!r}")
    if options and kind(pattern) == "regex":
        raise FilterError("options are given both in the regular expression and in $options")
    return build_regex(pattern, options)


# -- operands: one function per form -------------------------------------------------------------------------

Parser = Callable[[Any, Mapping[str, str], Aliases], Any]


def _parse_equal(argument: Any, spelling: Mapping[str, str], _: Aliases) -> Any:
    return _value(argument, spelling)


def _parse_unequal(argument: Any, spelling: Mapping[str, str], _: Aliases) -> Any:
    if kind(argument) == "regex":
        raise FilterError("$ne does not take a regular expression", hint='use {"$not": {"$regex": …}}')
    return _value(argument, spelling)


def _parse_bound(argument: Any, spelling: Mapping[str, str], _: Aliases) -> Any:
    if kind(argument) == "regex":
        raise FilterError("a regular expression is neither greater nor less than a value")
    return _value(argument, spelling)


def _parse_list(argument: Any, spelling: Mapping[str, str], _: Aliases) -> Any:
    if not isinstance(argument, (list, tuple)):
        raise FilterError(f"$in, $nin and $all take a list, not {argument!r}")
    for item in argument:
        if is_operators(item):
            raise FilterError(f"operators cannot be used inside $in, $nin or $all: {item!r}")
    return [build_regex(item) if kind(item) == "regex" else _value(item, spelling) for item in argument]


def _parse_all(argument: Any, spelling: Mapping[str, str], aliases: Aliases) -> Any:
    if isinstance(argument, (list, tuple)):
        elements = [isinstance(item, Mapping) and next(iter(item), None) == "$elemMatch" for item in argument]
        if any(elements):
            if not all(elements):
                raise FilterError("$all takes either values or $elemMatch conditions, not both")
            return tuple(_parse_condition(item, spelling, aliases) for item in argument)
    values = _parse_list(argument, spelling, aliases)
    return tuple((Test("$regex" if kind(item) == "regex" else "$eq", item),) for item in values)


def _parse_not(argument: Any, spelling: Mapping[str, str], aliases: Aliases) -> Any:
    if kind(argument) != "regex" and not is_operators(argument):
        raise FilterError(
            f"$not takes operators or a regular expression, not {argument!r}", hint="$ne takes a value"
        )
    return _parse_condition(argument, spelling, aliases)


def _parse_exists(argument: Any, _: Mapping[str, str], __: Aliases) -> Any:
    return truthy(argument)


def _whole_number(value: Any, what: str) -> int:
    number = as_number(value) if kind(value) == "number" else math.nan
    if not (math.isfinite(number) and -(2**63) <= number < 2**63):
        raise FilterError(f"{what} takes a whole number of at most 64 bits, not {value!r}")
    return int(number)


def _parse_size(argument: Any, _: Mapping[str, str], __: Aliases) -> Any:
    size = _whole_number(argument, "$size")
    if size < 0 or size != as_number(argument):
        raise FilterError(f"$size takes a whole number that is not negative, not {argument!r}")
    return size


def _parse_mod(argument: Any, _: Mapping[str, str], __: Aliases) -> Any:
    if not isinstance(argument, (list, tuple)) or len(argument) != 2:
        raise FilterError(f"$mod takes a list of divisor and remainder, not {argument!r}")
    divisor, remainder = (_whole_number(item, "$mod") for item in argument)
    if divisor == 0:
        raise FilterError("$mod cannot divide by 0")
    return divisor, remainder


def _parse_type(argument: Any, _: Mapping[str, str], __: Aliases) -> Any:
    wanted = argument if isinstance(argument, (list, tuple)) else [argument]
    if not wanted:
        raise FilterError("$type needs at least one type")
    names = set()
    for item in wanted:
        known = kind(item) == "number" and as_number(item) in TYPE_NAMES
        name = TYPE_NAMES[int(as_number(item))] if known else item
        if name != "number" and name not in TYPE_NAMES.values():
            raise FilterError(
                f"$type does not know {item!r}", hint="examples: string, number, date, array, null, bool"
            )
        names.add(name)
    return frozenset(names | ({"int", "long", "double", "decimal"} if "number" in names else set()))


def _parse_elements(argument: Any, spelling: Mapping[str, str], aliases: Aliases) -> Any:
    if not isinstance(argument, Mapping):
        raise FilterError(f"$elemMatch takes conditions, not {argument!r}")
    if is_operators(argument) and next(iter(argument)) not in (*_LOGICAL, "$expr"):
        return _parse_condition(argument, spelling, aliases)
    if "$expr" in argument:
        raise FilterError("$expr cannot be used inside $elemMatch")
    return parse(argument, aliases={})


_OPERATORS: dict[str, Parser] = {
    "$eq": _parse_equal,
    "$ne": _parse_unequal,
    **dict.fromkeys(_COMPARISONS, _parse_bound),
    "$in": _parse_list,
    "$nin": _parse_list,
    "$all": _parse_all,
    "$not": _parse_not,
    "$exists": _parse_exists,
    "$size": _parse_size,
    "$mod": _parse_mod,
    "$type": _parse_type,
    "$elemMatch": _parse_elements,
    "$regex": _parse_equal,  # never called: handled together with $options
}


def paths_of(node: Node) -> set[str] | None:
    """Fields that a filter speaks of; None if that cannot be told (``$expr``)."""
    if isinstance(node, Expression):
        return None
    if isinstance(node, Field):
        return {node.path}
    found: set[str] = set()
    for part in node.nodes:
        paths = paths_of(part)
        if paths is None:
            return None
        found |= paths
    return found
