"""JSON that keeps the types of plain documents: dates, bytes, ObjectIds and numbers that JSON does not know.

Runner and compute node exchange documents in this form. It is written and read with the standard library
alone (``bson`` is imported only when an ObjectId is met). A value JSON has no word for becomes a dictionary
with one key:

=================  ====================================================
``$date``          ISO 8601, with microseconds; with an offset if the datetime has one
``$oid``           24 hexadecimal digits
``$binary``        base64
``$uuid``          the usual form
``$numberDouble``  ``NaN``, ``Infinity``, ``-Infinity``
=================  ====================================================

A dictionary of the user's that looks like one of these gets another ``$`` in front of its key, which
reading removes.
"""

from __future__ import annotations

import base64
import json
import math
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

_TAGS = frozenset({"$date", "$oid", "$binary", "$uuid", "$numberDouble"})


def _tag(value: Any) -> dict[str, str]:
    """The dictionary that stands for ``value``."""
    if isinstance(value, datetime):
        return {"$date": value.isoformat()}
    if isinstance(value, bytes | bytearray):
        return {"$binary": base64.b64encode(value).decode("ascii")}
    if isinstance(value, uuid.UUID):
        return {"$uuid": str(value)}
    if type(value).__name__ == "ObjectId" and type(value).__module__.startswith("bson"):
        return {"$oid": str(value)}
    raise TypeError(f"cannot write an object of type {type(value).__module__}.{type(value).__qualname__}")


def _untag(found: dict[str, Any]) -> Any:
    if len(found) != 1:
        return found
    ((key, value),) = found.items()
    if not key.startswith("$"):
        return found
    if key.startswith("$$") and key.lstrip("$") in _BARE_TAGS:
        return {key[1:]: value}
    return _READERS[key](value) if key in _TAGS and isinstance(value, str) else found


_BARE_TAGS = frozenset(tag[1:] for tag in _TAGS)


def _read_date(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _read_object_id(text: str) -> Any:
    from bson import ObjectId

    return ObjectId(text)


_READERS: dict[str, Callable[[str], Any]] = {
    "$date": _read_date,
    "$oid": _read_object_id,
    "$binary": base64.b64decode,
    "$uuid": uuid.UUID,
    "$numberDouble": float,
}


def _written(value: Any) -> Any:
    """``value`` with everything that JSON does not know replaced; the slow way, which handles all."""
    if isinstance(value, dict):
        result = {key if isinstance(key, str) else str(key): _written(inner) for key, inner in value.items()}
        if len(result) == 1:
            ((key, inner),) = result.items()
            if key.startswith("$") and key.lstrip("$") in _BARE_TAGS:
                return {"$" + key: inner}
        return result
    if isinstance(value, list | tuple):
        return [_written(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$numberDouble": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if value is None or isinstance(value, str | int | float):
        return value
    return _tag(value)


def encode(value: Any) -> str:
    """Text for ``value``; TypeError, naming the type, if it contains something that is not plain.

    Large documents are mostly numbers, and walking them in Python takes ten times as long as the C encoder.
    So the C encoder goes first; its text is taken unless a number was not finite or a dictionary of the
    user's looks like a tag.
    """
    tags = 0

    def count_and_tag(unknown: Any) -> dict[str, str]:
        nonlocal tags
        tags += 1
        return _tag(unknown)

    try:
        text = json.dumps(value, default=count_and_tag, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = None
    if text is None or text.count('{"$') != tags:
        text = json.dumps(_written(value), allow_nan=False, separators=(",", ":"))
    return text


def decode(text: str | bytes) -> Any:
    """What :func:`encode` was given."""
    return json.loads(text, object_hook=_untag)


@contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    """A name in the folder of ``target`` that is removed again if something goes wrong."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class Durability:
    """Whether files have to outlive a power failure: waiting for the disk takes longer than a small job."""

    waits_for_disk = True


def write_file(target: Path, text: str) -> None:
    """Write a file such that its name never stands for half of it, whatever happens to the process meanwhile."""
    with _temporary_beside(target) as temporary:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            if Durability.waits_for_disk:
                os.fsync(stream.fileno())
        os.replace(temporary, target)


def read_file(path: Path) -> Any:
    """Read a file of :func:`write_file`; ValueError if it is not JSON."""
    return decode(path.read_bytes())
