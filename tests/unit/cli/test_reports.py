"""``jf job report`` and ``jf flow report``: counts, tables, pictures, JSON."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from jobflow_remote.cli.reporting import make_bar
from jobflow_remote.control.drawing.reportplot import _marks
from jobflow_remote.control.report import report_flows, report_jobs
from jobflow_remote.control.trends import get_trends
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.model.clock import LocalZone
from jobflow_remote.model.states import FlowState, JobState


@pytest.fixture
def five(world: Any) -> Any:
    """Jobs 1 COMPLETED, 2 READY, 3 WAITING in a flow; 4 FAILED and 5 RUNNING in flows of their own."""
    _, (done, _, _) = world.add_flow("add divide multiply", name="first")
    _, (failed,) = world.add_flow("fail", name="second")
    _, (running,) = world.add_flow("[red]run", name="third")
    world.run_job(done)
    world.run_job(failed, JobState.FAILED, error="no")
    world.run_job(running, JobState.RUNNING)
    return world


def test_jobs_are_counted(five: Any) -> None:
    report = report_jobs(five.queue)
    assert (report.completed, report.running, report.error, report.active, report.total) == (1, 1, 1, 1, 5)
    assert report.state_counts[JobState.READY] == report.state_counts[JobState.WAITING] == 1
    assert report.state_counts[JobState.PAUSED] == 0
    assert report.worker_utilization == {"local_shell": 5}
    assert [job["db_id"] for job in report.longest_running] == ["5"]
    assert sum(report.trends.completed) == sum(report.trends.failed) == 1
    assert sum(report.trends.remote_error) == 0
    assert report.trends.num_intervals == 7


def test_flows_are_counted(five: Any) -> None:
    report = report_flows(five.queue, interval="weeks", num_intervals=2)
    assert report.state_counts[FlowState.FAILED] == report.error == 1
    assert report.total == 3
    assert report.trends.dates[-1] == datetime.now().strftime("%G-%V")
    assert report.trends.failed[-1] == 1


def test_nothing_is_read_but_the_longest_jobs(five: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    find = five.queue.find_jobs

    def listen(*args: Any, **options: Any) -> Any:
        asked.append(options["limit"])
        return find(*args, **options)

    monkeypatch.setattr(five.queue, "find_jobs", listen)
    report_jobs(five.queue)
    assert asked == [5]


def test_tables(five: Any, jf: Any) -> None:
    out = jf(
        "job report hours 3", required_out=["Jobs: summary", "Running longest", "[red]run", "Workers"]
    ).stdout
    assert "Came to an end, by hour" in out
    trends = out.split("Came to an end")[1]
    assert len([line for line in trends.splitlines() if datetime.now().strftime("│ %Y-") in line]) == 3
    states = out.split("States")[1].split("Running longest")[0]
    assert "READY" in states
    assert "COMPLETED" not in states.splitlines()[1:]
    jf("flow report", required_out=["Flows: summary", "FAILED", "Came to an end, by day"])


def test_an_empty_queue(world: Any, jf: Any) -> None:
    jf("job report", required_out="none in any other state", excluded_out=["Workers", "longest"])
    jf("flow report")


def test_json(five: Any, jf: Any) -> None:
    found = json.loads(jf("job report months 2 --json").stdout)
    assert found["total"] == 5
    assert found["state_counts"]["FAILED"] == 1
    assert found["trends"]["interval"] == "months"
    assert len(found["trends"]["dates"]) == 2
    assert found["workers"]["local_shell"]["total"] == 5
    assert found["longest_running"][0]["db_id"] == "5"
    assert json.loads(jf("flow report --json").stdout)["state_counts"]["COMPLETED"] == 0


def test_unknown_intervals_are_refused(world: Any, jf: Any) -> None:
    assert jf("job report fortnights", error=True).exit_code == 2
    assert jf("flow report days 0", error=True).exit_code == 2


def test_pictures(five: Any, jf: Any, tmp_path: Path) -> None:
    for name, head in (("a.svg", b"<?xml"), ("a.png", b"\x89PNG"), ("a.pdf", b"%PDF")):
        jf(f"job report --plot {tmp_path / name}", required_out="drawn in", excluded_out="summary")
        assert (tmp_path / name).read_bytes().startswith(head)
    text = "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
    assert all(words in text for words in ("Jobs of tutorial", "5 in all", "FAILED", "remote error"))
    jf(f"flow report --plot {tmp_path / 'a.jpeg'}", error=True, required_out=".png, .svg, .pdf")


def test_without_matplotlib(five: Any, jf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for words in (f"job report --plot {tmp_path / 'a.png'}", f"flow graph 1 --path {tmp_path / 'a.png'}"):
        jf(words, error=True, required_out=["matplotlib", "jobflow-remote[plot]", ".svg"])
    jf(f"job report --plot {tmp_path / 'a.svg'}")


@pytest.mark.parametrize(
    ("parts", "longest", "expected"),
    [
        ([(5, "red")], 10, 5),
        ([(1, "red"), (1, "blue")], 1000, 2),
        ([(10, "red")], 10, 10),
        ([(0, "red")], 0, 0),
    ],
)
def test_bars(parts: Any, longest: float, expected: int) -> None:
    assert len(make_bar(parts, longest, width=10)) == expected


@pytest.mark.parametrize("highest", [0, 1, 3, 4, 5, 9, 41, 99, 12_345])
def test_marks_reach_above_the_highest(highest: int) -> None:
    marks = _marks(highest)
    assert marks[0] == 0
    assert marks[-1] >= max(1, highest)
    assert len(marks) <= 5


def test_time_zones(five: Any) -> None:
    with pytest.raises(JobflowRemoteError, match="Middle"):
        get_trends(five.queue, [JobState.FAILED], zone="Middle/Earth")
    # when summer time ends an hour is shown twice: one label, and both hours count
    now = datetime(2025, 10, 26, 4, 30, tzinfo=UTC)
    trends = get_trends(
        five.queue, [JobState.FAILED], interval="hours", num_intervals=6, zone="Europe/Rome", now=now
    )
    assert list(trends)[-4:] == ["2025-10-26 02", "2025-10-26 03", "2025-10-26 04", "2025-10-26 05"]
    assert len(trends) == 5
    moment = datetime(2025, 7, 1, 12, tzinfo=UTC)
    local = moment.astimezone(LocalZone())
    assert local == moment
    assert local.dst() is None
    assert local.strftime("%H %Z") == moment.astimezone().strftime("%H %Z")
