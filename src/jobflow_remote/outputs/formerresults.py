"""What a job returned, in the result files of jobflow-remote 0.1.x and 1.0.x: whole serialised flows.

They are taken apart as plain data: functions and arguments of new jobs are the user's, and no business of the runner.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from jobflow_remote.model.decide.completion import JobResponse
from jobflow_remote.model.decide.submission import GeneratedJob
from jobflow_remote.model.graph import find_leaves, find_roots
from jobflow_remote.model.records import Document

EXTENSIONS = ("msgpack", "json.gz", "msgpack.gz")
"""Of the files with outputs, where ``remote_jobstore`` of the project asked for other files than JSON."""
_INPUTS = ("function_args", "function_kwargs")


def read_file(path: Path) -> Any:
    """Content of a file with outputs.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    content = path.read_bytes()
    try:
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return _unpack(content) if ".msgpack" in path.suffixes else json.loads(content)
    except (OSError, EOFError) as error:
        raise ValueError(f"it cannot be decompressed: {error}") from error


def _unpack(content: bytes) -> Any:
    import msgpack

    return msgpack.unpackb(content, object_hook=_unpack_moment)


def _unpack_moment(found: dict[str, Any]) -> Any:
    return datetime.strptime(found["as_str"], "%Y%m%dT%H:%M:%S.%f") if "__datetime__" in found else found


def parse_response(response: Mapping[str, Any]) -> JobResponse:
    """A serialised jobflow Response."""
    return JobResponse(
        replace=tuple(jobs_of(response.get("replace"))),
        detour=tuple(jobs_of(response.get("detour"))),
        addition=tuple(jobs_of(response.get("addition"))),
        stored_data=response.get("stored_data"),
        stop_children=bool(response.get("stop_children")),
        stop_jobflow=bool(response.get("stop_jobflow")),
    )


def parse_moment(moment: Any) -> datetime | None:
    """A serialised moment."""
    return datetime.fromisoformat(moment["string"]) if isinstance(moment, Mapping) else moment


def jobs_of(flow: Mapping[str, Any] | None) -> list[GeneratedJob]:
    """The jobs of a serialised Flow (or Job) with their parents, parents first: what ``Flow.iterflow`` tells."""
    if flow is None:
        return []
    graph = _read(flow)
    return [
        GeneratedJob(
            graph.jobs[uuid], tuple(parent for parent in graph.parents[uuid] if parent in graph.jobs)
        )
        for uuid in _in_order(graph.parents)
    ]


@dataclass
class _Graph:
    jobs: dict[str, Document] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)

    def include(self, other: _Graph) -> None:
        self.jobs |= other.jobs
        self.parents |= other.parents

    def follow(self, before: _Graph, after: _Graph) -> None:
        """Have all that begins in ``after`` wait for all that ends ``before``."""
        for root in find_roots(after.parents):
            waits_for = self.parents[root]
            waits_for += [leaf for leaf in find_leaves(before.parents) if leaf not in waits_for]


def _read(node: Mapping[str, Any]) -> _Graph:
    """A serialised flow has jobs, a serialised job a function."""
    if "jobs" not in node:
        uuid = str(node["uuid"])
        inputs = [node.get(name) for name in _INPUTS]
        parents = [found for found in dict.fromkeys(_referenced(inputs)) if found != uuid]
        return _Graph({uuid: dict(node)}, {uuid: parents})
    parts = [_read(part) for part in node["jobs"]]
    whole = _Graph()
    for part in parts:
        whole.include(part)
    if _plain(node.get("order")) == "linear":
        for before, after in pairwise(parts):
            whole.follow(before, after)
    return whole


def _plain(value: Any) -> Any:
    return value.get("value") if isinstance(value, Mapping) else value


def _referenced(value: Any) -> Iterator[str]:
    """uuids of the jobs whose outputs a serialised value refers to."""
    if isinstance(value, Mapping):
        if value.get("@class") == "OutputReference":
            yield str(value["uuid"])
            return
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _referenced(item)


def _in_order(parents: Mapping[str, Iterable[str]]) -> list[str]:
    """Jobs so that each comes after its parents; of a circle, which no flow has, the rest as it is."""
    left = {uuid: {parent for parent in others if parent in parents} for uuid, others in parents.items()}
    ordered: list[str] = []
    while left:
        free = [uuid for uuid, others in left.items() if not others] or list(left)
        ordered += free
        for uuid in free:
            del left[uuid]
        for others in left.values():
            others.difference_update(free)
    return ordered
