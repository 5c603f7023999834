"""What a change comes to: operations on single documents, each of which may be repeated.

An operation on a job says which ``rev`` of the job it was worked out from, and makes the next one: repeated, it
finds nothing to do. Operations on a flow are bound to the change that holds the flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import bson
from pymongo import DeleteMany, DeleteOne, ReplaceOne, UpdateOne

from jobflow_remote.model.records import Document

_PART_BYTES = 8 * 2**20
Operation = Any
"""One write of pymongo's bulk writes."""


@dataclass(slots=True)
class Plan:
    """All writes of one change."""

    jobs: list[Document] = field(default_factory=list)
    """``{"_id", "rev", "update"}`` or ``{"_id", "rev", "replacement"}``."""
    deleted_jobs: list[Any] = field(default_factory=list)
    flows: list[Document] = field(default_factory=list)
    """``{"uuid", "pull", "jobs"}`` first, ``{"uuid", "update"}``, or ``{"uuid", "delete": True}``."""
    new_jobs: list[Document] = field(default_factory=list)
    new_flows: list[Document] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.jobs or self.deleted_jobs or self.flows or self.new_jobs or self.new_flows)

    def pack(self) -> list[bytes]:
        """The operations as bytes, in parts that fit into a document each (new documents are written before)."""
        items = [
            *({"job": item} for item in self.jobs),
            *({"gone": item} for item in self.deleted_jobs),
            *({"flow": item} for item in self.flows),
        ]
        parts: list[bytes] = []
        size, chunk = 0, list[bytes]()
        for item in items:
            packed = bson.encode(item)
            if chunk and size + len(packed) > _PART_BYTES:
                parts.append(b"".join(chunk))
                chunk, size = [], 0
            chunk.append(packed)
            size += len(packed)
        return [*parts, b"".join(chunk)]

    @classmethod
    def unpack(cls, parts: Iterable[bytes]) -> Plan:
        """The plan of the bytes of :meth:`pack`, without the new documents."""
        plan = cls()
        for part in parts:
            for item in bson.decode_iter(part):
                ((kind, content),) = item.items()
                target: list[Any] = {"job": plan.jobs, "gone": plan.deleted_jobs, "flow": plan.flows}[kind]
                target.append(content)
        return plan


def job_operations(plan: Plan) -> Iterator[Operation]:
    """Writes to jobs that exist."""
    for item in plan.jobs:
        guard = {"_id": item["_id"], "derived.rev": item["rev"]}
        if "replacement" in item:
            yield ReplaceOne(guard, item["replacement"])
        else:
            yield UpdateOne(guard, item["update"])
    if plan.deleted_jobs:
        yield DeleteMany({"_id": {"$in": plan.deleted_jobs}})


def flow_operations(plan: Plan, guard: Document) -> Iterator[Operation]:
    """Writes to flows; ``guard`` says who must hold them. The last one to each flow lets it go."""
    for item in plan.flows:
        condition = {"uuid": item["uuid"], **guard}
        if item.get("delete"):
            yield DeleteOne(condition)
        elif "pull" in item:
            pulls = {"ids": {"$in": item["pull"]}, "jobs": {"$in": item.get("jobs") or []}}
            yield UpdateOne(condition, {"$pull": pulls})
        else:
            yield UpdateOne(condition, item["update"])
