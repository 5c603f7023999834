"""MongoDB as the queue database, and switching over from 1.0.1: each line of issue 3, at full size."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reference import ON_LOCAL, ON_SCHEDULER
from tests.services.mongod import Mongod
from tests.shows import fuzz, old_release, outage, roundtrip, switching
from tests.shows.cleanclone import ROOT
from tests.shows.main_job import careful
from tests.shows.verdict import Verdict, at_most, is_true, print_verdicts

_DATABASES = ("SQLite", "MongoStandalone", "MongoReplicaSet")
_SUITES = ("tests/contract/test_queuedb_sqlite.py", "tests/contract/test_queuedb_mongo.py")
_CONTRACTS = 150
"""Fewer than this are not the whole suite."""
_OPERATIONS = 8
"""Most database operations for a trivial job."""


class Shows:
    """The lines; each gives its verdicts."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self._reference: Path | None = options.reference and options.reference.resolve()

    def reference(self) -> Path:
        """An environment with jobflow-remote 1.0.1, made when a line wants it first."""
        if self._reference is None:
            self._reference = old_release.install("1.0.1", self.folder / "reference")
        return self._reference

    def _own(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def contracts(self) -> list[Verdict]:
        """The contract suite on the embedded database, a standalone server and a replica set."""
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *_SUITES]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"CI": "true"}, capture_output=True, text=True, check=False
        )
        print(done.stdout[-1500:], file=sys.stderr)
        passed = dict(re.findall(r"^(\w+): (\d+) contracts passed", done.stdout, re.MULTILINE))
        skipped = re.search(r"(\d+) skipped", done.stdout)
        verdicts = [
            is_true(
                "contract suite: exit code", done.returncode == 0, figure=f"{done.returncode}", bound="0"
            ),
            is_true(
                "contracts skipped",
                skipped is None,
                figure=skipped.group(1) if skipped else "none",
                bound="none",
            ),
        ]
        most = max(map(int, passed.values()), default=0)
        for name in _DATABASES:
            number = max((int(n) for suite, n in passed.items() if name in suite), default=0)
            holds = number == most and number >= _CONTRACTS
            bound = f"the same {most} on each, ≥ {_CONTRACTS}"
            verdicts.append(is_true(f"contracts passed, {name}", holds, figure=str(number), bound=bound))
        return verdicts

    def switch(self) -> list[Verdict]:
        """1.0.1 stopped half way, `jf admin upgrade`, and our runner goes on."""
        verdicts = []
        for end in ("kill", "stop"):
            report = switching.switch_over(
                self.reference(), self._own(f"switch-{end}"), self.options.seed, end=end
            )
            for different in report.different:
                print(f"other outputs than run_locally: {different}", file=sys.stderr)
            what = f"1.0.1 ended by {end} with {report.before}, {report.locks} locks"
            verdicts.append(
                is_true(
                    f"{what}: all complete, outputs equal",
                    report.holds,
                    figure=f"{report.flows} flows: {report.after}, {len(report.different)} with other outputs",
                    bound="all COMPLETED, 0",
                )
            )
        return verdicts

    def filters(self) -> list[Verdict]:
        """20,000 random filters, asked of both databases."""
        server = Mongod(self._own("fuzz")).start()
        try:
            report = fuzz.fuzz(20_000, self.options.seed, uri=server.uri)
        finally:
            server.stop()
        for difference in report.differences:
            print(difference, file=sys.stderr)
        return [
            is_true(
                "random filters on which the databases differ",
                not report.differences and report.filters >= 20_000,
                figure=f"{len(report.differences)} of {report.filters} (seed {report.seed})",
                bound="0 of 20000",
            ),
            is_true(
                "filters that select some documents",
                report.matched > 2000,
                figure=str(report.matched),
                bound="> 2000",
            ),
        ]

    def away(self) -> list[Verdict]:
        """mongod stopped for 30 s, frozen, killed and restarted, while 100 jobs run."""
        return outage.stopped_and_killed(
            jobs=100, away_seconds=30, folder=self._own("outage"), seed=self.options.seed
        )

    def bench(self) -> list[Verdict]:
        """Operations per job and rates on both databases, beside 1.0.1."""
        told = self.folder / "bench.json"
        command = [
            sys.executable,
            "-m",
            "benchmarks",
            "--only",
            "submit,throughput,database",
            "--json",
            str(told),
        ]
        command += ["--reference", str(self.reference())]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        figures: dict[str, list[dict[str, Any]]] = (
            json.loads(told.read_text())["figures"] if told.exists() else {}
        )
        verdicts = [is_true("make bench: exit code", code == 0, figure=str(code), bound="0")]
        named = {
            (column, figure["name"].removeprefix("commands to mongod per job, ")): figure["value"]
            for column in ("on MongoDB", "1.0.1, delays 1 s")
            for figure in figures.get(column, [])
        }
        theirs = named["1.0.1, delays 1 s", ON_LOCAL]
        for where, note in ((ON_LOCAL, f"1.0.1: {theirs:.3g}"), (ON_SCHEDULER, "")):
            ours = named["on MongoDB", where]
            verdicts.append(at_most(f"operations per job, {where}", ours, _OPERATIONS, "", note=note))
        return verdicts

    def trip(self) -> list[Verdict]:
        """10,000 jobs in all states, SQLite → MongoDB → SQLite."""
        return roundtrip.judge(roundtrip.round_trip(10_000, self._own("trip"), self.options.seed))


def main(words: Sequence[str]) -> int:
    """Run the lines that are asked for; exit code 1 if one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows mongodb", description=__doc__)
    parser.add_argument("--only", metavar="LINES", help="comma-separated numbers, as 4,5")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="of what is random")
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="VENV",
        help="an environment with jobflow-remote 1.0.1 (default: made)",
    )
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="jfs-") as folder:
        shows = Shows(options, Path(folder))
        lines: dict[int, Callable[[], list[Verdict]]] = {
            1: shows.contracts, 2: shows.switch, 3: shows.filters, 4: shows.away, 5: shows.bench, 6: shows.trip,
        }  # fmt: skip
        wanted = [int(word) for word in options.only.split(",")] if options.only else list(lines)
        results = []
        for number in wanted:
            print(f"line {number}: {lines[number].__doc__}", file=sys.stderr, flush=True)
            results.append((number, careful(lines[number])))
    return 0 if print_verdicts("MongoDB, and switching over", results) else 1
