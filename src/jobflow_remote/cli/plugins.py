"""Plug-ins of the command line: packages that register a module under the entry point ``jobflow_remote.plugins``.

The module's ``setup_jf_plugin()`` is called when ``jf`` starts, and adds to :data:`jobflow_remote.cli.jf.app` what it
wants. A plug-in that fails costs a line on standard error and nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "jobflow_remote.plugins"
SETUP = "setup_jf_plugin"


@dataclass(frozen=True)
class Plugin:
    """A plug-in that is installed, and whether it could be used."""

    name: str
    module: str
    error: BaseException | None = None


def load_plugins() -> list[Plugin]:
    """Have all plug-ins that are installed set themselves up."""
    return [_load(entry, _set_up) for entry in _entry_points()]


def check_plugins() -> list[Plugin]:
    """All plug-ins that are installed, with the error of those that cannot be loaded; none is set up."""
    return [_load(entry, _setup_of) for entry in _entry_points()]


def _entry_points() -> list[EntryPoint]:
    if not _is_any_installed():
        return []
    from importlib.metadata import entry_points

    return list({entry.name: entry for entry in entry_points(group=GROUP)}.values())


def _load(entry: EntryPoint, use: Callable[[Any], object]) -> Plugin:
    try:
        use(entry.load())
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever a plug-in raises
        return Plugin(entry.name, entry.value, exc)
    return Plugin(entry.name, entry.value)


def _setup_of(module: Any) -> Any:
    setup = getattr(module, SETUP, None)
    if not callable(setup):
        raise TypeError(f"{getattr(module, '__name__', module)} has no function {SETUP}()")
    return setup


def _set_up(module: Any) -> None:
    _setup_of(module)()


# -- is there one ----------------------------------------------------------------------------------


def _is_any_installed() -> bool:
    """Whether any package of the environment registers a plug-in.

    To import and ask ``importlib.metadata`` takes longer than all the rest of a listing's start.
    """
    return any(GROUP.encode() in content for content in _entry_point_files())


def _entry_point_files() -> Iterator[bytes]:
    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or ".")
        except OSError:  # an archive, or nothing at all
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                try:
                    with open(os.path.join(folder, name, "entry_points.txt"), "rb") as file:
                        yield file.read()
                except OSError:
                    continue
