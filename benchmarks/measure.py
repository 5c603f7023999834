"""Clocks and scales: what a command costs, what processes use. Knows nothing of jobflow-remote."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    topic: str
    name: str
    value: float | None
    unit: str
    note: str = ""
    """What one must know to read the number; or why there is none."""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took."""

    cpu_seconds: float
    wall_seconds: float


def run_measured(command: Sequence[str], *, env: Mapping[str, str], cwd: str | Path | None = None) -> Cost:
    """Run a command to its end and take its CPU time (with that of the children that it waited for) and duration.

    Raises
    ------
    RuntimeError
        If it fails: the cost of a failure is no measurement.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=dict(env), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    said = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said[-1000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, wall)


def median_cost(command: Sequence[str], *, env: Mapping[str, str], times: int = 7) -> Cost:
    """Median cost of a command, after one run that fills the caches."""
    run_measured(command, env=env)
    costs = [run_measured(command, env=env) for _ in range(times)]
    return Cost(
        statistics.median(cost.cpu_seconds for cost in costs),
        statistics.median(cost.wall_seconds for cost in costs),
    )


def interleaved_cpu(
    commands: Mapping[str, Sequence[str]], *, env: Mapping[str, str], times: int = 9
) -> dict[str, float]:
    """Median CPU seconds of commands run in turn, so that a change of the machine's speed meets all of them."""
    seen: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(times + 1):
        for name, command in commands.items():
            cost = run_measured(command, env=env)
            if turn:
                seen[name].append(cost.cpu_seconds)
    return {name: statistics.median(values) for name, values in seen.items()}


def family(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def pss_bytes(processes: Iterable[psutil.Process]) -> int:
    """Proportional set size: memory of which shared pages are counted once, split among those who share them."""
    total = 0
    for process in processes:
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return total


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU time that processes have used so far, with that of their ended children."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def wait_until(
    holds: Callable[[], bool], *, timeout_seconds: float, what: str, every_seconds: float = 0.02
) -> float:
    """Wait for a condition; returns the seconds that it took.

    Raises
    ------
    TimeoutError
        If it does not hold in time.
    """
    started = time.perf_counter()
    while not holds():
        if time.perf_counter() - started > timeout_seconds:
            raise TimeoutError(f"{what}: not after {timeout_seconds:g} s")
        time.sleep(every_seconds)
    return time.perf_counter() - started
