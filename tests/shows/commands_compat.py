"""Names, signatures, commands and snippets of 1.0.1 and of the slides: the compatibility tests, counted."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

from tests.compat.published import PENDING
from tests.shows.cleanclone import ROOT
from tests.shows.verdict import Verdict, is_true

LEAST = {
    "test_names": 220,
    "test_commands": 70,
    "test_slides": 7,
    "test_small_names": 10,
    "test_controller": 20,
    "test_upgrader": 2,
    "test_reports_and_graphs": 5,
}
"""Module of ``tests/compat`` → number of tests that it has at least: fewer would not be the whole table."""


def measure(folder: Path, seed: int) -> list[Verdict]:
    """Run the compatibility tests; a skipped one counts as not held. Nothing is random."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={report}", "tests/compat"]
    environment = os.environ | {"CI": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout[-1500:], file=sys.stderr)
    ran: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for case in ET.parse(report).iter("testcase"):
        module = (case.get("classname") or "").rpartition(".")[2]
        ran[module] += 1
        failed[module] += any(case.find(kind) is not None for kind in ("failure", "error"))
        skipped[module] += case.find("skipped") is not None
    verdicts = [
        is_true(
            f"tests/compat/{module}.py",
            ran[module] >= least and not failed[module] and not skipped[module],
            figure=f"{ran[module] - failed[module] - skipped[module]} of {ran[module]}",
            bound=f"all, at least {least}",
        )
        for module, least in LEAST.items()
    ]
    return [
        *verdicts,
        is_true("names that are still to come", not PENDING, figure=str(len(PENDING)), bound="0"),
        is_true("pytest: exit code", done.returncode == 0, figure=str(done.returncode), bound="0"),
    ]
