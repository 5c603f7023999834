from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.layout import run_folder
from jobflow_remote.model.states import JobState


@pytest.fixture
def finished(world: Any) -> tuple[str, Path]:
    """A COMPLETED job with files in its run folder."""
    _, (uuid,) = world.add_flow("relax")
    folder = Path(run_folder(str(world.folder / "tutorial" / "run"), uuid, 1))
    (folder / "sub" / "deep").mkdir(parents=True)
    for name in ("jfremote_in.json", "OUTCAR", "OUT CAR (1)", "sub/WAVECAR", "sub/deep/OUTCAR", "queue.out"):
        (folder / name).write_text(f"this is {name}\n")
    world.run_job(uuid)
    world.change(uuid, JobState.FAILED)
    world.change(uuid, JobState.COMPLETED, run_dir=str(folder))
    return uuid, folder


class TestLs:
    def test_names_sizes_and_dates(self, jf: Any, finished: tuple[str, Path]) -> None:
        (finished[1] / "CHGCAR").write_bytes(bytes(3 * 1024 * 1024 // 2))
        result = jf(
            "job files ls 1", required_out=["OUTCAR", "OUT CAR (1)", "sub/", "1.5 MB", "Modified [UTC]"]
        )
        assert "WAVECAR" not in result.stdout
        jf("job files ls 1 -r", required_out=["sub/WAVECAR", "sub/deep/OUTCAR"])

    def test_for_programs(self, jf: Any, finished: tuple[str, Path]) -> None:
        uuid, folder = finished
        told = json.loads(jf(f"job files ls {uuid} 1 --json").stdout)
        assert told["run_dir"] == str(folder)
        assert {"name": "OUTCAR", "size": 15, "folder": False}.items() <= told["files"][1].items()

    def test_where_there_is_nothing(self, world: Any, jf: Any, finished: tuple[str, Path]) -> None:
        world.add_flow("later")
        jf("job files ls 2", required_out="no run folder yet")
        finished[1].rename(finished[1].with_name("elsewhere"))
        jf("job files ls 1", error=True, required_out=["is gone", str(finished[1])])


class TestGet:
    def test_names_folders_and_wildcards(self, jf: Any, finished: tuple[str, Path], tmp_path: Path) -> None:
        target = tmp_path / "here"
        target.mkdir()
        jf(f"job files get 1 -p {target}", "OUT*", "sub/W*", "./queue.out", required_out="4 files copied")
        assert sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()) == [
            "OUT CAR (1)", "OUTCAR", "queue.out", "sub/WAVECAR",
        ]  # fmt: skip
        jf(f"job files get 1 sub -p {target}")
        assert (target / "sub/deep/OUTCAR").read_text() == "this is sub/deep/OUTCAR\n"

    @pytest.mark.parametrize("name", ["/etc/passwd", "../other/file", "sub/../../x", "..", ""])
    def test_nothing_outside_of_the_folder(
        self, jf: Any, finished: tuple[str, Path], tmp_path: Path, name: str
    ) -> None:
        jf(f"job files get 1 -p {tmp_path}", name, error=True, required_out="leads out of the run folder")

    def test_a_name_like_a_pattern_means_itself_too(
        self, jf: Any, finished: tuple[str, Path], tmp_path: Path
    ) -> None:
        (finished[1] / "a[1]; `id`").write_text("x")
        jf(f"job files get 1 -p {tmp_path}", "a[1]; `id`", required_out="1 file copied")
        assert (tmp_path / "a[1]; `id`").read_text() == "x"

    def test_what_is_not_there(self, jf: Any, finished: tuple[str, Path], tmp_path: Path) -> None:
        jf("job files get 1 CONTCAR", error=True, required_out="there is no CONTCAR")
        result = jf(f"job files get 1 OUTCAR -p {tmp_path / 'no'}", error=True)
        assert result.exit_code == 2


class TestDelete:
    def test_asks_and_deletes(self, jf: Any, finished: tuple[str, Path]) -> None:
        jf("job files delete 1", cli_input="n\n", required_out=[str(finished[1]), "Proceed?"])
        assert finished[1].is_dir()
        jf("job files delete 1", cli_input="y\n", required_out="was deleted")
        assert not finished[1].exists()
        jf("job files delete 1 -y", required_out="There is no folder")

    def test_only_where_the_files_are_of_no_use_any_more(
        self, world: Any, jf: Any, finished: tuple[str, Path]
    ) -> None:
        world.change(finished[0], JobState.PAUSED)
        jf("job files delete 1 -y", error=True, required_out=["PAUSED", "--all-states"])
        jf("job files delete 1 -y -as", error=True, required_out="runner of guido on elsewhere is active")
        jf("job files delete 1 -y -as -f", required_out="was deleted")

    @pytest.mark.parametrize("other", ["home", "a/b/c/not-a-uuid_1", "other_job"])
    def test_only_folders_of_ours(
        self, world: Any, jf: Any, finished: tuple[str, Path], tmp_path: Path, other: str
    ) -> None:
        folder = tmp_path / other
        if other == "other_job":
            folder = Path(run_folder(str(tmp_path), "e2b5c0a0-0000-4000-8000-000000000000", 1))
        folder.mkdir(parents=True)
        (folder / "jfremote_in.json").write_text("{}")
        world.change(finished[0], JobState.COMPLETED, run_dir=str(folder))
        jf("job files delete 1 -y", error=True, required_out="does not look like a folder")
        assert (folder / "jfremote_in.json").exists()

    def test_not_without_an_input_file(self, jf: Any, finished: tuple[str, Path]) -> None:
        (finished[1] / "jfremote_in.json").unlink()
        jf("job files delete 1 -y", error=True, required_out="holds no input file")
        assert (finished[1] / "OUTCAR").exists()


@pytest.fixture
def running(world: Any) -> Path:
    """The run folder of a job that runs; nobody tells how it goes on."""
    _, (uuid,) = world.add_flow("relax")
    folder = Path(run_folder(str(world.folder / "tutorial" / "run"), uuid, 1))
    folder.mkdir(parents=True)
    (folder / "queue.out").write_text("step 1\n")
    world.run_job(uuid, JobState.RUNNING)
    world.change(uuid, JobState.RUNNING, run_dir=str(folder))
    return folder


class TestFollowing:
    """That it ends is what is tested here: each of these waited for ever once."""

    def test_ends_with_the_process_though_the_runner_does_not_notice(
        self, world: Any, jf: Any, running: Path
    ) -> None:
        attempt = world.job(running.name[:-2])["attempt"]
        (running / f".jfremote_exit.{attempt}").write_text("0\n")
        jf("job queue-out 1 -f", required_out=["step 1", "its process has ended"])

    def test_an_earlier_attempt_that_ended_does_not_count(self, world: Any, jf: Any, running: Path) -> None:
        (running / ".jfremote_exit.earlier").write_text("0\n")
        world.change(running.name[:-2], JobState.DOWNLOADED)
        result = jf("job queue-out 1 -f", required_out="The job is DOWNLOADED")
        assert "its process has ended" not in result.output

    def test_ends_when_the_folder_vanishes(self, world: Any, jf: Any, running: Path) -> None:
        (running / "queue.out").unlink()
        running.rmdir()
        jf(
            "job queue-out 1 -f",
            error=True,
            required_out=["the run folder of job 1", "is gone", str(running)],
        )

    def test_says_that_no_runner_is_active(self, world: Any, jf: Any, running: Path) -> None:
        attempt = world.job(running.name[:-2])["attempt"]
        world.close_session()
        threading.Timer(0.5, (running / f".jfremote_exit.{attempt}").write_text, ["0\n"]).start()
        jf("job queue-out 1 -f", required_out=["no runner is active", "its process has ended"])

    def test_ends_with_the_job_though_its_host_is_away(self, world: Any, jf: Any, running: Path) -> None:
        text = world.file.read_text()
        away = "type: remote\n    host: cluster.invalid\n    scheduler_type: slurm"
        world.file.write_text(text.replace("type: local\n    scheduler_type: shell", away))
        world.change(running.name[:-2], JobState.DOWNLOADED)
        jf("job queue-out 1 -f", required_out=["cluster.invalid", "The job is DOWNLOADED"])


class TestOutput:
    def test_following_a_job_that_ended_prints_all(self, jf: Any, finished: tuple[str, Path]) -> None:
        (finished[1] / "queue.out").write_bytes("é".encode() * 700_000)  # a piece ends within a letter
        result = jf("job queue-out 1 -f", required_out="COMPLETED")
        assert result.stdout.count("é") == 700_000

    def test_todir_runs_the_shell_in_the_folder(self, jf: Any, finished: tuple[str, Path]) -> None:
        jf("job todir 1", "--shell", "sh -c 'pwd > where; exit 3'", error=True)
        assert (finished[1] / "where").read_text().strip() == str(finished[1])
