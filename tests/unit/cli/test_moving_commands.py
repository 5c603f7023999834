"""``jf admin migrate`` and ``jf backup``: what is said and asked, and that it is done."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote import JobController
from jobflow_remote.cli.jf import GROUPS
from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import INCOMING
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase

OTHER = """\
name: other
base_dir: {folder}/other
workers:
  local_shell: {{type: local, scheduler_type: shell, work_dir: {folder}/run}}
queue:
  store: {{type: SQLiteStore, path: {folder}/other/queue.db}}
jobstore:
  docs_store: {{type: SQLiteStore, path: {folder}/other/outputs.sqlite}}
"""


@pytest.fixture
def other(world: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second project; the file of its queue database."""
    (world.projects_folder / "other.yaml").write_text(OTHER.format(folder=world.folder))
    world.old_enough()
    monkeypatch.setenv("JFREMOTE_PROJECT", "tutorial")
    import jobflow_remote
    from jobflow_remote.config.settings import JobflowRemoteSettings

    monkeypatch.setattr(jobflow_remote, "SETTINGS", JobflowRemoteSettings(), raising=False)
    return Path(world.folder / "other" / "queue.db")


@pytest.fixture
def busy(world: Any) -> Any:
    """A world with a job that ended and one that waits, and an output."""
    _, (first, _) = world.add_flow("add square")
    world.run_job(first, JobState.COMPLETED)
    world.close_session()
    from jobflow_remote.bootstrap import open_services

    document: dict[str, Any] = {"uuid": first, "index": 1, "output": 5, "metadata": {}, "name": "add"}
    with open_services("tutorial") as services:
        services.outputs().store_output(document, {}, db_id="1")
    return world


def count_jobs(path: Path) -> int:
    """Number of jobs in a queue database."""
    with closing(SQLiteQueueDatabase(path)) as database:
        return database.count_jobs({})


def test_migrating(other: Path, busy: Any, jf: Any) -> None:
    said = [
        "from project tutorial", "to project other", "jobs", "2", "outputs", "1",
        "Everything of project tutorial is in project other", "Start the runner of other",
    ]  # fmt: skip
    jf("admin migrate --to other -y", required_out=said)
    assert count_jobs(other) == 2
    listed = [jf(f"{name} job list").stdout.split("The selected")[-1].split("\n", 1)[1] for name in
              ("-p tutorial", "-p other")]  # fmt: skip
    assert listed[0] == listed[1]
    assert jf("-p other job output 1").stdout.split()[-1] == "5"
    with closing(SQLiteQueueDatabase(other)) as database:
        assert database.get_auxiliary(INCOMING) is None


def test_a_dry_run_does_nothing(other: Path, busy: Any, jf: Any) -> None:
    result = jf("admin migrate --to other --dry-run", required_out=["to project other", "jobs"])
    assert "Everything" not in result.stdout
    assert count_jobs(other) == 0


def test_migrating_asks_first(other: Path, busy: Any, jf: Any) -> None:
    question = "Copy all this from project tutorial to project other?"
    jf("admin migrate --to other", cli_input="n\n", required_out=question)
    assert count_jobs(other) == 0
    jf("admin migrate --to other --no-outputs", cli_input="y\n", required_out="Everything")
    assert count_jobs(other) == 2
    assert jf("-p other job output 1", error=True).exit_code == 1


def test_migrating_to_a_project_that_is_used_or_unknown(other: Path, busy: Any, jf: Any) -> None:
    jf("admin migrate --to nowhere -y", error=True, required_out="nowhere")
    jf("admin migrate --to tutorial -y", error=True, required_out="the same queue database")
    jf("admin migrate --to other -y")
    busy.add_flow("more")
    busy.run_job(busy.queue.find_jobs({"job.name": "square"})[0]["uuid"], JobState.FAILED)
    jf("admin migrate --to other -y", error=True, required_out="the runner of guido on elsewhere is active")
    busy.close_session()
    jf("admin migrate --to other -y", error=True, required_out="holds something else: 2 of jobs differs")


def test_a_backup_and_back(other: Path, busy: Any, jf: Any, tmp_path: Path) -> None:
    for place, more in (("plain", []), ("zipped", ["--compress"]), ("bson", ["--python", "-c"])):
        result = jf(f"backup create {tmp_path / place}", *more, required_out=["created in", "jobs"])
        assert "2" in result.stdout.split("jobs")[1].split("flows")[0]
    names = sorted(
        path.name for place in ("plain", "zipped", "bson") for path in (tmp_path / place).iterdir()
    )
    assert names == ["queue", "queue.sqlite", "queue.sqlite.gz"]
    for place in ("plain", "zipped", "bson"):
        jf(f"-p other backup restore {tmp_path / place}", required_out=["restored into", "flows"])
        assert count_jobs(other) == 2
        jf("-p other admin reset -y")


def test_restoring_into_a_queue_that_is_used(busy: Any, jf: Any, tmp_path: Path) -> None:
    jf(f"backup create {tmp_path / 'copy'}")
    result = jf(f"backup restore {tmp_path / 'copy'}", error=True, required_out=["is not empty: 2 jobs"])
    assert result.exit_code == 1
    jf(f"backup restore {tmp_path / 'nothing'}", error=True, required_out="is not empty")
    assert busy.queue.count_jobs({}) == 2


def test_the_default_is_the_present_folder(
    busy: Any, jf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    jf("backup create")
    assert os.listdir() == ["queue.sqlite"]
    jf("admin reset -y")
    jf("backup restore", required_out="restored into")
    assert busy.queue.count_jobs({}) == 2


def test_backups_by_the_controller(busy: Any, jf: Any, tmp_path: Path) -> None:
    with JobController.from_project_name("tutorial") as controller:
        assert controller.backup_dump(tmp_path / "copy", compress=True)["jobs"] == 2
        with pytest.raises(NotAllowedError, match="2 jobs"):
            controller.backup_restore(tmp_path / "copy")
        controller.reset()
        assert controller.backup_restore(str(tmp_path / "copy"), compress=True)["flows"] == 1
        assert controller.count_jobs() == 2


def test_backup_is_in_the_tree(jf: Any) -> None:
    assert "backup" in GROUPS
    jf("--tree", required_out=["backup", "create", "restore", "migrate"])
