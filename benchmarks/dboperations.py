"""Database operations per job: what the runner asks of the queue database and of the output store."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from pathlib import Path

from benchmarks.home import Home
from benchmarks.measure import Figure

TOPIC = "database"
_TRACED = Path(__file__).with_name("tracedrunner.py")
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def measure(home: Home, *, jobs: int = 100, timeout_seconds: float = 600) -> list[Figure]:
    """Transactions and statements per job of a wide flow; those of an idle runner are taken off."""
    idle, idle_seconds = traced(home, 0, timeout_seconds)
    busy, busy_seconds = traced(home, jobs, timeout_seconds)
    share = busy_seconds / idle_seconds
    per_job = {name: (number - share * idle[name]) / jobs for name, number in busy.items()}
    note = f"over {jobs} jobs of a wide flow, less those of an idle runner in the same time"

    def total(where: str, *kinds: str) -> float:
        return max(0.0, sum(per_job.get(f"{where} {kind}", 0.0) for kind in kinds))

    return [
        Figure(TOPIC, "transactions that write, per job", total("queue", "WRITING"), "", note, more=per_job),
        Figure(TOPIC, "transactions that read, per job", total("queue", "BEGIN"), "", note),
        Figure(TOPIC, "statements that write, per job", total("queue", *_WRITES), "", note),
        Figure(TOPIC, "statements that read, per job", total("queue", "SELECT", "WITH"), "", note),
        Figure(TOPIC, "output store: statements per job", total("outputs", "SELECT", *_WRITES), "", note),
    ]


def traced(home: Home, jobs: int, timeout_seconds: float) -> tuple[Counter[str], float]:
    """Counts of a runner that completes so many jobs (0: that waits for ten seconds), and how long it ran."""
    counts = home.folder / "counts.json"
    started = time.perf_counter()
    with subprocess.Popen(
        [home.python, str(_TRACED), str(counts)], env=home.env, cwd=home.folder, stderr=subprocess.DEVNULL
    ) as runner:
        try:
            if jobs:
                home.drive("run", "wide", str(jobs), str(timeout_seconds), timeout=timeout_seconds + 60)
            else:
                time.sleep(10)
        finally:
            runner.terminate()
            runner.wait(60)
    return Counter(json.loads(counts.read_text(encoding="utf-8"))), time.perf_counter() - started
