"""Whole databases on the move: what a collection is known by, what of a document is its own, and digests.

Shared by the adapters (:meth:`~jobflow_remote.queuedb.port.QueueDatabase.dump`, ``load``, ``finish_load``) and by those
who check that nothing was lost. It knows no database.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.model.graph import edge_is_settled, settlement
from jobflow_remote.model.records import Document, tolerates_missing
from jobflow_remote.model.states import JobState

KEYS: dict[str, str] = {
    "jobs": "db_number",
    "flows": "uuid",
    "batches": "batch_uid",
    "jf_auxiliary": "key",
}
"""Collection → the field that identifies a document, by which ``dump`` sorts."""

FLOW_DERIVED = ("counts", "n_jobs", "leaves", "leaves_completed", "db_number", "jobs", "ids", "parents")
"""Fields of a flow that follow from its jobs; they are worked out again where the jobs are put in."""

NEEDED: dict[str, tuple[str, ...]] = {
    "jobs": ("db_number", "db_id", "uuid", "index", "flow_uuid", "state", "worker", "created_on", "updated_on"),
    "flows": ("uuid", "state", "created_on", "updated_on"),
    "batches": ("batch_uid", "batch_state", "worker"),
    "jf_auxiliary": ("key",),
}  # fmt: skip
"""Collection → fields without which a document cannot be put in."""

NEXT_ID = "next_id"
SESSION = "running_runner"
"""Key of the runner session, which belongs to a server and not to a queue."""
VERSION = "jobflow_remote_version"
"""Key by which 1.0.1 finds the document of versions."""
OLDER_HINT = "restore it into a MongoDB database, and bring that up to date with `jf admin upgrade`"


def check_collection(collection: str) -> str:
    """The key of a collection.

    Raises
    ------
    ValueError
        If there is no such collection.
    """
    try:
        return KEYS[collection]
    except KeyError:
        raise ValueError(f"there is no collection {collection!r}, only {', '.join(KEYS)}") from None


def check_documents(collection: str, documents: Iterable[Document]) -> list[Document]:
    """Documents without what is not their own.

    Raises
    ------
    QueueDatabaseError
        If one of them lacks a field that every document of this collection has.
    """
    return [_checked(collection, document) for document in documents]


def _checked(collection: str, document: Document) -> Document:
    missing = [name for name in NEEDED[collection] if document.get(name) is None]
    if missing:
        which = document.get("db_id") or document.get("uuid") or document.get(KEYS[collection])
        raise QueueDatabaseError(
            f"a document of {collection} ({which}) has no `{missing[0]}`: it was written by an older release",
            hint=OLDER_HINT,
        )
    dropped = {"_id", "derived", *(FLOW_DERIVED if collection == "flows" else ())}
    own = {name: value for name, value in document.items() if name not in dropped}
    if collection == "jobs":
        _check_state(own)
    return own


def _check_state(document: Document) -> None:
    try:
        document["state"] = JobState(document["state"]).value
    except ValueError:
        raise QueueDatabaseError(
            f"job {document['db_id']} has an unknown state {document['state']!r}"
        ) from None


# -- auxiliary documents: by key here, told apart by the keys that they have where 1.0.1 reads them --------


def split_auxiliary(documents: Iterable[Document]) -> list[Document]:
    """Stored auxiliary documents as ``{"key": …, "value": …}``, sorted, without the runner session."""
    found: dict[str, Any] = {}
    for document in documents:
        content = {name: value for name, value in document.items() if name != "_id"}
        if VERSION in content:
            content = {"versions": content}
        elif SESSION in content:
            continue
        elif NEXT_ID in content:
            content = {NEXT_ID: content[NEXT_ID]}
        found.update(content)
    return [{"key": key, "value": found[key]} for key in sorted(found)]


def auxiliary_document(key: str, value: Any) -> Document:
    """The auxiliary document as it is stored where 1.0.1 reads it."""
    if key == "versions" and isinstance(value, Mapping) and VERSION in value:
        return {"_id": key, **value}
    return {"_id": key, key: value}


def find_changed(
    collection: str, documents: Sequence[Document], stored: Mapping[Any, Document]
) -> list[Document]:
    """Those that are not stored, or stored with other content. ``stored``: by key."""
    key = KEYS[collection]
    return [each for each in documents if not _same(stored.get(each[key]), each)]


def _same(one: Document | None, other: Document) -> bool:
    return one is not None and (one == other or canonical(one) == canonical(other))


# -- digests -------------------------------------------------------------------------------------------------


def _tag(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"\0date": value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}"}
    if isinstance(value, bytes):
        return {"\0bytes": value.hex()}
    return {f"\0{type(value).__name__}": str(value)}


def canonical(document: Any) -> bytes:
    """A document as bytes that do not depend on the database it was read from, nor on the order of its keys."""
    return json.dumps(document, default=_tag, sort_keys=True, separators=(",", ":")).encode("ascii")


@dataclass(slots=True)
class Digest:
    """Number and digest of documents, in whatever order they come."""

    count: int = 0
    total: int = 0

    def add(self, document: Any) -> None:
        """One more."""
        self.add_bytes(canonical(document))

    def add_bytes(self, content: bytes) -> None:
        """One more, in canonical form."""
        self.count += 1
        self.total = (self.total + int.from_bytes(hashlib.sha256(content).digest())) % 2**256

    @property
    def hex(self) -> str:
        """For people."""
        return f"{self.total:064x}"[:16]


# -- what follows from the jobs ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """Of a job, what others depend on."""

    number: int
    db_id: str
    uuid: str
    index: int
    flow_uuid: str
    state: JobState
    superseded: bool
    tolerant: bool
    parents: tuple[str, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Node:
        """The node of a job's document."""
        return cls(
            number=document["db_number"],
            db_id=document["db_id"],
            uuid=document["uuid"],
            index=document["index"],
            flow_uuid=document["flow_uuid"],
            state=JobState(document["state"]),
            superseded=bool(document.get("superseded")),
            tolerant=tolerates_missing(document.get("job") or {}),
            parents=tuple(dict.fromkeys(document.get("parents") or ())),
        )


@dataclass(slots=True)
class FlowTotals:
    """What a flow knows of its jobs."""

    counts: Counter[str] = field(default_factory=Counter)
    n_jobs: int = 0
    leaves: int = 0
    leaves_completed: int = 0
    db_number: int | None = None
    ids: list[list[Any]] = field(default_factory=list)
    parents: dict[str, dict[str, list[str]]] = field(default_factory=dict)


class Derivation:
    """Everything that is derived, from all jobs: flags, who waits for whom, counters of flows."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = sorted(nodes, key=lambda node: node.number)
        self._best: dict[str, Node] = {}
        for node in self.nodes:
            other = self._best.get(node.uuid)
            if other is None or (not node.superseded, node.index) > (not other.superseded, other.index):
                self._best[node.uuid] = node
        self._inner = {
            (node.flow_uuid, parent) for node in self.nodes if not node.superseded for parent in node.parents
        }

    def is_latest(self, node: Node) -> bool:
        """Whether it is the highest index of its uuid that counts."""
        return self._best[node.uuid] is node

    def is_leaf(self, node: Node) -> bool:
        """Whether the flow is complete only with it."""
        return self.is_latest(node) and not node.superseded and (node.flow_uuid, node.uuid) not in self._inner

    def is_settled(self, parent: str, *, tolerant: bool) -> bool:
        """Whether a child need not wait for this parent; one that nobody knows counts as settled."""
        node = self._best.get(parent)
        if node is None or node.superseded:
            return True
        return edge_is_settled(settlement(node.state), tolerant=tolerant)

    def flows(self) -> dict[str, FlowTotals]:
        """Totals by flow."""
        found: dict[str, FlowTotals] = {}
        for node in self.nodes:
            totals = found.setdefault(node.flow_uuid, FlowTotals(db_number=node.number))
            totals.ids.append([node.db_id, node.uuid, node.index])
            totals.parents.setdefault(node.uuid, {})[str(node.index)] = list(node.parents)
            if node.superseded:
                continue
            totals.counts[node.state.value] += 1
            totals.n_jobs += 1
            if self.is_leaf(node):
                totals.leaves += 1
                totals.leaves_completed += node.state is JobState.COMPLETED
        return found


def in_batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """Lists of at most ``size``."""
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
