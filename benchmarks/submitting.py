"""``submit_flow``: one job, and ten thousand."""

from __future__ import annotations

from benchmarks.home import Home
from benchmarks.measure import Figure

TOPIC = "submit"
FLOWS = (("wide", 1), ("wide", 10_000), ("chain", 10_000))


def measure(home: Home) -> list[Figure]:
    """Duration of ``submit_flow``, and jobs a second; making the flow is not part of it."""
    figures = [submit(home, shape, size) for shape, size in FLOWS]
    return figures + [_rate(figure, size) for figure, (_, size) in zip(figures, FLOWS, strict=True)]


def _rate(figure: Figure, size: int) -> Figure:
    return Figure(TOPIC, f"{figure.name}, rate", size / figure.value if figure.value else None, "jobs/s")


def submit(home: Home, shape: str, size: int) -> Figure:
    """Duration of ``submit_flow`` of one flow, in a process of its own."""
    seconds = home.drive("submit", shape, str(size))["seconds"]
    return Figure(TOPIC, f"{size:,} jobs, {shape}" if size > 1 else "1 job", seconds, "s")
