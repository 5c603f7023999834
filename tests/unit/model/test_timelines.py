"""What jobs spent their time on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from jobflow_remote.model.states import JobState
from jobflow_remote.model.timeline import Activity as A
from jobflow_remote.model.timeline import make_timeline

START = datetime(2026, 1, 1, 12)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def job(*history: tuple[str, float], db_id: str = "1", start: float | None = None, end: float | None = None,
        **more: Any) -> dict[str, Any]:  # fmt: skip
    return {
        "db_id": db_id, "uuid": db_id, "index": 1, "state": history[-1][0], "worker": "w", "created_on": at(0),
        "updated_on": at(history[-1][1]), "start_time": None if start is None else at(start),
        "end_time": None if end is None else at(end), "job": {"name": "add"},
        "history": [{"state": state, "when": at(when)} for state, when in history], **more,
    }  # fmt: skip


def spans(document: dict[str, Any], now: float = 100) -> list[tuple[A, float, float]]:
    (line,) = make_timeline([document], at(now)).jobs
    return [
        (span.activity, (span.start - START).total_seconds(), (span.end - START).total_seconds())
        for span in line.spans
    ]


WHOLE = (("WAITING", 0), ("READY", 10), ("CHECKED_OUT", 11), ("UPLOADED", 12), ("SUBMITTED", 13), ("RUNNING", 20),
         ("TERMINATED", 30), ("DOWNLOADED", 31), ("COMPLETED", 32))  # fmt: skip


def test_a_whole_life() -> None:
    expected = [(A.WAITING, 0, 10), (A.QUEUED, 10, 20), (A.RUNNING, 20, 30), (A.FINISHING, 30, 32)]
    assert spans(job(*WHOLE)) == expected
    # the job says itself when it ran: the runner saw it late
    exact = [(A.WAITING, 0, 10), (A.QUEUED, 10, 18), (A.RUNNING, 18, 25), (A.FINISHING, 25, 32)]
    assert spans(job(*WHOLE, start=18, end=25)) == exact


def test_a_job_that_was_over_before_it_was_seen_running() -> None:
    quick = (("READY", 0), ("SUBMITTED", 2), ("DOWNLOADED", 9), ("COMPLETED", 10))
    assert spans(job(*quick, start=3, end=4)) == [(A.QUEUED, 0, 3), (A.RUNNING, 3, 4), (A.FINISHING, 4, 10)]
    late = (("READY", 0), ("SUBMITTED", 2), ("RUNNING", 6), ("TERMINATED", 9), ("COMPLETED", 10))
    assert spans(job(*late, start=3, end=4)) == [(A.QUEUED, 0, 3), (A.RUNNING, 3, 4), (A.FINISHING, 4, 10)]


def test_what_lasts_lasts_until_now() -> None:
    assert spans(job(("WAITING", 0))) == [(A.WAITING, 0, 100)]
    assert spans(job(("READY", 0), ("RUNNING", 5), ("PAUSED", 20)))[-1] == (A.HELD, 20, 100)
    assert spans(job(("READY", 0), ("SUBMITTED", 5), start=20)) == [(A.QUEUED, 0, 20), (A.RUNNING, 20, 100)]
    assert spans(job(("READY", 0), ("RUNNING", 5), ("FAILED", 20)))[-1] == (A.RUNNING, 5, 20)


def test_another_attempt() -> None:
    again = (("READY", 0), ("RUNNING", 5), ("FAILED", 20), ("READY", 30), ("RUNNING", 40), ("COMPLETED", 50))
    expected = [
        (A.QUEUED, 0, 5),
        (A.RUNNING, 5, 20),
        (A.HELD, 20, 30),
        (A.QUEUED, 30, 40),
        (A.RUNNING, 40, 50),
    ]
    assert spans(job(*again)) == expected
    assert spans(job(*again, start=41, end=49)) == [
        *expected[:3], (A.QUEUED, 30, 41), (A.RUNNING, 41, 49), (A.FINISHING, 49, 50),
    ]  # fmt: skip


def test_a_clock_that_is_off_does_no_harm() -> None:
    ahead = job(("WAITING", 0), ("COMPLETED", 10), start=2, end=5)
    assert spans(ahead) == [(A.WAITING, 0, 2), (A.RUNNING, 2, 5), (A.WAITING, 5, 10)]
    assert spans(job(("READY", 5), ("COMPLETED", 10), start=2, end=1)) == [(A.QUEUED, 5, 10)]


def test_a_job_that_was_lost_ran_until_then() -> None:
    lost = job(("READY", 0), ("RUNNING", 5), ("REMOTE_ERROR", 20), start=4)
    assert spans(lost) == [(A.QUEUED, 0, 4), (A.RUNNING, 4, 20)]


def test_documents_of_older_releases() -> None:
    old = job(("COMPLETED", 40), history=None, start=10, end=30)
    assert spans({**old, "history": None}) == [(A.QUEUED, 0, 10), (A.RUNNING, 10, 30), (A.FINISHING, 30, 40)]
    ready = {**job(("READY", 0)), "history": []}
    assert spans(ready) == [(A.QUEUED, 0, 100)]


def test_a_flow() -> None:
    jobs = [
        job(("WAITING", 0), db_id="3"),
        job(*WHOLE, db_id="2"),
        job(("READY", 2), ("RUNNING", 4), ("COMPLETED", 6), db_id="1"),
        job(("READY", 2), db_id="4", superseded=True),
        job(("COMPLETED", 5), db_id="5", history=[{"state": "COMPLETED", "when": at(5)}]),
    ]
    found = make_timeline(jobs, at(100))
    assert [line.db_id for line in found.jobs] == ["1", "2", "3", "5"]
    assert (found.start, found.duration_seconds) == (at(0), 100)
    assert found.seconds(A.RUNNING) == 12
    assert found.jobs[1].state is JobState.COMPLETED
    nothing = make_timeline([], at(5))
    assert (nothing.jobs, nothing.start, nothing.duration_seconds) == ((), at(5), 0)
