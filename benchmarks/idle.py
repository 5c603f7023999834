"""Idle cost: what a runner uses that has worked and now waits."""

from __future__ import annotations

import time

from benchmarks.home import Home
from benchmarks.measure import Figure, cpu_seconds, pss_bytes

TOPIC = "idle"


def measure(home: Home, *, seconds: float = 20, timeout_seconds: float = 600) -> list[Figure]:
    """CPU and memory of all processes of the runner, one per role and all in one."""
    return [
        *idle(home, "split", seconds=seconds, timeout_seconds=timeout_seconds),
        *idle(home, "single", seconds=seconds, timeout_seconds=timeout_seconds),
    ]


def idle(home: Home, mode: str, *, seconds: float, timeout_seconds: float = 600) -> list[Figure]:
    """The same for one mode; measured after work, when all that is imported on first use has been."""
    home.start(*(["--single"] if mode == "single" else []))
    home.drive("run", "wide", "5", str(timeout_seconds), timeout=timeout_seconds + 60)
    home.drive("run", "chain", "3", str(timeout_seconds), timeout=timeout_seconds + 60)
    time.sleep(3)  # a measurement: what the work leaves to do is over by then
    processes = home.runner_processes()
    started, before = time.perf_counter(), cpu_seconds(processes)
    time.sleep(seconds)
    used = (cpu_seconds(processes) - before) / (time.perf_counter() - started)
    memory = pss_bytes(processes) / 2**20
    home.shut_down()
    note = f"{len(processes)} processes, over {seconds:g} s after work"
    return [
        Figure(TOPIC, f"CPU, {mode}", 100 * used, "% of a core", note),
        Figure(TOPIC, f"memory (PSS), {mode}", memory, "MB", note),
    ]
