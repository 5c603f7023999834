"""The project file of a runner that works: looked at now and then, and before a job is rendered.

A valid change takes effect; of any other one it is known why it did not.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobflow_remote.config.inuse import keep_in_use, read_in_use
from jobflow_remote.config.manager import ConfigManager
from jobflow_remote.config.project import Project
from jobflow_remote.config.revision import find_changes, project_digest
from jobflow_remote.errors import ConfigError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import Document

logger = logging.getLogger(__name__)

_SETTLING_NS = 100_000_000
"""A file that was written so shortly ago may change again without changing its time."""


@dataclass(frozen=True, slots=True)
class InUse:
    """The configuration by which a process works."""

    digest: str
    since: datetime
    file: str | None = None
    problem: str | None = None
    """Why the file as it is now is not used."""
    problem_since: datetime | None = None

    def as_document(self) -> Document:
        """For the queue database."""
        return {
            "digest": self.digest,
            "since": self.since,
            "file": self.file,
            "problem": self.problem,
            "problem_since": self.problem_since,
        }


class ConfigurationWatch:
    """One per process; :meth:`look` is called in one thread at a time.

    Parameters
    ----------
    filepath
        Where the project was read; None: it comes from elsewhere and never changes.
    problem
        Why that file cannot be used, if the project is the copy that the runner kept.
    """

    def __init__(self, project: Project, filepath: Path | None, *, problem: str | None = None) -> None:
        self.project, self.filepath = project, filepath
        self._seen: object = None  # the first look reads it again: it may have changed meanwhile
        now = utcnow()
        self.in_use = InUse(
            project_digest(project), now, str(filepath or "") or None, problem, now if problem else None
        )

    @classmethod
    def read(cls, project_name: str | None, *, fall_back: bool) -> ConfigurationWatch:
        """Read the project; with ``fall_back`` from the copy that the runner kept, if its file is broken.

        Raises
        ------
        ConfigError
            If the file cannot be used, and there is no copy, or it is not to be used.
        """
        began = time.time_ns()
        try:
            data = ConfigManager().get_project_data(project_name)
        except ConfigError as error:
            kept = read_in_use(project_name) if fall_back and project_name else None
            if kept is None:
                raise
            return cls(*kept, problem=error.message)
        watch = cls(data.project, data.filepath)
        if os.stat(data.filepath).st_ctime_ns < began - _SETTLING_NS:
            watch._seen = _state_of(data.filepath)
        keep_in_use(data.project, data.filepath)
        return watch

    def look(self) -> Project | None:
        """The project, if its file has changed and the runner can go on by it."""
        if self.filepath is None:
            return None
        state = _state_of(self.filepath)
        if state is not None and state == self._seen:
            return None
        self._seen = state
        try:
            data = ConfigManager().get_project_data(self.project.name)
        except ConfigError as error:
            if state is not None:  # else it is being written
                self._refuse(error.message)
            return None
        self.filepath = data.filepath
        changes = find_changes(self.project, data.project)
        if changes.fixed:
            self._refuse(_restart_needed(changes.fixed))
            return None
        if not changes:
            self._accept(self.project)
            return None
        logger.warning("the project file changed: %s", changes.describe())
        self._accept(data.project)
        return data.project

    def _refuse(self, problem: str) -> None:
        if problem == self.in_use.problem:
            return
        logger.error("the changed project file is not used, the runner goes on as before: %s", problem)
        known = self.in_use
        self.in_use = InUse(known.digest, known.since, str(self.filepath), problem, utcnow())

    def _accept(self, project: Project) -> None:
        known, digest = self.in_use, project_digest(project)
        if known.problem is not None:
            logger.warning("the project file can be used again")
        since = known.since if project is self.project else utcnow()
        self.project, self.in_use = project, InUse(digest, since, str(self.filepath))
        keep_in_use(project, str(self.filepath))


def _restart_needed(keys: Iterable[str]) -> str:
    names = ", ".join(f"`{key}`" for key in keys)
    return f"another {names} takes a runner that is started again: `jf runner restart`"


def _state_of(path: Path) -> object:
    """Something that changes when the file does; None: it may change without that just now, look again."""
    try:
        status = os.stat(path)
    except OSError:
        return "gone"
    if abs(time.time_ns() - status.st_ctime_ns) < _SETTLING_NS:
        return None
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
