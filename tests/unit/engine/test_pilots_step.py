"""The steps of a batch worker, on a real folder and a real database, without pilots."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.project import Project
from jobflow_remote.control import act
from jobflow_remote.engine.context import RunnerContext, WorkerContext
from jobflow_remote.engine.lane import Lane, LaneOptions
from jobflow_remote.engine.steps.bundle import BundleStep
from jobflow_remote.engine.steps.pilots import PilotsStep
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import ConfigError, SchedulerBusyError
from jobflow_remote.execution.pilot.ticket import parse_bundle
from jobflow_remote.hosts.local import LocalHost
from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.records import Document
from jobflow_remote.model.states import JobState
from jobflow_remote.testing.contracts.queuedb.documents import toy_flow

T = TypeVar("T")


class Bench:
    """A batch worker that may have no pilot, and three jobs that wait for one."""

    def __init__(self, folder: Path, batch: Mapping[str, Any] | None = None, **more: Any) -> None:
        handle = {"jobs_handle_dir": folder / "handle", "work_dir": folder / "pilots", **(batch or {})}
        worker = {
            "type": "local", "scheduler_type": "shell", "work_dir": folder / "runs", "max_jobs": 0, "batch": handle,
            **more,
        }  # fmt: skip
        project = Project.model_validate(
            {
                "name": "p", "base_dir": str(folder), "workers": {"pilots": worker},
                "queue": {"store": {"type": "SQLiteStore", "path": str(folder / "queue.db")}},
            }
        )  # fmt: skip
        self.folder, self.handle = folder, folder / "handle"
        self.services = services_of(project)
        self.queue = self.services.queue
        self.token = self.queue.open_session({}, lease_seconds=600).token
        self.context = RunnerContext(self.services, self.token)
        worker_context = WorkerContext(self.context, "pilots")
        options = LaneOptions(60, project.runner.retry_policy(), 60)
        self.submit = Lane(BundleStep(worker_context), self.context, options)
        self.poll = Lane(PilotsStep(worker_context), self.context, options)
        self.flow = toy_flow({"a": [], "b": [], "c": []}, worker="pilots")
        self.queue.insert_flow(self.flow.new)
        for record in self.queue.claim(self.token, worker="pilots", limit=10):
            run_dir = folder / "runs" / record.name
            run_dir.mkdir(parents=True)
            change = JobChange(
                record.uuid, record.index, frozenset({JobState.CHECKED_OUT}), JobState.UPLOADED,
                {"run_dir": str(run_dir)}, holder=self.token,
            )  # fmt: skip
            assert self.queue.apply([ChangeSet(record.flow_uuid, (change,))])[0].applied

    def turn(self, lane: Lane) -> None:
        asyncio.run(self._turn(lane))

    async def _turn(self, lane: Lane) -> None:
        lane.step._look_at = None  # type: ignore[attr-defined]  # it is always time to look
        await lane.turn()

    def job(self, name: str) -> Document:
        found = self.queue.get_job(self.flow[name])
        assert found is not None
        return found

    def states(self) -> list[str]:
        return [self.job(name)["state"] for name in "abc"]

    def bundles(self) -> list[Path]:
        return sorted((self.handle / "new").glob("*.jobs"))

    def report(self, kind: str, name: str, **more: Any) -> Path:
        job = self.job(name)
        event = {
            "kind": kind,
            "attempt": job["attempt"],
            "uuid": job["uuid"],
            "index": 1,
            "pilot": "p1",
            **more,
        }
        path = self.handle / "reports" / f"p1.1.{kind}{name}"
        path.write_text(json.dumps(event) + "\n")
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.context.close()
    made.services.close()


def test_jobs_are_handed_over_in_one_file(bench: Bench) -> None:
    bench.turn(bench.submit)
    assert bench.states() == ["BATCH_SUBMITTED"] * 3
    (bundle,) = bench.bundles()
    tickets = parse_bundle(bundle.read_text())
    assert {(ticket.uuid, ticket.attempt) for ticket in tickets} == {
        (bench.job(name)["uuid"], bench.job(name)["attempt"]) for name in "abc"
    }


def test_a_step_that_is_repeated_writes_the_same_file(bench: Bench) -> None:
    async def twice(step: Step) -> None:
        for _ in range(2):
            await step.run(await step.take())

    asyncio.run(twice(bench.submit.step))
    assert len(bench.bundles()) == 1


def test_reports_move_jobs_and_go_when_they_are_written_down(bench: Bench) -> None:
    bench.turn(bench.submit)
    bench.turn(bench.poll)
    begun = bench.report("begin", "a", begun=1.8e9, node="n1", time=1.8e9)
    ended = bench.report("end", "b", begun=1.8e9, node="n1", time=1.8e9 + 5, code=0)
    bench.report("back", "c", why="the allocation ends")
    bench.turn(bench.poll)
    assert bench.states() == ["BATCH_RUNNING", "DOWNLOADED", "UPLOADED"]
    assert bench.job("a")["remote"]["process_id"] == "p1"
    assert bench.job("a")["remote"]["place"] == {"node": "n1"}
    assert (bench.job("b")["end_time"] - bench.job("b")["start_time"]).total_seconds() == 5
    assert bench.job("c")["remote"] | {"tries": 1, "interruptions": 1} == bench.job("c")["remote"]
    assert begun.exists()
    bench.turn(bench.poll)
    assert not begun.exists()
    assert not ended.exists()
    first = bench.job("c")["attempt"]
    bench.turn(bench.submit)
    assert bench.job("c")["attempt"] == f"{first}r1"


def test_a_report_that_was_read_twice_changes_nothing(bench: Bench) -> None:
    bench.turn(bench.submit)
    bench.turn(bench.poll)
    path = bench.report("back", "c")
    text = path.read_text()
    bench.turn(bench.poll)
    bench.turn(bench.submit)
    path.write_text(text)
    bench.turn(bench.poll)
    assert bench.job("c")["state"] == "BATCH_SUBMITTED"
    assert bench.job("c")["remote"]["tries"] == 1


def test_a_job_whose_pilots_end_again_and_again_is_given_up(bench: Bench) -> None:
    for _ in range(5):
        bench.turn(bench.submit)
        bench.turn(bench.poll)
        bench.report("back", "c", why="the allocation ends")
        bench.turn(bench.poll)
    assert bench.job("c")["state"] == "REMOTE_ERROR"
    assert "5 times the pilot" in bench.job("c")["remote"]["error"]
    assert "the allocation ends" in bench.job("c")["remote"]["error"]


def test_a_job_that_fits_no_pilot_is_given_up_with_the_reason(bench: Bench) -> None:
    bench.turn(bench.submit)
    bench.turn(bench.poll)
    bench.report("unfit", "a", why="it needs 9 cores")
    bench.turn(bench.poll)
    assert bench.job("a")["state"] == "REMOTE_ERROR"
    assert "it needs 9 cores" in bench.job("a")["remote"]["error"]


def test_jobs_whose_files_were_removed_are_handed_over_again(bench: Bench) -> None:
    bench.turn(bench.submit)
    shutil.rmtree(bench.handle)
    shutil.rmtree(bench.job("a")["run_dir"])
    (Path(bench.job("b")["run_dir"]) / "jfremote_out.json").touch()
    for _ in range(3):
        bench.turn(bench.poll)
    assert bench.states() == ["CHECKED_OUT", "DOWNLOADED", "UPLOADED"]
    bench.turn(bench.submit)
    assert bench.job("c")["attempt"].endswith("r1")
    assert len(bench.bundles()) == 1


def test_a_folder_of_another_worker_is_refused(bench: Bench) -> None:
    bench.handle.mkdir(exist_ok=True)
    (bench.handle / "owner").write_text("q/other\n")
    bench.turn(bench.submit)
    with pytest.raises(ConfigError, match="is that of q/other"):
        bench.turn(bench.poll)


def test_a_folder_that_cannot_be_had_is_weather(bench: Bench) -> None:
    bench.handle.write_text("a file")
    with pytest.raises(SchedulerBusyError, match="cannot be handed"):
        asyncio.run(bench.submit.step.run(asyncio.run(bench.submit.step.take())))
    assert bench.states() == ["UPLOADED"] * 3


def test_pausing_many_jobs_asks_the_worker_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []
    run = LocalHost.run

    async def count(host: LocalHost, command: str, **more: Any) -> CommandResult:
        commands.append(command)
        return await run(host, command, **more)

    bench.turn(bench.submit)
    begun = bench.job("b")
    (Path(begun["run_dir"]) / f".jfremote_taken.{begun['attempt']}").write_text("a pilot")
    keys = [(bench.job(name)["uuid"], 1) for name in "abc"]
    monkeypatch.setattr(LocalHost, "run", count)
    dry = act.act_on_jobs(bench.services, keys, act.pause(), dry_run=True)
    assert [outcome.done for outcome in dry] == [True] * 3
    assert not commands
    outcomes = act.act_on_jobs(bench.services, keys, act.pause())
    assert len(commands) == 1
    assert [outcome.done for outcome in outcomes] == [True, False, True]
    assert "a pilot has begun it" in str(outcomes[1].refusal)
    assert bench.states() == ["PAUSED", "BATCH_SUBMITTED", "PAUSED"]


def test_stopping_many_jobs_asks_the_worker_once_in_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act, "_AT_ONCE", 2)
    bench.turn(bench.submit)
    keys = [(bench.job(name)["uuid"], 1) for name in "abc"]
    outcomes = act.act_on_jobs(bench.services, keys, act.stop())
    assert [outcome.done for outcome in outcomes] == [True] * 3
    for name in "abc":
        job = bench.job(name)
        assert (Path(job["run_dir"]) / f".jfremote_taken.{job['attempt']}").read_text() == "- withdrawn\n"


@pytest.mark.parametrize(
    ("batch", "pilots"),
    [({}, 3), ({"parallel_jobs": 2}, 2), ({"pack": True, "parallel_jobs": 3}, 1), ({"pack": True}, 1)],
)
def test_there_is_never_a_pilot_too_many(tmp_path: Path, batch: dict[str, Any], pilots: int) -> None:
    """Of one that gives out cores nobody knows yet how many jobs it will take."""
    bench = Bench(tmp_path, batch, max_jobs=5, execution_cmd="true {} execution run {}")
    try:
        bench.turn(bench.submit)
        bench.turn(bench.poll)
        assert len(bench.queue.find_batches({})) == pilots
    finally:
        bench.context.close()
        bench.services.close()
