"""Following a flow: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jobflow_remote.cli.output import out_console, print_error, print_json, print_message
from jobflow_remote.control.progress import FlowProgress, flow_progress, last_line
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase

EXIT_TIMEOUT = 3


def describe_counts(progress: FlowProgress) -> str:
    """Numbers of jobs by state, in the order of the lifecycle."""
    numbers = [(state.value, progress.counts.get(state.value, 0)) for state in JobState]
    return ", ".join(f"{number} {state}" for state, number in numbers if number)


def describe(progress: FlowProgress) -> str:
    """One line about a flow."""
    done = progress.counts.get(JobState.COMPLETED, 0)
    return f"{progress.name}: {done}/{progress.total} jobs completed ({describe_counts(progress)})"


@contextmanager
def _bar() -> Iterator[Callable[[FlowProgress], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out_console()) as bar:
        task = bar.add_task("", total=None, counts="")

        def show(progress: FlowProgress) -> None:
            done = progress.settled
            bar.update(
                task,
                description=f"{progress.name} {done}/{progress.total}",
                total=progress.total,
                completed=done,
                counts=describe_counts(progress),
            )

        yield show


@contextmanager
def _lines() -> Iterator[Callable[[FlowProgress], None]]:
    shown: list[str] = []

    def show(progress: FlowProgress) -> None:
        line = describe(progress)
        if shown != [line]:
            shown[:] = [line]
            print_message(line, style="")

    yield show


@contextmanager
def _nothing() -> Iterator[Callable[[FlowProgress], None]]:
    yield lambda progress: None


def watch_flow(
    queue: QueueDatabase,
    flow_uuid: str,
    *,
    interval_seconds: float = 1.0,
    timeout_seconds: float | None = None,
    quiet: bool = False,
) -> FlowProgress:
    """Show how far the flow is until it is finished or the time is over; the last progress is returned.

    The counters of the flow are read again only when somebody has written to the queue database.
    """
    end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    display = _nothing() if quiet else (_bar() if out_console().is_terminal else _lines())
    with display as show:
        queue.changed_by_others()  # what was written before the first look does not count as news
        progress = flow_progress(queue, flow_uuid)
        show(progress)
        while not progress.finished:
            remaining = interval_seconds if end is None else min(interval_seconds, end - time.monotonic())
            if remaining <= 0:
                break
            time.sleep(remaining)
            if queue.changed_by_others():
                progress = flow_progress(queue, flow_uuid)
                show(progress)
    return progress


def report_end(progress: FlowProgress, trouble: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Say how it ended, and what failed."""
    if as_json:
        print_json(
            {
                "uuid": progress.uuid,
                "name": progress.name,
                "state": progress.state.value,
                "finished": progress.finished,
                "counts": dict(progress.counts),
                "trouble": [
                    {key: job.get(key) for key in ("db_id", "uuid", "index", "state")}
                    | {"error": last_line(job)}
                    for job in trouble
                ],
            }
        )
        return
    if progress.succeeded:
        print_message(f"The flow is COMPLETED ({progress.total} jobs)")
        return
    for job in trouble:
        name = (job.get("job") or {}).get("name")
        print_error(f"{job['state']} {job['db_id']} {name}: {last_line(job) or 'no message'}")
    if not progress.finished:
        print_error("The flow is not finished yet", "is the runner running? `jf runner status`")
        return
    blocked = f"; waiting in vain: {progress.blocked}" if progress.blocked else ""
    print_error(f"The flow is {progress.state.value}{blocked}", "`jf job info <DB id>` says more about a job")
