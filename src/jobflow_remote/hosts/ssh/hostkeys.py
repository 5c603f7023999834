"""Whether a host is the one that it was: ``known_hosts``, as OpenSSH reads and writes it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from jobflow_remote.errors import HostKeyError


@dataclass
class HostKeys:
    """The keys on record, and the rule for hosts that have none."""

    files: Sequence[Path]
    """The first one is written to."""
    accept_new: bool
    by_alias: bool = False
    """The SSH configuration names the host (``HostKeyAlias``): the port does not matter."""
    refusal: HostKeyError | None = None
    """Why the last key was not accepted."""

    def known(self, host: str, addr: str, port: int | None) -> Any:
        """Keys, authorities and revoked keys on record for a host (asyncssh asks with the default port as none)."""
        hosts = asyncssh.import_known_hosts(self._text())
        found = hosts.match(_entry(host, port), "", None)
        if port and not any(found[:2]):
            # a key recorded without port is good for any, but says nothing against another one
            plain = hosts.match(host, "", None)
            return plain if any(plain[:2]) else found
        return found

    def accept(self, host: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Whether to go on with a host whose key is not on record; records it."""
        entry = _entry(host, None if self.by_alias or port == 22 else port)
        kind, shown = key.get_algorithm(), key.get_fingerprint()
        recorded = asyncssh.import_known_hosts(self._text()).match(entry, "", None)[0]
        if any(each.public_data == key.public_data for each in recorded):
            return True  # another login to the same host has recorded it in this moment
        if recorded:
            others = ", ".join(f"{each.get_algorithm()} {each.get_fingerprint()}" for each in recorded)
            self.refusal = HostKeyError(
                f"the host key of {entry} has changed: it shows {kind} {shown}, on record is {others}",
                hint=f"ask its administrators whether it got a new key; if so: ssh-keygen -R '{entry}' "
                f"-f {self.files[0]}; if not, somebody may be in between",
            )
            return False
        if not self.accept_new:
            self.refusal = HostKeyError(
                f"the host key of {entry} is not known: it shows {kind} {shown}",
                hint=f"compare it with what its administrators publish and log in once with `ssh`, which records it in "
                f"{self.files[0]}; or set `host_keys: accept-new` for the worker",
            )
            return False
        self._record(entry, key)
        return True

    def _text(self) -> str:
        return "\n".join(line for path in self.files for line in _readable_lines(path))

    def _record(self, entry: str, key: asyncssh.SSHKey) -> None:
        path = self.files[0]
        if path == Path(os.devnull):
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        line = f"{entry} {key.export_public_key('openssh').decode().strip()}\n"
        with open(path, "a+", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            if line not in text.splitlines(keepends=True):
                file.write(line if not text or text.endswith("\n") else "\n" + line)


def _entry(host: str, port: int | None) -> str:
    return f"[{host}]:{port}" if port else host


def _readable_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if len(line.split()) >= 3 and not line.startswith("#")]
