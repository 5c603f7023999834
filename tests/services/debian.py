"""Debian packages and daemons for test services: installed on demand, started without systemd, ended by pid."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal as signals
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_POLICY = Path("/usr/sbin/policy-rc.d")


class ServiceMissingError(Exception):
    """The service cannot be had here."""


def _path() -> str:
    """Where commands are, those of root included."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def need_packages(*packages: str) -> None:
    """Install what is missing, if this is a Debian and we are root, without starting any service of it."""
    if not shutil.which("dpkg-query"):
        raise ServiceMissingError(f"this is no Debian: {', '.join(packages)} cannot be installed")
    if not _missing(packages):
        return
    if os.geteuid() != 0:
        raise ServiceMissingError(f"not root, and not installed: {', '.join(_missing(packages))}")
    with open("/tmp/.jobflow-remote-tests-apt.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = _missing(packages)
        if missing:
            _install(missing)


def _missing(packages: Iterable[str]) -> list[str]:
    return [package for package in packages if not _is_installed(package)]


def _is_installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


def _install(packages: list[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": _path()}
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-y", "--no-install-recommends"]
    made_policy = not _POLICY.exists()
    if made_policy:  # no service is started by being installed
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        for refresh in (False, True):
            if refresh:
                subprocess.run(
                    [*apt, "update"], env=env, capture_output=True, check=False, stdin=subprocess.DEVNULL
                )
            done = subprocess.run(
                [*apt, "install", *packages], env=env, capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            if done.returncode == 0:
                return
    finally:
        if made_policy:
            _POLICY.unlink()
    raise ServiceMissingError(
        f"{', '.join(packages)} could not be installed: {(done.stderr or done.stdout)[-500:]}"
    )


def free_ports(number: int) -> list[int]:
    """Ports of the loopback address that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def run(command: list[str], *, env: Mapping[str, str] | None = None, check: bool = True) -> str:
    """What a command prints; its error output in the exception if it fails."""
    done = subprocess.run(
        command, env={**os.environ, "PATH": _path(), **(env or {})}, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    if check and done.returncode:
        raise ServiceMissingError(f"{' '.join(command)} failed: {(done.stderr or done.stdout)[-500:]}")
    return done.stdout


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Ask again and again; an exception with ``what`` when the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceMissingError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


@dataclass(frozen=True)
class Daemon:
    """A process that put itself into the background: its pid, and its start time since pids are used again."""

    pid: int
    started: str

    @classmethod
    def from_pidfile(cls, path: Path, seconds: float = 10) -> Daemon:
        """The process that a pid file names, once it does."""

        def named() -> bool:
            words = path.read_text().split() if path.is_file() else []
            return bool(words) and start_time(int(words[0])) != ""

        wait_until(named, seconds, f"{path} names no process")
        pid = int(path.read_text().split()[0])
        return cls(pid, start_time(pid))

    @property
    def alive(self) -> bool:
        """Whether that very process lives."""
        return start_time(self.pid) == self.started != ""

    def signal(self, number: signals.Signals) -> None:
        """Send a signal, if it lives."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self, number: signals.Signals = signals.SIGTERM, *, seconds: float = 10) -> None:
        """End it; ``kill -9`` when it takes too long."""
        self.signal(signals.SIGCONT)
        self.signal(number)
        try:
            wait_until(lambda: not self.alive, seconds, f"process {self.pid} does not end")
        except ServiceMissingError:
            self.signal(signals.SIGKILL)
            wait_until(lambda: not self.alive, 5, f"process {self.pid} cannot be killed")


def start_time(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty if there is none (a zombie is none)."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[19]


def descendants(pid: int) -> list[int]:
    """Processes below one, the youngest generation first."""
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    children = [int(word) for word in done.stdout.split()]
    return [found for child in children for found in (*descendants(child), child)]
