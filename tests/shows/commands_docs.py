"""The documentation: built without warnings, needing no network, its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.sitecheck import build_site, external_resources
from tests.shows.cleanclone import ROOT
from tests.shows.verdict import Verdict, is_true


def measure(folder: Path, seed: int) -> list[Verdict]:
    """What ``make docs`` does, into a folder of its own, and the tests of the documentation. Nothing is random."""
    stale = _run([sys.executable, "docs/generate.py", "--check"])
    built = build_site(folder / "site")
    pages = sorted((folder / "site").rglob("*.html"))
    fetched = external_resources(folder / "site")
    for address in fetched:
        print(f"fetched when somebody looks: {address}", file=sys.stderr)
    tests = _run([sys.executable, "-m", "pytest", "-q", "-n", "2", "tests/docs"])
    counts = {
        word: int(found.group(1)) if (found := re.search(rf"(\d+) {word}", tests.stdout)) else 0
        for word in ("passed", "failed", "error", "skipped")
    }
    bad = counts["failed"] + counts["error"] + counts["skipped"]
    warnings = len(re.findall(r"^(?:WARNING|ERROR)", built.stdout + built.stderr, re.MULTILINE))
    return [
        is_true(
            "generated parts up to date",
            stale.returncode == 0,
            figure=stale.stdout.strip() or "all",
            bound="all",
        ),
        is_true(
            "mkdocs build --strict: exit code, warnings",
            built.returncode == 0 and not warnings,
            figure=f"{built.returncode}, {warnings}",
            bound="0, 0",
        ),
        is_true("pages", len(pages) >= 20, figure=str(len(pages)), bound="≥ 20"),
        is_true("resources fetched from elsewhere", not fetched, figure=str(len(fetched)), bound="0"),
        is_true(
            "tests of the documentation, examples included",
            tests.returncode == 0 and counts["passed"] >= 150 and not bad,
            figure=f"{counts['passed']} passed, {bad} not",
            bound="≥ 150 passed, 0 not",
        ),
    ]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"CI": "true"}, capture_output=True, text=True, check=False
    )
    print(done.stdout[-1500:], file=sys.stderr)
    return done
