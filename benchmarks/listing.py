"""Listings: what ``jf job list`` costs as the queue grows."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.home import Home
from benchmarks.measure import Figure, median_cost

TOPIC = "listing"
SIZES = (1_000, 10_000, 100_000)
COMMANDS = (("job", "list"), ("job", "list", "-s", "READY"), ("flow", "list"), ("job", "info", "10"))


def measure(
    home: Home, *, fill: Callable[[Home, int], None], sizes: tuple[int, ...] = SIZES, times: int = 5
) -> list[Figure]:
    """Duration and CPU of listings at growing sizes of the queue."""
    figures = []
    for size in sizes:
        fill(home, size)
        for words in COMMANDS if size == sizes[-1] else COMMANDS[:1]:
            figures += listing(home, size, words, times=times)
    return figures


def listing(home: Home, size: int, words: tuple[str, ...], *, times: int = 5) -> list[Figure]:
    """Median duration and CPU of one command."""
    cost = median_cost(home.command(*words), env=home.env, times=times)
    name = f"jf {' '.join(words)}, {size:,} jobs"
    return [
        Figure(TOPIC, name, cost.wall_seconds, "s"),
        Figure(TOPIC, f"{name} (CPU)", cost.cpu_seconds, "s CPU"),
    ]
