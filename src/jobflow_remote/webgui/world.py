"""The projects of this user, opened when somebody looks at them. Which project is meant, each request says itself."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.manager import ConfigManager
from jobflow_remote.config.project import Project
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.queuedb import open_queue_database
from jobflow_remote.services.opened import Services
from jobflow_remote.webgui.live import Hub
from jobflow_remote.webgui.tasks import Tasks

Stamp = tuple[int, int]


@dataclass
class Opened:
    """One project while the server runs."""

    name: str
    filepath: Path
    stamp: Stamp
    services: Services
    hub: Hub
    tasks: Tasks = field(default_factory=Tasks)

    @property
    def project(self) -> Project:
        """Its configuration."""
        return self.services.project

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Services]:
        """Services with hosts of their own, for a request that talks to hosts: nobody else hangs up on it."""
        yield replace(self.services, _hosts={})


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file in the folder of projects."""

    filepath: str
    name: str | None
    problem: str | None = None
    workers: tuple[str, ...] = ()
    queue: str = ""


def _stamp(path: Path) -> Stamp:
    info = os.stat(path)
    return info.st_mtime_ns, info.st_size


class World:
    """All projects."""

    def __init__(self, *, first: str | None = None, read_only: bool = False) -> None:
        self.first, self.read_only = first, read_only
        self._opened: dict[str, Opened] = {}
        self._former: list[Opened] = []
        self._opening = threading.Lock()

    def list_projects(self) -> list[ProjectFile]:
        """Project files, also those that cannot be read, with the reason."""
        found = []
        for path, content in ConfigManager().read_files():
            if isinstance(content, Exception):
                found.append(ProjectFile(str(path), None, str(content)))
            else:
                project = content.project
                found.append(
                    ProjectFile(
                        str(path), project.name, None, tuple(project.workers), project.queue_spec().kind
                    )
                )
        return found

    def default_name(self) -> str | None:
        """The project to begin with; None if it has to be chosen."""
        try:
            return ConfigManager().select_project_name(self.first)
        except JobflowRemoteError:
            return None

    def open(self, name: str) -> Opened:
        """A project, as its file says now.

        Raises
        ------
        ConfigError
            If there is no such project, or its file cannot be used.
        """
        known = self._opened.get(name)
        with contextlib.suppress(OSError):
            if known is not None and _stamp(known.filepath) == known.stamp:
                return known
        with self._opening:
            if self._opened.get(name) is known:
                data = ConfigManager().get_project_data(name)
                if known is not None:
                    self._former.append(known)
                spec = data.project.queue_spec()
                self._opened[name] = Opened(
                    name=name,
                    filepath=Path(data.filepath),
                    stamp=_stamp(Path(data.filepath)),
                    services=services_of(data.project),
                    hub=Hub(lambda: open_queue_database(spec)),
                )
            return self._opened[name]

    def end_streams(self) -> None:
        """Tell all browsers that the server ends."""
        for opened in [*self._opened.values(), *self._former]:
            opened.hub.close()

    def close(self) -> None:
        """Close everything."""
        self.end_streams()
        for opened in [*self._opened.values(), *self._former]:
            opened.services.close()
        self._opened.clear()
        self._former.clear()
