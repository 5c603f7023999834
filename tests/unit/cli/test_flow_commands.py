"""``jf flow``: listings, one flow, and watching one to its end."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest

from jobflow_remote.cli.watching import watch_flow
from jobflow_remote.control.progress import FlowProgress, flow_progress
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase


def rows_of(text: str) -> list[list[str]]:
    """Cells of a printed table."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in text.splitlines()
        if line.startswith("│")
    ]


@pytest.fixture
def flows(world: Any) -> Any:
    """ids 1-2 COMPLETED, 3-5 FAILED, 6 READY."""
    world.made = [
        world.add_flow("add multiply", name="first", metadata={"tag": "one"}),
        world.add_flow("add divide multiply", name="second"),
        world.add_flow("add", name="third", worker="cluster"),
    ]
    (_, (a, b)), (_, (c, d, _)), _ = world.made
    for uuid in (a, b, c):
        world.run_job(uuid)
    world.run_job(d, JobState.FAILED, error="Traceback\nZeroDivisionError: division by zero")
    return world


def test_list(flows: Any, jf: Any) -> None:
    out = jf("flow list --sort db_id").stdout
    assert "Flows info" in out
    assert re.search(r"DB id\s+┃ Name\s+┃ State\s+┃ Flow id\s+┃ Num Jobs\s+┃ Last updated \[UTC\]", out)
    rows = rows_of(out)
    assert [row[:5] for row in rows] == [
        ["6", "third", "READY", flows.made[2][0], "1"],
        ["3", "second", "FAILED", flows.made[1][0], "3"],
        ["1", "first", "COMPLETED", flows.made[0][0], "2"],
    ]


def test_list_verbose(flows: Any, jf: Any) -> None:
    out = jf("flow list -v --sort db_id -revs").stdout
    assert "Workers" in out
    assert [row[6:] for row in rows_of(out)] == [
        ["local_shell", "C-C", "{'tag': 'one'}"], ["local_shell", "C-F-W", ""], ["cluster", "R", ""],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-s COMPLETED", ["1"]),
        ("-s COMPLETED -s FAILED", ["1", "3"]),
        ("-n second", ["3"]),
        ("-n *ir*", ["1", "6"]),
        ("-did 4", ["3"]),
        ("-did 4 -did 6", ["3", "6"]),
        ("-did 4 -n first", []),
        ("-did 77", []),
        ("-fid 4", ["3"]),
        ("-meta tag=one", ["1"]),
        ("-ds 1", ["1", "3", "6"]),
        ("-edate 2015-01-01", []),
    ],
)
def test_criteria(flows: Any, jf: Any, words: str, expected: list[str]) -> None:
    assert sorted(row[0] for row in rows_of(jf(f"flow list {words}").stdout)) == expected


def test_criteria_by_uuid(flows: Any, jf: Any) -> None:
    flow, jobs = flows.made[1]
    for words in (f"-fid {flow}", f"-fid {flow[:10]}", f"-jid {jobs[1]}"):
        assert [row[0] for row in rows_of(jf(f"flow list {words}").stdout)] == ["3"]


def test_count_limit_and_json(flows: Any, jf: Any) -> None:
    jf("flow list --count", required_out="Number of flows: 3")
    jf("flow list -m 2", required_out="limited by the maximum selected: 2")
    result = jf("flow list --json --sort db_id -revs")
    first = json.loads(result.stdout)[0]
    assert "The selected project" in result.stderr
    assert (first["db_id"], first["state"], first["n_jobs"]) == ("1", "COMPLETED", 2)
    assert first["metadata"] == {"tag": "one"}


@pytest.mark.parametrize("identifier", ["4", "-j 4", "flow", "short", "job", "-j job"])
def test_info_by_any_id(flows: Any, jf: Any, identifier: str) -> None:
    flow, jobs = flows.made[1]
    words = identifier.replace("flow", flow).replace("short", flow[:8]).replace("job", jobs[2])
    out = jf(f"flow info {words}").stdout
    assert f"Flow: second - {flow} - FAILED" in out
    assert [(row[0], row[1], row[2]) for row in rows_of(out)] == [
        ("3", "add", "COMPLETED"), ("4", "divide", "FAILED"), ("5", "multiply", "WAITING"),
    ]  # fmt: skip


def test_info_options(flows: Any, jf: Any) -> None:
    assert [row[0] for row in rows_of(jf("flow info 4 -jrevs").stdout)] == ["5", "4", "3"]
    jf("flow info 1 -v", required_out=["Queue id", "metadata = {'tag': 'one'}"])
    result = json.loads(jf("flow info 4 --json").stdout)
    assert result["state"] == "FAILED"
    assert [job["state"] for job in result["jobs"]] == ["COMPLETED", "FAILED", "WAITING"]
    jf("flow info 77", error=True, required_out="no flow, nor any job of one, has the id 77")
    flow = flows.made[1][0]
    jf(f"flow info -j {flow}", error=True, required_out=f"no job has the id {flow}")


# -- watching --------------------------------------------------------------------------------------


def test_watch_completed(flows: Any, jf: Any) -> None:
    result = jf("flow watch 1", required_out=["first: 2/2 jobs completed", "The flow is COMPLETED"])
    assert result.exit_code == 0


def test_watch_failed(flows: Any, jf: Any) -> None:
    result = jf("flow watch 5", error=True)
    assert result.exit_code == 1
    assert "FAILED 4 divide: ZeroDivisionError: division by zero" in result.stderr
    assert "waiting in vain: 1" in result.stderr


def test_watch_timeout(flows: Any, jf: Any) -> None:
    result = jf("flow watch 6 --timeout 0", error=True, required_out="not finished yet")
    assert result.exit_code == 3


def test_watch_json(flows: Any, jf: Any) -> None:
    result = json.loads(jf("flow watch 4 --json", error=True).stdout)
    assert (result["state"], result["finished"]) == ("FAILED", True)
    assert result["trouble"] == [
        {
            "db_id": "4",
            "uuid": flows.made[1][1][1],
            "index": 1,
            "state": "FAILED",
            "error": "ZeroDivisionError: division by zero",
        }
    ]


def test_watch_follows_what_another_process_writes(world: Any, jf: Any) -> None:
    _, jobs = world.add_flow("add multiply")

    def work() -> None:
        for uuid in jobs:
            world.run_job(uuid)

    worker = threading.Thread(target=work)
    worker.start()
    jf("flow watch 1 --interval 0.01 --timeout 60", required_out=["2/2 jobs completed", "COMPLETED"])
    worker.join()


class CountingDatabase(SQLiteQueueDatabase):
    """A real database that counts how often flows are read."""

    reads = 0

    def find_flows(self, *args: Any, **kwargs: Any) -> Any:
        type(self).reads += 1
        return super().find_flows(*args, **kwargs)


def test_nothing_is_read_while_nothing_happens(world: Any) -> None:
    flow, _ = world.add_flow()
    queue = CountingDatabase(world.queue.path)
    progress = watch_flow(queue, flow, interval_seconds=0.001, timeout_seconds=0.05, quiet=True)
    queue.close()
    assert not progress.finished
    assert CountingDatabase.reads <= 2


@pytest.mark.parametrize(
    ("counts", "finished", "blocked"),
    [
        ({"COMPLETED": 2}, True, 0),
        ({"COMPLETED": 1, "READY": 1}, False, 0),
        ({"COMPLETED": 1, "RUNNING": 1, "FAILED": 1, "WAITING": 3}, False, 0),
        ({"FAILED": 1, "WAITING": 3}, True, 3),
        ({"REMOTE_ERROR": 1, "WAITING": 1}, True, 1),
        ({"PAUSED": 1, "WAITING": 1}, True, 1),
        ({"WAITING": 2}, False, 0),
        ({"COMPLETED": 1, "WAITING": 2}, False, 0),
    ],
)
def test_when_a_flow_is_finished(counts: dict[str, int], finished: bool, blocked: int) -> None:
    progress = FlowProgress(uuid="", name="", state=FlowState.RUNNING, counts=counts)
    assert (progress.finished, progress.blocked) == (finished, blocked)


def test_progress_has_numbers_only(flows: Any) -> None:
    progress = flow_progress(flows.queue, flows.made[1][0])
    assert progress.counts == {"COMPLETED": 1, "FAILED": 1, "WAITING": 1}
    assert (progress.total, progress.settled, progress.in_hand) == (3, 2, 0)
