"""Where the jobs of a graph are drawn: in columns from left to right, nested flows as boxes around theirs.

Each flow is arranged by itself, its nested flows as blocks in it, so that boxes never overlap. Columns follow from the
longest way to a job; within a column, jobs stand near those that they depend on. Lengths are pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jobflow_remote.model.flowgraph import FlowGraph

NODE_WIDTH, NODE_HEIGHT = 176.0, 42.0
GAP_X, GAP_Y = 54.0, 14.0
PADDING, HEADER = 14.0, 22.0
MOST_ROWS = 24
"""A column with more blocks is broken into several."""


@dataclass(frozen=True, slots=True)
class Box:
    """A place in the picture."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class NestedFlow:
    """The box around the jobs of a nested flow."""

    uuid: str
    name: str
    depth: int
    jobs: int
    """How many jobs are in it, those of flows in it included."""
    box: Box


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Where everything is."""

    width: float
    height: float
    nodes: Mapping[str, Box]
    """``db_id`` → box."""
    flows: tuple[NestedFlow, ...]
    """Outer ones first."""


@dataclass(slots=True)
class _Block:
    """A job, or a flow with blocks in it; ``at`` is relative to the flow that it is in."""

    key: str
    depth: int = 0
    inner: dict[str, _Block] = field(default_factory=dict)
    job: bool = False
    width: float = NODE_WIDTH
    height: float = NODE_HEIGHT
    x: float = 0.0
    y: float = 0.0

    def count(self) -> int:
        """Number of jobs."""
        return 1 if self.job else sum(block.count() for block in self.inner.values())


def arrange(graph: FlowGraph) -> Arrangement:
    """Find a place for each job and each nested flow."""
    root = _Block("")
    ways: dict[str, tuple[str, ...]] = {}
    for node in graph.nodes:
        block = root
        for depth, host in enumerate(node.hosts, start=1):
            block = block.inner.setdefault(f"flow {host}", _Block(host, depth))
        block.inner[f"job {node.db_id}"] = _Block(node.db_id, job=True)
        ways[node.db_id] = (*(f"flow {host}" for host in node.hosts), f"job {node.db_id}")
    links = [(ways[edge.source], ways[edge.target]) for edge in graph.edges]
    _arrange_block(root, links)
    nodes: dict[str, Box] = {}
    flows: list[NestedFlow] = []
    _collect(root, (0.0, 0.0), nodes, flows, graph)
    return Arrangement(root.width, root.height, nodes, tuple(flows))


def _arrange_block(block: _Block, links: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
    """Give the blocks in it their places, and it its size."""
    between: list[tuple[str, str]] = []
    inside: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for source, target in links:
        if source[0] != target[0]:
            between.append((source[0], target[0]))
        else:
            inside.setdefault(source[0], []).append((source[1:], target[1:]))
    for key, nested in block.inner.items():
        if not nested.job:
            _arrange_block(nested, inside.get(key, []))
    x = PADDING
    columns = _break_columns(_columns(list(block.inner), between))
    top = HEADER if block.depth else PADDING
    heights = [_height([block.inner[key] for key in column]) for column in columns]
    tallest = max(heights, default=0.0)
    for column, height in zip(columns, heights, strict=True):
        y = top + (tallest - height) / 2
        width = max(block.inner[key].width for key in column)
        for key in column:
            nested = block.inner[key]
            nested.x, nested.y = x + (width - nested.width) / 2, y
            y += nested.height + GAP_Y
        x += width + GAP_X
    block.width = max(NODE_WIDTH, x - GAP_X + PADDING)
    block.height = top + tallest + PADDING


def _height(blocks: Sequence[_Block]) -> float:
    return sum(block.height for block in blocks) + GAP_Y * (len(blocks) - 1)


def _columns(keys: Sequence[str], links: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Keys by the longest way to them, each column ordered by where its predecessors are."""
    before: dict[str, list[str]] = {key: [] for key in keys}
    after: dict[str, list[str]] = {key: [] for key in keys}
    for source, target in dict.fromkeys(links):
        before[target].append(source)
        after[source].append(target)
    level = _levels(keys, before, after)
    columns: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for key in keys:
        columns[level[key]].append(key)
    place: dict[str, float] = {}
    for column in columns:
        own = {key: position for position, key in enumerate(column)}
        column.sort(key=lambda key, own=own: (_middle(before[key], place, own[key]), own[key]))  # type: ignore[misc]
        place.update({key: position - len(column) / 2 for position, key in enumerate(column)})
    return columns


def _middle(keys: Iterable[str], place: Mapping[str, float], otherwise: float) -> float:
    known = [place[key] for key in keys if key in place]
    return sum(known) / len(known) if known else otherwise


def _levels(
    keys: Sequence[str], before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """Longest way to each key. Flows that need each other's jobs make circles: one of their links is passed over."""
    open_links = {key: len(before[key]) for key in keys}
    level = dict.fromkeys(keys, 0)
    ready = [key for key in keys if not open_links[key]]
    waiting = dict.fromkeys(keys)
    while waiting:
        if not ready:  # a circle: begin where the fewest links are open
            ready = [min(waiting, key=lambda key: open_links[key])]
        key = ready.pop()
        del waiting[key]
        for follower in after[key]:
            open_links[follower] -= 1
            if follower in waiting:
                level[follower] = max(level[follower], level[key] + 1)
                if not open_links[follower]:
                    ready.append(follower)
    return level


def _break_columns(columns: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    broken: list[Sequence[str]] = []
    for column in columns:
        parts = -(-len(column) // MOST_ROWS) or 1
        rows = -(-len(column) // parts)
        broken += [column[start : start + rows] for start in range(0, len(column), rows)]
    return broken


def _collect(
    block: _Block,
    origin: tuple[float, float],
    nodes: dict[str, Box],
    flows: list[NestedFlow],
    graph: FlowGraph,
) -> None:
    for nested in block.inner.values():
        box = Box(origin[0] + nested.x, origin[1] + nested.y, nested.width, nested.height)
        if nested.job:
            nodes[nested.key] = box
        else:
            name = graph.flow_label(nested.key)
            flows.append(NestedFlow(nested.key, name, nested.depth, nested.count(), box))
            _collect(nested, (box.x, box.y), nodes, flows, graph)
