from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import jobflow_remote
from jobflow_remote.config import settings as module
from jobflow_remote.config.settings import (
    JobflowRemoteSettings,
    get_settings,
    setting_names,
    unknown_variables,
)
from jobflow_remote.errors import ConfigError

VALUES: list[tuple[str, str, Any]] = [
    ("projects_folder", "/some/folder", "/some/folder"),
    ("project", "mine", "mine"),
    ("cli_full_exc", "true", True),
    ("cli_suggestions", "0", False),
    ("cli_log_level", "DEBUG", "debug"),
    ("cli_job_list_columns", '["db_id", "name"]', ["db_id", "name"]),
    ("cli_load_plugins", "no", False),
]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in setting_names():
        monkeypatch.delenv(f"JFREMOTE_{name.upper()}", raising=False)
        monkeypatch.delenv(f"jfremote_{name}", raising=False)
    return tmp_path


def test_defaults(own_home: Path) -> None:
    assert JobflowRemoteSettings().model_dump() == {
        "config_file": str(own_home / ".jfremote.yaml"),
        "projects_folder": str(own_home / ".jfremote"),
        "project": None,
        "cli_full_exc": False,
        "cli_suggestions": True,
        "cli_log_level": "warn",
        "cli_job_list_columns": None,
        "cli_load_plugins": True,
    }


def test_all_settings_are_tested() -> None:
    assert {name for name, _, _ in VALUES} | {"config_file"} == set(setting_names())


@pytest.mark.parametrize("write", [str.upper, str.lower, str.title])
@pytest.mark.parametrize(("name", "text", "value"), VALUES)
def test_variables(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: Any, write: Any) -> None:
    monkeypatch.setenv(write(f"jfremote_{name}"), text)
    assert getattr(JobflowRemoteSettings(), name) == value


def test_capitals_win_over_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("jfremote_project", "small")
    monkeypatch.setenv("JFREMOTE_PROJECT", "large")
    assert JobflowRemoteSettings().project == "large"


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_settings_file(own_home: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = own_home / f"settings.{ending}"
    monkeypatch.setenv("JFREMOTE_CONFIG_FILE", f"~/{path.name}")
    values = {name: value for name, _, value in VALUES}
    path.write_text(json.dumps(values))  # JSON is YAML
    settings = JobflowRemoteSettings()
    assert settings.model_dump() == {**values, "config_file": str(path)}


def test_precedence(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_home / ".jfremote.yaml").write_text("project: of_file\ncli_full_exc: true\ncli_log_level: info\n")
    monkeypatch.setenv("JFREMOTE_PROJECT", "of_variable")
    monkeypatch.setenv("JFREMOTE_CLI_LOG_LEVEL", "debug")
    settings = JobflowRemoteSettings(cli_log_level="error")
    assert (settings.project, settings.cli_full_exc, settings.cli_log_level) == ("of_variable", True, "error")


def test_a_missing_or_empty_file_is_no_problem(own_home: Path) -> None:
    assert JobflowRemoteSettings(config_file="/does/not/exist.yaml").project is None
    (own_home / ".jfremote.yaml").write_text("# nothing yet\n")
    assert JobflowRemoteSettings().project is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("project: a\nprojets_folder: /x\n", ["projets_folder", "line 2", "did you mean `projects_folder`"]),
        ("cli_full_exc: perhaps\n", ["cli_full_exc", "true or false"]),
        ("cli_job_list_columns: 3\n", ["cli_job_list_columns", "list"]),
        ("cli_log_level: loud\n", ["cli_log_level", "debug"]),
        ("a: [1\n", ["line", ".jfremote.yaml"]),
    ],
)
def test_mistakes_in_the_file(own_home: Path, content: str, words: list[str]) -> None:
    (own_home / ".jfremote.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        JobflowRemoteSettings()
    for word in [*words, ".jfremote.yaml"]:
        assert word in str(caught.value)


def test_mistakes_in_variables_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="did you mean `project`"):
        JobflowRemoteSettings(projet="x")
    monkeypatch.setenv("JFREMOTE_CLI_JOB_LIST_COLUMNS", "db_id,name")
    with pytest.raises(ConfigError, match=r"JFREMOTE_CLI_JOB_LIST_COLUMNS.*JSON list"):
        JobflowRemoteSettings()


def test_unknown_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JFREMOTE_PROJECT_FOLDER", "/x")
    JobflowRemoteSettings()
    environ = {"JFREMOTE_PROJECT_FOLDER": "/x", "jfremote_project": "p", "PATH": "y", "JFREMOTE_XQZ": "1"}
    assert unknown_variables(environ) == [
        ("JFREMOTE_PROJECT_FOLDER", "JFREMOTE_PROJECTS_FOLDER"),
        ("JFREMOTE_XQZ", None),
    ]


def test_the_settings_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = JobflowRemoteSettings(project="mine")
    monkeypatch.setitem(vars(jobflow_remote), "SETTINGS", mine)
    assert get_settings() is mine
    mine.project = "changed"
    assert get_settings().project == "changed"
    monkeypatch.delitem(vars(jobflow_remote), "SETTINGS")
    assert get_settings() is module.SETTINGS
    assert jobflow_remote.SETTINGS is module.SETTINGS
