"""``python -m benchmarks``: measure, print a table, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.services.fakeslurm import FakeSlurm

from benchmarks import (
    completing,
    dboperations,
    idle,
    latency,
    listing,
    reference,
    startup,
    submitting,
    throughput,
)
from benchmarks.filling import fill
from benchmarks.home import Home
from benchmarks.machine import describe_machine
from benchmarks.measure import Figure

TOPICS: dict[str, Callable[[Home], list[Figure]]] = {
    "startup": startup.measure,
    "submit": submitting.measure,
    "latency": latency.measure,
    "throughput": throughput.measure,
    "database": dboperations.measure,
    "idle": idle.measure,
    "listing": lambda home: listing.measure(home, fill=fill),
    "completing": completing.measure,
}
REFERENCE_TOPICS = tuple(name for name in TOPICS if name != "completing")
MONGODB_TOPICS = ("submit", "latency", "throughput", "database")
_GIVE_UP_SECONDS = 180.0
"""1.0.1 with its default delays takes minutes for a job: what takes longer is given up, and the table says so."""

_REFERENCE_MAX_JOBS = 10
"""1.0.1 starts all jobs of a wide flow at once where this is not set, which a small machine does not survive."""


def main() -> int:
    """Parse the options and do what they say."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave no runner behind
    options = _parse(sys.argv[1:])
    wanted = options.only.split(",") if options.only else list(TOPICS)
    unknown = sorted(set(wanted) - set(TOPICS))
    if unknown:
        print(f"no such topic: {', '.join(unknown)}; there are {', '.join(TOPICS)}", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    report: dict[str, object] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
    }
    columns: dict[str, list[Figure]] = {"jobflow-remote": _measure_ours(wanted, console)}
    if not options.no_mongodb:
        columns["on MongoDB"] = _measure_on_mongodb(wanted, console)
    if options.reference:
        measured, versions = _measure_reference(options.reference.resolve(), wanted, console)
        columns |= measured
        report["reference"] = versions
    Console(width=150 if not sys.stdout.isatty() else None).print(render(columns))
    report["figures"] = {name: [asdict(figure) for figure in figures] for name, figures in columns.items()}
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {options.json}")
    return 0


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="TOPICS", help=f"comma-separated, of {', '.join(TOPICS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("bench-latest.json"))
    parser.add_argument(
        "--reference", type=Path, metavar="VENV", help="measure jobflow-remote 1.0.1 of this environment too"
    )
    parser.add_argument("--no-mongodb", action="store_true", help="only the embedded database")
    return parser.parse_args(words)


def _measure_ours(wanted: Sequence[str], console: Console) -> list[Figure]:
    figures = []
    for name in wanted:
        console.print(f"[dim]{name} …[/]")
        with Home() as home:
            figures += TOPICS[name](home)
    return figures


def _measure_on_mongodb(wanted: Sequence[str], console: Console) -> list[Figure]:
    """Ours, with queue and outputs in a MongoDB of this machine."""
    figures: list[Figure] = []
    with reference.mongod(Path(sys.prefix)) as server:
        for name in wanted:
            if name not in MONGODB_TOPICS:
                continue
            console.print(f"[dim]{name} on MongoDB …[/]")
            with reference.reference_home(
                Path(sys.prefix), server, quick=False, label="jobflow-remote"
            ) as home:
                if name == "database":
                    figures += reference.database_operations(home, server, jobs=200, timeout_seconds=600)
                else:
                    figures += TOPICS[name](home)
            if name == "database":
                figures += [_measure_scripts(server), _measure_batches(server)]
    return figures


def _measure_scripts(server: reference.Mongod) -> Figure:
    """Jobs that need a shell each, two at a time."""
    with reference.reference_home(
        Path(sys.prefix), server, quick=False, label="jobflow-remote", launch="script"
    ) as home:
        figure, *_ = reference.database_operations(
            home, server, jobs=50, timeout_seconds=600, where=reference.BY_SCRIPT
        )
    return figure


def _measure_batches(server: reference.Mongod) -> Figure:
    """Jobs that come in batches, as from a cluster: a Slurm that takes all at once."""
    with tempfile.TemporaryDirectory(prefix="jfb-slurm-") as folder:
        slurm = FakeSlurm(Path(folder) / "slurm")
        former, os.environ["PATH"] = os.environ["PATH"], f"{slurm.bin}{os.pathsep}{os.environ['PATH']}"
        try:
            with reference.reference_home(
                Path(sys.prefix), server, quick=False, label="jobflow-remote", slurm=slurm
            ) as home:
                return reference.operations_of_batches(home, server, slurm, jobs=200, timeout_seconds=600)
        finally:
            os.environ["PATH"] = former


def _measure_reference(
    venv: Path, wanted: Sequence[str], console: Console
) -> tuple[dict[str, list[Figure]], dict[str, str]]:
    """1.0.1 with delays of 1 s (all topics), and with its defaults (latency)."""
    quick: list[Figure] = []
    defaults: list[Figure] = []
    with reference.mongod(venv) as server:
        versions = reference.describe(venv, server)
        for name in wanted:
            if name not in REFERENCE_TOPICS:
                continue
            console.print(f"[dim]{name} of 1.0.1, delays of 1 s …[/]")
            limit = _REFERENCE_MAX_JOBS if name in ("throughput", "database") else None
            with reference.reference_home(venv, server, quick=True, max_jobs=limit) as home:
                quick += _reference_topic(name, home, server)
        if "latency" in wanted:
            console.print("[dim]latency of 1.0.1 with its default delays …[/]")
            with reference.reference_home(venv, server, quick=False) as home:
                defaults += latency.measure(home, times=1, chain=0, timeout_seconds=_GIVE_UP_SECONDS)
    columns = {"1.0.1, delays 1 s": quick} | ({"1.0.1, defaults": defaults} if defaults else {})
    return columns, versions


def _reference_topic(name: str, home: Home, server: reference.Mongod) -> list[Figure]:
    if name == "listing":
        return listing.measure(home, fill=lambda h, size: reference.fill(h, server, size), times=3)
    if name == "database":
        return reference.database_operations(home, server, jobs=50, timeout_seconds=600)
    if name == "latency":
        return latency.measure(home, times=3)
    if name == "throughput":
        note = f"1.0.1 with max_jobs {_REFERENCE_MAX_JOBS}"
        return [replace(figure, note=figure.note or note) for figure in throughput.measure(home, size=100)]
    return TOPICS[name](home)


def render(columns: dict[str, list[Figure]]) -> Table:
    """A row for each figure, a column for each product, and how many times as much the others take."""
    table = Table(title="measured", caption="in brackets: how many times ours")
    table.add_column("topic")
    table.add_column("figure")
    for name in columns:
        table.add_column(name, justify="right")
    table.add_column("note", style="dim", max_width=50)
    measured = {name: {(f.topic, f.name): f for f in figures} for name, figures in columns.items()}
    ours = next(iter(measured.values()))
    rows = list(dict.fromkeys(key for figures in measured.values() for key in figures))
    for key in rows:
        cells = [_cell(figures.get(key), ours.get(key)) for figures in measured.values()]
        notes = dict.fromkeys(f.note for figures in measured.values() if (f := figures.get(key)) and f.note)
        table.add_row(*key, *cells, "; ".join(notes))
    return table


def _cell(figure: Figure | None, ours: Figure | None) -> str:
    if figure is None:
        return ""
    if figure.value is None:
        return "given up"
    text = (
        f"{figure.value:.3g} {figure.unit}".strip()
        if figure.value < 1000
        else f"{figure.value:,.0f} {figure.unit}"
    )
    if ours is None or ours is figure or not ours.value or figure.unit == "×":
        return text
    return f"{text} ({figure.value / ours.value:.1f}×)"


if __name__ == "__main__":
    sys.exit(main())
