"""Which jobs or flows: the bundle of criteria that people give, as data, and as a Mongo filter."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobflow_remote.errors import FilterError
from jobflow_remote.model.states import BatchState, FlowState, JobState

Filter = dict[str, Any]
"""A Mongo filter dictionary."""


def _date_range(start: datetime | None, end: datetime | None) -> Filter:
    bounds = {op: value for op, value in (("$gte", start), ("$lte", end)) if value is not None}
    return {"updated_on": bounds} if bounds else {}


def _one_of(field: str, values: Sequence[Any] | None) -> Filter:
    if values is None:
        return {}
    return {field: values[0] if len(values) == 1 else {"$in": list(values)}}


def _name(field: str, pattern: str | None) -> Filter:
    if not pattern:
        return {}
    if not any(char in pattern for char in "*?["):
        return {field: pattern}
    # fnmatch.translate writes (?s:…)\Z; MongoDB's PCRE knows \z, and $ with the s option means the same here
    body = fnmatch.translate(pattern).removeprefix("(?s:").removesuffix(r")\Z")
    return {field: {"$regex": f"^{body}$", "$options": "s"}}


def _metadata(field: str, metadata: Mapping[str, Any] | None) -> Filter:
    return {f"{field}.{key}": value for key, value in (metadata or {}).items()}


@dataclass(frozen=True, slots=True)
class JobSelection:
    """Criteria on jobs; all of them must hold, and an empty selection means every job.

    ``flow_ids`` are uuids of flows. ``start`` and ``end`` bound ``updated_on`` (stored time). ``name`` is a shell
    pattern. ``query`` is a Mongo filter of the user's own, which may not speak of fields that another criterion uses.
    """

    job_ids: Sequence[tuple[str, int]] | None = None
    uuids: Sequence[str] | None = None
    db_ids: Sequence[str] | None = None
    flow_ids: Sequence[str] | None = None
    states: Sequence[JobState] | None = None
    start: datetime | None = None
    end: datetime | None = None
    name: str | None = None
    metadata: Mapping[str, Any] | None = None
    workers: Sequence[str] | None = None
    locked: bool = False
    query: Mapping[str, Any] | None = None

    def to_filter(self) -> Filter:
        """The selection as a Mongo filter on job documents.

        Raises
        ------
        FilterError
            If ``query`` and another criterion constrain the same field.
        """
        result: Filter = {
            **_one_of("uuid", self.uuids),
            **_one_of("db_id", self.db_ids),
            **_one_of("flow_uuid", self.flow_ids),
            **_one_of("state", [state.value for state in self.states] if self.states else None),
            **_date_range(self.start, self.end),
            **_name("job.name", self.name),
            **_metadata("job.metadata", self.metadata),
            **_one_of("worker", self.workers),
        }
        if self.job_ids is not None:
            result["$or"] = [{"uuid": uuid, "index": index} for uuid, index in self.job_ids] or [
                {"uuid": None}
            ]
        if self.locked:
            result["lock_id"] = {"$ne": None}
        if self.query:
            both = sorted(set(result) & set(self.query))
            if both:
                raise FilterError(
                    f"the query and another option both constrain {', '.join(both)}",
                    hint="say it in one place: either in the query or by the option",
                )
            result.update(self.query)
        return result


@dataclass(frozen=True, slots=True)
class FlowSelection:
    """Criteria on flows; all of them must hold. ``flow_ids`` are uuids."""

    flow_ids: Sequence[str] | None = None
    states: Sequence[FlowState] | None = None
    start: datetime | None = None
    end: datetime | None = None
    name: str | None = None
    metadata: Mapping[str, Any] | None = None
    locked: bool = False
    query: Mapping[str, Any] | None = None

    def to_filter(self) -> Filter:
        """The selection as a Mongo filter on flow documents."""
        result: Filter = {
            **_one_of("uuid", self.flow_ids),
            **_one_of("state", [state.value for state in self.states] if self.states else None),
            **_date_range(self.start, self.end),
            **_name("name", self.name),
            **_metadata("metadata", self.metadata),
        }
        if self.locked:
            result["lock_id"] = {"$ne": None}
        for key, value in (self.query or {}).items():
            if key in result:
                raise FilterError(f"the query and another option both constrain {key}")
            result[key] = value
        return result


@dataclass(frozen=True, slots=True)
class BatchSelection:
    """Criteria on the scheduler jobs of batch workers; all of them must hold.

    ``job_ids`` (uuid and index) and ``db_ids`` are jobs of ours, one of which the batch has run or runs.
    """

    process_ids: Sequence[str] | None = None
    batch_uids: Sequence[str] | None = None
    workers: Sequence[str] | None = None
    states: Sequence[BatchState] | None = None
    job_ids: Sequence[tuple[str, int]] | None = None
    db_ids: Sequence[str] | None = None

    def to_filter(self) -> Filter:
        """The selection as a Mongo filter on documents of batches."""
        result: Filter = {
            **_one_of("process_id", self.process_ids),
            **_one_of("batch_uid", self.batch_uids),
            **_one_of("worker", self.workers),
            **_one_of("batch_state", [state.value for state in self.states] if self.states else None),
        }
        # an element of ``jobs`` is [db_id, uuid, index]
        each: list[list[Filter]] = [
            [{"0": db_id} for db_id in self.db_ids or ()],
            [{"1": uuid, "2": index} for uuid, index in self.job_ids or ()],
        ]
        wanted = [{"$or": [{"jobs": {"$elemMatch": one}} for one in ones]} for ones in each if ones]
        return result | ({"$and": wanted} if wanted else {})
