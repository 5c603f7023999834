"""What the runner of a project does, as far as the queue database and the processes of this machine tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobflow_remote.control.workers import WorkerState, list_workers
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.processes import ProcessReport
from jobflow_remote.model.records import RunnerSession
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.services import wakeup

_ANSWER_SECONDS, _LOOK_SECONDS = 1.0, 0.02


@dataclass(frozen=True, slots=True)
class RunnerView:
    """The runner at one moment."""

    session: RunnerSession | None
    """None: nobody is registered as the runner."""
    is_live: bool
    """Whether it has been heard of lately."""
    processes: tuple[ProcessReport, ...]
    """What its processes said last."""
    down: tuple[WorkerState, ...]
    """Workers that it cannot work with."""


def look_at_runner(
    queue: QueueDatabase, workers: Sequence[str], *, daemon_dir: str | Path | None = None
) -> RunnerView:
    """What the runner does.

    Parameters
    ----------
    daemon_dir
        Folder of the project's daemon: processes of this machine are asked to say what they do now.
    """
    if daemon_dir is not None:
        _ask_for_reports(queue, daemon_dir)
    session = queue.get_session()
    reports = queue.process_reports()
    return RunnerView(
        session=session,
        is_live=session is not None and session.is_live(utcnow()),
        processes=tuple(ProcessReport.from_document(reports[name]) for name in sorted(reports)),
        down=tuple(state for state in list_workers(queue, workers) if not state.is_up),
    )


def _ask_for_reports(queue: QueueDatabase, daemon_dir: str | Path) -> None:
    """Ask the processes of this machine to say what they do; those that are busy are not waited for for long."""
    asked, end = utcnow(), time.monotonic() + _ANSWER_SECONDS
    told = wakeup.ring(daemon_dir, [wakeup.REPORT])
    while told and time.monotonic() < end:
        answers = [report for report in queue.process_reports().values() if report["reported_on"] >= asked]
        if len(answers) >= told:
            return
        time.sleep(_LOOK_SECONDS)
