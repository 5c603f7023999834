from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobflow_remote.config import ConfigManager
from jobflow_remote.config.settings import get_settings
from jobflow_remote.config.snapshot import load_snapshot, select_project_file, take_snapshot
from jobflow_remote.errors import ConfigError, ProjectParsingError, ProjectUndefinedError

TEXT = """\
name: {name}
workers:
  here: {{type: local, scheduler_type: shell, work_dir: /data/jobs, max_jobs: 2}}
  there: {{type: remote, host: h, scheduler_type: slurm, work_dir: /scratch, password: geheim}}
exec_config:
  e: {{pre_run: x}}
optional_jobstores:
  second: {{docs_store: {{type: MemoryStore}}}}
"""
MONGO = "queue:\n  store: {type: MongoStore, database: d, password: geheim}\n"


def write(path: Path, text: str) -> None:
    """A file that has been there for a while."""
    path.write_text(text)
    past = time.time() - 60
    os.utime(path, (past, past))


def cache_of(folder: Path) -> Path:
    return folder / ".cache" / "projects.json"


class CountedReads:
    """How often project files are read in full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        original = ConfigManager.get_project_data

        def counting(manager: ConfigManager, name: str | None = None) -> object:
            self.number += 1
            return original(manager, name)

        monkeypatch.setattr(ConfigManager, "get_project_data", counting)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> CountedReads:
    return CountedReads(monkeypatch)


def test_the_same_as_the_project(projects_folder: Path) -> None:
    path = projects_folder / "a.yaml"
    write(path, TEXT.format(name="a"))
    expected = take_snapshot(ConfigManager().get_project(), path)
    assert load_snapshot() == load_snapshot() == load_snapshot("a") == expected
    assert expected.worker_names == ("here", "there")
    assert (expected.workers[0].is_local, expected.workers[0].max_jobs) == (True, 2)
    assert (expected.exec_configs, expected.optional_jobstores) == (("e",), ("second",))
    assert expected.queue_spec.options["path"] == str(projects_folder / "a" / "queue.db")


def test_a_file_is_read_once(projects_folder: Path, reads: CountedReads) -> None:
    write(projects_folder / "a.yaml", TEXT.format(name="a"))
    for _ in range(3):
        load_snapshot()
    assert reads.number == 1


def test_every_change_is_noticed(projects_folder: Path, reads: CountedReads) -> None:
    path = projects_folder / "a.yaml"
    write(path, TEXT.format(name="a"))
    load_snapshot()
    write(path, TEXT.format(name="a").replace("/data", "/disk"))  # same size, same time up to the second
    assert load_snapshot().workers[0].work_dir == "/disk/jobs"
    ConfigManager().update_project({"log_level": "debug"})
    assert load_snapshot().log_level == "debug"
    path.write_text("name: a\nunknown: 1\n")
    with pytest.raises(ProjectParsingError, match="unknown"):
        load_snapshot()
    path.unlink()
    with pytest.raises(ProjectUndefinedError):
        load_snapshot()


def test_a_file_that_was_written_just_now_is_not_trusted(
    projects_folder: Path, monkeypatch: pytest.MonkeyPatch, reads: CountedReads
) -> None:
    path = projects_folder / "a.yaml"
    path.write_text(TEXT.format(name="a"))
    now = (
        time.time() + 60
    )  # a clock that runs ahead, so that the file stays new for as long as the test takes
    os.utime(path, (now, now))
    load_snapshot()
    load_snapshot()
    assert reads.number == 2


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("host: node, port: 27018, database: d, collection_name: jobs", True),
        ("host: node, database: d, username: ada", False),
        ("host: 'mongodb://ada:geheim@node', database: d", False),
        ("host: 'ada:geheim@node', database: d", False),
        ("host: node, database: d, mongoclient_kwargs: {tls: true}", False),
    ],
)
def test_a_server_where_nobody_logs_in_is_kept(
    projects_folder: Path, reads: CountedReads, options: str, kept: bool
) -> None:
    store = f"queue:\n  store: {{type: MongoStore, {options}}}\n"
    write(projects_folder / "m.yaml", TEXT.format(name="m") + store)
    assert load_snapshot() == load_snapshot()
    assert ("node" in (projects_folder / ".cache" / "projects.json").read_text()) is kept
    assert "geheim" not in (projects_folder / ".cache" / "projects.json").read_text()


def test_nothing_secret_is_kept(projects_folder: Path, reads: CountedReads) -> None:
    write(projects_folder / "a.yaml", TEXT.format(name="a"))
    write(projects_folder / "m.yaml", TEXT.format(name="m") + MONGO)
    assert load_snapshot("a").queue_spec.kind == "SQLiteStore"
    for _ in range(2):
        assert load_snapshot("m").queue_spec.options["password"] == "geheim"
    assert reads.number == 3
    cache = cache_of(projects_folder)
    assert "geheim" not in cache.read_text()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.parent.stat().st_mode) == 0o700
    assert os.listdir(cache.parent) == [cache.name]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"validity": 3}'])
def test_a_damaged_cache_costs_time_only(projects_folder: Path, reads: CountedReads, damage: str) -> None:
    write(projects_folder / "a.yaml", TEXT.format(name="a"))
    expected = load_snapshot()
    cache_of(projects_folder).write_text(damage)
    assert load_snapshot() == load_snapshot() == expected
    assert reads.number == 2


def test_another_version_reads_anew(projects_folder: Path, reads: CountedReads) -> None:
    write(projects_folder / "a.yaml", TEXT.format(name="a"))
    load_snapshot()
    cache = cache_of(projects_folder)
    content = json.loads(cache.read_text())
    content["validity"][0] = "another version"
    cache.write_text(json.dumps(content))
    load_snapshot()
    assert reads.number == 2


def test_what_others_could_write_is_not_believed(projects_folder: Path, reads: CountedReads) -> None:
    write(projects_folder / "a.yaml", TEXT.format(name="a"))
    load_snapshot()
    cache_of(projects_folder).chmod(0o666)
    load_snapshot()
    assert reads.number == 2


def test_a_cache_of_an_older_shape(projects_folder: Path) -> None:
    write(projects_folder / "a.yaml", TEXT.format(name="a"))
    expected = load_snapshot()
    cache = cache_of(projects_folder)
    content = json.loads(cache.read_text())
    del content["files"]["a.yaml"]["snapshot"]["base_dir"]
    cache.write_text(json.dumps(content))
    assert load_snapshot() == expected


def test_selection(projects_folder: Path) -> None:
    for name in ("a", "b"):
        write(projects_folder / f"file_of_{name}.yaml", TEXT.format(name=name))
    with pytest.raises(ProjectUndefinedError, match="a, b"):
        load_snapshot()
    assert select_project_file() is None
    get_settings().project = "b"
    assert load_snapshot().name == "b"
    assert load_snapshot("a").name == "a"
    assert select_project_file() == ("b", projects_folder / "file_of_b.yaml")
    assert select_project_file("c") is None
    with pytest.raises(ProjectParsingError, match="'c'"):
        load_snapshot("c")


def test_one_name_in_two_files(projects_folder: Path) -> None:
    for file in ("a.yaml", "b.yaml"):
        write(projects_folder / file, TEXT.format(name="a"))
    with pytest.raises(ConfigError, match="two files"):
        load_snapshot()


def test_a_broken_neighbour(projects_folder: Path) -> None:
    write(projects_folder / "a.yaml", TEXT.format(name="a"))
    write(projects_folder / "broken.yaml", "a: [")
    assert load_snapshot().name == "a"


def test_removed_files_are_forgotten(projects_folder: Path) -> None:
    for name in ("a", "b"):
        write(projects_folder / f"{name}.yaml", TEXT.format(name=name))
        load_snapshot(name)
    (projects_folder / "a.yaml").unlink()
    write(projects_folder / "b.yaml", TEXT.format(name="b").replace("/data", "/disk"))
    load_snapshot("b")
    assert list(json.loads(cache_of(projects_folder).read_text())["files"]) == ["b.yaml"]


PROGRAM = """
import sys
from jobflow_remote.config.snapshot import load_snapshot, select_project_file
select_project_file()
print(load_snapshot().name)
print([name for name in %r if name in sys.modules])
"""
HEAVY = [
    "pydantic",
    "ruamel.yaml",
    "jobflow",
    "maggma",
    "monty",
    "pymongo",
    "numpy",
    "tomlkit",
    "importlib.metadata",
]


def run(folder: Path, program: str) -> list[str]:
    environ = {**os.environ, "HOME": str(folder), "JFREMOTE_PROJECTS_FOLDER": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.mark.parametrize("others", [0, 3])
def test_what_a_listing_imports(tmp_path: Path, others: int) -> None:
    write(tmp_path / "a.yaml", TEXT.format(name="a"))
    for number in range(others):
        write(tmp_path / f"other{number}.yaml", "name: a thing that only the YAML reader: [\n")
    assert run(tmp_path, PROGRAM % HEAVY)[0] == "a"
    assert run(tmp_path, PROGRAM % HEAVY) == ["a", "[]"]


def test_what_loading_a_project_imports(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", TEXT.format(name="a"))
    heavy = ["jobflow", "maggma", "monty", "pymongo", "numpy", "pydantic_settings", "asyncssh", "qtoolkit"]
    program = f"""
import sys
from jobflow_remote.config import ConfigManager
print(ConfigManager().get_project().name)
print([name for name in {heavy!r} if name in sys.modules])
"""
    assert run(tmp_path, program) == ["a", "[]"]
