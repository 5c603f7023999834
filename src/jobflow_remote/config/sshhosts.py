"""Hosts that the user's SSH configuration names. Standard library only; nothing is connected."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DEEPEST = 8
"""Of files that include files."""


@dataclass(frozen=True, slots=True)
class SshHost:
    """A name that can be given to ``ssh``, and what is said of it."""

    name: str
    address: str | None = None
    user: str | None = None

    @property
    def description(self) -> str:
        """For lists: ``name (user@address)``."""
        where = "@".join(each for each in (self.user, self.address) if each)
        return f"{self.name} ({where})" if where else self.name


def read_ssh_hosts(path: Path | None = None) -> list[SshHost]:
    """Hosts of ``~/.ssh/config`` (of another file), patterns left out, in the order of the file."""
    hosts: dict[str, dict[str, str]] = {}
    current: list[str] = []
    for keyword, value in _read(path or Path.home() / ".ssh" / "config", 0):
        if keyword == "host":
            current = [name for name in value.split() if not set(name) & set("*?!")]
            for name in current:
                hosts.setdefault(name, {})
        elif keyword == "match":
            current = []
        else:
            for name in current:
                hosts[name].setdefault(keyword, value)  # as ssh does: the first one counts
    return [SshHost(name, said.get("hostname"), said.get("user")) for name, said in hosts.items()]


def _read(path: Path, depth: int) -> Iterator[tuple[str, str]]:
    """Keywords in lower case, and their values."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        keyword, _, value = line.strip().replace("=", " ", 1).partition(" ")
        value = value.strip().strip('"')
        if not value or keyword.startswith("#"):
            continue
        if keyword.lower() == "include" and depth < _DEEPEST:
            for pattern in value.split():
                place = os.path.join(Path.home() / ".ssh", os.path.expanduser(pattern))
                for found in sorted(glob.glob(place)):
                    yield from _read(Path(found), depth + 1)
        else:
            yield keyword.lower(), value
