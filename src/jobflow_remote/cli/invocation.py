"""One run of ``jf``: its global options, and what it opened. Opened on first use, closed at the end."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobflow_remote.cli.output import print_banner, print_message

if TYPE_CHECKING:
    from jobflow_remote.config.project import Project
    from jobflow_remote.config.settings import JobflowRemoteSettings
    from jobflow_remote.config.snapshot import ProjectSnapshot
    from jobflow_remote.queuedb.port import QueueDatabase
    from jobflow_remote.services.opened import Services


@dataclass
class Invocation:
    """What the command that runs was told, and has opened."""

    project_name: str | None = None
    full_exc: bool = False
    profile: bool = False
    _closers: list[Callable[[], None]] = field(default_factory=list)
    _bannered: bool = False
    _of_runner: tuple[Project, ProjectSnapshot] | None = None

    @property
    def settings(self) -> JobflowRemoteSettings:
        """The settings in force."""
        from jobflow_remote.config.settings import get_settings

        return get_settings()

    def choose_project(self, name: str) -> None:
        """Make a project the default until the command ends, for what asks for none by name (plug-ins)."""
        settings = self.settings
        former, settings.project = settings.project, name
        self._closers.append(lambda: setattr(settings, "project", former))

    def announce(self, name: str, filepath: object, *, for_machines: bool = False) -> None:
        """Print the banner, once."""
        if not self._bannered:
            print_banner(name, str(filepath), for_machines=for_machines)
            self._bannered = True

    def project(self, *, for_machines: bool = False) -> ProjectSnapshot:
        """The selected project: name, folders, queue database. Nothing is opened."""
        from jobflow_remote.config.snapshot import load_snapshot

        snapshot = self._of_runner[1] if self._of_runner else load_snapshot(self.project_name)
        self.announce(snapshot.name, snapshot.filepath, for_machines=for_machines)
        return snapshot

    def project_of_runner(self, *, for_machines: bool = False) -> Project:
        """The project as the runner that works knows it, else as its file says; from now on the selected project.

        So that a runner can be asked and stopped whatever has become of the file meanwhile.
        """
        from jobflow_remote.control.runnerproject import find_project

        if self._of_runner is None:
            found = find_project(self.project_name)
            self._of_runner = (found.project, found.snapshot)
            self.announce(found.project.name, found.snapshot.filepath, for_machines=for_machines)
            if found.problem:
                print_message(
                    f"{found.problem}\nWhat follows is about the runner, which goes on as before.",
                    style="gold1",
                    to_stderr=True,
                )
        return self._of_runner[0]

    def queue(self, *, for_machines: bool = False) -> QueueDatabase:
        """The queue database of the selected project."""
        from jobflow_remote.queuedb import open_queue_database

        queue = open_queue_database(self.project(for_machines=for_machines).queue_spec)
        self._closers.append(queue.close)
        return queue

    def services(self, *, for_machines: bool = False) -> Services:
        """Everything of the selected project, for commands that need more than the queue database."""
        from jobflow_remote.bootstrap import open_services

        self.project(for_machines=for_machines)
        services = open_services(self.project_name)
        self._closers.append(services.close)
        return services

    def on_close(self, close: Callable[[], None]) -> None:
        """Have something else closed at the end."""
        self._closers.append(close)

    def close(self) -> None:
        """Close what was opened."""
        while self._closers:
            self._closers.pop()()


_CURRENT: ContextVar[Invocation] = ContextVar("jobflow_remote_invocation")


def begin(invocation: Invocation) -> None:
    """Make this the run that commands see."""
    _CURRENT.set(invocation)


def current() -> Invocation:
    """The run that is going on."""
    try:
        return _CURRENT.get()
    except LookupError:
        invocation = Invocation()
        _CURRENT.set(invocation)
        return invocation
