"""Ending the runners of several projects at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobflow_remote.config.project import Project
from jobflow_remote.daemon.manager import DaemonManager, DaemonStatus
from jobflow_remote.daemon.programs import End
from jobflow_remote.errors import JobflowRemoteError

_POLL_SECONDS = 0.1


def end_one(manager: DaemonManager, how: End, *, wait: bool = False) -> bool:
    """End the runner of a project; False if there was nothing to do."""
    actions: dict[End, Callable[..., bool]] = {
        End.STOP: manager.stop,
        End.SHUTDOWN: manager.shut_down,
        End.KILL: manager.kill,
    }
    return actions[how](wait=wait)


def _is_at_rest(manager: DaemonManager, how: End) -> bool:
    status = manager.check_status(False)
    return status is DaemonStatus.SHUT_DOWN or (how is not End.SHUTDOWN and status is DaemonStatus.STOPPED)


@dataclass
class Ended:
    """What came of it, by name of the project."""

    acted: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Not at rest within the time that was allowed."""
    problems: dict[str, str] = field(default_factory=dict)


def end_everywhere(
    projects: Mapping[str, Project], how: End, *, wait: bool = False, max_wait_seconds: float = 120
) -> Ended:
    """End the runners that projects have on this machine; ``wait`` until all have ended, if not too long."""
    ended = Ended()
    managers = {name: DaemonManager.from_project(project) for name, project in projects.items()}
    for name, manager in managers.items():
        try:
            if not _is_at_rest(manager, how) and end_one(manager, how):
                ended.acted.append(name)
        except JobflowRemoteError as error:
            ended.problems[name] = error.message
    if wait:
        ended.late = _wait({name: managers[name] for name in ended.acted}, how, max_wait_seconds)
    return ended


def _wait(managers: Mapping[str, DaemonManager], how: End, max_wait_seconds: float) -> list[str]:
    end = time.monotonic() + max_wait_seconds
    left = dict(managers)
    while True:
        left = {name: each for name, each in left.items() if not _is_at_rest(each, how)}
        if not left or time.monotonic() > end:
            return list(left)
        time.sleep(_POLL_SECONDS)
