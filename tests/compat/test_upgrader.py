"""``DatabaseUpgrader`` and the versions of a database, by the names of jobflow-remote 1.0.1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version
from pymongo import MongoClient
from tests.services.dumps import load_dump, read_dump
from tests.services.mongod import Mongod, ServiceMissingError

import jobflow_remote
from jobflow_remote import JobController
from jobflow_remote.config.settings import JobflowRemoteSettings
from jobflow_remote.errors import NotAllowedError
from jobflow_remote.jobs.data import DbCollection
from jobflow_remote.jobs.upgrade import DatabaseUpgrader, NoDocumentsIn, UpgradeAction, UpgradeCondition

PROJECT = """\
name: old
queue:
  store: {{type: MongoStore, host: 127.0.0.1, port: {port}, database: old, collection_name: jobs}}
  db_id_prefix: g
"""


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobController]:
    """Of a project whose database 1.0.1 left."""
    (tmp_path / "mongod").mkdir()
    try:
        server = Mongod(tmp_path / "mongod").start()
    except ServiceMissingError as exc:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"CI has to have a mongod: {exc}")
        pytest.skip(f"no mongod: {exc}")
    client: MongoClient[Any] = MongoClient(server.uri)
    load_dump(read_dump("1.0.1"), client["old"])
    client.close()
    (tmp_path / "old.yaml").write_text(PROJECT.format(port=server.port))
    settings = JobflowRemoteSettings(projects_folder=str(tmp_path))
    monkeypatch.setitem(vars(jobflow_remote), "SETTINGS", settings)
    with JobController.from_project_name("old") as controller:
        yield controller
    server.stop()


def test_a_database_is_upgraded(controller: JobController, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabaseUpgrader, "registered_upgrades", {})
    called: list[str] = []
    nobody = NoDocumentsIn(DbCollection.JOBS, {"worker": "nowhere"})
    with_jobs = NoDocumentsIn(DbCollection.JOBS, {"worker": "local"})

    @DatabaseUpgrader.register_upgrade("1.5", [UpgradeCondition("no job is nowhere", nobody)])
    def plug_in(job_controller: JobController) -> list[UpgradeAction]:
        called.append(str(job_controller.count_jobs()))
        return []

    @DatabaseUpgrader.register_upgrade("1.6", [UpgradeCondition("no jobs", with_jobs, skippable=True)])
    def another(job_controller: JobController) -> list[UpgradeAction]:
        called.append("another")
        return []

    upgrader = DatabaseUpgrader(controller)
    assert controller.get_current_db_version() == Version("1.0.1")
    actions, failed = upgrader.dry_run()
    assert any("TERMINATED" in action.description for action in actions)
    assert len(failed) == 2
    assert "somebody on workstation" in failed[0]
    with pytest.raises(NotAllowedError, match="workstation"):
        upgrader.upgrade()
    assert upgrader.dry_run(force=True)[1] == []
    assert upgrader.upgrade(force=True)
    assert called == [str(controller.count_jobs()), "another"]
    assert controller.get_current_db_version() == Version("2.0.0")
    assert not upgrader.upgrade()


def test_versions_and_indexes(controller: JobController) -> None:
    assert "jobflow-remote: 1.0.1 →" in controller.upgrade_full_check()
    DatabaseUpgrader(controller).upgrade(force=True)
    assert controller.upgrade_full_check() == controller.upgrade_check_jobflow() == ""
    controller.update_version_information("1.9")
    assert controller.get_current_db_version() == Version("1.9")
    controller.create_indexes(["job.metadata.a", [("worker", 1), ("name", -1)]])
    controller.build_indexes(flow_custom_indexes=["metadata.tag"])
    assert {"job.metadata.a_1", "worker_1_name_-1"} <= set(controller.jobs.index_information())
    controller.build_indexes(drop=True)
    assert "job.metadata.a_1" not in controller.jobs.index_information()
