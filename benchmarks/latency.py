"""Latency: what the runner adds to the time of a job's own script."""

from __future__ import annotations

import statistics

from benchmarks.home import Home
from benchmarks.measure import Figure

TOPIC = "latency"


def measure(home: Home, *, times: int = 10, chain: int = 10, timeout_seconds: float = 600) -> list[Figure]:
    """One ``add``, and a chain, through a runner that is started for it."""
    home.start()
    figures = single_job(home, times=times, timeout_seconds=timeout_seconds)
    if chain:
        figures += chain_of(home, chain, timeout_seconds=timeout_seconds)
    home.shut_down()
    return figures


def single_job(home: Home, *, times: int = 10, timeout_seconds: float = 600) -> list[Figure]:
    """From ``submit_flow`` of one ``add`` to COMPLETED; its script by hand; the median of the differences."""
    seen = home.drive("latency", str(times), str(timeout_seconds), timeout=times * timeout_seconds + 60)
    if seen["timed_out"]:
        note = f"not COMPLETED after {timeout_seconds:g} s: given up"
        return [Figure(TOPIC, "one add, submit to COMPLETED", None, "s", note, more=seen)]
    through, by_hand = seen["through"], seen["by_hand"]
    added = [whole - script for whole, script in zip(through, by_hand, strict=True)]
    note = f"median of {times}"
    return [
        Figure(TOPIC, "one add, submit to COMPLETED", statistics.median(through), "s", note, more=seen),
        Figure(TOPIC, "its script by hand", statistics.median(by_hand), "s", note),
        Figure(TOPIC, "added by the runner", statistics.median(added), "s", note),
    ]


def chain_of(home: Home, size: int, *, timeout_seconds: float = 600) -> list[Figure]:
    """A chain of jobs, each of which needs the one before; and its scripts by hand, right after it."""
    seen = home.drive("run", "chain", str(size), str(timeout_seconds), timeout=timeout_seconds + 60)
    name = f"chain of {size}, submit to COMPLETED"
    if seen["done"] < size:
        note = f"{seen['done']} of {size} after {timeout_seconds:g} s: given up"
        return [Figure(TOPIC, name, None, "s", note, more=seen)]
    by_hand = home.drive("scripts", *seen["db_ids"], timeout=timeout_seconds)["seconds"]
    return [
        Figure(TOPIC, name, seen["seconds"], "s", more=seen),
        Figure(TOPIC, f"its {size} scripts by hand", sum(by_hand), "s"),
    ]
