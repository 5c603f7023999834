"""Everything people do: each line of what the commands and the Python API promise, at full size."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tests.shows.main_job import careful
from tests.shows.verdict import Verdict, print_verdicts

LINES = {
    1: ("tests.shows.commands_compat", "names, commands and snippets of 1.0.1 and of the slides"),
    2: ("tests.shows.commands_actions", "every action in every state on both databases, random actions"),
    3: ("tests.shows.commands_rerun", "outputs after a rerun equal those of a fresh run"),
    4: ("tests.shows.commands_listings", "listings, infos and reports of 100,000 jobs"),
    5: ("tests.shows.commands_reload", "a changed project file takes effect during a run, an invalid one does not"),
    6: ("tests.shows.commands_docs", "the documentation is built without warnings, its examples run"),
}  # fmt: skip
"""Line → module whose ``measure(folder, seed)`` gives its verdicts, and what the line is about."""


def _measure(number: int, folder: Path, seed: int) -> list[Verdict]:
    own = folder / f"line{number}"
    own.mkdir()
    found: list[Verdict] = import_module(LINES[number][0]).measure(own, seed)
    return found


def main(words: Sequence[str]) -> int:
    """Run the lines that are asked for; exit code 1 if one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows commands", description=__doc__)
    parser.add_argument("--only", metavar="LINES", help="comma-separated numbers, as 2,4")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="of what is random")
    options = parser.parse_args(words)
    wanted = [int(word) for word in options.only.split(",")] if options.only else list(LINES)
    results = []
    with tempfile.TemporaryDirectory(prefix="jfs-") as folder:
        for number in wanted:
            print(f"line {number}: {LINES[number][1]}", flush=True)

            def line(number: int = number) -> list[Verdict]:
                return _measure(number, Path(folder), options.seed)

            line.__doc__ = LINES[number][1]
            results.append((number, careful(line)))
    return 0 if print_verdicts("Everything people do", results) else 1
