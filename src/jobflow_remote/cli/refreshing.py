"""``--watch``: the same listing again whenever the queue database has changed; in place on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import typer

from jobflow_remote.cli.output import as_lines, out_console, print_json
from jobflow_remote.queuedb.port import QueueDatabase

T = TypeVar("T")
Rows = Sequence[dict[str, Any]]
INTERVAL_SECONDS = 1.0
_AT_LEAST_EVERY_SECONDS = 10.0
"""Times that pass (how long jobs run) are shown anew after so long."""
_PASSING = frozenset({"run_time"})
"""What changes without anything having happened."""


def watch(
    queue: QueueDatabase,
    look: Callable[[], T],
    *,
    table: Callable[[T], Any],
    rows: Callable[[T], Rows],
    as_json: bool,
) -> None:
    """Look, show, and do so again when somebody has written, until Ctrl-C.

    For programs (``--jsonl``) only rows that are new or other than before are printed.
    """
    if as_json and not as_lines():
        raise typer.BadParameter("--watch gives no end to a JSON list: use --jsonl")
    show = _lines(rows) if as_json else None
    try:
        if show is not None:
            _repeat(queue, look, show)
        else:
            with _screen(table) as draw:
                _repeat(queue, look, draw)
    except KeyboardInterrupt:
        return


def _repeat(queue: QueueDatabase, look: Callable[[], T], show: Callable[[T], None]) -> None:
    queue.changed_by_others()  # what was written before the first look does not count as news
    while True:
        show(look())
        shown = time.monotonic()
        while True:
            time.sleep(INTERVAL_SECONDS)
            if queue.changed_by_others() or time.monotonic() - shown > _AT_LEAST_EVERY_SECONDS:
                break


def _lines(rows: Callable[[T], Rows]) -> Callable[[T], None]:
    last: list[dict[str, Any]] = []

    def show(seen: T) -> None:
        now = list(rows(seen))
        print_json([row for row in now if _settled(row) not in last])
        last[:] = map(_settled, now)

    return show


def _settled(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in _PASSING}


@contextmanager
def _screen(table: Callable[[T], Any]) -> Iterator[Callable[[T], None]]:
    console = out_console()
    if console.is_terminal:
        from rich.live import Live

        with Live(console=console, auto_refresh=False) as live:
            yield lambda seen: live.update(table(seen), refresh=True)
        return
    last = ""

    def draw(seen: T) -> None:
        nonlocal last
        with console.capture() as capture:
            console.print(table(seen))
        if capture.get() != last:
            last = capture.get()
            typer.echo(last)

    yield draw
