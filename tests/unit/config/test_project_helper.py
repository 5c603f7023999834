from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.config import ConfigManager, LocalWorker, Project, RemoteWorker
from jobflow_remote.config.helper import (
    ConflictIssue,
    check_jobstore,
    check_projects_conflicts,
    check_queue_store,
    check_worker,
    generate_dummy_jobstore,
    generate_dummy_project,
    generate_dummy_queue,
    generate_dummy_worker,
)
from jobflow_remote.errors import ConfigError


class TestDummies:
    def test_a_small_project_works_at_once(self, projects_folder: Path) -> None:
        project = generate_dummy_project("first")
        assert list(project.workers) == ["local_shell"]
        assert project.queue_spec().kind == "SQLiteStore"
        assert project.workers["local_shell"].is_local

    @pytest.mark.parametrize("ext", ConfigManager.projects_ext)
    def test_a_full_one_can_be_written(self, projects_folder: Path, ext: str) -> None:
        project = generate_dummy_project("first", full=True)
        ConfigManager().create_project(project, ext)
        assert ConfigManager().get_project() == project
        assert next(iter(project.workers)) == "local_shell"  # where flows go that name no worker
        assert list(project.exec_config) == ["example_config"]

    def test_examples_for_mongodb(self, projects_folder: Path) -> None:
        Project(name="p", jobstore=generate_dummy_jobstore())
        queue = Project.model_validate({"name": "p", "queue": {"store": generate_dummy_queue()}})
        assert queue.queue_spec().options["collection_name"] == "jobs"

    def test_examples_of_workers(self) -> None:
        assert isinstance(generate_dummy_worker(), RemoteWorker)
        assert isinstance(generate_dummy_worker("shell", "local"), LocalWorker)
        with pytest.raises(ConfigError, match="cloud"):
            generate_dummy_worker("shell", "cloud")  # type: ignore[arg-type]


def local(work_dir: Path, **values: Any) -> LocalWorker:
    return LocalWorker.model_validate({"scheduler_type": "shell", "work_dir": work_dir, **values})


class TestWorkers:
    def test_all_is_well(self, tmp_path: Path) -> None:
        folder = tmp_path / "new folder"
        assert check_worker(local(folder, execution_cmd="bash {}")) == (None, None)
        assert list(folder.iterdir()) == []

    def test_the_program_beside_the_interpreter_is_found(self, tmp_path: Path) -> None:
        assert check_worker(local(tmp_path, pre_run="PATH=/usr/bin:/bin")) == (None, None)

    def test_a_program_that_is_not_there(self, tmp_path: Path) -> None:
        error, _ = check_worker(local(tmp_path, execution_cmd="no-such-program {}"))
        assert error is not None
        assert "no-such-program" in error

    def test_a_folder_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        error, _ = check_worker(local(tmp_path / "file" / "jobs"))
        assert error is not None
        assert str(tmp_path / "file" / "jobs") in error

    def test_resources_that_the_scheduler_does_not_know(self, tmp_path: Path) -> None:
        error, _ = check_worker(local(tmp_path, resources={"job_nam": "x"}))
        assert error is not None
        assert "job_nam" in error


class Store:
    """A store that connects or does not."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.is_open = False

    def connect(self) -> None:
        if self.problem:
            raise self.problem
        self.is_open = True

    def count(self, criteria: dict[str, Any]) -> int:
        return 0

    def query_one(self, criteria: dict[str, Any], properties: dict[str, Any]) -> None:
        return None

    def close(self) -> None:
        self.is_open = False


class TestStores:
    def test_embedded_queue(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        assert check_queue_store({"type": "SQLiteStore", "path": str(tmp_path / "sub" / "q.db")}) is None

    def test_unknown_queue(self) -> None:
        problem = check_queue_store({"type": "NoSuchStore"})
        assert problem is not None
        assert "NoSuchStore" in problem

    def test_objects(self) -> None:
        for check in (check_queue_store, check_jobstore):
            store = Store()
            assert check(store) is None
            assert check(Store(OSError("no route to host"))) == "OSError: no route to host"
        assert not store.is_open


def kinds(issues: list[ConflictIssue]) -> list[str]:
    return sorted({issue.kind for issue in issues})


class TestConflicts:
    def test_none(self, projects_folder: Path) -> None:
        assert check_projects_conflicts([Project(name="a"), Project(name="b")]) == []

    def test_folders(self, projects_folder: Path) -> None:
        one, two = Project(name="a"), Project(name="b", log_dir=str(projects_folder / "a" / "log"))
        issues = check_projects_conflicts({"a": one, "b": two, "c": Project(name="c")})
        assert kinds(issues) == ["directory"]
        assert issues[0].projects == ["a", "b"]
        assert str(projects_folder / "a" / "log") in issues[0].message

    @pytest.mark.parametrize(
        ("one", "two", "conflict"),
        [
            (
                {"type": "SQLiteStore", "path": "/x/q.db"},
                {"type": "SQLiteStore", "path": "/x/../x/q.db"},
                True,
            ),
            ({"type": "SQLiteStore"}, {"type": "SQLiteStore"}, False),
            (
                {"type": "MongoStore", "database": "d"},
                {"type": "MongoStore", "database": "d", "port": 27017},
                True,
            ),
            ({"type": "MongoStore", "database": "d"}, {"type": "MongoStore", "database": "e"}, False),
            (
                {"type": "MongoURIStore", "uri": "mongodb://a:b@h/d"},
                {"type": "MongoURIStore", "uri": "mongodb://h/d"},
                True,
            ),
        ],
    )
    def test_queues(self, projects_folder: Path, one: Any, two: Any, conflict: bool) -> None:
        projects = [
            Project.model_validate({"name": name, "queue": {"store": store}})
            for name, store in (("a", one), ("b", two))
        ]
        assert kinds(check_projects_conflicts(projects)) == (["queue_collection"] if conflict else [])

    def test_folders_of_pilots(self, projects_folder: Path, tmp_path: Path) -> None:
        batch = {"jobs_handle_dir": "/h", "work_dir": "/b"}
        projects = [Project(name=name, workers={"w": local(tmp_path, batch=batch)}) for name in "ab"]
        assert kinds(check_projects_conflicts(projects)) == ["jobs_handle_dir"]
