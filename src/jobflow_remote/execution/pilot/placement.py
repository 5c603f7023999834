"""Who gets what of an allocation: nodes, cores, GPUs, memory. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobflow_remote.execution.pilot.ticket import Needs

_WHOLE = 1.0
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class NodeShare:
    """What an allocation has of one node."""

    name: str
    cores: tuple[int, ...]
    """Numbers of the processors."""
    gpus: tuple[str, ...] = ()
    memory_mb: int | None = None
    """None: nobody counts it."""
    pins: bool = True
    """Whether jobs are kept to their cores; otherwise the numbers only count, because which are meant is not known."""


@dataclass(frozen=True, slots=True)
class Place:
    """What one job has."""

    nodes: tuple[str, ...]
    cores: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()
    gpu_share: float = 0.0
    """Of each of ``gpus``."""
    memory_mb: int = 0
    whole_nodes: bool = False
    pins: bool = True
    """Whether ``cores`` are numbers of processors."""

    @property
    def node(self) -> str:
        """Where the job begins."""
        return self.nodes[0]


@dataclass
class _Node:
    share: NodeShare
    cores: list[int]
    gpus: dict[str, float]
    memory_mb: int | None
    jobs: int = 0

    @classmethod
    def of(cls, share: NodeShare) -> _Node:
        return cls(share, list(share.cores), dict.fromkeys(share.gpus, _WHOLE), share.memory_mb)

    def empty(self) -> _Node:
        """The node as it is without jobs."""
        return _Node.of(self.share)


@dataclass(frozen=True, slots=True)
class _Hold:
    """What is kept free for a job that has waited long."""

    needs: Needs
    nodes: frozenset[str]


@dataclass
class Placement:
    """Gives places and takes them back."""

    nodes: Sequence[NodeShare]
    places: int | None = 1
    """Most jobs at the same time; None: as many as fit."""
    packs: bool = False
    """Whether cores, GPUs and memory are given out; otherwise a job gets one of ``places`` and may use all."""
    used: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._nodes = {share.name: _Node.of(share) for share in self.nodes}
        self._hold: _Hold | None = None
        self._away: set[str] = set()

    @property
    def capacity(self) -> int:
        """Jobs of one core (one place) that fit."""
        cores = sum(len(share.cores) for share in self.nodes) if self.packs else None
        if self.places is None:
            return max(1, cores or 1)
        return self.places if cores is None else max(1, min(self.places, cores))

    @property
    def cores(self) -> int:
        """Number of cores of the allocation."""
        return sum(len(share.cores) for share in self.nodes)

    def why_never(self, needs: Needs) -> str | None:
        """Why a job would not fit even if nothing else ran; None: it would."""
        if not self.packs:
            return None
        if needs.nodes > len(self.nodes):
            return f"it needs {needs.nodes} nodes, and its pilots have {len(self.nodes)}"
        best = max(self.nodes, key=lambda share: len(share.cores))
        if needs.cores is not None and needs.cores > len(best.cores) * needs.nodes:
            return f"it needs {needs.cores} cores, and its pilots have {len(best.cores)} on a node"
        gpus = max(len(share.gpus) for share in self.nodes)
        if needs.gpus > gpus * needs.nodes:
            return f"it needs {needs.gpus:g} GPUs, and its pilots have {gpus} on a node"
        memory = [share.memory_mb for share in self.nodes if share.memory_mb is not None]
        if needs.memory_mb and memory and needs.memory_mb > max(memory):
            return f"it needs {needs.memory_mb} MB, and its pilots have {max(memory)} MB on a node"
        return None

    def size_of(self, needs: Needs) -> float:
        """How much of the allocation a job takes, in cores; GPUs are rare."""
        per_node = self.cores / max(1, len(self.nodes))
        if needs.takes_whole_nodes:
            return needs.nodes * per_node
        return (needs.cores or 1) + needs.gpus * per_node / 4

    def take(self, needs: Needs, *, is_held: bool = False) -> Place | None:
        """A place for a job; None: not now. ``is_held``: what :meth:`hold` keeps free is for this one."""
        if self.places is not None and self.used >= self.places:
            return None
        place = self._find(needs, None if is_held else self._hold)
        if place is not None:
            self._book(place, -1)
            self.used += 1
        return place

    def give(self, place: Place) -> None:
        """The job of a place has ended."""
        self._book(place, +1)
        self.used -= 1

    def hold(self, needs: Needs) -> None:
        """Keep free what a job needs where the least of it is missing; jobs that leave it free are started still."""
        able = [node for node in self._nodes.values() if _fits(node.empty(), needs)]
        nearest = sorted(able or self._nodes.values(), key=lambda node: _missing(node, needs))
        self._hold = _Hold(needs, frozenset(node.share.name for node in nearest[: needs.nodes]))

    def release(self) -> None:
        """Keep nothing free any more."""
        self._hold = None

    def suspend(self, node: str) -> None:
        """Nothing can be started on a node for now."""
        self._away.add(node)

    def resume(self, node: str) -> None:
        """It can again."""
        self._away.discard(node)

    def lose(self, node: str) -> None:
        """A node is gone; no job gets it any more."""
        self._nodes.pop(node, None)

    # -- inside ------------------------------------------------------------------------------------------------

    def _find(self, needs: Needs, hold: _Hold | None) -> Place | None:
        there = [node for name, node in self._nodes.items() if name not in self._away]
        if not there:
            return None
        if not self.packs:
            return Place((min(there, key=lambda node: node.jobs).share.name,))
        if needs.takes_whole_nodes:
            return _find_whole(there, needs, hold)
        fitting = [node for node in there if _fits(node, needs, hold)]
        if not fitting:
            return None
        node = min(fitting, key=lambda each: (len(each.gpus) if not needs.gpus else 0, len(each.cores)))
        gpus, share = _choose_gpus(node.gpus, needs.gpus)
        cores = tuple(node.cores[: needs.own_cores])
        return Place((node.share.name,), cores, gpus, share, needs.memory_mb, pins=node.share.pins)

    def _book(self, place: Place, sign: int) -> None:
        for name in place.nodes:
            node = self._nodes.get(name)
            if node is None:
                continue
            node.jobs -= sign
            cores = node.share.cores if place.whole_nodes else place.cores
            node.cores = sorted({*node.cores, *cores} if sign > 0 else {*node.cores} - {*cores})
            for gpu in node.share.gpus if place.whole_nodes else place.gpus:
                node.gpus[gpu] += sign * place.gpu_share
            if node.memory_mb is not None:
                whole = node.share.memory_mb or 0
                node.memory_mb += sign * (whole if place.whole_nodes else place.memory_mb)


def _find_whole(nodes: Sequence[_Node], needs: Needs, hold: _Hold | None) -> Place | None:
    kept = hold.nodes if hold is not None else frozenset()
    free = [node for node in nodes if node.jobs == 0 and node.share.name not in kept]
    if len(free) < needs.nodes:
        return None
    chosen = free[: needs.nodes]
    first = chosen[0].share
    return Place(
        tuple(node.share.name for node in chosen),
        first.cores,
        first.gpus,
        _WHOLE,
        whole_nodes=True,
        pins=first.pins,
    )


def _fits(node: _Node, needs: Needs, hold: _Hold | None = None) -> bool:
    """Whether a job fits on a node, and leaves there what is to be kept free."""
    if needs.takes_whole_nodes:
        return node.jobs == 0
    free, gpus, memory = len(node.cores) - needs.own_cores, node.gpus, node.memory_mb
    if memory is not None:
        memory -= needs.memory_mb
    if free < 0 or (memory is not None and memory < 0):
        return False
    if needs.gpus:
        chosen, share = _choose_gpus(gpus, needs.gpus)
        if not chosen:
            return False
        gpus = {name: left - share * (name in chosen) for name, left in gpus.items()}
    if hold is None or node.share.name not in hold.nodes:
        return True
    kept = hold.needs
    if kept.takes_whole_nodes or free < kept.own_cores:
        return False
    if needs.memory_mb and memory is not None and memory < kept.memory_mb:
        return False
    return not (needs.gpus and kept.gpus) or bool(_choose_gpus(gpus, kept.gpus)[0])


def _missing(node: _Node, needs: Needs) -> tuple[bool, int, int]:
    """How far a node is from having what a job needs."""
    if needs.takes_whole_nodes:
        return False, len(node.share.cores) - len(node.cores), node.jobs
    no_gpu = bool(needs.gpus) and not _choose_gpus(node.gpus, needs.gpus)[0]
    memory = max(0, needs.memory_mb - node.memory_mb) if node.memory_mb is not None else 0
    return no_gpu, max(0, needs.own_cores - len(node.cores)), memory


def _choose_gpus(free: Mapping[str, float], wanted: float) -> tuple[tuple[str, ...], float]:
    """GPUs for a job: whole ones, or a share of one that is in use already rather than of a fresh one."""
    if not wanted:
        return (), 0.0
    if wanted < _WHOLE:
        fitting = [(left, name) for name, left in free.items() if left + _TINY >= wanted]
        return ((min(fitting)[1],), wanted) if fitting else ((), 0.0)
    whole = [name for name, left in free.items() if left + _TINY >= _WHOLE]
    number = round(wanted)
    return (tuple(whole[:number]), _WHOLE) if len(whole) >= number else ((), 0.0)
