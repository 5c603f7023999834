"""Bells: whoever writes to the queue wakes the runner's processes on this machine at once.

Each process of a runner listens on a datagram socket of its own in a folder of the project; ringing is one small
datagram to each. A bell is a hint: a lost one costs a few seconds (the runner also looks by itself), never a job.
Standard library only, since the command line rings too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

_LONGEST_PATH = 90
"""Paths of sockets may have 104 (macOS) to 108 (Linux) bytes."""
EVERYBODY = "*"
REPORT = "!report"
"""Rung instead of the name of a step: say what you do (see :mod:`jobflow_remote.engine.reporter`)."""


def bell_folder(daemon_dir: str | Path) -> Path:
    """Folder of the sockets: below ``daemon_dir``, or where that path is too long, in a private temporary folder."""
    folder = Path(daemon_dir) / "bells"
    if len(os.fsencode(folder)) + 32 <= _LONGEST_PATH:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"jobflow-remote-{os.getuid()}" / digest


def _is_private(folder: Path) -> bool:
    info = os.lstat(folder)
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077


def ring(daemon_dir: str | Path, steps: Iterable[str] = (EVERYBODY,)) -> int:
    """Wake the lanes of ``steps`` (all of them by default) in every runner process of the project on this machine.

    Returns how many processes were told. Sockets of processes that are gone are removed on the way.
    """
    message = ",".join(steps).encode()
    told = 0
    try:
        names = [entry.path for entry in os.scandir(bell_folder(daemon_dir)) if entry.name.endswith(".bell")]
    except OSError:
        return 0
    if not names:
        return 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for name in names:
            try:
                sender.sendto(message, name)
                told += 1
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    os.unlink(name)
            except BlockingIOError:
                told += 1  # its queue of bells is full: it is about to wake anyway
            except OSError:
                continue
    return told


class Bell:
    """The listening end: one per runner process."""

    def __init__(self, daemon_dir: str | Path, name: str) -> None:
        folder = bell_folder(daemon_dir)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_private(folder):
            folder.chmod(0o700)
        self.path = folder / f"{name}-{os.getpid()}.bell"
        self.path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(self.path))

    def fileno(self) -> int:
        """For the event loop."""
        return self._socket.fileno()

    def read(self) -> set[str]:
        """Steps that were rung for since the last call."""
        steps: set[str] = set()
        while True:
            try:
                steps |= set(self._socket.recv(4096).decode(errors="replace").split(","))
            except BlockingIOError:
                return steps

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self.path.unlink(missing_ok=True)
