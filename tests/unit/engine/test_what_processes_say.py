"""What a process says of itself, and how it ends."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.project import Project
from jobflow_remote.engine import reporter as reporting
from jobflow_remote.engine import runner as running
from jobflow_remote.engine.databasewatch import DatabaseWatch
from jobflow_remote.engine.reporter import Reporter
from jobflow_remote.engine.runner import Runner
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.lifecycle import ROLES
from jobflow_remote.model.processes import Doing, LaneReport, ProcessReport, process_name
from jobflow_remote.model.records import NewFlow, new_flow_document, new_job_document
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase


def test_a_report_is_what_it_was_after_storing() -> None:
    lane = LaneReport("upload", "a.b", Doing.WAITING, utcnow(), until=utcnow(), why="away", last_error="away")
    report = ProcessReport(
        "queue", "here", 4711, ("queue",), utcnow(), utcnow(), "3.11", {"jobflow": "1"}, (lane,)
    )
    assert ProcessReport.from_document({**report.to_document(), "of a newer release": 1}) == report


def test_names_of_processes() -> None:
    roles = ("checkout", "transfer", "queue")
    assert process_name(roles, all_roles=roles, part=0, parts=1) == "all"
    assert process_name(("transfer",), all_roles=roles, part=1, parts=2) == "transfer-1"
    assert process_name(("checkout", "queue"), all_roles=roles, part=0, parts=1) == "checkout_queue"


class TestReporter:
    @pytest.fixture
    def queue(self, tmp_path: Path) -> SQLiteQueueDatabase:
        return SQLiteQueueDatabase(tmp_path / "queue.sqlite")

    def test_writes_when_there_is_news(
        self, queue: SQLiteQueueDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = queue.open_session({}, lease_seconds=60).token
        watch = DatabaseWatch(tmp_path)
        lanes = [LaneReport("upload", "local", Doing.IDLE, utcnow())]
        reporter = Reporter("transfer", ["transfer"], lambda: lanes)

        def told(*, at_once: bool = False) -> ProcessReport:
            reporter.tell(queue, token, watch, at_once=at_once)
            return ProcessReport.from_document(queue.process_reports()["transfer"])

        first = told()
        lanes[0] = LaneReport("upload", "local", Doing.WORKING, utcnow(), jobs=3)
        assert told() == first, "not so soon"
        assert told(at_once=True).lanes == tuple(lanes)
        monkeypatch.setattr(reporting, "_CHANGED_SECONDS", 0.0)
        present = told()
        time.sleep(0.002)
        assert told().reported_on == present.reported_on, "nothing is new"
        lanes[0] = LaneReport("upload", "local", Doing.IDLE, utcnow() + timedelta(seconds=1))
        assert told().lanes == tuple(lanes)
        monkeypatch.setattr(reporting, "_UNCHANGED_SECONDS", 0.0)
        time.sleep(0.002)
        assert told().reported_on > present.reported_on

    def test_a_session_that_was_lost_is_not_its_business(
        self, queue: SQLiteQueueDatabase, tmp_path: Path
    ) -> None:
        queue.open_session({}, lease_seconds=60)
        reporter = Reporter("all", list(ROLES), list)
        reporter.tell(queue, "another", DatabaseWatch(tmp_path))
        assert queue.process_reports() == {}


def test_a_step_that_hangs_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scheduler never answers; told to stop, the runner ends all the same."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\nsleep 1000\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:/usr/bin:/bin")
    monkeypatch.setattr(running, "_GRACE_SECONDS", 0.2)
    project = Project.model_validate({
        "name": "p", "base_dir": str(tmp_path / "p"),
        "workers": {"w": {"type": "local", "scheduler_type": "slurm", "work_dir": str(tmp_path / "runs")}},
    })  # fmt: skip
    with services_of(project) as services:
        token = services.queue.open_session({}, lease_seconds=60).token
        uuid = "e2b5c0a0-0000-4000-8000-000000000000"
        job = {"@module": "jobflow.core.job", "@class": "Job", "uuid": uuid, "index": 1, "name": "add", "hosts": ["f"],
               "function_args": [1, 2], "function_kwargs": {}, "config": {}}  # fmt: skip
        document = new_job_document(job, flow_uuid="f", worker="w", parents=[], now=utcnow(), who="me")
        services.queue.insert_flow(NewFlow(new_flow_document(uuid="f", name="f", now=utcnow()), [document]))
        runner = Runner(services, token, roles=tuple(ROLES))

        async def work() -> None:
            task = asyncio.create_task(runner.run())
            while not (tmp_path / "called").exists():
                await asyncio.sleep(0.02)
            assert any(lane.report.doing is Doing.WORKING for lane in runner._lanes)
            runner.stop()
            await asyncio.wait_for(task, 30)

        asyncio.run(work())
        assert runner.was_cut_short
        stored = services.queue.get_job(uuid)
        assert stored is not None
        assert stored["state"] == "UPLOADED", "the next runner repeats the step"
