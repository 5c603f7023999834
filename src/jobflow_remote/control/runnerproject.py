"""Which project a runner works on: its file may have been changed, broken or removed since the runner read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobflow_remote.config.inuse import names_in_use, read_in_use
from jobflow_remote.config.settings import get_settings
from jobflow_remote.config.snapshot import ProjectSnapshot, take_snapshot
from jobflow_remote.errors import ConfigError, ProjectParsingError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import CONFIGURATION_IN_USE, Document, RunnerSession
from jobflow_remote.services.session import is_runner_alive

if TYPE_CHECKING:
    from jobflow_remote.config.project import Project
    from jobflow_remote.queuedb.port import QueueDatabase


@dataclass(frozen=True, slots=True)
class Found:
    """A project, and what is wrong with its file, if it is not the file that says so."""

    project: Project
    snapshot: ProjectSnapshot
    problem: str | None = None


def find_project(project_name: str | None = None) -> Found:
    """The project by which the runner on this machine works, else the one that the file describes.

    Raises
    ------
    ConfigError
        If no runner works by it and the file cannot be used.
    """
    from jobflow_remote.config.manager import ConfigManager

    try:
        data = ConfigManager().get_project_data(project_name)
    except ProjectParsingError as error:
        return _kept(project_name, error)
    kept = read_in_use(data.project.name)
    if kept is not None and is_runner_alive(kept[0].daemon_dir):
        return Found(kept[0], take_snapshot(*kept))
    return Found(data.project, take_snapshot(data.project, data.filepath))


def _kept(project_name: str | None, error: ConfigError) -> Found:
    names = [name] if (name := project_name or get_settings().project) else names_in_use()
    kept = read_in_use(names[0]) if len(names) == 1 else None
    if kept is None:
        raise error
    return Found(kept[0], take_snapshot(*kept), error.message)


def configuration_in_use(queue: QueueDatabase, session: RunnerSession | None) -> Document | None:
    """By which configuration the runner of this session works: ``digest``, ``since``, ``file``, and as ``problem`` why
    it does not use the file as it is now; None if it has not said so yet, or does not answer."""
    if session is None or not session.is_live(utcnow()):
        return None
    told: Document | None = queue.get_auxiliary(CONFIGURATION_IN_USE)
    return told if told and told["since"] >= session.started_on else None
