"""Whether what the warm process has imported is still what a new interpreter would import."""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from collections.abc import Iterable

_FAR_EVERY_SECONDS = 1.0
"""How often files are looked at that only an installer changes."""

Stamp = tuple[int, int]


class Freshness:
    """The files of all modules as they were when they were imported.

    What people edit (everything outside of ``site-packages``, and what they named) is looked at each time; the many
    files of installed packages once a second, and the folders into which packages are installed each time.

    Parameters
    ----------
    named
        Modules that a person named, with those below them.
    since
        When importing began (``time.time``): a file that was written later may have been read before.
    """

    def __init__(self, named: Iterable[str] = (), *, since: float | None = None) -> None:
        installed = _installation_folders()
        tops = {name.partition(".")[0] for name in named}
        self._near: dict[str, Stamp | None] = {folder: _stamp(folder) for folder in installed}
        self._far: dict[str, Stamp | None] = {}
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if not isinstance(path, str):
                continue
            is_near = name.partition(".")[0] in tops or not path.startswith(installed)
            (self._near if is_near else self._far)[path] = _stamp(path)
        self._next_far = time.monotonic() + _FAR_EVERY_SECONDS
        if since is not None:
            self._doubt(int(since * 1e9), time.time_ns())

    def _doubt(self, since: int, now: int) -> None:
        for path, stamp in self._near.items():
            if stamp is not None and since < stamp[0] <= now and os.path.isfile(path):
                self._near[path] = None

    def changed(self) -> str | None:
        """A file that is not what it was, or None."""
        files = self._near
        now = time.monotonic()
        if now >= self._next_far:
            self._next_far = now + _FAR_EVERY_SECONDS
            files = {**self._near, **self._far}
        return next((path for path, before in files.items() if _stamp(path) != before), None)


def _installation_folders() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return tuple(sorted({path for path in paths if path} | {p for p in sys.path if p.endswith("-packages")}))


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size)
