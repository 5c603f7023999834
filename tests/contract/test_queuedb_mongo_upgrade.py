"""Databases of jobflow-remote 0.1.8 and 1.0.1 (made with these releases, see tests/data/upgrade) brought up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from tests.services.dumps import RELEASES, load_dump, read_dump
from tests.services.mongod import Mongod

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.model.decide.upgrade import UpgradeOrder
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.mongo import MongoQueueDatabase, upgrade
from jobflow_remote.queuedb.mongo.options import Names, Server
from jobflow_remote.testing.contracts.queuedb.processes import run_and_kill

VERSIONS = {"jobflow_remote_version": "2.0.0", "jobflow_version": "0.4.0", "full_environment": {}}
IN_SCHEDULER = ("SUBMITTED", "RUNNING", "TERMINATED", "DOWNLOADED", "BATCH_SUBMITTED", "BATCH_RUNNING")


def _order(release: str, **more: Any) -> UpgradeOrder:
    return UpgradeOrder(who="tests", versions=VERSIONS, came_from=release, **more)


class Old:
    """An old database on a server."""

    def __init__(self, server: Mongod, release: str) -> None:
        self.server, self.release = server, release
        self.name = f"old_{uuid4().hex[:12]}"
        self.client: MongoClient[Any] = MongoClient(server.uri)
        self.fill()

    @property
    def raw(self) -> Any:
        return self.client[self.name]

    def fill(self) -> None:
        """Put it back to what the old release left."""
        for name in self.raw.list_collection_names():
            self.raw[name].delete_many({})  # building all indexes anew would take most of the time
        self.dump = read_dump(self.release)
        load_dump(self.dump, self.raw)

    def open(self, **options: Any) -> MongoQueueDatabase:
        return MongoQueueDatabase(Server(Names(self.name), uri=self.server.uri), db_id_prefix="g", **options)

    def contents(self) -> dict[str, Any]:
        names = ("jobs", "flows", "jf_auxiliary", "batches")
        return {name: sorted(self.raw[name].find(), key=lambda d: str(d["_id"])) for name in names}


def _old(server: Mongod, release: str) -> Iterator[Old]:
    old = Old(server, release)
    yield old
    old.client.drop_database(old.name)
    old.client.close()


@pytest.fixture(params=RELEASES)
def old(mongo_standalone: Mongod, request: pytest.FixtureRequest) -> Iterator[Old]:
    """An old database of each release."""
    yield from _old(mongo_standalone, request.param)


@pytest.fixture(params=[("standalone", "1.0.1"), ("replica_set", "0.1.8")], ids=" ".join)
def old_anywhere(request: pytest.FixtureRequest) -> Iterator[Old]:
    """An old database on each kind of server."""
    kind, release = request.param
    yield from _old(request.getfixturevalue(f"mongo_{kind}"), release)


def _silent(done: int, total: int) -> None:
    assert done <= total


def test_an_old_database_is_read_and_left_as_it_is(old: Old) -> None:
    before = old.contents()
    database = old.open()
    assert {job["db_id"] for job in database.find_jobs({})} == {job["db_id"] for job in old.dump["jobs"]}
    assert len(database.find_flows({})) == len(old.dump["flows"])
    states = Counter(JobState(job["state"]).value for job in old.dump["jobs"])
    assert database.count_job_states() == dict(states)
    remembered = [
        job["db_id"] for job in old.dump["jobs"] if job["previous_state"] in ("RUN_FINISHED", "TERMINATED")
    ]
    assert remembered
    for word in ("TERMINATED", "RUN_FINISHED"):
        for condition in (word, {"$in": [word, "DOWNLOADED"]}):
            found = database.find_jobs({"previous_state": condition}, fields=["db_id"])
            assert [job["db_id"] for job in found] == remembered
        assert database.count_jobs({"previous_state": {"$ne": word}}) == len(old.dump["jobs"]) - len(
            remembered
        )
    _check_summaries(database, old)
    with pytest.raises(QueueDatabaseError, match="older release") as refusal:
        database.open_session({"hostname": "here"}, lease_seconds=60)
    assert "jf admin upgrade" in (refusal.value.hint or "")
    database.close()
    assert old.contents() == before
    assert sorted(old.raw.jobs.index_information()) == old.dump["indexes"]["jobs"]


def _check_summaries(database: MongoQueueDatabase, old: Old) -> None:
    """What listings show is worked out."""
    flows = {
        flow["uuid"]: flow
        for flow in database.find_flows({}, fields=["uuid", "n_jobs", "counts", "db_number"])
    }
    for flow in old.dump["flows"]:
        numbers = [int(db_id[1:]) for db_id, _, _ in flow["ids"]]
        found = flows[flow["uuid"]]
        assert (found["n_jobs"], found["db_number"]) == (len(numbers), min(numbers))
        assert sum(found["counts"].values()) == len(numbers)
        jobs = database.find_jobs({"flow_uuid": flow["uuid"]}, fields=["db_number", "flow_uuid"])
        assert sorted(job["db_number"] for job in jobs) == sorted(numbers)
        assert {job["flow_uuid"] for job in jobs} == {flow["uuid"]}
    newest = [job["db_number"] for job in database.find_jobs({}, sort=[("db_number", 1)], limit=5)]
    assert newest[0] == 1
    assert "ids" not in database.find_flows({})[0]


def test_the_survey_counts_what_is_there(old: Old) -> None:
    database = old.open()
    survey = database.survey_upgrade()
    assert survey is not None
    assert survey.version == old.release
    assert (survey.jobs, survey.jobs_left) == (len(old.dump["jobs"]),) * 2
    assert survey.locked_jobs == sum(1 for job in old.dump["jobs"] if job["lock_id"]) > 0
    assert survey.locked_flows == sum(1 for flow in old.dump["flows"] if flow["lock_id"]) > 0
    assert survey.runner_locked
    assert survey.runner is not None
    assert survey.runner["hostname"] == "workstation"
    legacy = old.release.startswith("0.")
    assert bool(survey.legacy_batches) is legacy
    assert bool(survey.batches) is not legacy
    database.close()


def test_an_upgrade_makes_our_documents(old: Old) -> None:
    database = old.open()
    database.upgrade(_order(old.release), _silent)
    assert database.survey_upgrade() is None
    assert database.check_integrity() == []
    before = {(job["uuid"], job["index"]): job for job in old.dump["jobs"]}
    after = database.find_jobs({}, with_inputs=True)
    assert len(after) == len(before)
    for job in after:
        _check_job(job, before[job["uuid"], job["index"]])
    assert database.get_auxiliary("versions") == VERSIONS
    assert database.get_auxiliary("batch_processes") is None
    assert database.get_session() is None
    runner = old.raw.jf_auxiliary.find_one({"running_runner": {"$exists": True}})
    assert (runner["running_runner"], runner["lock_id"], runner["lock_time"]) == (None, None, None)
    assert all(not flow["lock_id"] for flow in database.find_flows({}))
    numbers = [job["db_number"] for job in after]
    session = database.open_session({"hostname": "here"}, lease_seconds=60)
    assert database.claim(session.token, worker="local", limit=1)
    counter = old.raw.jf_auxiliary.find_one({"next_id": {"$exists": True}})
    assert counter["next_id"] > max(numbers)
    database.close()


def _check_job(job: dict[str, Any], before: dict[str, Any]) -> None:
    assert job["job"] == before["job"]
    assert job["db_id"] == before["db_id"] == f"g{job['db_number']}"
    assert job["flow_uuid"] == before["job"]["hosts"][-1]
    assert (job["lock_id"], job["claim"]) == (None, None)
    kept = (
        "parents",
        "worker",
        "run_dir",
        "created_on",
        "updated_on",
        "priority",
        "resources",
        "stored_data",
        "error",
    )
    assert {name: job[name] for name in kept} == {name: before[name] for name in kept}
    assert {name: job["remote"][name] for name in before["remote"]} == before["remote"]
    state = JobState(before["state"]).value
    assert job["state"] == ("CHECKED_OUT" if state == "UPLOADED" else state)
    if state in IN_SCHEDULER:
        assert job["attempt"] == f"old-{job['db_number']}"
    assert job["history"][-1]["event"] in ("upgrade", "parents_done")


def test_standard_indexes_of_the_old_release_go_and_those_of_people_stay(old: Old) -> None:
    old.raw.jobs.create_index("job.metadata.group")
    database = old.open()
    database.upgrade(_order(old.release), _silent)
    names = set(old.raw.jobs.index_information())
    assert "job.metadata.group_1" in names
    assert not names & {"name_1", "worker_1"}
    assert {"flow_uuid_1_state_1", "db_id_1", "uuid_1_index_1"} <= names
    assert database.rebuild_indexes() > 10
    assert "job.metadata.group_1" not in old.raw.jobs.index_information()
    made = database.create_index("jobs", [("job.metadata.group", -1)])
    assert made in old.raw.jobs.index_information()
    with pytest.raises(QueueDatabaseError, match="twice"):
        database.create_index("jobs", [("worker", 1)], unique=True)
    database.close()


def test_a_kill_at_any_write_can_be_resumed(old_anywhere: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    old = old_anywhere
    monkeypatch.setattr(upgrade, "_FLOWS_AT_ONCE", 9)
    order = _order(old.release)
    deaths = 0
    for victim in count(1):
        old.fill()
        survived = run_and_kill(old.open, lambda database: database.upgrade(order, _silent), victim=victim)
        deaths += not survived
        database = old.open()
        if database.survey_upgrade() is not None:
            with pytest.raises(QueueDatabaseError, match="older release"):
                database.open_session({"hostname": "here"}, lease_seconds=60)
            database.upgrade(order, _silent)
        assert database.check_integrity() == []
        jobs = database.find_jobs({}, fields=["state", "history"])
        assert Counter(entry["event"] for job in jobs for entry in job["history"])["upgrade"] == len(jobs)
        database.close()
        if survived:
            break
    assert deaths > 15


def test_results_on_other_machines_are_fetched_again(old: Old) -> None:
    database = old.open()
    database.upgrade(_order(old.release, remote_workers=frozenset({"local"})), _silent)
    downloaded = [job["db_id"] for job in old.dump["jobs"] if job["state"] == "DOWNLOADED"]
    assert downloaded
    found = database.find_jobs({"db_id": {"$in": downloaded}}, fields=["state"])
    assert {job["state"] for job in found} == {"TERMINATED"}
    database.close()


def test_what_was_never_completed_is_repaired(old: Old) -> None:
    """A runner was killed before it told the children; a flow was lost; an id is a number, a prefix ends with one."""
    waiting = old.raw.jobs.find_one({"state": "WAITING", "parents.0": {"$exists": True}})
    old.raw.jobs.update_many({"uuid": {"$in": waiting["parents"]}}, {"$set": {"state": "COMPLETED"}})
    lost = old.raw.jobs.find_one({"state": "COMPLETED"})["job"]["hosts"][-1]
    old.raw.flows.delete_one({"uuid": lost})
    odd = old.raw.jobs.find_one({"state": "PAUSED"})
    old.raw.jobs.update_one({"_id": odd["_id"]}, {"$set": {"db_id": "other7" + odd["db_id"][1:]}})
    plain = old.raw.jobs.find_one({"state": "USER_STOPPED"})
    old.raw.jobs.update_one({"_id": plain["_id"]}, {"$set": {"db_id": int(plain["db_id"][1:])}})
    database = old.open()
    database.upgrade(_order(old.release), _silent)
    assert database.check_integrity() == []
    assert database.find_jobs({"uuid": waiting["uuid"]}, fields=["state"])[0]["state"] == "READY"
    recovered = database.get_flow(lost)
    assert recovered is not None
    assert recovered["name"] == "recovered"
    for job in (odd, plain):
        (found,) = database.find_jobs({"uuid": job["uuid"]}, fields=["db_id", "db_number"])
        assert found["db_number"] == int(job["db_id"][1:])
        assert isinstance(found["db_id"], str)
    database.close()


def test_a_newer_database_is_not_touched(old: Old) -> None:
    database = old.open()
    database.upgrade(_order(old.release), _silent)
    database.close()
    old.raw.jf_auxiliary.update_one({"next_id": {"$exists": True}}, {"$set": {"schema": 99}})
    with pytest.raises(QueueDatabaseError, match="newer release"):
        old.open()
