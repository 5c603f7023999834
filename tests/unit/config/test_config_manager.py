from __future__ import annotations

import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.config import ConfigManager, LocalWorker, Project
from jobflow_remote.config.base import ExecutionConfig
from jobflow_remote.config.manager import ProjectData, WorkerData
from jobflow_remote.config.settings import get_settings
from jobflow_remote.errors import ConfigError, ProjectParsingError, ProjectUndefinedError

WORKER = LocalWorker(scheduler_type="shell", work_dir=Path("/data/jobs"))
TEXT = """\
name: {name}  # kept
workers:
  here:
    type: local
    scheduler_type: shell
    work_dir: /data/jobs
"""


def write(folder: Path, name: str, *, file: str | None = None, more: str = "") -> Path:
    path = folder / (file or f"{name}.yaml")
    path.write_text(TEXT.format(name=name) + more)
    return path


class TestSelecting:
    def test_no_project(self, projects_folder: Path) -> None:
        with pytest.raises(ProjectUndefinedError, match="no project"):
            ConfigManager().get_project()

    def test_no_folder(self, projects_folder: Path) -> None:
        projects_folder.rmdir()
        with pytest.raises(ProjectUndefinedError):
            ConfigManager().get_project()

    def test_the_only_one(self, projects_folder: Path) -> None:
        write(projects_folder, "a")
        assert ConfigManager().select_project_name() == "a"

    def test_several(self, projects_folder: Path) -> None:
        write(projects_folder, "a")
        write(projects_folder, "b")
        with pytest.raises(ProjectUndefinedError, match="a, b"):
            ConfigManager().get_project()
        get_settings().project = "b"
        assert ConfigManager().get_project().name == "b"
        assert ConfigManager().get_project("a").name == "a"

    def test_the_only_one_that_is_not_broken(self, projects_folder: Path) -> None:
        write(projects_folder, "a")
        write(projects_folder, "b", more="unknown: 1\n")
        assert ConfigManager().select_project_name() == "a"

    def test_the_file_name_says_nothing(self, projects_folder: Path) -> None:
        path = write(projects_folder, "a", file="something.yaml")
        data = ConfigManager().get_project_data("a")
        assert (data.filepath, data.ext) == (path, "yaml")

    def test_unknown(self, projects_folder: Path) -> None:
        write(projects_folder, "tutorial")
        with pytest.raises(ProjectParsingError, match="did you mean `tutorial`"):
            ConfigManager().get_project("tutoral")


class TestBrokenFiles:
    def test_they_are_in_nobody_elses_way(self, projects_folder: Path) -> None:
        write(projects_folder, "good")
        (projects_folder / "syntax.yaml").write_text("a: [")
        (projects_folder / "binary.toml").write_bytes(b"\xff")
        write(projects_folder, "bad", more="workers: {}\n")
        manager = ConfigManager()
        assert manager.get_project("good").name == "good"
        assert list(manager.projects) == ["good"]
        assert manager.projects_data["good"].ext == "yaml"

    def test_asked_for_they_say_why(self, projects_folder: Path) -> None:
        write(projects_folder, "bad", more="unknown: 1\n")
        (projects_folder / "syntax.yaml").write_text("a: [")
        with pytest.raises(ProjectParsingError, match="unknown key `unknown`"):
            ConfigManager().get_project("bad")
        with pytest.raises(ProjectParsingError, match="line 1"):
            ConfigManager().get_project("syntax")

    def test_names(self, projects_folder: Path) -> None:
        write(projects_folder, "a")
        write(projects_folder, "bad", more="unknown: 1\n")
        (projects_folder / "syntax.yaml").write_text("a: [")
        names, files = ConfigManager().project_names_from_files()
        assert sorted(names) == ["a", "bad"]
        assert files == [str(projects_folder / "syntax.yaml")]

    def test_warnings(self, projects_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        write(projects_folder, "bad", more="unknown: 1\n")
        with caplog.at_level(logging.WARNING):
            ConfigManager()
            assert caplog.text == ""
            ConfigManager(warn=True)
        assert "bad.yaml" in caplog.text
        assert "unknown key" in caplog.text


class TestOneNameInTwoFiles:
    def test_is_an_error_for_that_name_only(self, projects_folder: Path) -> None:
        write(projects_folder, "a")
        write(projects_folder, "a", file="b.yaml")
        write(projects_folder, "c")
        assert ConfigManager().get_project("c").name == "c"
        for ask in (lambda: ConfigManager().get_project("a"), lambda: ConfigManager().projects):
            with pytest.raises(ConfigError, match=r"a\.yaml and .*b\.yaml"):
                ask()

    def test_unless_one_is_broken(self, projects_folder: Path) -> None:
        write(projects_folder, "a", file="broken.yaml", more="unknown: 1\n")
        path = write(projects_folder, "a", file="z.yaml")
        assert ConfigManager().get_project_data("a").filepath == path


@pytest.mark.parametrize("ext", ConfigManager.projects_ext)
class TestCreating:
    def test_create_and_read(self, projects_folder: Path, ext: str) -> None:
        project = Project(name="new", workers={"here": WORKER})
        manager = ConfigManager()
        manager.create_project(project, ext)
        path = projects_folder / f"new.{ext}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for folder in (project.base_dir, project.tmp_dir, project.log_dir):
            assert Path(folder).is_dir()
        assert manager.get_project("new") == ConfigManager().get_project("new") == project

    def test_only_what_was_set(self, projects_folder: Path, ext: str) -> None:
        ConfigManager(exclude_unset=True).create_project(Project(name="new", workers={"here": WORKER}), ext)
        text = (projects_folder / f"new.{ext}").read_text()
        assert "scheduler_type" in text
        assert "local" in text
        assert "runner" not in text

    def test_not_twice(self, projects_folder: Path, ext: str) -> None:
        manager = ConfigManager()
        manager.create_project(Project(name="new"), ext)
        with pytest.raises(ConfigError, match="exists"):
            manager.create_project(Project(name="new"), "yaml")
        (projects_folder / f"other.{ext}").write_text("[")
        with pytest.raises(ConfigError, match="exists"):
            manager.create_project(Project(name="other"), ext)


def test_unknown_format(projects_folder: Path) -> None:
    with pytest.raises(ConfigError, match="xml"):
        ConfigManager().create_project(Project(name="new"), "xml")


class TestRemoving:
    def test_with_and_without_folders(self, projects_folder: Path) -> None:
        manager = ConfigManager()
        for name in ("a", "b"):
            manager.create_project(Project(name=name))
        manager.remove_project("a")
        manager.remove_project("b", remove_folders=False)
        manager.remove_project("never existed")
        assert [path.name for path in projects_folder.iterdir()] == ["b"]
        assert manager.projects == {}

    def test_never_more_than_the_project(self, projects_folder: Path) -> None:
        manager = ConfigManager()
        manager.create_project(Project(name="a", base_dir=str(projects_folder)))
        with pytest.raises(ConfigError, match="not removed"):
            manager.remove_project("a")
        assert (projects_folder / "a.yaml").exists()


class TestUpdating:
    def test_changed_and_new_values(self, projects_folder: Path) -> None:
        path = write(projects_folder, "a")
        manager = ConfigManager()
        manager.update_project({"workers": {"here": {"max_jobs": 3, "work_dir": "/other"}}}, "a")
        manager.update_project({"workers": {"here": {"max_jobs": 4}}, "log_level": "debug"}, "a")
        for project in (manager.get_project("a"), ConfigManager().get_project("a")):
            worker = project.workers["here"]
            assert (worker.max_jobs, str(worker.work_dir)) == (4, "/other")
            assert project.log_level == "debug"
        assert "# kept" in path.read_text()
        assert "delay" not in path.read_text()

    def test_a_mistake_changes_nothing(self, projects_folder: Path) -> None:
        path = write(projects_folder, "a")
        before = path.read_text()
        manager = ConfigManager()
        with pytest.raises(ProjectParsingError, match="did you mean `max_jobs`"):
            manager.update_project({"workers": {"here": {"max_job": 3}}}, "a")
        assert path.read_text() == before
        assert manager.get_project("a").workers["here"].max_jobs is None

    def test_renaming(self, projects_folder: Path) -> None:
        write(projects_folder, "a")
        write(projects_folder, "b")
        manager = ConfigManager()
        with pytest.raises(ConfigError, match="exists"):
            manager.update_project({"name": "b"}, "a")
        manager.update_project({"name": "c"}, "a")
        assert sorted(manager.projects) == ["b", "c"]
        assert manager.get_project("c").name == "c"
        with pytest.raises(ProjectParsingError):
            manager.get_project("a")

    def test_dump(self, projects_folder: Path, every_field: dict[str, Any]) -> None:
        project = Project.model_validate(every_field)
        path = projects_folder / "x.toml"
        ConfigManager().dump_project(ProjectData(path, project, "toml"))
        assert ConfigManager().get_project("everything") == project

    def test_backups(self, projects_folder: Path) -> None:
        path = write(projects_folder, "a")
        manager = ConfigManager()
        assert [manager.backup_project("a").name for _ in range(2)] == ["a.yaml.bak.1", "a.yaml.bak.2"]
        assert (projects_folder / "a.yaml.bak.2").read_text() == path.read_text()
        assert list(ConfigManager().projects) == ["a"]


class TestParts:
    def test_workers(self, projects_folder: Path) -> None:
        write(projects_folder, "a")
        manager = ConfigManager()
        manager.set_worker("second", WORKER, "a")
        with pytest.raises(ConfigError, match="already"):
            manager.set_worker("second", WORKER, "a")
        manager.set_worker("second", WORKER.model_copy(update={"max_jobs": 2}), replace=True)
        name, worker = ConfigManager().get_worker("second")
        assert (name, worker.max_jobs) == ("second", 2)
        assert isinstance(manager.get_worker("here"), WorkerData)
        manager.remove_worker("second")
        manager.remove_worker("second")
        with pytest.raises(ConfigError, match="did you mean `here`"):
            ConfigManager().get_worker("her")
        assert list(ConfigManager().get_project().workers) == ["here"]

    def test_execution_configurations(self, projects_folder: Path) -> None:
        write(projects_folder, "a")
        manager = ConfigManager()
        manager.set_exec_config("e", ExecutionConfig(modules=["m"]))
        with pytest.raises(ConfigError, match="already"):
            manager.set_exec_config("e", ExecutionConfig())
        manager.set_exec_config("e", ExecutionConfig(pre_run="x"), replace=True)
        assert ConfigManager().get_exec_config("e") == ExecutionConfig(pre_run="x")
        manager.remove_exec_config("e")
        with pytest.raises(ConfigError, match="no execution configuration"):
            ConfigManager().get_exec_config("e")

    def test_stores(self, projects_folder: Path) -> None:
        write(projects_folder, "a", more="queue:\n  db_id_prefix: x\n")
        manager = ConfigManager()
        manager.set_queue_db({"type": "MongoStore", "database": "d"})
        manager.set_jobstore({"docs_store": {"type": "MemoryStore"}})
        project = ConfigManager().get_project()
        assert project.queue_spec().kind == "MongoStore"
        assert project.queue.db_id_prefix == "x"
        assert project.jobstore == {"docs_store": {"type": "MemoryStore"}}
        with pytest.raises(ProjectParsingError, match="docs_store"):
            manager.set_jobstore({"docs": {}})

    def test_serialised_stores(self, projects_folder: Path) -> None:
        from jobflow import JobStore
        from maggma.stores import MemoryStore

        write(projects_folder, "a")
        ConfigManager().set_jobstore(JobStore(MemoryStore(), additional_stores={"data": MemoryStore()}))
        jobstore = ConfigManager().get_project().jobstore
        assert (jobstore["@class"], jobstore["docs_store"]["@class"]) == ("JobStore", "MemoryStore")
