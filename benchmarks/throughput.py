"""Throughput: how many trivial jobs a minute, and what each costs the machine."""

from __future__ import annotations

from benchmarks.home import Home
from benchmarks.measure import Figure, cpu_seconds

TOPIC = "throughput"


def measure(home: Home, *, size: int = 100, timeout_seconds: float = 600) -> list[Figure]:
    """A wide flow of trivial jobs through a runner that is started for it."""
    home.start()
    home.drive("run", "wide", "1", str(timeout_seconds))
    before = cpu_seconds(home.runner_processes())
    seen = home.drive("run", "wide", str(size), str(timeout_seconds), timeout=timeout_seconds + 60)
    runner = cpu_seconds(home.runner_processes()) - before
    home.shut_down()
    done = seen["done"]
    note = "" if done == size else f"{done} of {size} after {timeout_seconds:g} s: given up"
    return [
        Figure(TOPIC, f"wide flow of {size}", done / seen["seconds"], "jobs/s", note, more=seen),
        Figure(TOPIC, "CPU of the runner per job", runner / done if done else None, "s", note),
    ]
