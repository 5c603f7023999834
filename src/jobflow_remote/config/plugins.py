"""Schedulers and transports that other packages bring, each under a name by which project files call it.

A package registers them as entry points; nothing is looked for as long as project files name ours only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jobflow_remote.errors import ConfigError

SCHEDULERS_GROUP = "jobflow_remote.schedulers"
"""Name → function that makes a ``Scheduler`` of ``HostOptions``."""
TRANSPORTS_GROUP = "jobflow_remote.transports"
"""Name → function that makes a ``Host`` of a ``Login`` and ``ShellOptions``."""


def plugin_names(group: str) -> list[str]:
    """Names that installed packages have registered."""
    from importlib.metadata import entry_points

    return sorted({point.name for point in entry_points(group=group)})


def known_names(ours: Iterable[str], group: str) -> list[str]:
    """Our names, and those of installed packages."""
    return [*ours, *plugin_names(group)]


def load_plugin(group: str, name: str) -> Any:
    """What was registered under a name.

    Raises
    ------
    ConfigError
        If there is no such name, or it cannot be imported.
    """
    from importlib.metadata import entry_points

    for point in entry_points(group=group, name=name):
        try:
            return point.load()
        except Exception as error:
            raise ConfigError(f"the plug-in {name} ({point.value}) cannot be imported: {error}") from error
    raise ConfigError(f"no installed package brings {name!r}", hint=f"entry points of the group {group}")
