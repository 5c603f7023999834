"""Jobs and flows as lines of a listing, in plain data: what pages, events and the JSON interface say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from jobflow_remote.control.inspect import run_seconds
from jobflow_remote.control.progress import last_line
from jobflow_remote.model.clock import utcnow

LONGEST_ERROR = 300


def job_row(document: Mapping[str, Any]) -> dict[str, Any]:
    """One job in a list."""
    ran = run_seconds(document, utcnow())
    return {
        "uuid": document["uuid"],
        "index": document["index"],
        "db_id": document["db_id"],
        "name": str((document.get("job") or {}).get("name") or ""),
        "state": document["state"],
        "worker": document.get("worker"),
        "flow_uuid": document.get("flow_uuid"),
        "updated_on": document.get("updated_on"),
        "created_on": document.get("created_on"),
        "run_seconds": None if ran is None else round(ran[0], 3),
        "error": last_line(document)[:LONGEST_ERROR],
    }


def flow_row(document: Mapping[str, Any]) -> dict[str, Any]:
    """One flow in a list."""
    return {
        "uuid": document["uuid"],
        "name": str(document.get("name") or ""),
        "state": document["state"],
        "n_jobs": document.get("n_jobs"),
        "counts": {str(state): number for state, number in (document.get("counts") or {}).items() if number},
        "updated_on": document.get("updated_on"),
        "created_on": document.get("created_on"),
        "db_number": document.get("db_number"),
    }


def _to_plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    as_dict = getattr(value, "as_dict", None)
    return as_dict() if callable(as_dict) else str(value)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON; moments are ISO 8601 with their zone."""
    separators = None if indent else (",", ":")
    return json.dumps(value, default=_to_plain, ensure_ascii=False, indent=indent, separators=separators)
