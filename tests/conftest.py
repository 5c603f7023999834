"""What a run says at its end, however it is distributed."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many contracts each database fulfils."""
    passed: dict[str, int] = {}
    for report in terminalreporter.stats.get("passed", ()):
        suite = report.nodeid.split("::")[1]
        if report.when == "call" and "tests/contract/" in report.nodeid and suite.startswith("Test"):
            passed[suite] = passed.get(suite, 0) + 1
    for suite, number in sorted(passed.items()):
        terminalreporter.write_line(f"{suite.removeprefix('Test')}: {number} contracts passed")
