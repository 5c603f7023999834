"""Values as MongoDB sees them: their kind, equality, and order.

The classes of ``bson`` are recognised by name, so that nothing here imports it: listings on the embedded
database must start without pymongo.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from jobflow_remote.errors import FilterError
from jobflow_remote.model.clock import to_stored


class Missing:
    """The value of a field that a document does not have."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


class Whole(list[Any]):
    """An array that was picked out of another one by its number: its elements do not stand for it."""

    __slots__ = ()


_KINDS: dict[type, str] = {
    type(None): "null",
    Missing: "null",
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
    tuple: "array",
    Whole: "array",
    datetime: "date",
    bytes: "binData",
    re.Pattern: "regex",
}
_BSON_KINDS = {
    "ObjectId": "objectId",
    "Regex": "regex",
    "Decimal128": "number",
    "Timestamp": "timestamp",
    "MinKey": "minKey",
    "MaxKey": "maxKey",
    "Code": "javascript",
    "DBRef": "object",
}
_BASES: tuple[type, ...] = (bool, int, float, str, bytes, datetime, Mapping, list, tuple)
_ORDER = (
    "minKey", "null", "number", "string", "object", "array", "binData", "objectId", "bool", "date",
    "timestamp", "regex", "javascript", "maxKey",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(_ORDER)}


def kind(value: Any) -> str:
    """Name of the bracket within which MongoDB compares ``value``."""
    found = _KINDS.get(type(value))
    return found if found is not None else _learn_kind(value)


def _learn_kind(value: Any) -> str:
    cls = type(value)
    found = _BSON_KINDS.get(cls.__name__) if cls.__module__.partition(".")[0] == "bson" else None
    if found is None:
        base = next((base for base in _BASES if isinstance(value, base)), None)
        found = "object" if base is Mapping else _KINDS[base] if base else f"Python {cls.__name__}"
    _KINDS[cls] = found
    return found


TYPE_NAMES = {
    1: "double", 2: "string", 3: "object", 4: "array", 5: "binData", 6: "undefined", 7: "objectId", 8: "bool",
    9: "date", 10: "null", 11: "regex", 12: "dbPointer", 13: "javascript", 14: "symbol", 15: "javascriptWithScope",
    16: "int", 17: "timestamp", 18: "long", 19: "decimal", -1: "minKey", 127: "maxKey",
}  # fmt: skip


def is_decimal(value: Any) -> bool:
    """Whether ``value`` is a decimal number of BSON."""
    return type(value).__name__ == "Decimal128"


def as_number(value: Any) -> Any:
    """A value of the kind "number" as something that Python can compare with other numbers."""
    if isinstance(value, (int, float)):
        return value
    exact = value.to_decimal()
    return math.nan if exact.is_nan() else exact


def type_name(value: Any) -> str:
    """Name of the type of ``value`` for ``$type``."""
    found = kind(value)
    if found != "number":
        return found
    if isinstance(value, float):
        return "double"
    if is_decimal(value):
        return "decimal"
    return "long" if type(value).__name__ == "Int64" or not -(2**31) <= value < 2**31 else "int"


def is_nan(value: Any) -> bool:
    """Whether ``value`` is the number that differs from itself."""
    return kind(value) == "number" and math.isnan(as_number(value))


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal to MongoDB: kinds must agree, and the order of keys counts."""
    found = kind(left)
    if found != kind(right):
        return False
    if found == "null":
        return True
    if found == "object":
        return len(left) == len(right) and all(
            key == other and same(left[key], right[other]) for key, other in zip(left, right, strict=True)
        )
    if found == "array":
        return len(left) == len(right) and all(map(same, left, right))
    if found == "number":
        return is_nan(right) if is_nan(left) else bool(as_number(left) == as_number(right))
    if found == "regex":
        return regex_source(left) == regex_source(right)
    return bool(left == right)


def order_key(value: Any) -> tuple[int, Any]:
    """A key by which values of any kinds sort as MongoDB sorts them."""
    found = kind(value)
    rank = _RANK.get(found, len(_ORDER))
    if found == "number":
        return rank, ((0, 0) if is_nan(value) else (1, as_number(value)))
    if found == "object":
        return rank, [(order_key(item)[0], name, order_key(item)) for name, item in value.items()]
    if found == "array":
        return rank, [order_key(item) for item in value]
    if found == "binData":
        return rank, (len(value), bytes(value))
    if found == "regex":
        return rank, regex_source(value)
    if found in ("null", "minKey", "maxKey"):
        return rank, (1 if value is None else 0)
    return rank, value if found in _RANK else repr(value)


_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}


def regex_source(value: Any) -> tuple[str, int]:
    """Pattern and flags of a compiled or a bson regular expression."""
    return str(value.pattern), int(value.flags) & ~int(re.UNICODE)


def build_regex(pattern: Any, options: str = "") -> re.Pattern[str]:
    """The Python expression for what MongoDB gives to PCRE.

    Raises
    ------
    FilterError
        If Python does not understand the pattern or an option.
    """
    flags = 0
    if kind(pattern) == "regex":
        pattern, flags = regex_source(pattern)
    if not isinstance(pattern, str):
        raise FilterError(f"$regex takes a text, not {pattern!r}")
    if "\0" in pattern:
        raise FilterError("$regex takes a text without null characters")
    unknown = sorted(set(options) - set(_FLAGS) - {"u"})
    if unknown:
        raise FilterError(f"$options does not know {', '.join(unknown)}", hint="it knows i, m, s and x")
    for letter in options:
        flags |= int(_FLAGS.get(letter, 0))
    try:
        return re.compile(_to_python(pattern, by_lines=bool(flags & re.MULTILINE)), flags)
    except (re.error, RecursionError) as exc:
        raise FilterError(f"the regular expression {pattern!r} cannot be understood: {exc}") from None


_SETS = {"d": "0-9", "w": "A-Za-z0-9_", "s": r"\t\n\v\f\r "}
_PCRE_ONLY = re.compile(r"\\.|\(\?<(?![=!])|\(\?[aLu]|\{,\d+\}|\^|\[\^?\]?|\]", re.DOTALL)
_IN_PYTHON = {
    "\\z": r"\Z",
    "\\Z": r"(?=\n?\Z)",
    "(?<": "(?P<",
    "\\b": r"(?a:\b)",
    "\\B": r"(?a:\B)",
    **{f"\\{letter}": f"[{names}]" for letter, names in _SETS.items()},
    **{f"\\{letter.upper()}": f"[^{names}]" for letter, names in _SETS.items()},
}
_UNKNOWN = ("\\u", "\\U", "\\N", "\\v", "(?a", "(?L", "(?u")
"""What MongoDB does not know, or understands as something else."""
_IN_SET = {f"\\{letter}": names for letter, names in _SETS.items()}


_BY_LINES = re.compile(r"\(\?[a-z]*m")


def _to_python(pattern: str, *, by_lines: bool) -> str:
    """The same in Python's spelling.

    The end of the text is ``\\z`` in PCRE and ``\\Z`` in Python (where PCRE's ``\\Z`` is ``(?=\\n?\\Z)``); named groups
    need no ``P`` in PCRE; ``{,3}`` is text; no line begins behind the last newline; and digits, letters and spaces
    are those of ASCII, while case is that of Unicode.

    Raises
    ------
    FilterError
        For what has no spelling in Python, as the complement of a class inside of a set.
    """
    in_set = False
    begin = r"(?:\A|^(?!\Z))" if by_lines or _BY_LINES.search(pattern) else "^"

    def spell(match: re.Match[str]) -> str:
        nonlocal in_set
        found = match[0]
        if found[0] in "[]":
            if in_set and pattern.startswith("[:", match.start()):
                raise FilterError(f"[:…:] cannot be used in {pattern!r}", hint="name the characters")
            in_set = not found.endswith("]") if in_set else found[0] == "["
            return found
        if found in _UNKNOWN or (in_set and found in ("\\D", "\\W", "\\S")):
            raise FilterError(f"{found} cannot be used there in the regular expression {pattern!r}")
        if found == "^" and not in_set:
            return begin
        if found[0] == "{" and not in_set:
            return f"\\{found}"
        return (_IN_SET if in_set else _IN_PYTHON).get(found, found)

    return _PCRE_ONLY.sub(spell, pattern)


_PLAIN_KINDS = frozenset(("null", "bool", "number", "string", "binData", "objectId", "regex", "timestamp",
                          "minKey", "maxKey", "javascript"))  # fmt: skip


def operand(value: Any) -> Any:
    """A value of a filter as the database would store it.

    Raises
    ------
    FilterError
        If no stored value can be like it.
    """
    found = kind(value)
    if found in _PLAIN_KINDS:
        return value
    if found == "date":
        return to_stored(value)
    if found == "array":
        return [operand(item) for item in value]
    if found == "object":
        if not all(isinstance(key, str) for key in value):
            raise FilterError(f"the keys of {value!r} must be texts")
        return {key: operand(item) for key, item in value.items()}
    raise FilterError(f"a filter cannot compare with {value!r}, which is a {type(value).__name__}")


# -- what a dotted path leads to -----------------------------------------------------------------------------


_POSITION = re.compile(r"0|[1-9][0-9]*")


def _follow(value: Any, parts: list[str], depth: int, found: list[Any], *, sorting: bool = False) -> None:
    """Collect every value at the end of the path; arrays on the way are entered, the one at the end is not.

    ``sorting``: an element of an array on the way that has no fields counts as missing, where filters pass over it,
    and the number of an element means that one alone.
    """
    if depth == len(parts):
        found.append(value)
        return
    part = parts[depth]
    if isinstance(value, dict):
        if part in value:
            _follow(value[part], parts, depth + 1, found, sorting=sorting)
        else:
            found.append(MISSING)
    elif isinstance(value, list):
        numbered = _POSITION.fullmatch(part) is not None and int(part) < len(value)
        if numbered:
            item = value[int(part)]
            last = depth + 1 == len(parts)
            # an empty one sorts as it does anywhere
            item = Whole(item) if last and isinstance(item, list) and (item or not sorting) else item
            if last or sorting or isinstance(item, (dict, list)):
                _follow(item, parts, depth + 1, found, sorting=sorting)
            if sorting:
                return
        for item in value:
            if isinstance(item, dict):
                _follow(item, parts, depth, found, sorting=sorting)
            elif sorting:
                found.append(MISSING)
    else:
        found.append(MISSING)


def getter(path: str) -> Callable[[Mapping[str, Any]], list[Any]]:
    """A function that gives all values to which a dotted path leads in a document."""
    parts = path.split(".")
    if len(parts) == 1:
        return lambda document: [document.get(path, MISSING)]

    def get(document: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = []
        _follow(document, parts, 0, found)
        return found

    return get


def expanded(values: list[Any]) -> Iterator[Any]:
    """The values, and before each array its elements: a condition holds if it holds for any of them."""
    for value in values:
        if isinstance(value, list) and not isinstance(value, Whole):
            yield from value
        yield value


_UNDEFINED = (0, 1)
"""What an empty array sorts as: after MinKey, before null."""
_NULL = order_key(None)


def _sort_part(value: Any) -> tuple[int, Any]:
    return _NULL if value is MISSING else order_key(value)


def sort_key(path: str, direction: int) -> Callable[[Mapping[str, Any]], Any]:
    """A key function for sorting documents by ``path`` (an array counts by its least or greatest element)."""
    parts = path.split(".")
    choose = min if direction > 0 else max

    def key(document: Mapping[str, Any]) -> Any:
        keys: list[tuple[int, Any]] = []
        found: list[Any] = []
        _follow(document, parts, 0, found, sorting=True)
        for value in found:
            if isinstance(value, list) and not isinstance(value, Whole):
                keys += [_sort_part(item) for item in value] or [_UNDEFINED]
            else:
                keys.append(_sort_part(value))
        return choose(keys, default=_NULL)

    return key
