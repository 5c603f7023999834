"""What only a real MongoDB server can show: kills, indexes, operations, several writers, logins."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from tests.services.mongod import Mongod

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.errors import ConfigError, QueueDatabaseAwayError, QueueDatabaseError
from jobflow_remote.model.changes import ChangeSet, Halt, HaltScope
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb import open_queue_database
from jobflow_remote.queuedb.mongo import MongoQueueDatabase, plan, units
from jobflow_remote.queuedb.mongo.options import Names, Server
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.testing.contracts.queuedb.documents import (
    WORKER,
    SetClock,
    Stage,
    ToyFlow,
    toy_document,
    toy_flow,
)
from jobflow_remote.testing.contracts.queuedb.processes import append_lines, run_all

S = JobState
STEPS = (S.UPLOADED, S.SUBMITTED, S.RUNNING, S.TERMINATED, S.DOWNLOADED, S.COMPLETED)
_NOT_OURS = ("hello", "isMaster", "ping", "serverStatus", "endSessions", "<UNKNOWN>")


@pytest.fixture(params=["standalone", "replica_set"])
def server(request: pytest.FixtureRequest) -> Mongod:
    """Each kind of server in turn."""
    found: Mongod = request.getfixturevalue(f"mongo_{request.param}")
    return found


@pytest.fixture
def name() -> str:
    return f"queue_{uuid4().hex[:12]}"


@pytest.fixture
def client(server: Mongod, name: str) -> Iterator[MongoClient[Any]]:
    """For looking at the server past the adapter."""
    client: MongoClient[Any] = MongoClient(server.uri)
    yield client
    client.drop_database(name)
    client.close()


def _open(server: Mongod, name: str, **options: Any) -> MongoQueueDatabase:
    return MongoQueueDatabase(Server(Names(name), uri=server.uri), **options)


@pytest.fixture
def stage(server: Mongod, name: str, client: MongoClient[Any]) -> Iterator[Stage]:
    clock = SetClock()
    stage = Stage(_open(server, name, clock=clock), clock)
    yield stage
    stage.database.close()


# -- operations and indexes ----------------------------------------------------------------------------------


def _count_operations(client: MongoClient[Any]) -> int:
    commands = client.admin.command("serverStatus")["metrics"]["commands"]
    return sum(
        found["total"]
        for command, found in commands.items()
        if isinstance(found, dict) and "total" in found and command not in _NOT_OURS
    )


def _run_in_batches(stage: Stage, *, size: int) -> int:
    """Take all READY jobs through their lives; returns how many."""
    number = 0
    while records := stage.claim(limit=size):
        state = S.CHECKED_OUT
        for to in STEPS:
            changes = [
                ChangeSet(r.flow_uuid, (_step(r.uuid, state, to, stage.token, str(r.attempt)),))
                for r in records
            ]
            assert all(result.applied for result in stage.database.apply(changes))
            state = to
        number += len(records)
    return number


def _step(uuid: str, expected: JobState, to: JobState, token: str, attempt: str) -> Any:
    from jobflow_remote.model.changes import JobChange

    return JobChange(
        uuid, 1, frozenset({expected}), to, holder=token, attempt=attempt, event="step", who="runner",
        fields={"remote.process_id": "17"},
    )  # fmt: skip


@pytest.mark.parametrize(("flows", "jobs"), [(1, 200), (200, 1)])
def test_at_most_eight_operations_per_job(
    stage: Stage, client: MongoClient[Any], flows: int, jobs: int
) -> None:
    stage.open()
    before = _count_operations(client)
    for _ in range(flows):
        stage.insert({f"j{number}": [] for number in range(jobs)})
    inserted = _count_operations(client)
    assert _run_in_batches(stage, size=20) == 200
    total = _count_operations(client) - before
    print(f"\n{flows} flows of {jobs}: {(inserted - before) / flows:.1f} operations per flow inserted, "
          f"{(total - inserted + before) / 200:.2f} per job, claimed and written by twenty")  # fmt: skip
    assert (total - inserted + before) / 200 <= 8
    assert (inserted - before) / flows <= 16
    assert stage.database.count_flow_states() == {"COMPLETED": flows}
    assert stage.database.check_integrity() == []


def _everything(stage: Stage) -> None:
    """What the engine and the default listings ask."""
    database = stage.database
    flow = stage.insert({"a": [], "b": ["a"], "c": ["b"]})
    stage.insert({"x": []})
    (record,) = stage.claim(limit=1)
    new = (toy_document(str(uuid4()), flow_uuid=flow.uuid, parents=[flow["a"]]),)
    done = stage.change(flow, "a", S.COMPLETED, holder=stage.token, attempt=record.attempt)
    stage.apply(flow, done, new_jobs=new, halts=(Halt(HaltScope.FLOW, flow["a"]),))
    states = frozenset({S.CHECKED_OUT, S.UPLOADED})
    for worker in (WORKER, None):
        database.due(stage.token, states=states, worker=worker, limit=10)
        database.next_retry(stage.token, states=states, worker=worker)
    database.workload()
    database.renew_session(stage.token, lease_seconds=60)
    database.get_job(flow["a"])
    database.get_flow(flow.uuid)
    database.find_children([flow["a"]])
    database.count_job_states()
    database.count_job_states(worker=WORKER)
    database.count_flow_states()
    for query in ({}, {"state": "READY"}, {"flow_uuid": flow.uuid}, {"worker": WORKER}, {"db_id": "1"}):
        for sort in ([], [("updated_on", -1)], [("db_number", -1)]):
            database.find_jobs(query, sort=sort, limit=10)
    for query in ({}, {"state": "READY"}, {"jobs": flow["a"]}, {"uuid": flow.uuid}):
        database.find_flows(query, sort=[("updated_on", -1)], limit=10)
    database.open_session({}, lease_seconds=60, override=True)
    database.delete_flows([flow.uuid])


def test_nothing_scans_a_collection(stage: Stage, client: MongoClient[Any], name: str) -> None:
    stage.open()
    for _ in range(20):
        stage.insert({"a": [], "b": ["a"]})
    client[name].command("profile", 2)
    _everything(stage)
    client[name].command("profile", 0)
    entries = list(client[name]["system.profile"].find({"ns": {"$in": [f"{name}.jobs", f"{name}.flows"]}}))
    assert len(entries) > 30
    scans = [entry["command"] for entry in entries if "COLLSCAN" in entry.get("planSummary", "")]
    assert scans == []


# -- several writers -----------------------------------------------------------------------------------------


@pytest.fixture
def three(server: Mongod, name: str, stage: Stage) -> Iterator[list[MongoQueueDatabase]]:
    """Two processes of a runner, and somebody who watches; all have looked once."""
    opened = [_open(server, name) for _ in range(3)]
    for each in opened[:2]:
        each.join_session()
    for each in opened:
        each.changed_by_others()
    yield opened
    for each in opened:
        each.close()


def test_what_a_runner_does_is_news_to_others_only(stage: Stage, three: list[MongoQueueDatabase]) -> None:
    one, other, watcher = three
    one.set_auxiliary("mark", 1)
    assert [each.changed_by_others() for each in (one, other, watcher)] == [False, False, True]
    stage.database.set_auxiliary("mark", 2)
    assert [each.changed_by_others() for each in (one, other, watcher)] == [True, True, True]
    assert [each.changed_by_others() for each in (one, other, watcher)] == [False, False, False]


def test_of_changes_in_a_row_others_are_told_the_first_at_once_and_the_others_together(
    stage: Stage, client: MongoClient[Any], name: str, three: list[MongoQueueDatabase]
) -> None:
    def told() -> int:
        return int(client[name]["jf_auxiliary"].find_one({"next_id": {"$exists": True}})["changes"])

    watcher, before = three[2], told()
    for number in range(20):
        stage.database.set_auxiliary("mark", number)
    assert watcher.changed_by_others()
    stage.database.close()  # what it has to tell, it tells before it goes
    assert watcher.changed_by_others()
    assert 2 <= told() - before < 20


def test_writers_of_one_flow_do_not_lose_each_other(server: Mongod, name: str, stage: Stage) -> None:
    """Parents that end at the same time in several processes: each child starts, each counter is right."""
    parents: dict[str, list[str]] = {f"p{number}": [] for number in range(24)}
    children = {
        f"c{number}": [f"p{other}" for other in range(24) if other % 3 != number % 3] for number in range(6)
    }
    flow = stage.insert({**parents, **children, "last": list(parents)})
    stage.database.close()

    def finisher(part: int) -> Callable[[], None]:
        def action() -> None:
            database = _open(server, name)
            mine = [
                uuid for number, uuid in enumerate(flow.uuids[job] for job in parents) if number % 4 == part
            ]
            for uuid in mine:
                change = _step(uuid, S.READY, S.COMPLETED, "", "")
                change = type(change)(uuid, 1, frozenset({S.READY}), S.COMPLETED, event="step")
                (result,) = database.apply([ChangeSet(flow.uuid, (change,))])
                assert result.applied, result.refusal
            database.close()

        return action

    assert run_all([finisher(part) for part in range(4)]) == [0] * 4
    database = _open(server, name)
    assert database.count_job_states() == {"COMPLETED": 24, "READY": 7}
    assert database.check_integrity() == []
    database.close()


def test_one_flow_submitted_by_several_processes_is_there_once(
    server: Mongod, name: str, stage: Stage, tmp_path: Path
) -> None:
    flow = toy_flow({f"j{number}": [] for number in range(20)})
    stage.database.close()

    def submit() -> None:
        database = _open(server, name)
        try:
            database.insert_flow(flow.new)
            append_lines(tmp_path / "submitted", ["once"])
        except ValueError:  # DuplicateError
            pass

    assert run_all([submit] * 4) == [0] * 4
    assert (tmp_path / "submitted").read_text().split() == ["once"]
    database = _open(server, name)
    assert (database.count_jobs({}), database.count_flows({})) == (20, 1)
    assert database.check_integrity() == []
    database.close()


def test_an_intent_that_does_not_fit_into_a_document_is_split(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_PART_BYTES", 500)
    flow = stage.insert({f"j{number}": [] for number in range(30)})
    result = stage.apply(flow, *(stage.change(flow, job, S.PAUSED) for job in flow.uuids))
    assert result.applied
    assert stage.database.count_job_states() == {"PAUSED": 30}
    assert stage.database.check_integrity() == []


def test_plans_come_back_as_they_were() -> None:
    chance = random.Random(5)
    original = plan.Plan(
        jobs=[
            {"_id": number, "rev": 1, "update": {"$set": {"x.y": chance.random()}}} for number in range(50)
        ],
        deleted_jobs=[1, 2],
        flows=[{"uuid": "f", "delete": True}],
    )
    assert plan.Plan.unpack(original.pack()) == original


# -- a server that goes away ---------------------------------------------------------------------------------


@pytest.mark.parametrize("replica_set", [None, "mortal"])
def test_a_killed_server_has_lost_nothing_that_was_acknowledged(
    mongo_standalone: Mongod, tmp_path: Path, replica_set: str | None
) -> None:
    server = Mongod(tmp_path, replica_set=replica_set).start()
    try:
        database = _open(server, "queue")
        flows = []
        for _ in range(3):
            for _ in range(10):
                flow = toy_flow({"a": [], "b": ["a"]})
                database.insert_flow(flow.new)
                flows.append(flow)
            token = database.open_session({}, lease_seconds=60, override=True).token
            claimed = {record.uuid for record in database.claim(token, worker=WORKER, limit=5)}
            server.kill()
            server.start()
            assert {job["uuid"] for job in database.find_jobs({"claim": token})} >= claimed
            assert database.count_flows({}) == len(flows)
            assert database.check_integrity() == []
        database.close()
    finally:
        server.stop()


def test_a_server_that_is_away_is_weather(mongo_standalone: Mongod, tmp_path: Path) -> None:
    server = Mongod(tmp_path).start()
    names, options = Names("queue"), {"serverSelectionTimeoutMS": 300}
    database = MongoQueueDatabase(Server(names, uri=server.uri, client_options=options))
    database.insert_flow(toy_flow({"a": []}).new)
    server.kill()
    for verb in (lambda: database.count_jobs({}), lambda: database.insert_flow(toy_flow({"a": []}).new)):
        with pytest.raises(QueueDatabaseAwayError, match="does not answer"):
            verb()
    with pytest.raises(QueueDatabaseAwayError, match="does not answer"):
        MongoQueueDatabase(Server(names, uri=server.uri, client_options=options))
    server.start()
    assert database.count_jobs({}) == 1
    assert database.insert_flow(toy_flow({"a": []}).new)
    assert database.check_integrity() == []
    database.close()
    server.stop()


# -- descriptions --------------------------------------------------------------------------------------------


def test_a_store_description_opens_the_database(server: Mongod, name: str, client: MongoClient[Any]) -> None:
    by_host = {"database": name, "collection_name": "my_jobs", "host": "127.0.0.1", "port": server.port}
    by_uri = {"uri": server.uri, "database": name, "collection_name": "my_jobs"}
    flow = toy_flow({"a": []})
    for kind, options in (("MongoStore", by_host), ("MongoURIStore", by_uri)):
        spec = QueueSpec(kind, options, flows_collection="my_flows", db_id_prefix="p")
        database: QueueDatabase = open_queue_database(spec)
        if database.count_flows({}) == 0:
            assert database.insert_flow(flow.new) == ["p1"]
        assert database.count_jobs({"db_id": "p1"}) == 1
        assert name in database.describe()
        database.close()
    assert {"my_jobs", "my_flows", "jf_auxiliary", "batches"} <= set(client[name].list_collection_names())
    stored = client[name]["my_flows"].find_one({"jobs": flow["a"]})
    assert stored is not None
    assert (stored["ids"], stored["parents"]) == ([["p1", flow["a"], 1]], {flow["a"]: {"1": []}})


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("MongoStore", {"database": "d", "collection": "jobs"}, "collection"),
        ("MongoStore", {"collection_name": "jobs"}, "database"),
        ("MongoURIStore", {"database": "d"}, "uri"),
        ("MongoURIStore", {"uri": "mongodb://h:1/"}, "database"),
        ("MongoStore", {"database": "d", "collection_name": "flows"}, "differ"),
        ("MongoURIStore", {"uri": "http://h/d"}, "cannot be used"),
    ],
)
def test_what_is_wrong_in_a_description_is_named(kind: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_queue_database(QueueSpec(kind, options))


def test_a_refused_login_is_no_weather(mongo_standalone: Mongod) -> None:
    spec = QueueSpec(
        "MongoStore",
        {
            "database": "q",
            "host": "127.0.0.1",
            "port": mongo_standalone.port,
            "username": "a",
            "password": "secret",
        },
    )
    with pytest.raises(QueueDatabaseError, match="refused the login") as caught:
        open_queue_database(spec)
    assert not isinstance(caught.value, QueueDatabaseAwayError)
    assert "secret" not in str(caught.value)


# -- documents that tools of 1.0.1 look for ------------------------------------------------------------------


def test_the_auxiliary_documents_of_the_former_release(
    stage: Stage, client: MongoClient[Any], name: str
) -> None:
    auxiliary = client[name]["jf_auxiliary"]
    stage.open()
    running = auxiliary.find_one({"running_runner": {"$exists": True}})
    assert running is not None
    assert running["running_runner"]["hostname"] == "node1"
    stage.database.close_session(stage.token)
    assert auxiliary.count_documents({"running_runner": None}) >= 1
    versions = {"jobflow_remote_version": "2.0.0", "jobflow_version": "0.4", "full_environment": {}}
    stage.database.set_auxiliary("versions", versions)
    assert auxiliary.count_documents({"jobflow_remote_version": "2.0.0"}) == 1
    assert stage.database.get_auxiliary("versions") == versions


def test_a_database_of_the_former_release_is_read_only(
    server: Mongod, name: str, client: MongoClient[Any]
) -> None:
    client[name]["jf_auxiliary"].insert_one({"next_id": 2})
    client[name]["jobs"].insert_one(
        {"uuid": "u", "index": 1, "db_id": "1", "state": "COMPLETED", "parents": []}
    )
    database = _open(server, name)
    assert [job["uuid"] for job in database.find_jobs({"state": "COMPLETED"})] == ["u"]
    with pytest.raises(QueueDatabaseError, match="older release"):
        database.insert_flow(toy_flow({"a": []}).new)
    database.close()


# -- writers that are slow -----------------------------------------------------------------------------------


class _Overtaken:
    """A hook that lets somebody else work at a given write."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.at = at
        self.act = act
        self.seen: list[str] = []

    def __call__(self, what: str) -> None:
        self.seen.append(what)
        if len(self.seen) == self.at:
            self.act()


@pytest.mark.parametrize(
    ("grows", "patience", "helps_after"),
    [(True, 0.05, 60), (False, 0.05, 60), (False, 0.1, 0.02)],
    ids=["with a new job", "in one flow", "in one flow, given a hand"],
)
def test_a_writer_that_was_only_slow_is_carried_out_as_a_whole_or_not_at_all(
    mongo_standalone: Mongod,
    monkeypatch: pytest.MonkeyPatch,
    *,
    grows: bool,
    patience: float,
    helps_after: float,
) -> None:
    """Given up by another one or given a hand, and overtaken, at each of its writes in turn."""
    monkeypatch.setattr(units, "_PATIENCE_SECONDS", patience)
    monkeypatch.setattr(units, "_HELP_SECONDS", helps_after)
    name = f"queue_{uuid4().hex[:12]}"
    clock = SetClock()
    stage = Stage(_open(mongo_standalone, name, clock=clock), clock)
    refused, at = 0, 0
    while True:
        at += 1
        flow = stage.insert({"a": [], "b": ["a"], "other": []})

        def overtake(flow: ToyFlow = flow) -> None:
            """Pause what is READY, and change something that the slow one does not name."""
            stage.apply(flow, stage.change(flow, "a", S.PAUSED, expect=frozenset({S.READY})))
            stage.put(flow, "other", S.FAILED)

        hook = _Overtaken(at, overtake)
        slow = _open(mongo_standalone, name, clock=clock)
        slow._connection._hook = hook
        new = toy_document(str(uuid4()), flow_uuid=flow.uuid, parents=[flow["a"]])
        change = stage.change(flow, "a", S.COMPLETED, expect=frozenset({S.READY}))
        (result,) = slow.apply([ChangeSet(flow.uuid, (change,), new_jobs=(new,) if grows else ())])
        slow.close()
        assert stage.database.check_integrity() == [], hook.seen
        if len(hook.seen) < at:
            break
        refused += not result.applied
        expected = ("COMPLETED", "READY", grows) if result.applied else ("PAUSED", "WAITING", False)
        there = stage.database.get_job(new["uuid"]) is not None
        assert (*list(stage.states(flow).values())[:2], there) == expected, hook.seen
        assert stage.states(flow)["other"] == "FAILED"
    assert (3 if grows else 2) <= refused <= at - 4, (refused, hook.seen)
    stage.database.close()
    _drop(mongo_standalone, name)


def _drop(server: Mongod, name: str) -> None:
    client: MongoClient[Any] = MongoClient(server.uri)
    client.drop_database(name)
    client.close()
