"""The graph of a flow: its jobs, which of them need the output of which, and the flows that are nested in it.

Built from the documents of the jobs and not from that of the flow: what a detour or a replacement added is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Any

from jobflow_remote.model.states import JobState

FIELDS = (
    "db_id",
    "uuid",
    "index",
    "state",
    "worker",
    "parents",
    "superseded",
    "generated_by",
    "job.name",
    "job.hosts",
    "host_names",
)
"""Fields of a job document that the graph is made of."""


class EdgeKind(StrEnum):
    """What an edge says."""

    OUTPUT = "output"
    """The target needs the output of the source."""
    REPLACED = "replaced"
    """The target took the source's place: the same uuid, and a higher index."""
    ADDED = "added"
    """The source's response brought the target about."""


@dataclass(frozen=True, slots=True)
class JobNode:
    """One job of the graph."""

    db_id: str
    uuid: str
    index: int
    name: str
    state: JobState
    worker: str
    hosts: tuple[str, ...] = ()
    """uuids of the nested flows that it is in, outermost first, without the flow itself."""
    superseded: bool = False
    host_names: tuple[str, ...] = ()
    """Names of these; an empty one is not known."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow from one job to another, by their ``db_id``."""

    source: str
    target: str
    kind: EdgeKind = EdgeKind.OUTPUT


@dataclass(frozen=True)
class FlowGraph:
    """Jobs in the order of their ids, and the edges between them."""

    nodes: tuple[JobNode, ...]
    edges: tuple[Edge, ...]

    def sources(self, db_id: str, kind: EdgeKind = EdgeKind.OUTPUT) -> list[str]:
        """``db_id`` of the jobs from which edges lead to this one: those whose outputs it needs."""
        return self._incoming.get((db_id, kind), [])

    def flow_label(self, uuid: str) -> str:
        """What to call a nested flow: its name, or the beginning of its uuid."""
        return self._flow_names.get(uuid) or uuid[:8]

    @cached_property
    def _flow_names(self) -> dict[str, str]:
        return {
            host: name for node in self.nodes for host, name in zip(node.hosts, node.host_names, strict=False)
        }

    @cached_property
    def _incoming(self) -> dict[tuple[str, EdgeKind], list[str]]:
        found: dict[tuple[str, EdgeKind], list[str]] = {}
        for edge in self.edges:
            found.setdefault((edge.target, edge.kind), []).append(edge.source)
        return found


def build_graph(jobs: Iterable[Mapping[str, Any]]) -> FlowGraph:
    """The graph of the jobs of one flow, from their documents (:data:`FIELDS`)."""
    documents = sorted(jobs, key=lambda job: (job.get("db_number") or 0, _digits(job["db_id"])))
    nodes = tuple(_node(job) for job in documents)
    edges = [*_outputs(documents), *_replacements(documents)]
    edges += _additions(documents, {edge.target for edge in edges})
    return FlowGraph(nodes, tuple(dict.fromkeys(edges)))


def _digits(db_id: str) -> int:
    return int("".join(filter(str.isdecimal, db_id)) or 0)


def _node(job: Mapping[str, Any]) -> JobNode:
    inner = job.get("job") or {}
    return JobNode(
        db_id=job["db_id"],
        uuid=job["uuid"],
        index=job["index"],
        name=str(inner.get("name") or ""),
        state=JobState(job["state"]),
        worker=str(job.get("worker") or ""),
        hosts=tuple(reversed((inner.get("hosts") or [])[:-1])),
        superseded=bool(job.get("superseded")),
        host_names=tuple(reversed(job.get("host_names") or [])),
    )


def _by_uuid(jobs: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """uuid → its jobs, the highest index last; superseded ones first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for job in jobs:
        found.setdefault(job["uuid"], []).append(job)
    for same in found.values():
        same.sort(key=lambda job: (not job.get("superseded"), job["index"]))
    return found


def _outputs(jobs: Sequence[Mapping[str, Any]]) -> list[Edge]:
    by_uuid = _by_uuid(jobs)
    return [
        Edge(by_uuid[parent][-1]["db_id"], job["db_id"])
        for job in jobs
        for parent in job.get("parents") or ()
        if parent in by_uuid and parent != job["uuid"]
    ]


def _replacements(jobs: Sequence[Mapping[str, Any]]) -> list[Edge]:
    edges = []
    for same in _by_uuid(jobs).values():
        ordered = sorted(same, key=lambda job: job["index"])
        edges += [
            Edge(before["db_id"], after["db_id"], EdgeKind.REPLACED) for before, after in pairwise(ordered)
        ]
    return edges


def _additions(jobs: Sequence[Mapping[str, Any]], reached: set[str]) -> list[Edge]:
    """Who brought a job about, for those that nothing else leads to."""
    present = {job["db_id"] for job in jobs}
    return [
        Edge(job["generated_by"], job["db_id"], EdgeKind.ADDED)
        for job in jobs
        if job.get("generated_by") in present and job["db_id"] not in reached
    ]
