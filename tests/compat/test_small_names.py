"""The small functions that scripts and plug-ins of 1.0.1 import do what their names say."""

from __future__ import annotations

import doctest
import os
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from maggma.stores import JSONStore, MemoryStore, MongoStore
from typer.testing import CliRunner

import jobflow_remote
from jobflow_remote import JobflowRemoteSettings, layout
from jobflow_remote.config.base import LocalWorker, Project, RemoteWorker
from jobflow_remote.errors import (
    CapabilityMissingError,
    ConfigError,
    HostError,
    JobflowRemoteError,
    LockedError,
)
from jobflow_remote.jobs.jobcontroller import get_flow_leafs
from jobflow_remote.remote.data import check_additional_stores, get_job_path, get_local_data_path
from jobflow_remote.testing import add, add_big
from jobflow_remote.utils import data, db

UUID = "0bcfe83a-501d-41ee-b3ca-d738e14fbf05"


@pytest.mark.parametrize("module", ["utils.data", "remote.data"])
def test_examples(module: str) -> None:
    outcome = doctest.testmod(import_module(f"jobflow_remote.{module}"))
    assert outcome.attempted
    assert not outcome.failed


def test_merging() -> None:
    first: dict[str, Any] = {"a": {"b": 1}, "c": [1]}
    assert data.deep_merge_dict(first, {"a": {"d": 2}}, inplace=False) == {"a": {"b": 1, "d": 2}, "c": [1]}
    assert first == {"a": {"b": 1}, "c": [1]}
    with pytest.raises(ValueError, match=r"two values for a\.b: 1 and 2"):
        data.deep_merge_dict(first, {"a": {"b": 2}})
    assert data.deep_merge_dict(first, {"a": {"b": 2}}, raise_on_conflicts=False) is first
    assert first["a"]["b"] == 2


def test_uuids_and_paths() -> None:
    assert os.path.join("/work", data.uuid_to_path(UUID, 3)) == layout.run_folder("/work", UUID, 3)
    assert data.uuid_to_path(UUID, None, num_subdirs=1, subdir_len=4) == f"0bcf/{UUID}"
    data.check_valid_uuid(data.suuid())
    for wrong in ("", UUID.upper(), UUID[:-1], 7):
        with pytest.raises(ValueError, match="is not a uuid"):
            data.check_valid_uuid(wrong)  # type: ignore[arg-type]


def test_values_and_times() -> None:
    assert not data.check_dict_keywords({"a": [1, "_set"]}, ["_set"])
    moment = datetime(2026, 3, 1, 12)
    assert data.convert_utc_time(moment) == moment.replace(tzinfo=UTC)


def test_stores_from_descriptions(tmp_path: Path) -> None:
    described = data.store_from_dict({"type": "JSONStore", "paths": [str(tmp_path / "a.json")]})
    assert isinstance(described, JSONStore)
    assert isinstance(data.store_from_dict(MemoryStore().as_dict()), MemoryStore)
    with pytest.raises(ConfigError, match="NoStore"):
        data.store_from_dict({"type": "NoStore"})


def test_the_queue_as_a_store(tmp_path: Path) -> None:
    store = {"type": "MongoStore", "database": "d", "collection_name": "jobs", "host": "db.example.org"}
    described = Project.model_validate({"name": "p", "base_dir": str(tmp_path), "queue": {"store": store}})
    found = described.get_queue_store()
    assert isinstance(found, MongoStore)
    assert (found.host, found.database, found.collection_name) == ("db.example.org", "d", "jobs")
    with pytest.raises(CapabilityMissingError, match="is no maggma store"):
        Project(name="p", base_dir=str(tmp_path)).get_queue_store()


def test_errors_of_locks() -> None:
    job = db.JobLockedError.from_job_doc(
        {"db_id": "3", "uuid": UUID, "lock_id": "x", "lock_time": "noon"}, "Wait."
    )
    assert str(job) == f"job 3 ({UUID}) is locked by x since noon. Wait."
    assert "flow f" in str(db.FlowLockedError.from_flow_doc({"uuid": "f"}))
    assert "runner" in str(db.RunnerLockedError.from_runner_doc({}))
    for kind in (db.JobLockedError, db.FlowLockedError, db.RunnerLockedError):
        assert issubclass(kind, db.LockedDocumentError)
    assert db.LockedDocumentError is LockedError
    assert import_module("jobflow_remote.remote.host.base").HostError is HostError


def test_leaves() -> None:
    docs = [
        {"uuid": "a", "index": 2, "parents": []}, {"uuid": "a", "index": 1, "parents": ["z"]},
        {"uuid": "b", "index": 1, "parents": ["a"]}, {"uuid": "z", "index": 1, "parents": None},
    ]  # fmt: skip
    assert [doc["uuid"] for doc in get_flow_leafs(docs)] == ["b", "z"]


def test_where_files_are(tmp_path: Path) -> None:
    workers = {
        "here": LocalWorker(scheduler_type="shell", work_dir=tmp_path / "run"),
        "there": RemoteWorker(scheduler_type="slurm", work_dir="/scratch", host="h"),
    }
    project = Project(name="p", base_dir=str(tmp_path), workers=workers)
    folder = get_job_path(UUID, 1, tmp_path / "run")
    assert get_local_data_path(project, "here", UUID, 1, None) == folder
    assert get_local_data_path(project, "here", UUID, 1, "/elsewhere") == "/elsewhere"
    there = get_local_data_path(project, "there", UUID, 1, "/scratch/x")
    assert there == get_job_path(UUID, 1, tmp_path / "tmp" / "download")


def test_additional_stores_that_are_missing() -> None:
    from jobflow import JobStore

    assert check_additional_stores(add(1, 2), JobStore(MemoryStore())) == []
    assert check_additional_stores(add_big(1, 2), JobStore(MemoryStore())) == ["big_data"]
    assert check_additional_stores(add_big(1, 2).as_dict(), JobStore(MemoryStore())) == ["big_data"]


# -- for plug-ins --------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    settings = JobflowRemoteSettings(projects_folder=str(tmp_path), config_file=str(tmp_path / "none"))
    monkeypatch.setattr(jobflow_remote, "SETTINGS", settings, raising=False)
    return tmp_path


def test_a_command_of_a_plug_in(project: Path) -> None:
    from jobflow_remote.cli import utils
    from jobflow_remote.cli.jfr_typer import JFRTyper

    app = JFRTyper(name="mine")

    @app.command()
    def count(how: Annotated[str, typer.Argument()]) -> None:
        with utils.loading_spinner():
            number = utils.get_job_controller().count_jobs()
        utils.out_console.print(f"{number} jobs")
        utils.check_stopped_runner()
        if how == "warn":
            utils.exit_with_warning_msg("careful")
        if how == "fail":
            utils.exit_with_error_msg("no", code=7)
        utils.print_success_msg()

    @app.command()
    def names() -> None:
        utils.err_console.print(sorted(utils.get_config_manager().projects))

    run = CliRunner().invoke
    well = run(app, ["count", "well"])
    assert (well.exit_code, "0 jobs" in well.stdout, "operation completed" in well.stdout) == (0, True, True)
    assert (run(app, ["count", "warn"]).exit_code, run(app, ["count", "fail"]).exit_code) == (0, 7)
    assert "mine" in run(app, ["names"]).stderr
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        utils.nonsense  # noqa: B018


def test_a_plug_in_that_wants_the_runner_stopped(project: Path) -> None:
    from jobflow_remote import JobController
    from jobflow_remote.cli import utils
    from jobflow_remote.cli.invocation import Invocation, begin
    from jobflow_remote.services.session import describe_owner, open_session

    begin(Invocation("mine"))  # the run of `jf` that the plug-in is part of
    with JobController.from_project_name("mine") as controller:
        owner = {**describe_owner("mine", str(project / "daemon")), "hostname": "elsewhere"}
        open_session(controller.queue, owner, lease_seconds=60)
        with pytest.raises(JobflowRemoteError, match="elsewhere is active"):
            utils.check_stopped_runner()
        utils.check_stopped_runner(error=False)
