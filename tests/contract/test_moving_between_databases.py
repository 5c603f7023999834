"""From SQLite to MongoDB and back, by moving and by backups; MongoDB's own tools, played by scripts."""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import bson
import pytest
from pymongo import MongoClient
from tests.services.mongod import Mongod
from tests.shows.roundtrip import Builder, look_at, mongo_project, round_trip, sqlite_project

from jobflow_remote.bootstrap import services_of
from jobflow_remote.control.backup import create_backup, restore_backup
from jobflow_remote.control.migrate import migrate, plan_migration, summarise
from jobflow_remote.errors import (
    NotAllowedError,
    NotFoundError,
    QueueDatabaseError,
    RunnerActiveError,
)
from jobflow_remote.queuedb.mongo import MongoQueueDatabase
from jobflow_remote.queuedb.mongo.backups import render_uri
from jobflow_remote.queuedb.mongo.options import Names, Server
from jobflow_remote.queuedb.port import INCOMING, BackupOptions
from jobflow_remote.services.opened import Services
from jobflow_remote.testing.contracts.queuedb.documents import toy_flow

COLLECTIONS = ("jobs", "flows", "batches", "jf_auxiliary")
TOOL = """\
#!{python}
import gzip, pathlib, sys
import bson, pymongo
words = sys.argv[1:]
options = dict(zip(words, words[1:]))
login = pathlib.Path(options["--config"])
assert login.stat().st_mode & 0o777 == 0o600
uri = bson.json_util.loads(login.read_text().removeprefix("uri: "))
assert not any("secret" in word for word in words)
collection = pymongo.MongoClient(uri).get_default_database()[options["--collection"]]
opener = gzip.open if "--gzip" in words else open
"""
DUMP = """\
folder = pathlib.Path(options["--out"]) / collection.database.name
folder.mkdir(parents=True, exist_ok=True)
end = ".gz" if "--gzip" in words else ""
with opener(folder / f"{collection.name}.bson{end}", "wb") as file:
    for document in collection.find({}):
        file.write(bson.encode(document))
(folder / f"{collection.name}.metadata.json{end}").write_text("{}")
"""
RESTORE = """\
with opener(words[-1], "rb") as file:
    for document in bson.decode_file_iter(file):
        collection.insert_one(document)
"""


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What is closed at the end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def place(mongo_standalone: Mongod) -> Iterator[Server]:
    """A database of its own, with collections that have other names."""
    names = Names(f"moving_{uuid4().hex[:8]}", jobs="my_jobs", flows="my_flows", auxiliary="my_aux")
    yield Server(names, uri=mongo_standalone.uri)
    client: MongoClient[Any] = MongoClient(mongo_standalone.uri)
    client.drop_database(names.database)
    client.close()


@pytest.fixture
def mongo(place: Server) -> Iterator[MongoQueueDatabase]:
    """An empty queue database."""
    with closing(MongoQueueDatabase(place)) as database:
        yield database


@pytest.fixture
def filled(opened: ExitStack, tmp_path: Path) -> Services:
    """A project in SQLite with jobs in many states."""
    services = opened.enter_context(services_of(sqlite_project("first", tmp_path)))
    Builder(services, tmp_path / "run", random.Random(7)).build(60)
    return services


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with programs that are called as MongoDB's tools are."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, body in (("mongodump", DUMP), ("mongorestore", RESTORE)):
        text = TOOL.replace("import bson,", "import bson, bson.json_util,").format(python=sys.executable)
        (folder / name).write_text(text + body)
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.usefixtures("mongo_standalone")  # skips or fails where there is no mongod
def test_a_round_trip(tmp_path: Path) -> None:
    trip = round_trip(150, tmp_path, 11)
    assert trip.differences == []
    assert len(trip.states) >= 14
    assert [copied.digest.count > 10 for report in trip.reports for copied in report.outputs] == [True] * 4


def test_a_round_trip_notices_a_difference(
    filled: Services, opened: ExitStack, mongo_standalone: Mongod, tmp_path: Path
) -> None:
    target = opened.enter_context(
        services_of(mongo_project(f"m{uuid4().hex[:8]}", tmp_path, mongo_standalone))
    )
    migrate(filled, target, plan_migration(filled, target))
    assert dict(look_at(target)) == dict(look_at(filled))
    queue = target.queue
    assert isinstance(queue, MongoQueueDatabase)
    queue.jobs.update_one({"db_number": 3}, {"$set": {"job.function_kwargs.raw": b"other"}})
    different = {name for name, answer in look_at(target) if answer != dict(look_at(filled))[name]}
    assert different == {"all jobs with inputs"}
    with pytest.raises(NotAllowedError, match="3 of jobs differs"):
        plan_migration(filled, target)


@pytest.mark.parametrize("part", ["copy blobs", "copy outputs", "copy jobs", "copy flows", "put together"])
def test_interrupted_and_repeated_it_ends_the_same(
    filled: Services, opened: ExitStack, mongo_replica_set: Mongod, tmp_path: Path, part: str
) -> None:
    project = mongo_project(f"m{uuid4().hex[:8]}", tmp_path, mongo_replica_set)
    target = opened.enter_context(services_of(project))

    def pull_the_plug(what: str, done: int, total: int) -> None:
        if what.startswith(part) and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(filled, target, plan_migration(filled, target), progress=pull_the_plug)
    assert target.queue.get_auxiliary(INCOMING)["from"] == filled.queue.describe()
    plan = plan_migration(filled, target)
    assert plan.interrupted
    migrate(filled, target, plan)
    assert dict(look_at(target)) == dict(look_at(filled))


@pytest.mark.parametrize("compress", [False, True])
def test_our_backup_has_the_standard_names(
    mongo: MongoQueueDatabase, filled: Services, tmp_path: Path, place: Server, compress: bool
) -> None:
    fill(mongo, filled)
    counts = create_backup(mongo, tmp_path / "copy", BackupOptions(compress=compress, bson=True))
    folder = tmp_path / "copy" / place.names.database
    end = ".gz" if compress else ""
    assert {path.name for path in folder.iterdir()} == {
        f"{name}{kind}{end}" for name in COLLECTIONS for kind in (".bson", ".metadata.json")
    }
    content = (folder / f"jobs.bson{end}").read_bytes()
    jobs = bson.decode_all(gzip.decompress(content) if compress else content)
    assert len(jobs) == counts["jobs"] == mongo.count_jobs({})
    assert all("_id" in job and "derived" in job for job in jobs)
    about = (folder / f"jobs.metadata.json{end}").read_bytes()
    indexes = json.loads(gzip.decompress(about) if compress else about)["indexes"]
    assert {"db_id_1", "_id_"} <= {index["name"] for index in indexes}


def fill(mongo: MongoQueueDatabase, services: Services) -> None:
    """The same queue in MongoDB."""
    for name in COLLECTIONS:
        mongo.load(name, list(services.queue.dump(name)))
    mongo.finish_load()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("by", ["python", "tools"])
def test_a_backup_is_restored(
    mongo: MongoQueueDatabase, filled: Services, tools: Path, tmp_path: Path, by: str, compress: bool
) -> None:
    fill(mongo, filled)
    expected = summarise(mongo)
    mongo.open_session({"hostname": "n", "user": "u"}, lease_seconds=0)
    for key in ("python", "tools"):
        options = BackupOptions(compress, key == "python", tools if key == "tools" else None)
        create_backup(mongo, tmp_path / key, options)
    expected = summarise(mongo)
    mongo.reset()
    options = BackupOptions(bson=by == "python", tools=tools if by == "tools" else None)
    counts = restore_backup(mongo, tmp_path / ("tools" if by == "python" else "python"), options)
    assert counts["jobs"] == expected["jobs"].count
    assert summarise(mongo) == expected
    assert mongo.check_integrity() == []
    assert (mongo.get_session(), mongo.get_auxiliary(INCOMING)) == (None, None)


@pytest.mark.parametrize("bson_files", [False, True])
def test_a_backup_of_sqlite_is_restored_into_mongodb_and_back(
    mongo: MongoQueueDatabase, filled: Services, opened: ExitStack, tmp_path: Path, bson_files: bool
) -> None:
    create_backup(filled.queue, tmp_path / "one", BackupOptions(bson=bson_files))
    restore_backup(mongo, tmp_path / "one", BackupOptions(bson=True))
    assert mongo.check_integrity() == []
    assert summarise(mongo) == summarise(filled.queue)
    create_backup(mongo, tmp_path / "two", BackupOptions(bson=True))
    back = opened.enter_context(services_of(sqlite_project("third", tmp_path))).queue
    restore_backup(back, tmp_path / "two")
    assert back.check_integrity() == []
    assert summarise(back) == summarise(filled.queue)
    assert back.find_jobs({}, with_inputs=True) == filled.queue.find_jobs({}, with_inputs=True)


def test_a_truncated_backup_is_refused(
    mongo: MongoQueueDatabase, filled: Services, tmp_path: Path, place: Server
) -> None:
    create_backup(filled.queue, tmp_path, BackupOptions(bson=True))
    (victim,) = tmp_path.rglob("flows.bson")
    victim.write_bytes(victim.read_bytes()[:-7])
    with pytest.raises(QueueDatabaseError, match="the file ends within it"):
        restore_backup(mongo, tmp_path)
    assert mongo.count_jobs({}) == 0
    assert mongo.get_auxiliary(INCOMING) is None


def test_a_backup_of_an_older_release_is_restored_and_can_be_read(
    mongo: MongoQueueDatabase, tmp_path: Path
) -> None:
    old = {"_id": bson.ObjectId(), "db_id": "1", "uuid": "u", "index": 1, "state": "RUN_FINISHED"}
    content = {"jobs": [old], "flows": [{"uuid": "f"}], "jf_auxiliary": [{"next_id": 2}]}
    for name, documents in content.items():
        (tmp_path / f"{name}.bson").write_bytes(b"".join(map(bson.encode, documents)))
    assert restore_backup(mongo, tmp_path) == {"jobs": 1, "flows": 1, "jf_auxiliary": 1}
    assert mongo.jobs.find_one() == old
    with pytest.raises(QueueDatabaseError, match="older release") as caught:
        mongo.insert_flow(toy_flow({"a": []}).new)
    assert "jf admin upgrade" in (caught.value.hint or "")


def test_the_runner_must_be_stopped(mongo: MongoQueueDatabase, tmp_path: Path) -> None:
    mongo.open_session({"hostname": "elsewhere", "user": "ada"}, lease_seconds=60)
    for action in (create_backup, restore_backup):
        with pytest.raises(RunnerActiveError, match="ada on elsewhere"):
            action(mongo, tmp_path / "copy", daemon_dir=tmp_path / "daemon")
    assert not (tmp_path / "copy").exists()


def test_tools_that_are_missing_or_fail(mongo: MongoQueueDatabase, tools: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no program mongodump in"):
        create_backup(mongo, tmp_path / "copy", BackupOptions(tools=tmp_path))
    (tools / "mongodump").write_text("#!/bin/sh\necho no login >&2\nexit 3\n")
    with pytest.raises(QueueDatabaseError, match=r"exit code 3: no login") as caught:
        create_backup(mongo, tmp_path / "copy", BackupOptions(tools=tools))
    assert "--python" in (caught.value.hint or "")
    assert not list((tmp_path / "copy").rglob("*.bson*"))


@pytest.mark.parametrize(
    "server, expected",
    [
        (Server(Names("q"), host="h", port=5), "mongodb://h:5/q"),
        (Server(Names("q"), uri="mongodb://a,b:2/?replicaSet=r"), "mongodb://a,b:2/q?replicaSet=r"),
        (Server(Names("q"), uri="mongodb+srv://u:p%40@h/x"), "mongodb+srv://u:p%40@h/q?authSource=x"),
        (Server(Names("q"), uri="mongodb://u:p@h"), "mongodb://u:p@h/q?authSource=admin"),
        (
            Server(Names("q"), host="h", credentials={"username": "u/", "password": "p:", "authSource": "s"}),
            "mongodb://u%2F:p%3A@h:27017/q?authSource=s",
        ),
        (
            Server(Names("q"), host="h", client_options={"tls": True, "tlsCAFile": "/a b", "appname": "x"}),
            "mongodb://h:27017/q?tls=true&tlsCAFile=%2Fa+b",
        ),
    ],
)
def test_what_the_tools_are_told_of_the_server(server: Server, expected: str) -> None:
    assert render_uri(server) == expected
