"""``jf project init``, ``generate --full`` and ``edit``."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.config import ConfigManager

SSH_CONFIG = """\
Include more
Host cluster login-*
  HostName login.cluster.example
  User=guido
Host *
  User nobody
"""
SINFO = """\
#!/bin/sh
echo 'debug|30:00|2|16|up|debug*'
echo 'normal|1-00:00:00|100|128|up|normal'
echo 'normal|1-00:00:00|4|256|up|normal'
"""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an SSH configuration, and a machine with Slurm."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "config").write_text(SSH_CONFIG)
    (home / ".ssh" / "more").write_text("Host workstation\n  Port 2222\n")
    tool = tmp_path / "bin" / "sinfo"
    tool.parent.mkdir()
    tool.write_text(SINFO)
    tool.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    return home


def edit_by(monkeypatch: pytest.MonkeyPatch, folder: Path, change: str) -> None:
    """An editor that changes the text of the file as the expression says."""
    script = folder / "editor.py"
    script.write_text(
        f"import sys, pathlib\np = pathlib.Path(sys.argv[1])\ntext = p.read_text()\np.write_text({change})\n"
    )
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")


class TestInit:
    def test_without_questions(self, world: Any, jf: Any, user: Path) -> None:
        jf(
            "project init new --yes --worker-host cluster --scheduler slurm --work-dir /scratch/guido "
            "--partition debug --resources nodes=1 --max-jobs 5",
            required_out=["The project new is described in", "project check"],
        )
        path = world.projects_folder / "new.yaml"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "# Folder on the worker below which jobs get their run folders." in path.read_text()
        worker: Any = ConfigManager().get_project("new").workers["cluster"]
        assert (worker.host, worker.scheduler_type, worker.max_jobs) == ("cluster", "slurm", 5)
        assert worker.resources == {"nodes": 1, "partition": "debug"}

    def test_on_this_machine_everything_has_a_default(self, world: Any, jf: Any, user: Path) -> None:
        world.file.unlink()
        jf("project init -y --scheduler shell")
        worker = ConfigManager().get_project("main").workers["local_shell"]
        assert str(worker.work_dir) == str(world.projects_folder / "main" / "jobs")
        jf("project check", required_out="Worker local_shell")

    def test_questions(self, world: Any, jf: Any, user: Path) -> None:
        answers = ["mine", "2", "", "", "n", "/scratch", "source activate"]
        jf(
            "project init",
            cli_input="\n".join(answers) + "\n",
            required_out=["1 workstation", "2 cluster (guido@login.cluster.example)"],
            excluded_out="login-*",
        )
        worker: Any = ConfigManager().get_project("mine").workers["cluster"]
        assert (worker.host, worker.scheduler_type) == ("cluster", "slurm")
        assert (str(worker.work_dir), worker.pre_run) == ("/scratch", "source activate")

    def test_several_workers(self, world: Any, jf: Any, user: Path) -> None:
        first = ["mine", "0", "shell", "", ""]
        second = ["y", "elsewhere", "pbs", "", "n", "/scratch", "-", "n"]
        jf("project init", cli_input="\n".join([*first, *second]) + "\n")
        workers: Any = ConfigManager().get_project("mine").workers
        assert list(workers) == ["local_shell", "elsewhere"]
        assert (workers["elsewhere"].scheduler_type, workers["elsewhere"].pre_run) == ("pbs", None)

    def test_partitions_of_the_scheduler(self, world: Any, jf: Any, user: Path) -> None:
        jf(
            "project init mine --worker-host local --scheduler slurm --worker here",
            cli_input="y\n\nnormal\n",
            required_out=["debug: 2 nodes of 16 cores, up to 30:00", "normal: 100 nodes"],
        )
        assert ConfigManager().get_project("mine").workers["here"].resources == {"partition": "normal"}
        jf("project init other --worker-host local --scheduler slurm --ask-host -y")
        assert ConfigManager().get_project("other").workers["local_shell"].resources == {"partition": "debug"}

    def test_what_is_refused(self, world: Any, jf: Any, user: Path) -> None:
        jf("project init tutorial -y", error=True, required_out="exists already")
        jf("project init new -y --worker-host cluster", error=True, required_out="Folder for run folders")
        jf(
            "project init new -y --scheduler slrum --work-dir /x",
            error=True,
            required_out="did you mean `slurm`",
        )
        jf("project init new -y --work-dir here", error=True, required_out="absolute path")
        jf("project init a/b -y", error=True, required_out="cannot be the name")
        assert list(world.projects_folder.glob("*.yaml")) == [world.file]


class TestFull:
    def test_every_key_is_there_and_explained(self, jf: Any, world: Any) -> None:
        jf("project generate new --full")
        text = (world.projects_folder / "new.yaml").read_text()
        for key in (
            "heartbeat_seconds",
            "login_shell",
            "optional_jobstores",
            "batches_collection",
            "post_run",
        ):
            line = next(index for index, line in enumerate(text.splitlines()) if line.strip().startswith(key))
            assert text.splitlines()[line - 1].strip().startswith("# ")
        assert text.count("# Lines of shell before the job.\n") == 1
        assert "example_worker" in ConfigManager().get_project("new").workers


class TestReplace:
    def test_shows_asks_and_keeps_a_copy(self, world: Any, jf: Any) -> None:
        before = world.file.read_text()
        jf("project edit replace /run /elsewhere", cli_input="n\n", required_out=["- work_dir", "/elsewhere"])
        assert world.file.read_text() == before
        jf("project edit replace /run /elsewhere", cli_input="y\n", required_out="tutorial.yaml.bak.1")
        assert world.file.read_text() == before.replace("/run", "/elsewhere")
        assert (world.projects_folder / "tutorial.yaml.bak.1").read_text() == before
        assert stat.S_IMODE((world.projects_folder / "tutorial.yaml.bak.1").stat().st_mode) == 0o600
        jf("project edit replace /elsewhere /run -y -nb")
        assert not (world.projects_folder / "tutorial.yaml.bak.2").exists()
        jf("project edit replace nothing something", required_out="is not in")

    def test_warns_of_a_broken_result(self, world: Any, jf: Any) -> None:
        words = ["not a valid project", "did you mean `work_dir`", str(world.file)]
        jf("project edit replace work_dir work_dri", cli_input="n\n", required_out=words)
        assert "work_dri" not in world.file.read_text()

    def test_all_projects_and_broken_ones(self, world: Any, jf: Any) -> None:
        broken = world.projects_folder / "broken.yaml"
        broken.write_text("name: broken\nworkres: {}\n")
        other = world.projects_folder / "other.yaml"
        other.write_text("name: other\n")
        jf("-p tutorial project edit replace workers workres -y -nb")
        jf(
            "-p tutorial project edit replace workres workers --all -y",
            required_out="broken.yaml was changed",
        )
        assert sorted(ConfigManager().projects) == ["broken", "other", "tutorial"]

    def test_what_a_runner_cannot_change_to_waits_for_it(self, world: Any, jf: Any) -> None:
        assert world.session
        jf("project edit replace queue.sqlite other.sqlite -y", error=True, required_out="runner")
        jf("project edit replace /run /elsewhere -y")
        world.close_session()
        jf("project edit replace queue.sqlite other.sqlite -y")


class TestEdit:
    def test_with_an_editor(self, world: Any, jf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        edit_by(monkeypatch, world.folder, "text + 'exec_config: {gcc: {modules: [GCC]}}\\n'")
        jf("project edit", required_out="was changed")
        assert ConfigManager().get_project("tutorial").exec_config["gcc"].modules == ["GCC"]

    def test_a_broken_result_is_not_written(
        self, world: Any, jf: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = world.file.read_text()
        edit_by(monkeypatch, world.folder, "text.replace('work_dir', 'work_dri')")
        jf("project edit", cli_input="n\n", error=True, required_out=["did you mean", "is as before"])
        assert world.file.read_text() == before

    def test_a_broken_file_can_be_mended(self, world: Any, jf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        world.file.write_text(world.file.read_text().replace("work_dir", "work_dri"))
        edit_by(monkeypatch, world.folder, "text.replace('work_dri', 'work_dir')")
        jf("project edit", required_out="was changed")
        jf("project edit", required_out="Nothing was changed")

    def test_an_editor_that_fails(self, world: Any, jf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", "no-such-editor")
        jf("project edit", error=True, required_out="cannot be started")
        monkeypatch.setenv("EDITOR", "false")
        jf("project edit", error=True, required_out="exit code 1")


def test_conflicts_for_programs(world: Any, jf: Any) -> None:
    assert json.loads(jf("project check-conflicts --json").stdout) == []
    text = world.file.read_text().replace("name: tutorial", "name: copy")
    (world.projects_folder / "copy.yaml").write_text(text)
    found = json.loads(jf("project check-conflicts --json", error=True).stdout)
    assert {"queue_collection", "directory"} <= {each["kind"] for each in found}
    assert found[0]["projects"] == ["copy", "tutorial"]


def test_conflicts_are_told_when_the_runner_starts(world: Any, jf: Any) -> None:
    assert world.session
    text = world.file.read_text().replace("name: tutorial", "name: copy")
    (world.projects_folder / "copy.yaml").write_text(text)
    words = ["the queue database", "is used by the projects copy, tutorial", "elsewhere"]
    jf("-p tutorial runner start", error=True, required_out=words)
