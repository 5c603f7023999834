"""How jobs shall run, as people say it: text → values, checked against the project.

For the command line and the pages alike. What a change means is decided in :mod:`jobflow_remote.control.act`; nothing
is imported here that listings do without.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobflow_remote.errors import ConfigError

if TYPE_CHECKING:
    from jobflow_remote.config.project import Project
    from jobflow_remote.model.decide.runsettings import RunSettings


def parse_dict(text: str | dict[str, Any]) -> dict[str, Any]:
    """A JSON object, or ``key=value,key=value`` with texts as values."""
    if isinstance(text, dict):
        return text
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        return value
    pairs = [chunk.split("=") for chunk in text.split(",")]
    if any(len(pair) != 2 or not pair[0].strip() for pair in pairs):
        raise ValueError(f"{text!r} is neither a JSON object nor key=value,key=value")
    return {key.strip(): content for key, content in pairs}


def parse_settings(text: str | dict[str, Any]) -> dict[str, Any]:
    """A JSON object, or ``key=value,key=value`` with values in JSON where they are, and texts else."""
    found = parse_dict(text)
    is_json = isinstance(text, dict) or text.lstrip().startswith("{")
    return found if is_json else {key: json_or_text(value) for key, value in found.items()}


def json_or_text(value: Any) -> Any:
    """A value of JSON, or the text as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        return value


def check_worker(project: Project, name: str) -> None:
    """Refuse a worker that the project does not have.

    Raises
    ------
    ConfigError
        It names those that there are.
    """
    if name not in project.workers:
        raise ConfigError(
            f"project {project.name} has no worker {name!r}",
            hint=f"its workers: {', '.join(project.workers) or 'none'}",
        )


def check_exec_config(project: Project, name: str) -> None:
    """Refuse an exec_config that the project does not have.

    Raises
    ------
    ConfigError
        It names those that there are.
    """
    if name not in project.exec_config:
        raise ConfigError(
            f"the project has no exec_config {name!r}",
            hint=f"it has {', '.join(project.exec_config) or 'none'}",
        )


def check_settings(project: Project, settings: RunSettings) -> None:
    """Refuse a worker or an exec_config that the project does not have; raises as these do."""
    if settings.worker is not None:
        check_worker(project, settings.worker)
    if isinstance(settings.exec_config, str):
        check_exec_config(project, settings.exec_config)


def make_qresources(values: dict[str, Any]) -> dict[str, Any]:
    """A serialised QResources of these keys.

    Raises
    ------
    ConfigError
        If it does not know them.
    """
    from qtoolkit.core.data_objects import QResources

    try:
        serialised: dict[str, Any] = QResources(**values).as_dict()
    except Exception as error:
        raise ConfigError(f"these are no QResources: {error}") from error
    return serialised


def read_settings(
    project: Project,
    *,
    worker: str = "",
    exec_config: str = "",
    resources: str = "",
    priority: str = "",
    replace: bool = False,
    qresources: bool = False,
) -> RunSettings:
    """What the fields of a form say; those that are empty leave things as they are.

    Raises
    ------
    ConfigError
        If one cannot be understood, or the project has nothing of the name.
    """
    from jobflow_remote.model.decide.runsettings import RunSettings

    if worker:
        check_worker(project, worker)
    if exec_config:
        check_exec_config(project, exec_config)
    values = None
    if resources:
        try:
            values = parse_settings(resources)
        except ValueError as error:
            raise ConfigError(f"the resources cannot be read: {error}") from None
        values = make_qresources(values) if qresources else values
    try:
        number = int(priority) if priority else None
    except ValueError:
        raise ConfigError(f"the priority has to be a whole number, not {priority!r}") from None
    return RunSettings(
        worker=worker or None,
        exec_config=exec_config or None,
        resources=values,
        priority=number,
        merge=not replace,
    )
