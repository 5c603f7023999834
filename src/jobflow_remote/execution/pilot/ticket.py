"""What a pilot needs to know of a job, as a line of a bundle.

Attempt and run folder come first, separated by tabs, so that a shell can read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

BUNDLE_SUFFIX = ".jobs"
_HIGHEST = 10**9


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job takes of its allocation."""

    cores: int | None = None
    """None: one place of the pilot."""
    gpus: float = 0.0
    memory_mb: int = 0
    nodes: int = 1
    whole_nodes: bool = False
    seconds: float | None = None
    """How long it may take."""

    @property
    def own_cores(self) -> int:
        """Cores of a job that does not have its nodes for itself."""
        return self.cores or 1

    @property
    def takes_whole_nodes(self) -> bool:
        """Whether it has its nodes for itself."""
        return self.whole_nodes or self.nodes > 1

    @property
    def kind(self) -> tuple[object, ...]:
        """The same for jobs that fit into the same places."""
        return self.cores, self.gpus, self.memory_mb, self.nodes, self.whole_nodes


@dataclass(frozen=True, slots=True)
class Ticket:
    """One attempt at one job."""

    attempt: str
    run_dir: str
    uuid: str
    index: int
    db_id: str = ""
    name: str = ""
    needs: Needs = field(default_factory=Needs)
    environment: dict[str, str] = field(default_factory=dict)
    script: str | None = None
    """Script of the run folder by which it has to be started; None: it can be forked."""

    @property
    def key(self) -> list[Any]:
        """The job, as documents of batches name it."""
        return [self.db_id, self.uuid, self.index]

    def render(self) -> str:
        """The line of the ticket."""
        rest = {key: value for key, value in asdict(self).items() if key not in ("attempt", "run_dir")}
        return f"{self.attempt}\t{self.run_dir}\t{json.dumps(rest, separators=(',', ':'))}"

    @classmethod
    def parse(cls, line: str) -> Ticket:
        """The ticket of a line."""
        attempt, run_dir, text = line.split("\t", 2)
        rest: dict[str, Any] = json.loads(text)
        return cls(attempt=attempt, run_dir=run_dir, **{**rest, "needs": Needs(**rest["needs"])})


def render_bundle(tickets: Iterable[Ticket]) -> str:
    """Content of a bundle."""
    return "".join(f"{ticket.render()}\n" for ticket in tickets)


def parse_bundle(text: str) -> list[Ticket]:
    """Tickets of a bundle."""
    return [Ticket.parse(line) for line in text.splitlines() if line]


def bundle_name(priority: int, created: float, mark: str) -> str:
    """Name of a bundle: in the order of names those of high priority come first, then the older ones."""
    rank = min(max(_HIGHEST - priority, 0), 2 * _HIGHEST)
    return f"{rank:010d}-{int(created * 1000):013d}-{mark}{BUNDLE_SUFFIX}"
