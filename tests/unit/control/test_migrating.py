"""Moving a project's queue and outputs: interrupted, repeated, refused. With MongoDB: tests/contract."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.shows.roundtrip import Builder, look_at, sqlite_project

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.project import Project
from jobflow_remote.control.admin import check_runner_stopped
from jobflow_remote.control.migrate import migrate, plan_migration, summarise
from jobflow_remote.errors import (
    ConfigError,
    NotAllowedError,
    OutputStoreError,
    QueueDatabaseError,
    RunnerActiveError,
)
from jobflow_remote.queuedb.port import INCOMING
from jobflow_remote.services.opened import Services
from jobflow_remote.services.session import describe_owner, hold_alive_lock, open_session
from jobflow_remote.testing.contracts.queuedb.documents import SetClock, Stage


class Killed(BaseException):
    """Somebody pulled the plug."""


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What is closed at the end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def source(opened: ExitStack, tmp_path: Path) -> Services:
    """A project with jobs in many states, and outputs."""
    services = opened.enter_context(services_of(sqlite_project("first", tmp_path)))
    Builder(services, tmp_path / "run", random.Random(5)).build(100)
    return services


@pytest.fixture
def target(opened: ExitStack, tmp_path: Path) -> Services:
    """An empty project."""
    return opened.enter_context(services_of(sqlite_project("second", tmp_path)))


def test_a_plan_says_what_there_is_and_writes_nothing(source: Services, target: Services) -> None:
    plan = plan_migration(source, target)
    assert plan.counts["jobs"] == source.queue.count_jobs({}) >= 100
    assert plan.present == {"jobs": 0, "flows": 0, "batches": 0, "jf_auxiliary": 0}
    assert [pair.label for pair, _ in plan.stores] == ["blobs in data", "outputs"]
    assert all(number > 5 for _, number in plan.stores)
    assert (plan.warnings, plan.interrupted) == ([], False)
    assert target.queue.get_auxiliary(INCOMING) is None


def test_everything_arrives(source: Services, target: Services) -> None:
    seen: dict[str, tuple[int, int]] = {}
    report = migrate(
        source,
        target,
        plan_migration(source, target),
        progress=lambda what, done, total: seen.update({what: (done, total)}),
    )
    assert dict(look_at(target)) == dict(look_at(source))
    assert summarise(target.queue) == report.queue == summarise(source.queue)
    assert report.written["jobs"] == source.queue.count_jobs({})
    assert all(copied.digest.count for copied in report.outputs)
    assert {done for done, total in seen.values() if done == total} >= {
        report.written["jobs"],
        report.written["flows"],
    }


@pytest.mark.parametrize("part", ["blobs in data", "outputs", "jobs", "flows", "put together", "compare"])
def test_interrupted_and_repeated_it_ends_the_same(source: Services, target: Services, part: str) -> None:
    def pull_the_plug(what: str, done: int, total: int) -> None:
        if what.removeprefix("copy ").startswith(part) and (done or part == "compare"):
            raise Killed

    with pytest.raises(Killed):
        migrate(source, target, plan_migration(source, target), progress=pull_the_plug)
    owner = describe_owner("second", target.daemon_dir)
    with pytest.raises(NotAllowedError, match="half filled"):
        open_session(target.queue, owner, lease_seconds=60)
    plan = plan_migration(source, target)
    assert plan.interrupted
    migrate(source, target, plan)
    assert dict(look_at(target)) == dict(look_at(source))
    assert open_session(target.queue, owner, lease_seconds=60).token


def test_what_changed_after_an_interruption_is_copied(source: Services, target: Services) -> None:
    def pull_the_plug(what: str, done: int, total: int) -> None:
        if what == "copy jf_auxiliary" and done:
            raise Killed

    with pytest.raises(Killed):
        migrate(source, target, plan_migration(source, target), progress=pull_the_plug)
    Stage(source.queue, SetClock()).insert({"more": []})
    job = source.queue.find_jobs({"state": "COMPLETED"}, limit=1)[0]
    source.queue.load(
        "jobs", [{**next(source.queue.dump("jobs", after=job["db_number"] - 1)), "priority": 9}]
    )
    source.queue.finish_load()
    report = migrate(source, target, plan_migration(source, target))
    assert report.written["jobs"] == 2
    assert dict(look_at(target)) == dict(look_at(source))


def test_repeated_it_finds_nothing_to_do(source: Services, target: Services) -> None:
    migrate(source, target, plan_migration(source, target))
    plan = plan_migration(source, target)
    report = migrate(source, target, plan)
    assert plan.present == plan.counts
    assert set(report.written.values()) == {0}
    assert [copied.written for copied in report.outputs] == [0, 0]


def test_a_target_with_something_else_is_refused(source: Services, target: Services) -> None:
    Stage(target.queue, SetClock()).insert({"other": []})
    before = summarise(target.queue)
    with pytest.raises(NotAllowedError, match="something else: 1 of jobs") as caught:
        plan_migration(source, target)
    assert "jf admin reset" in (caught.value.hint or "")
    assert summarise(target.queue) == before


def test_a_target_that_went_on_is_refused(source: Services, target: Services) -> None:
    migrate(source, target, plan_migration(source, target))
    Stage(target.queue, SetClock()).insert({"new": []})
    with pytest.raises(NotAllowedError, match="is not in the source"):
        plan_migration(source, target)


def test_half_filled_from_elsewhere_is_refused(source: Services, target: Services) -> None:
    target.queue.set_auxiliary(INCOMING, {"from": "elsewhere"})
    with pytest.raises(NotAllowedError, match="half filled, from elsewhere"):
        plan_migration(source, target)
    with pytest.raises(NotAllowedError, match="itself the target"):
        plan_migration(target, source)


def test_other_outputs_under_the_same_name_are_not_overwritten(source: Services, target: Services) -> None:
    mine = source.outputs().jobstore.docs_store.query_one({})
    other = {**mine, "output": "other"}
    target.outputs().jobstore.docs_store.update([other], key=["uuid", "index"])
    with pytest.raises(OutputStoreError, match=f"{mine['uuid']} 1 has other content"):
        migrate(source, target, plan_migration(source, target))
    assert target.outputs().jobstore.docs_store.query_one({})["output"] == "other"


def test_outputs_of_others_in_the_target_stay(source: Services, target: Services) -> None:
    store = target.outputs().jobstore.docs_store
    store.update([{"uuid": "theirs", "index": 1, "output": 5}], key=["uuid", "index"])
    migrate(source, target, plan_migration(source, target))
    assert store.count({"uuid": "theirs"}) == 1
    assert store.count({}) == source.outputs().jobstore.docs_store.count({}) + 1


def test_outputs_can_stay_where_they_are(source: Services, target: Services) -> None:
    plan = plan_migration(source, target, outputs=False)
    migrate(source, target, plan)
    assert plan.stores == []
    assert target.outputs().jobstore.docs_store.count({}) == 0


def test_a_shared_store_is_not_copied(source: Services, opened: ExitStack, tmp_path: Path) -> None:
    project = sqlite_project("second", tmp_path).model_copy(update={"jobstore": source.project.jobstore})
    target = opened.enter_context(services_of(project))
    plan = plan_migration(source, target)
    assert (plan.stores, plan.shared) == ([], ["blobs in data", "outputs"])


def test_names_that_the_target_lacks(source: Services, opened: ExitStack, tmp_path: Path) -> None:
    workers = {"alpha": source.project.workers["alpha"]}
    other = Project(name="bare", base_dir=str(tmp_path / "bare"), workers=workers)
    plan = plan_migration(source, opened.enter_context(services_of(other)))
    words = " ".join(plan.warnings)
    assert "has no worker 'beta', which" in words
    assert "has no exec_config 'env'" in words
    assert "'alpha'" not in words
    docs_only = {"docs_store": {"type": "SQLiteStore", "path": str(tmp_path / "docs.db")}}
    bare = other.model_copy(update={"jobstore": docs_only})
    with pytest.raises(ConfigError, match="no additional store 'data'"):
        plan_migration(source, opened.enter_context(services_of(bare)))


def test_runners_must_be_stopped(source: Services, target: Services) -> None:
    owner = {"hostname": "elsewhere", "user": "ada", "daemon_dir": "/x"}
    for services in (source, target):
        token = services.queue.open_session(owner, lease_seconds=60).token
        with pytest.raises(RunnerActiveError, match="elsewhere"):
            plan_migration(source, target)
        services.queue.close_session(token)
    plan = plan_migration(source, target)
    with hold_alive_lock(target.daemon_dir), pytest.raises(RunnerActiveError):
        migrate(source, target, plan)
    check_runner_stopped(target.daemon_dir, target.queue)


def test_a_project_is_not_moved_to_itself(source: Services) -> None:
    with pytest.raises(ConfigError, match="the same queue database"):
        plan_migration(source, source)


def test_a_submission_meanwhile_is_noticed(source: Services, target: Services) -> None:
    def submit(what: str, done: int, total: int) -> None:
        if what == "put together" and not done:
            Stage(source.queue, SetClock()).insert({"late": []})

    with pytest.raises(QueueDatabaseError, match="jobs are not the same in the end") as caught:
        migrate(source, target, plan_migration(source, target), progress=submit)
    assert "repeat" in (caught.value.hint or "")
    migrate(source, target, plan_migration(source, target))
    assert summarise(target.queue) == summarise(source.queue)
