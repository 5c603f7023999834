from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.config.problems import parse_project
from jobflow_remote.config.project import Project
from jobflow_remote.config.projectfile import read_document, without_none, write_document
from jobflow_remote.config.projectnames import list_project_files, read_project_name
from jobflow_remote.errors import ProjectParsingError

FORMATS = ["json", "yaml", "toml"]


def problems_of(path: Path) -> str:
    with pytest.raises(ProjectParsingError) as caught:
        parse_project(read_document(path))
    return str(caught.value)


@pytest.mark.parametrize("ending", FORMATS)
class TestEveryFormat:
    def test_every_field_survives(self, tmp_path: Path, every_field: dict[str, Any], ending: str) -> None:
        path = tmp_path / f"p.{ending}"
        write_document(path, every_field)
        project = parse_project(read_document(path))
        assert project == Project.model_validate(every_field)
        write_document(path, project.model_dump(mode="json", exclude_none=ending == "toml"))
        assert parse_project(read_document(path)) == project

    def test_private(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"p.{ending}"
        path.write_text("{}" if ending == "json" else "")
        path.chmod(0o644)
        write_document(path, {"name": "p"})
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.listdir(tmp_path) == [path.name]

    def test_links_stay_links(self, tmp_path: Path, ending: str) -> None:
        (tmp_path / "elsewhere").mkdir()
        real = tmp_path / "elsewhere" / f"real.{ending}"
        write_document(real, {"name": "old"})
        link = tmp_path / f"p.{ending}"
        link.symlink_to(real)
        write_document(link, {"name": "new"})
        assert link.is_symlink()
        assert read_document(real).data == {"name": "new"}

    def test_names(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"p.{ending}"
        write_document(path, {"workers": {"x": {"name": "inner"}}, "name": "my project"})
        assert read_project_name(path) == "my project"

    def test_unknown_key(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"p.{ending}"
        worker = {"type": "local", "scheduler_type": "shell", "work_dir": "/x", "max_job": 3}
        write_document(path, {"name": "p", "workers": {"other": worker | {"max_job": None}, "here": worker}})
        if ending != "toml":
            write_document(path, {"name": "p", "workers": {"here": worker}})
        text = problems_of(path)
        line = next(n for n, line in enumerate(path.read_text().splitlines(), 1) if "max_job" in line)
        assert f"unknown key `max_job` in workers.here (line {line}); did you mean `max_jobs`?" in text
        assert str(path) in text

    def test_a_file_that_is_no_mapping(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"p.{ending}"
        path.write_text({"json": "[1]", "yaml": "- 1\n", "toml": ""}[ending])
        with pytest.raises(ProjectParsingError, match=r"mapping|name"):
            parse_project(read_document(path))

    def test_a_file_without_a_name(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"p.{ending}"
        write_document(path, {"workers": {}})
        with pytest.raises(ProjectParsingError, match="name"):
            read_project_name(path)
        assert "key `name` is missing" in problems_of(path)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"p.{ending}"
        with pytest.raises(ProjectParsingError, match="No such file"):
            read_document(path)
        path.write_bytes(b"name: \xff\xfe\n")
        with pytest.raises(ProjectParsingError, match="UTF-8"):
            read_project_name(path)


@pytest.mark.parametrize(
    ("ending", "content", "line"),
    [
        ("yaml", "name: p\nworkers: [geheim\nqueue: {}\n", 3),
        ("yaml", "name: p\npassword: geheim\npassword: geheim\n", 3),
        ("yaml", "name: !geheim p\n", None),
        ("json", '{\n"name": "p",\n"password": geheim\n}', 3),
        ("toml", 'name = "p"\npassword = geheim\n', 2),
        ("toml", 'name = "p"\nname = "q"\n', 2),
    ],
)
def test_syntax_errors_name_the_line_and_nothing_secret(
    tmp_path: Path, ending: str, content: str, line: int | None
) -> None:
    path = tmp_path / f"p.{ending}"
    path.write_text(content)
    with pytest.raises(ProjectParsingError) as caught:
        read_document(path)
    assert str(caught.value).startswith(f"line {line} of {path}" if line else str(path))
    assert "geheim" not in str(caught.value).replace("!geheim", "")


def test_all_problems_at_once(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        """\
name: p
workers:
  a:
    type: lokal
  b:
    type: remote
    host: h
    scheduler_type: slurm
    work_dir: relative
    gateway:
      user: me
    key_filename: 7
  c:
    work_dir: /x
runner:
  delay_checkout: soon
  delta_retry: [1, x]
queue:
  store: {port: 3}
exec_config:
  e: {module: [a]}
runer: {}
"""
    )
    text = problems_of(path)
    for words in [
        "`type` of workers.a is 'lokal' (line 3); can be local, remote, separated_transfer; did you mean `local`?",
        "`work_dir` in workers.b (line 9): must be an absolute path",
        "key `host` is missing in workers.b.gateway (line 10)",
        "`key_filename` in workers.b (line 12): should be a valid string, or should be a valid list",
        "key `type` is missing in workers.c (line 13)",
        "`delay_checkout` in runner (line 16): should be a valid number",
        "`1` in runner.delta_retry (line 17)",
        "`store` in queue (line 19): `store` needs a `type`",
        "unknown key `module` in exec_config.e (line 21); did you mean `modules`?",
        "unknown key `runer` (line 22); did you mean `runner`?",
    ]:
        assert words in text
    assert text.count("\n") == 10
    assert "Value error" not in text
    assert "pydantic" not in text


def test_comments_survive_a_change(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "# mine\nname: p  # its name\nworkers:\n  a: {type: local}  # here\n  b: {type: remote}\n"
    )
    write_document(
        path, {"name": "p", "workers": {"a": {"type": "local", "max_jobs": 2}}, "metadata": {"x": True}}
    )
    assert path.read_text() == (
        "# mine\nname: p  # its name\nworkers:\n  a: {type: local, max_jobs: 2} # here\nmetadata:\n  x: true\n"
    )
    toml = tmp_path / "p.toml"
    toml.write_text('# mine\nname = "p" # its name\n\n[runner] # how\ndelay_checkout = 3\n')
    write_document(toml, {"name": "p", "runner": {"delay_checkout": 4}, "queue": {"store": {}}})
    assert '# mine\nname = "p" # its name\n' in toml.read_text()
    assert "[runner] # how\ndelay_checkout = 4\n" in toml.read_text()


def test_true_is_not_one(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    write_document(path, {"metadata": {"a": 1}})
    write_document(path, {"metadata": {"a": True}})
    assert read_document(path).data == {"metadata": {"a": True}}
    assert type(read_document(path).data["metadata"]["a"]) is bool


def test_several_lines_are_readable(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    write_document(path, {"pre_run": "one\ntwo\n"})
    assert path.read_text() == "pre_run: |\n  one\n  two\n"


def test_without_none() -> None:
    assert without_none({"a": None, "b": {"c": None, "d": [1, None, {"e": None}]}}) == {"b": {"d": [1, {}]}}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("name: plain\n", "plain"),
        ("name:   'with space'  # comment\n", "with space"),
        ('name: "double"\n', "double"),
        ("metadata:\n  name: inner\nname: outer\n", "outer"),
        ("{name: flow}\n", "flow"),
        ("name: >-\n  folded\n  text\n", "folded text"),
        ("? name\n: odd\n", "odd"),
        ("name: with space\n", "with space"),
    ],
)
def test_ways_to_write_a_name_in_yaml(tmp_path: Path, content: str, name: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(content)
    assert read_project_name(path) == name


@pytest.mark.parametrize("value", ["true", "null", "12", "[a]", ""])
def test_names_that_are_no_text(tmp_path: Path, value: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"name: {value}\n")
    with pytest.raises(ProjectParsingError, match="name"):
        read_project_name(path)


def test_which_files_are_looked_at(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "c.toml", "d.json", "e.yml", "f.yaml.bak.1", "g.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.yaml").mkdir()
    assert [path.name for path in list_project_files(tmp_path)] == ["d.json", "a.yaml", "b.yaml", "c.toml"]
    assert list_project_files(tmp_path / "missing") == []
