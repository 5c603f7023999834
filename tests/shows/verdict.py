"""What a line of a "shows" list said, and whether it held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure beside its bound."""

    what: str
    figure: str
    bound: str
    held: bool
    run: bool = True
    """False: it was not measured, at the caller's wish; it counts as not held."""

    @property
    def word(self) -> str:
        return ("PASS" if self.held else "FAIL") if self.run else "NOT RUN"


def at_most(what: str, value: float, bound: float, unit: str, *, note: str = "") -> Verdict:
    """A number that must not exceed its bound."""
    figure = f"{value:.3g} {unit}".strip() + (f" ({note})" if note else "")
    return Verdict(what, figure, f"≤ {bound:g} {unit}".strip(), value <= bound)


def is_true(what: str, holds: bool, *, figure: str = "", bound: str = "yes") -> Verdict:
    """Something that has to be so."""
    return Verdict(what, figure or ("yes" if holds else "no"), bound, holds)


def not_run(what: str, bound: str) -> Verdict:
    """Something that was left out."""
    return Verdict(what, "", bound, held=False, run=False)


def print_verdicts(title: str, lines: Sequence[tuple[int, Sequence[Verdict]]]) -> bool:
    """A table of all lines; returns whether each of them held."""
    table = Table(title=title, show_lines=False)
    for name in ("line", "what", "measured", "bound", ""):
        table.add_column(name, overflow="fold")
    colours = {"PASS": "green", "FAIL": "bold red", "NOT RUN": "yellow"}
    for number, verdicts in lines:
        for verdict in verdicts:
            word = f"[{colours[verdict.word]}]{verdict.word}[/]"
            table.add_row(str(number), verdict.what, verdict.figure, verdict.bound, word)
    Console(width=150).print(table)
    return all(verdict.held for _, verdicts in lines for verdict in verdicts)
