"""Reading a database of an older release before it is upgraded: what readers expect, worked out as they ask."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jobflow_remote.model.records import Document
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.mongo.connection import COUNTER, Connection

PATHS = {"flow_uuid": "job.hosts"}
"""Field of ours → where an older release has what is looked for in it."""
JOB_FIELDS = ("db_id", "job.hosts")
"""What :func:`complete_jobs` needs."""
_NO_LIMIT = 2**62
_MANY = {"$eq": "$in", "$ne": "$nin"}
"""An operator for one value → the one for several."""


def sort_path(path: str) -> str:
    """The field that stands for one of ours in an order."""
    return "created_on" if path == "db_number" else path


def complete_jobs(documents: Sequence[Document]) -> None:
    """Add the fields of ours that follow from the document (in place)."""
    from jobflow_remote.model.decide.upgrade import flow_of, number_of

    for document in documents:
        if "db_id" in document:
            document["db_number"] = number_of(str(document["db_id"]), prefix="", next_id=_NO_LIMIT)
        if (document.get("job") or {}).get("hosts"):
            document["flow_uuid"] = flow_of(document["job"])


def complete_flows(connection: Connection, documents: Sequence[Document]) -> None:
    """Add the number of jobs, their states and the lowest number (in place)."""
    from jobflow_remote.model.decide.upgrade import number_of

    counter = connection.auxiliary.find_one(COUNTER) or {}
    next_id = int(counter.get("next_id") or _NO_LIMIT)
    states = _states(connection, documents)
    for document in documents:
        ids = document.get("ids") or []
        counts: dict[str, int] = {}
        for _, uuid, index in ids:
            state = states.get((uuid, index))
            if state is not None:
                counts[state] = counts.get(state, 0) + 1
        numbers = [number_of(str(db_id), prefix="", next_id=next_id) for db_id, _, _ in ids]
        document.update(n_jobs=len(ids), counts=counts, db_number=min(numbers, default=None))


def _states(connection: Connection, documents: Sequence[Document]) -> dict[tuple[Any, Any], str]:
    uuids = [uuid for document in documents for uuid in document.get("jobs") or ()]
    if not uuids:
        return {}
    found = connection.jobs.find({"uuid": {"$in": uuids}}, {"uuid": 1, "index": 1, "state": 1})
    return {(job["uuid"], job["index"]): JobState(job["state"]).value for job in found}


# -- filters -----------------------------------------------------------------------------------------------


def by_number(condition: Any) -> Any:
    """A condition on ``db_id`` for one that names values of ``db_number``; None: it cannot be said."""
    values = condition.get("$in") if isinstance(condition, Mapping) and len(condition) == 1 else [condition]
    if values is None or not all(isinstance(value, int) for value in values):
        return None
    return {"$in": [re.compile(rf"(^|[^0-9]){value}$") for value in values]}


def widen(condition: Any, spelling: Mapping[str, str]) -> Any:
    """The condition, for a field in which each value may have its former spelling too."""
    if isinstance(condition, str):
        spellings = _spellings(condition, spelling)
        return {"$in": spellings} if len(spellings) > 1 else condition
    if not isinstance(condition, Mapping):
        return condition
    wide: Document = {}
    for name, value in condition.items():
        if name == "$not":
            wide[name] = widen(value, spelling)
        elif name in _MANY and len(_spellings(value, spelling)) > 1:
            wide[_MANY[name]] = _spellings(value, spelling)
        elif name in ("$in", "$nin"):
            wide[name] = [each for item in value for each in _spellings(item, spelling)]
        else:
            wide[name] = value
    return wide


def _spellings(value: Any, spelling: Mapping[str, str]) -> list[Any]:
    return [value, *(former for former, present in spelling.items() if present == value)]
