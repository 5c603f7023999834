"""Settings of the user, the same for all projects: ``~/.jfremote.yaml`` and ``JFREMOTE_…`` variables.

Standard library only (the YAML reader is imported if there is a settings file to read): every command reads
the settings, also those that must start fast.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jobflow_remote.config.loglevel import LogLevel
from jobflow_remote.config.nearest import did_you_mean
from jobflow_remote.errors import ConfigError

DEFAULT_PROJECTS_FOLDER = Path("~/.jfremote").expanduser().as_posix()
DEFAULT_CONFIG_FILE_PATH = Path("~/.jfremote.yaml").expanduser().as_posix()
ENV_PREFIX = "JFREMOTE_"

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})


def _read_text(value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise ValueError("should be a text")
    return os.fspath(value)


def _read_path(value: Any) -> str:
    return os.path.expanduser(_read_text(value))


def _read_optional_text(value: Any) -> str | None:
    return None if value is None else _read_text(value)


def _read_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("should be true or false")
    return word in _TRUE


def _read_level(value: Any) -> LogLevel:
    try:
        return LogLevel(str(value).lower())
    except ValueError:
        raise ValueError(f"should be one of {', '.join(LogLevel)}") from None


def _read_columns(value: Any) -> list[str] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise ValueError('should be a JSON list, such as ["db_id", "name", "state"]') from None
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(column, str) for column in value):
        raise ValueError("should be a list of names of columns")
    return list(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "config_file": _read_path,
    "projects_folder": _read_path,
    "project": _read_optional_text,
    "cli_full_exc": _read_bool,
    "cli_suggestions": _read_bool,
    "cli_log_level": _read_level,
    "cli_job_list_columns": _read_columns,
    "cli_load_plugins": _read_bool,
}


@dataclass(init=False)
class JobflowRemoteSettings:
    """What holds for all projects of a user.

    Sources, the first that says something wins: arguments, ``JFREMOTE_<NAME>`` variables (in any case),
    the settings file, defaults.

    Raises
    ------
    ConfigError
        If a value cannot be used, or the settings file has an unknown key. Unknown variables are ignored.
    """

    config_file: str
    """The settings file, YAML or JSON."""
    projects_folder: str
    """Folder with the project files."""
    project: str | None
    """Project to use when a command names none."""
    cli_full_exc: bool
    """Show tracebacks of errors."""
    cli_suggestions: bool
    """Show hints after some commands."""
    cli_log_level: LogLevel
    """How much commands log, to stderr."""
    cli_job_list_columns: list[str] | None
    """Columns of ``jf job list``."""
    cli_load_plugins: bool
    """Load commands that other packages bring."""

    def __init__(self, **values: Any) -> None:
        unknown = sorted(set(values) - set(_READERS))
        if unknown:
            raise ConfigError(f"no setting is called {unknown[0]!r}" + did_you_mean(unknown[0], _READERS))
        given = {name: (value, f"argument `{name}`") for name, value in values.items()}
        given = _from_environment(os.environ) | given
        config_file, where = given.get("config_file", ("~/.jfremote.yaml", ""))
        config_file = _read("config_file", config_file, where)
        given = _from_file(config_file) | given
        defaults: dict[str, Any] = {
            "config_file": config_file,
            "projects_folder": "~/.jfremote",
            "project": None,
            "cli_full_exc": False,
            "cli_suggestions": True,
            "cli_log_level": LogLevel.WARN,
            "cli_job_list_columns": None,
            "cli_load_plugins": True,
        }
        for name, default in defaults.items():
            setattr(self, name, _read(name, *given.get(name, (default, ""))))

    def model_dump(self) -> dict[str, Any]:
        """All settings by name."""
        return asdict(self)


def _read(name: str, value: Any, where: str) -> Any:
    try:
        return _READERS[name](value)
    except ValueError as exc:
        raise ConfigError(f"setting `{name}` ({where}) {exc}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for variable in sorted(environ, reverse=True):  # capitals sort first: they are read last and win
        name = variable.lower().removeprefix(ENV_PREFIX.lower())
        if variable.upper().startswith(ENV_PREFIX) and name in _READERS and environ[variable]:
            found[name] = (environ[variable], f"environment variable {variable}")
    return found


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[tuple[str, str | None]]:
    """``JFREMOTE_…`` variables that mean nothing, each with the one that was probably meant."""
    from jobflow_remote.config.nearest import nearest_name

    variables = os.environ if environ is None else environ
    found: list[tuple[str, str | None]] = []
    for variable in sorted(variables):
        name = variable.lower().removeprefix(ENV_PREFIX.lower())
        if variable.upper().startswith(ENV_PREFIX) and name not in _READERS:
            meant = nearest_name(name, _READERS)
            found.append((variable, ENV_PREFIX + meant.upper() if meant else None))
    return found


def _from_file(path: str) -> dict[str, tuple[Any, str]]:
    if not os.path.isfile(path):
        return {}
    from jobflow_remote.config.projectfile import read_document

    document = read_document(path, kind="settings")
    unknown = sorted(set(document.data) - set(_READERS))
    if unknown:
        line = document.line_of((unknown[0],))
        place = f" (line {line} of {path})" if line else f" ({path})"
        raise ConfigError(f"no setting is called `{unknown[0]}`{place}" + did_you_mean(unknown[0], _READERS))
    return {name: (value, path) for name, value in document.data.items()}


def get_settings() -> JobflowRemoteSettings:
    """The settings in force: ``jobflow_remote.SETTINGS``, which may be changed or replaced at any time."""
    replaced = vars(sys.modules.get("jobflow_remote", sys)).get("SETTINGS")
    if isinstance(replaced, JobflowRemoteSettings):
        return replaced
    if "SETTINGS" not in globals():
        globals()["SETTINGS"] = JobflowRemoteSettings()
    settings: JobflowRemoteSettings = globals()["SETTINGS"]
    return settings


def setting_names() -> list[str]:
    """Names of all settings."""
    return [field.name for field in fields(JobflowRemoteSettings)]


def __getattr__(name: str) -> Any:
    if name == "SETTINGS":
        return get_settings()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
