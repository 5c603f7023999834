"""What the embedded queue database reads and writes: plans, costs, and what is derived from the jobs."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.plans import find_scans, record_statements

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, ExtraParents, Halt, HaltScope
from jobflow_remote.model.selection import FlowSelection, JobSelection
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import Share
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase
from jobflow_remote.testing.contracts.queuedb import SetClock, Stage
from jobflow_remote.testing.contracts.queuedb.documents import START, WORKER, toy_document, toy_flow

S = JobState


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "queue.db"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def database(path: Path, clock: SetClock) -> Iterator[SQLiteQueueDatabase]:
    database = SQLiteQueueDatabase(path, clock=clock)
    yield database
    database.close()


@pytest.fixture
def stage(database: SQLiteQueueDatabase, clock: SetClock) -> Stage:
    return Stage(database, clock)


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file without our code around it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        yield opened


# -- plans and costs -----------------------------------------------------------------------------------------------


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that any connection runs, with its parameters in place."""
    return record_statements(monkeypatch)


def play_engine(stage: Stage) -> None:
    """What a runner and people do, once."""
    database = stage.open().database
    flow = stage.insert({"a": [], "b": ["a"], "c": ["b"], "d": [], "wide": ["a", "d"], "x": [], "y": ["x"]})
    database.renew_session(stage.token, lease_seconds=60)
    stage.claim(limit=2)
    stage.claim(limit=2, share=Share(1, 2))
    for states in ({S.CHECKED_OUT}, {S.SUBMITTED, S.RUNNING}, set(lifecycle.ACTIVE)):
        for worker in (WORKER, None):
            database.due(stage.token, states=frozenset(states), worker=worker, limit=10)
            database.due(stage.token, states=frozenset(states), worker=worker, limit=10, share=Share(0, 2))
            database.next_retry(stage.token, states=frozenset(states), worker=worker)
    stage.put(flow, "d", S.COMPLETED)
    detour = toy_document(str(uuid4()), flow_uuid=flow.uuid, parents=[flow["a"]])
    again = toy_document(flow["a"], index=2, flow_uuid=flow.uuid)
    stage.apply(
        flow,
        stage.change(flow, "a", S.COMPLETED),
        extra_parents=(ExtraParents(flow["a"], (detour["uuid"],)),),
        new_jobs=(detour, again),
        halts=(Halt(HaltScope.DESCENDANTS, flow["x"]), Halt(HaltScope.FLOW, flow["x"])),
    )
    stage.apply(flow, stage.change(flow, "a", index=2, fields={"superseded": True, "parents": []}))
    database.workload()
    stage.open(override=True)
    database.request_stop("now")
    database.find_children([flow["a"]])
    database.delete_flows([flow.uuid])
    stage.insert({"last": []})


def play_listings(stage: Stage, flow_uuid: str, job_uuid: str) -> None:
    """The listings that people look at."""
    database = stage.database
    columns = ["db_id", "job.name", "state", "uuid", "index", "worker", "updated_on"]
    day = START + timedelta(days=-1)
    for fields in (columns, [*columns, "metadata"], None):
        for selection in (
            JobSelection(),
            JobSelection(states=[S.RUNNING]),
            JobSelection(states=[S.RUNNING, S.READY]),
            JobSelection(flow_ids=[flow_uuid]),
            JobSelection(uuids=[job_uuid]),
            JobSelection(job_ids=[(job_uuid, 1), (flow_uuid, 2)]),
            JobSelection(db_ids=["1", "2"]),
            JobSelection(name="a"),
            JobSelection(workers=[WORKER]),
            JobSelection(workers=[WORKER], states=[S.READY]),
            JobSelection(locked=True),
            JobSelection(start=day, end=day),
        ):
            for order in ("updated_on", "db_number"):
                database.find_jobs(selection.to_filter(), fields=fields, sort=[(order, -1)], limit=100)
    for flows in (
        FlowSelection(),
        FlowSelection(flow_ids=[flow_uuid]),
        FlowSelection(states=[FlowState.RUNNING]),
        FlowSelection(name="a"),
        FlowSelection(start=day),
    ):
        for order in ("updated_on", "db_number"):
            database.find_flows(flows.to_filter(), sort=[(order, -1)], limit=100)
    database.get_job(job_uuid)
    database.get_job(job_uuid, 1, with_inputs=True)
    database.get_flow(flow_uuid)
    database.count_job_states()
    database.count_job_states(worker=WORKER)
    database.count_flow_states()
    database.count_updates("jobs", ["READY", "FAILED"], [day, START])
    database.count_updates("flows", ["READY"], [day, START])
    database.workload(states=frozenset(S))
    for selection in (
        JobSelection(states=[S.READY]),
        JobSelection(flow_ids=[flow_uuid]),
        JobSelection(workers=["w"]),
    ):
        database.count_jobs(selection.to_filter())


def test_nothing_that_the_engine_asks_reads_a_whole_table(
    statements: list[str], path: Path, clock: SetClock
) -> None:
    with closing(SQLiteQueueDatabase(path, clock=clock)) as database:
        statements.clear()  # making the tables is not the engine's business
        play_engine(Stage(database, clock))
    assert len(set(statements)) > 60
    assert find_scans(path, statements) == []


def test_no_listing_reads_a_whole_table(statements: list[str], path: Path, clock: SetClock) -> None:
    with closing(SQLiteQueueDatabase(path, clock=clock)) as database:
        stage = Stage(database, clock)
        flow = stage.insert({"a": [], "b": ["a"]})
        statements.clear()
        play_listings(stage, flow.uuid, flow["a"])
    assert len(set(statements)) > 60
    assert find_scans(path, statements) == []


def test_a_scan_would_be_found(path: Path, database: SQLiteQueueDatabase) -> None:
    assert find_scans(path, ["SELECT head FROM jobs WHERE head LIKE 'x'"])
    assert find_scans(path, ["SELECT head FROM jobs ORDER BY head LIMIT 5"])


def test_listings_by_columns_read_no_document(statements: list[str], path: Path, clock: SetClock) -> None:
    with closing(SQLiteQueueDatabase(path, clock=clock)) as database:
        Stage(database, clock).insert({"a": [], "b": ["a"]})
        statements.clear()
        found = database.find_jobs(
            {"state": "READY"}, fields=["db_id", "job.name", "updated_on", "previous_state"]
        )
    assert found == [{"db_id": "1", "job": {"name": "a"}, "updated_on": START, "previous_state": None}]
    assert not any("head" in sql for sql in statements)


def cost(stage: Stage, statements: list[str], verb: Callable[[], object]) -> tuple[int, int]:
    """Number of statements, and of rows written."""
    database = stage.database
    assert isinstance(database, SQLiteQueueDatabase)
    writer = database._connections._open_writer()
    before = writer.total_changes
    statements.clear()
    verb()
    return len(statements), writer.total_changes - before


def shape_of(name: str, size: int) -> dict[str, list[str]]:
    others = [f"j{number}" for number in range(size)]
    if name == "chain":
        return {
            "first": [],
            **{job: [before] for job, before in zip(others, ["first", *others], strict=False)},
        }
    parents = ["first", *others] if name == "fan-in" else ["first"]
    return {"first": [], **{job: [] for job in others}, "child": parents}


@pytest.mark.parametrize("shape", ["wide", "fan-in", "chain"])
def test_the_cost_of_a_job_does_not_grow_with_its_flow(
    statements: list[str], path: Path, clock: SetClock, shape: str
) -> None:
    def costs(size: int) -> list[tuple[int, int]]:
        with closing(SQLiteQueueDatabase(path.with_name(f"{size}.db"), clock=clock)) as database:
            stage = Stage(database, clock).open()
            flow = stage.insert(shape_of(shape, size))
            change = stage.change(flow, "first", S.COMPLETED, holder=stage.token)
            claim = cost(stage, statements, lambda: stage.claim(limit=1))
            complete = cost(stage, statements, lambda: database.apply([ChangeSet(flow.uuid, (change,))]))
            assert stage.states(flow)["first"] == "COMPLETED"
            return [claim, complete]

    assert costs(10) == costs(2000)
    assert costs(5)[1][0] <= 20  # statements, BEGIN and COMMIT among them


def test_a_wide_fan_in_is_neither_read_nor_written(
    statements: list[str], path: Path, clock: SetClock
) -> None:
    with closing(SQLiteQueueDatabase(path, clock=clock)) as database:
        stage = Stage(database, clock)
        flow = stage.insert({"a": [], "b": [], "wide": ["a", "b"]})
        number = stage.job(flow, "wide")["db_number"]
        statements.clear()
        stage.put(flow, "a", S.COMPLETED)
        assert not any("head" in sql and f"db_number = {number}" in sql for sql in statements)
        statements.clear()
        stage.put(flow, "b", S.COMPLETED)
        assert any("head" in sql and f"db_number = {number}" in sql for sql in statements)


# -- a large database ----------------------------------------------------------------------------------------------

MANY = 100_000


def multiply(path: Path, copies: int) -> None:
    """Copy the one job of a database many times, with states and dates that differ."""
    with raw(path) as opened:
        columns = [row[1] for row in opened.execute("PRAGMA table_info(jobs)")]
        states = ["COMPLETED"] * 8 + ["READY", "FAILED"]
        opened.create_function("nth_state", 1, lambda n: states[n % 10])
        changed = {
            "db_number": "n + 1",
            "uuid": "printf('%08x-copy', n)",
            "db_id": "CAST(n + 1 AS TEXT)",
            "state": "nth_state(n)",
            "updated_on": "updated_on + n * 1000",
            "leaf": "1",
            "head": "json_set(head, '$.db_number', n + 1, '$.db_id', CAST(n + 1 AS TEXT), '$.uuid', "
            "printf('%08x-copy', n), '$.state', nth_state(n), '$.job.metadata.number', n)",
        }
        values = ", ".join(changed.get(name, name) for name in columns)
        opened.execute("BEGIN")
        opened.execute(
            f"WITH RECURSIVE numbers(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {copies - 1}) "
            f"INSERT INTO jobs ({', '.join(columns)}) SELECT {values} FROM numbers, jobs WHERE db_number = 1"
        )
        opened.execute("COMMIT")


def test_a_hundred_thousand_jobs(statements: list[str], stage: Stage, path: Path) -> None:
    flow = stage.insert({"only": []})
    multiply(path, MANY)
    database = stage.database
    assert database.count_jobs({}) == MANY
    tenth = MANY // 10
    assert database.count_job_states() == {"COMPLETED": 8 * tenth - 1, "READY": tenth + 1, "FAILED": tenth}
    assert database.count_jobs({"state": {"$in": ["FAILED", "RUN_FINISHED"]}}) == tenth
    statements.clear()
    newest = database.find_jobs({}, fields=["db_number", "state"], sort=[("updated_on", -1)], limit=100)
    failed = database.find_jobs({"state": "FAILED"}, sort=[("updated_on", -1)], skip=100, limit=10)
    (single,) = database.find_jobs({"db_id": str(MANY // 2)})
    assert find_scans(path, statements) == []
    assert [job["db_number"] for job in newest] == list(range(MANY, MANY - 100, -1))
    assert [job["db_number"] for job in failed] == [MANY - 1000 - 10 * step for step in range(10)]
    assert single["job"]["metadata"]["number"] == MANY // 2 - 1
    assert len(database.find_jobs({"job.metadata.number": {"$lt": 50}}, fields=["db_id"])) == 49
    stage.open()
    assert len(stage.claim(limit=50)) == 50
    assert stage.job(flow, "only")["state"] == "CHECKED_OUT"


# -- what is derived -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("UPDATE jobs SET state = 'FAILED' WHERE db_number = 1", "column state"),
        ("UPDATE jobs SET leaf = 1 - leaf WHERE db_number = 2", "leaf"),
        ("UPDATE jobs SET latest = 0 WHERE db_number = 2", "latest"),
        ("UPDATE jobs SET share = 5 WHERE db_number = 2", "share"),
        ("UPDATE jobs SET tolerant = 1 WHERE db_number = 2", "tolerates"),
        ("UPDATE edges SET settled = 1 WHERE child = 2", "settled"),
        ("UPDATE edges SET tolerant = 1 WHERE child = 2", "tolerant"),
        ("DELETE FROM edges WHERE child = 2", "missing"),
        ("INSERT INTO edges VALUES ('x', 2, 9, 0, 1)", "does not name"),
        ("UPDATE flows SET n_jobs = 7", "n_jobs"),
        ("UPDATE flows SET leaves = 0", "leaves"),
        ("UPDATE flows SET leaves_completed = 1", "leaves_completed"),
        ("UPDATE flows SET counts = '{}'", "counts"),
        ("UPDATE flows SET state = 'FAILED'", "state"),
        ("UPDATE flows SET db_number = 2", "db_number"),
        ("DELETE FROM flows", "flow"),
        ("UPDATE auxiliary SET value = '2' WHERE key = 'next_id'", "next id"),
    ],
)
def test_differences_are_reported(stage: Stage, path: Path, spoil: str, words: str) -> None:
    stage.insert({"a": [], "b": ["a"]})
    assert stage.database.check_integrity() == []
    with raw(path) as opened:
        assert opened.execute(spoil).rowcount
    found = stage.database.check_integrity()
    assert any(words in line for line in found), found


def test_a_value_that_does_not_fit_its_column_is_refused(stage: Stage) -> None:
    flow = stage.insert({"a": []})
    with pytest.raises(QueueDatabaseError, match="priority"):
        stage.apply(flow, stage.change(flow, "a", fields={"priority": "high"}))
    assert stage.job(flow, "a")["priority"] == 0


def test_inputs_cannot_be_changed(stage: Stage) -> None:
    flow = stage.insert({"a": []})
    with pytest.raises(ValueError, match="inputs"):
        stage.apply(flow, stage.change(flow, "a", fields={"job.function_kwargs.x": 1}))


def test_texts_with_half_characters_are_kept(stage: Stage) -> None:
    flow = stage.insert({"a": []})
    trace = "caf\udce9 \ud83d é"
    stage.put(flow, "a", S.FAILED, fields={"error": trace, "job.name": trace})
    assert stage.job(flow, "a")["error"] == trace
    assert len(stage.database.find_jobs({"job.name": {"$regex": "caf"}})) == 1
    assert stage.database.check_integrity() == []


def test_inputs_beyond_bson_are_kept(stage: Stage) -> None:
    flow = toy_flow({"a": []})
    huge = {"n": 2**70, "list": [1, float("inf")], "date": START}
    flow.new.jobs[0]["job"]["function_kwargs"] = huge
    stage.database.insert_flow(flow.new)
    job = stage.database.get_job(flow["a"], with_inputs=True)
    assert job is not None
    assert job["job"]["function_kwargs"] == huge


def test_listings_import_no_driver(path: Path, stage: Stage) -> None:
    stage.insert({"a": []})
    code = f"""
import json, sys
from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.queuedb import open_queue_database
database = open_queue_database(QueueSpec("SQLiteStore", {{"path": {str(path)!r}}}))
query = {{"state": {{"$in": ["READY", "RUNNING"]}}, "job.name": {{"$regex": "a"}}, "job.metadata.tag": "a"}}
assert len(database.find_jobs(query, sort=[("updated_on", -1)])) == 1
assert database.find_flows({{}}) and database.get_session() is None
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    heavy = {
        "bson",
        "pymongo",
        "pydantic",
        "pydantic_settings",
        "jobflow",
        "maggma",
        "numpy",
        "monty",
        "asyncio",
    }
    assert heavy & set(json.loads(done.stdout)) == set()


def test_rows_are_not_shared_between_reads(stage: Stage) -> None:
    flow = stage.insert({"a": []})
    first: dict[str, Any] = stage.job(flow, "a")
    first["job"]["metadata"]["tag"] = "changed"
    assert stage.job(flow, "a")["job"]["metadata"]["tag"] == "a"
