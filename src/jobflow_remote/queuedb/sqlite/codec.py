"""Documents as text and as bytes.

Heads are JSON (``json`` of the standard library: orjson writes NaN as null without a word) in which the
types that JSON lacks are objects with one key that begins with ``$``. Bodies are BSON, which is much larger
data and is read rarely; ``bson`` is imported when the first one is written or read.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.model.clock import to_stored
from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.filters.sql import to_milliseconds

_EPOCH = datetime(1970, 1, 1)
_BODY_FIELDS = ("function_args", "function_kwargs")
_TAG = '{"$'


def from_milliseconds(number: int) -> datetime:
    """The moment that is stored as ``number``."""
    return _EPOCH + timedelta(milliseconds=number)


def _tag(value: Any) -> dict[str, Any]:
    """A value that JSON does not know, as an object with one key."""
    if isinstance(value, datetime):
        return {"$date": to_milliseconds(to_stored(value))}
    if type(value) is bytes:
        return {"$binary": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float):
        return {"$numberDouble": repr(value)}
    if type(value).__name__ == "ObjectId":
        return {"$oid": str(value)}
    import bson

    try:
        return {"$bson": base64.b64encode(bson.encode({"": value})).decode("ascii")}
    except bson.errors.InvalidDocument as exc:
        raise QueueDatabaseError(
            f"a {type(value).__name__} cannot be stored in the queue database: {exc}"
        ) from None


class _Tagger:
    """Counts the tags it makes, so that a document's own ``{"$date": …}`` is noticed."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, value: Any) -> dict[str, Any]:
        self.made += 1
        return _tag(value)


def _walk(value: Any) -> Any:
    """The slow way: everything tagged, and what only looks like a tag escaped."""
    if isinstance(value, Mapping):
        if len(value) == 1:
            key, item = next(iter(value.items()))
            if str(key).startswith("$"):
                return {"$literal": [key, _walk(item)]}
        return {key: _walk(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_walk(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _tag(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    return _tag(value)


def encode(document: Any) -> str:
    """A document as text."""
    tagger = _Tagger()
    try:
        text = json.dumps(
            document, default=tagger, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        if text.count(_TAG) != tagger.made:
            text = json.dumps(_walk(document), separators=(",", ":"), ensure_ascii=False)
    except ValueError:  # not a number, or infinite
        text = json.dumps(_walk(document), separators=(",", ":"), ensure_ascii=False)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # file names and outputs of programs may carry half characters
            text = json.dumps(json.loads(text), separators=(",", ":"))
    return text


def _untag(found: dict[str, Any]) -> Any:
    if len(found) != 1:
        return found
    ((key, value),) = found.items()
    if not key.startswith("$"):
        return found
    if key == "$date":
        return from_milliseconds(value)
    if key == "$numberDouble":
        return float(value)
    if key == "$binary":
        return base64.b64decode(value)
    if key == "$literal":
        return {value[0]: value[1]}
    if key == "$oid":
        from bson import ObjectId

        return ObjectId(value)
    if key == "$bson":
        import bson

        return bson.decode(base64.b64decode(value))[""]
    return found


_decode_tagged = json.JSONDecoder(object_hook=_untag).raw_decode
"""Made once: making it takes as long as reading a short text."""


def decode(text: str) -> Any:
    """The document of a text of :func:`encode`."""
    return _decode_tagged(text)[0] if _TAG in text else json.loads(text)


def split_inputs(document: Document) -> tuple[Document, Document]:
    """A job document without its inputs, and the inputs."""
    job = document.get("job")
    if not isinstance(job, dict) or not any(name in job for name in _BODY_FIELDS):
        return document, {}
    inputs = {name: job[name] for name in _BODY_FIELDS if name in job}
    rest = {name: value for name, value in job.items() if name not in _BODY_FIELDS}
    return {**document, "job": rest}, inputs


def join_inputs(document: Document, inputs: Document) -> Document:
    """Put the inputs back (in place)."""
    document["job"] = {**(document.get("job") or {}), **inputs}
    return document


def encode_body(inputs: Document) -> bytes | str:
    """Inputs as BSON; as text where BSON cannot hold them (integers beyond 64 bits)."""
    import bson

    try:
        encoded: bytes = bson.encode(inputs)
    except (OverflowError, bson.errors.InvalidStringData, UnicodeEncodeError):
        return encode(inputs)
    except bson.errors.InvalidDocument as exc:
        raise QueueDatabaseError(
            f"the inputs of a job cannot be stored in the queue database: {exc}"
        ) from None
    return encoded


def decode_body(body: bytes | str) -> Document:
    """The inputs of :func:`encode_body`."""
    if isinstance(body, str):
        text: Document = decode(body)
        return text
    import bson

    inputs: Document = bson.decode(body)
    return inputs
