from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.config import ConfigManager
from jobflow_remote.testing.cli import run_check_cli

MORE = """\
exec_config:
  gcc:
    modules: [GCC/12]
    post_run: rm core
optional_jobstores:
  second: {docs_store: {type: MemoryStore}}
"""
REMOTE = """\
  cluster:
    type: remote
    host: login.cluster
    scheduler_type: slurm
    work_dir: /scratch
    password: geheim
"""


def add(world: Any, text: str, *, after: str = "") -> None:
    content = world.file.read_text()
    world.file.write_text(content.replace(after, after + text, 1) if after else content + text)


class TestGroup:
    def test_without_a_command_it_says_where_to_look(self, jf: Any) -> None:
        jf("project", required_out="jf project -h")

    def test_tree(self, jf: Any) -> None:
        jf("project --tree", required_out=["check-conflicts", "exec_config", "generate", "remove", "worker"])


class TestList:
    def test_the_selected_one_stands_out(self, world: Any, jf: Any) -> None:
        (world.projects_folder / "std.yaml").write_text("name: std\n")
        (world.projects_folder / "old.yaml").write_text("name: test_project\nunknown: 1\n")
        result = jf("-p tutorial project list", required_out=f"List of projects in {world.projects_folder}")
        assert "The selected project is tutorial from config file" in result.stdout
        for line in (" - std", " - tutorial", " - old.yaml"):
            assert line in result.stdout.splitlines()
        assert "unknown key" not in result.stdout
        jf("project list --warn", required_out="old.yaml: in the project file")
        jf("-p tutorial project list", required_out_colored="\x1b[32m - tutorial")

    def test_for_programs(self, world: Any, jf: Any) -> None:
        (world.projects_folder / "broken.yaml").write_text("a: [")
        content = json.loads(jf("project list --json").stdout)
        assert content["projects"] == [{"name": "tutorial", "file": str(world.file), "selected": True}]
        assert [entry["file"] for entry in content["invalid"]] == [str(world.projects_folder / "broken.yaml")]
        assert "line 2" in content["invalid"][0]["error"] or "line 1" in content["invalid"][0]["error"]

    def test_when_none_can_be_selected(self, world: Any, jf: Any) -> None:
        (world.projects_folder / "std.yaml").write_text("name: std\n")
        jf("project list", required_out=["- std", "- tutorial"], excluded_out="The selected project")
        jf("-p nonsense project list", required_out="- std")

    def test_no_project(self, world: Any, jf: Any) -> None:
        world.file.unlink()
        jf("project list", required_out=["no project", "jf project generate"])


class TestGenerate:
    @pytest.mark.parametrize("ending", ["json", "yaml", "toml"])
    @pytest.mark.parametrize("full", [False, True])
    def test_makes_a_project(self, world: Any, jf: Any, ending: str, full: bool) -> None:
        jf(f"project generate new -f {ending}" + (" --full" if full else ""), required_out=f"new.{ending}")
        path = world.projects_folder / f"new.{ending}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ("example_worker" in path.read_text()) == full
        project = ConfigManager().get_project("new")
        assert project.workers["local_shell"].is_local
        assert Path(project.log_dir).is_dir()

    def test_the_small_one_is_small(self, world: Any, jf: Any) -> None:
        jf("project generate new")
        text = (world.projects_folder / "new.yaml").read_text()
        assert text.splitlines()[:5] == [
            "name: new",
            "workers:",
            "  local_shell:",
            "    type: local",
            "    scheduler_type: shell",
        ]
        assert len(text.splitlines()) < 10

    def test_it_works_at_once(self, world: Any, jf: Any) -> None:
        jf("project generate new")
        result = jf("-p new project check")
        assert [line for line in result.stdout.splitlines() if line.startswith("✓")] == [
            "✓ Worker local_shell",
            "✓ Jobstore",
            "✓ Queue store",
        ]
        assert "x " not in result.stdout

    def test_not_twice_and_not_anything(self, world: Any, jf: Any) -> None:
        jf("project generate tutorial", error=True, required_out="exists")
        jf("project generate a/b", error=True, required_out="'a/b' cannot be the name of a project")
        jf("project generate new -f xml", error=True)


class TestCheck:
    def test_the_parts(self, world: Any, jf: Any) -> None:
        add(world, MORE)
        jf("project check", required_out=["Worker local_shell", "Jobstore", "Jobstore second", "Queue store"])
        jf(
            "project check -w local_shell",
            required_out="Worker local_shell",
            excluded_out=["Jobstore", "Queue"],
        )
        jf("project check -js", required_out=["Jobstore second"], excluded_out=["Worker", "Queue"])
        jf("project check --queue", required_out="Queue store", excluded_out=["Worker", "Jobstore"])

    def test_one_part_at_a_time(self, jf: Any) -> None:
        jf("project check -q -js", error=True, required_out="together")

    def test_failures_count(self, world: Any, jf: Any) -> None:
        add(world, REMOTE, after="workers:\n")
        add(world, "optional_jobstores:\n  second: {docs_store: {type: NoSuchStore}}\n")
        words = [
            "x Worker cluster",
            "✓ Worker local_shell",
            "x Jobstore second",
            "NoSuchStore",
            "✓ Queue store",
        ]
        jf("project check", error=True, required_out=words)
        jf("project check -w cluster", error=True, excluded_out="Traceback")
        jf("project check -w cluster -e", error=True, required_out="Traceback")
        jf("project check -w local_shell")

    def test_for_programs(self, world: Any, jf: Any) -> None:
        add(world, REMOTE, after="workers:\n")
        result = jf("project check --json", error=True)
        elements = {element["element"]: element["error"] is None for element in json.loads(result.stdout)[:4]}
        assert elements == {
            "Worker cluster": False,
            "Worker local_shell": True,
            "Jobstore": True,
            "Queue store": True,
        }

    def test_unknown_worker(self, jf: Any) -> None:
        jf("project check -w local_shel", error=True, required_out="did you mean `local_shell`")

    def test_misspelt_variables(self, world: Any, jf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JFREMOTE_PROJECT_FOLDER", "/x")
        jf("project check -q", required_out="did you mean JFREMOTE_PROJECTS_FOLDER")

    def test_a_file_with_passwords_that_others_can_read(self, world: Any, jf: Any) -> None:
        add(world, REMOTE, after="workers:\n")
        world.file.chmod(0o644)
        jf("project check", error=True, required_out=["others can read it", "chmod 600"])
        world.file.chmod(0o600)
        jf("project check", error=True, excluded_out="others can read it")

    def test_outputs_among_the_jobs(self, world: Any, jf: Any) -> None:
        world.file.write_text(world.file.read_text().replace("outputs.sqlite", "queue.sqlite"))
        jf("project check -js", required_out="same collection")

    def test_nothing_to_run_on(self, world: Any, jf: Any) -> None:
        world.file.write_text("name: tutorial\n")
        jf("project check", error=True, required_out="nothing can run")


class TestConflicts:
    def test_one_project(self, jf: Any) -> None:
        jf("project check-conflicts", required_out="fewer than two")

    def test_none(self, world: Any, jf: Any) -> None:
        (world.projects_folder / "std.yaml").write_text("name: std\n")
        jf("project check-conflicts", required_out="nothing in common")

    def test_some(self, world: Any, jf: Any) -> None:
        text = world.file.read_text().replace("name: tutorial", "name: copy")
        (world.projects_folder / "copy.yaml").write_text(text)
        jf("project check-conflicts", error=True, required_out=["the queue database", "copy, tutorial"])


class TestRemove:
    def test_asks(self, world: Any, jf: Any) -> None:
        jf("project remove tutorial", cli_input="n\n", required_out=str(world.folder / "tutorial"))
        assert world.file.exists()
        jf("project remove tutorial", cli_input="y\n", required_out="was removed")
        assert not world.file.exists()
        assert not (world.folder / "tutorial").exists()

    def test_without_an_answer_nothing_happens(self, world: Any, jf: Any) -> None:
        jf("project remove tutorial")
        assert world.file.exists()

    def test_keeping_the_folders(self, world: Any, jf: Any) -> None:
        jf("project remove tutorial -k -y")
        assert not world.file.exists()
        assert (world.folder / "tutorial" / "queue.sqlite").exists()

    def test_unknown(self, jf: Any) -> None:
        jf("project remove tutoria -y", error=True, required_out="did you mean `tutorial`")

    def test_not_while_a_runner_works_on_it(self, world: Any, jf: Any) -> None:
        assert world.session
        jf("project remove tutorial -y", error=True, required_out="runner")
        assert world.file.exists()
        world.close_session()
        jf("project remove tutorial -y")


class TestParts:
    def test_execution_configurations(self, world: Any, jf: Any) -> None:
        jf("project exec_config list", required_out="no execution configurations")
        add(world, MORE)
        jf("project exec_config list", required_out="gcc", excluded_out="GCC/12")
        result = jf("project exec_config list -v", required_out=["Modules", "GCC/12", "Post_run", "rm core"])
        header = next(line for line in result.stdout.splitlines() if "Name" in line)
        row = next(line for line in result.stdout.splitlines() if "gcc" in line)
        assert header.index("Post_run") == row.index("rm core")
        (content,) = json.loads(jf("project exec_config list --json").stdout)
        assert (content["name"], content["modules"], content["pre_run"]) == ("gcc", ["GCC/12"], None)

    def test_workers(self, world: Any, jf: Any) -> None:
        add(world, REMOTE, after="workers:\n")
        jf("project worker list", required_out=["cluster", "local_shell"], excluded_out="slurm")
        jf(
            "project worker list -v",
            required_out=["remote", "login.cluster", "slurm"],
            excluded_out="password",
        )
        jf("project worker list -vv", required_out="'password': '********'", excluded_out="geheim")
        content = json.loads(jf("project worker list --json").stdout)
        assert [worker["name"] for worker in content] == ["cluster", "local_shell"]
        assert content[0]["password"] == "********"
        assert content[0]["keepalive"] == 60

    def test_no_workers(self, world: Any, jf: Any) -> None:
        world.file.write_text("name: tutorial\n")
        jf("project worker list", required_out="no workers")
        assert json.loads(jf("project worker list --json").stdout) == []

    def test_a_broken_project_says_what_is_wrong(self, world: Any, jf: Any) -> None:
        add(world, "runer: {}\n")
        for command in ("worker list", "exec_config list", "check"):
            jf(f"project {command}", error=True, required_out="did you mean `runner`")


def test_the_first_minutes(tmp_path: Path, world: Any) -> None:
    """An empty folder, then a project that works, then none again."""
    world.file.unlink()
    run_check_cli(["project", "check"], error=True, required_out="jf project generate NAME")
    run_check_cli(["project", "generate", "first"])
    run_check_cli(["project", "check"], required_out="The selected project is first")
    run_check_cli(["project", "remove", "first", "-y"])
    run_check_cli(["project", "list"], required_out="no project")
