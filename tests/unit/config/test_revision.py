"""Which configuration it is, and what a changed one would touch."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from jobflow_remote.config import Project
from jobflow_remote.config.inuse import forget_in_use, keep_in_use, names_in_use, read_in_use
from jobflow_remote.config.revision import find_changes, find_moved, project_digest


def project(**more: Any) -> Project:
    local = {"type": "local", "scheduler_type": "shell", "work_dir": "/run"}
    cluster = {**local, "type": "remote", "host": "a", "password": "geheim"}
    return Project.model_validate({"name": "one", "workers": {"local": local, "cluster": cluster}, **more})


def with_worker(name: str, **values: Any) -> Project:
    document = project().model_dump(mode="json")
    document["workers"].setdefault(name, {"type": "local", "scheduler_type": "shell", "work_dir": "/run"})
    document["workers"][name].update(values)
    return Project.model_validate(document)


class TestDigest:
    def test_tells_configurations_apart(self, projects_folder: Path) -> None:
        digests = {
            project_digest(each)
            for each in (
                project(),
                project(exec_config={"gcc": {"modules": ["GCC"]}}),
                with_worker("local", max_jobs=3),
                with_worker("cluster", host="b"),
                project(runner={"delay_checkout": 3}),
            )
        }
        assert len(digests) == 5
        assert all(len(digest) == 8 for digest in digests)

    def test_says_nothing_of_defaults_and_passwords(self, projects_folder: Path) -> None:
        assert project_digest(project(runner={"delay_checkout": 30})) == project_digest(project())
        assert project_digest(with_worker("cluster", password="other")) == project_digest(project())


class TestChanges:
    def test_nothing(self, projects_folder: Path) -> None:
        assert not find_changes(project(), project())

    def test_workers(self, projects_folder: Path) -> None:
        changes = find_changes(project(), with_worker("second"))
        assert (changes.added, changes.removed, changes.changed) == (("second",), (), ())
        assert find_changes(with_worker("second"), project()).removed == ("second",)
        changed = find_changes(project(), with_worker("cluster", password="other"))
        assert (changed.changed, changed.fixed) == (("cluster",), ())
        assert changed.describe() == "workers ~cluster"

    def test_workers_that_moved(self, projects_folder: Path) -> None:
        assert find_moved(project(), with_worker("cluster", host="b")) == ("cluster",)
        assert find_moved(project(), with_worker("cluster", user="me", port=22)) == ()

    def test_options_and_environments(self, projects_folder: Path) -> None:
        changes = find_changes(project(), project(runner={"delay_checkout": 3}, exec_config={"gcc": {}}))
        assert changes.runner_options
        assert set(changes.keys) == {"runner", "exec_config"}
        assert not changes.fixed

    def test_what_needs_a_new_runner(self, projects_folder: Path) -> None:
        elsewhere: dict[str, Any] = {"queue": {"store": {"type": "SQLiteStore", "path": "x.db"}}}
        assert find_changes(project(), project(**elsewhere)).fixed == ("queue",)
        assert "jobstore" in find_changes(project(), project(base_dir="/elsewhere")).fixed
        assert find_changes(project(), project(jobstore={})).fixed == ("jobstore",)

    def test_further_output_stores_may_come_but_not_go(self, projects_folder: Path) -> None:
        more = project(optional_jobstores={"second": {"docs_store": {"type": "MemoryStore"}}})
        assert find_changes(project(), more).keys == ("optional_jobstores",)
        assert not find_changes(project(), more).fixed
        assert find_changes(more, project()).fixed == ("optional_jobstores",)


class TestInUse:
    def test_a_private_copy(self, projects_folder: Path) -> None:
        assert read_in_use("one") is None
        keep_in_use(project(), projects_folder / "one.yaml")
        found = read_in_use("one")
        assert found is not None
        assert found[1] == projects_folder / "one.yaml"
        assert not find_changes(found[0], project())
        assert names_in_use() == ["one"]
        forget_in_use("one")
        assert read_in_use("one") is None

    def test_one_that_others_could_have_written_is_not_believed(self, projects_folder: Path) -> None:
        keep_in_use(project(), projects_folder / "one.yaml")
        (path,) = (projects_folder / ".cache" / "in_use").glob("*")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert json.loads(path.read_text())["project"]["name"] == "one"
        path.chmod(0o644)
        assert read_in_use("one") is None
