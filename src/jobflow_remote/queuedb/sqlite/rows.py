"""Between a job document and its row."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.filters import Column
from jobflow_remote.queuedb.filters.sql import column_value
from jobflow_remote.queuedb.sqlite.codec import from_milliseconds
from jobflow_remote.queuedb.sqlite.schema import FLOW_COLUMNS, JOB_COLUMNS

_COLUMNS = [(path.split("."), column) for path, column in JOB_COLUMNS.items()]
COLUMN_NAMES = tuple(column.name for column in JOB_COLUMNS.values())
_OPTIONAL_NUMBERS = {"priority": 0, "superseded": 0}


def share_hash(uuid: str) -> int:
    """The number by which processes of one role share the jobs."""
    try:
        return int(uuid[:8], 16)
    except ValueError:  # not a uuid: any even spread will do
        return zlib.crc32(uuid.encode("utf-8", "replace"))


def job_columns(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the columns of :data:`COLUMN_NAMES` hold for a document.

    Raises
    ------
    QueueDatabaseError
        If a field that is a column has a value of another kind than the column.
    """
    return tuple(_column(document, path, column) for path, column in _COLUMNS)


def _column(document: Mapping[str, Any], path: Sequence[str], column: Column) -> Any:
    value: Any = document
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return _OPTIONAL_NUMBERS.get(column.name)
    if type(value) is str and column.kind in ("text", "scalar"):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    fits, stored = column_value(value, column)
    if not fits:
        raise QueueDatabaseError(
            f"{'.'.join(path)} of job {document.get('uuid')} must be a {column.kind}, and {value!r} is none"
        )
    return stored


def from_column(value: Any, column: Column) -> Any:
    """The value of a field from its column."""
    if value is None:
        return None
    if column.kind == "date":
        return from_milliseconds(value)
    return bool(value) if column.kind == "bool" else value


def document_of_columns(
    paths: Iterable[str], values: Iterable[Any], columns: Mapping[str, Column]
) -> Document:
    """A document with only these fields, from columns alone."""
    document: Document = {}
    for path, value in zip(paths, values, strict=True):
        *above, last = path.split(".")
        node = document
        for part in above:
            node = node.setdefault(part, {})
        node[last] = from_column(value, columns[path])
    return document


def only_columns(fields: Sequence[str] | None, columns: Mapping[str, Column]) -> bool:
    """Whether columns alone can answer for these fields."""
    return bool(fields) and all(path in columns for path in fields or ())


def set_path(document: Document, path: str, value: Any) -> None:
    """Write a value at a dotted path, making the dictionaries on the way."""
    *above, last = path.split(".")
    node = document
    for part in above:
        below = node.get(part)
        if not isinstance(below, dict):
            below = node[part] = {}
        node = below
    node[last] = value


def flow_column(document: Mapping[str, Any], path: str) -> Any:
    """What a column of a flow holds."""
    return _column(document, [path], FLOW_COLUMNS[path])


def stored_moment(value: int) -> datetime:
    """A moment from an integer column."""
    return from_milliseconds(value)
