"""A real OpenSSH server for tests, on a free loopback port, with a host key and a user key of its own.

Works as root and as anybody else (who can then log in as themselves only). Everything is below one folder: nothing
of the machine's own SSH configuration is read or changed.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.services.debian import (
    ServiceMissingError,
    descendants,
    free_ports,
    need_packages,
    run,
    wait_until,
)

_CONF = """\
# written by the tests of jobflow-remote
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100:30:200
LogLevel VERBOSE
"""
_CLIENT = """\
Host {alias}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    ConnectTimeout 10
    LogLevel ERROR
"""


def find_sshd() -> Path:
    """The server's binary; installed if it is missing and we are root on a Debian."""
    found = _which_sshd()
    if found is None:
        need_packages("openssh-server", "openssh-client")
        found = _which_sshd()
    if found is None:
        raise ServiceMissingError("no sshd in PATH or /usr/sbin")
    return Path(found)


def _which_sshd() -> str | None:
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")


class Sshd:
    """One server, started and stopped by its pid.

    Parameters
    ----------
    folder
        For keys, configuration and log.
    options
        Lines of ``sshd_config`` on top (``{"MaxSessions": "1"}``); they have precedence.
    alias
        Name of the server in :attr:`client_config`.
    """

    def __init__(
        self, folder: Path, *, options: Mapping[str, str] | None = None, alias: str = "jf-test"
    ) -> None:
        self.folder = folder
        self.options = dict(options or {})
        self.alias = alias
        self.port = free_ports(1)[0]
        self.user = getpass.getuser()
        self.binary: Path | None = None
        """The server's program under another name (PAM knows it by that); None: as it is installed."""
        self._process: subprocess.Popen[bytes] | None = None

    # -- files -------------------------------------------------------------------------------------------------

    @property
    def user_key(self) -> Path:
        """Private key that may log in; ``.pub`` beside it."""
        return self.folder / "user_key"

    @property
    def known_hosts(self) -> Path:
        """The host key, as clients keep it."""
        return self.folder / "known_hosts"

    @property
    def client_config(self) -> Path:
        """For ``ssh -F``: the server under its alias."""
        return self.folder / "ssh_config"

    @property
    def log(self) -> str:
        """What the server has said."""
        return (self.folder / "sshd.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Of the listening server."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def add_user_key(self, public_key: str) -> None:
        """Let another key log in."""
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(public_key.strip() + "\n")

    # -- life --------------------------------------------------------------------------------------------------

    def start(self) -> Sshd:
        """Start it (again) and wait until it listens."""
        binary = self.binary or find_sshd()
        self._write_files()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it separates privileges
        config = self.folder / "sshd_config"
        run([str(binary), "-t", "-f", str(config)])
        with (self.folder / "sshd.log").open("ab") as log:
            command = [str(binary), "-D", "-e", "-f", str(config)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._listens, 10, f"sshd does not listen: {self.log[-500:]}")
        return self

    def stop(self) -> None:
        """End it and its sessions."""
        if self._process is None:
            return
        for pid in [*self.sessions(), self._process.pid]:
            _signal(pid, signal.SIGCONT)
            _signal(pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def drop(self) -> None:
        """Break the connections of all sessions; the server goes on listening."""
        for pid in self.sessions():
            _signal(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Have it answer nothing (a login node that hangs)."""
        for pid in [self.pid, *self.sessions()]:
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in [self.pid, *self.sessions()]:
            _signal(pid, signal.SIGCONT)

    def sessions(self) -> list[int]:
        """Processes of the server that serve connections (not the commands that run in them)."""
        return [pid for pid in descendants(self.pid) if _command(pid).startswith("sshd")]

    def renew_host_key(self) -> None:
        """Another host key at the next start; :attr:`known_hosts` keeps the former one."""
        for path in (self.folder / "host_key", self.folder / "host_key.pub"):
            path.unlink()
        _make_key(self.folder / "host_key")

    # -- inside ------------------------------------------------------------------------------------------------

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for key in (self.folder / "host_key", self.user_key):
            if not key.exists():
                _make_key(key)
        authorized = self.folder / "authorized_keys"
        if not authorized.exists():
            shutil.copy(self.user_key.with_suffix(".pub"), authorized)
        if not self.known_hosts.exists():
            kind, text = (self.folder / "host_key.pub").read_text().split()[:2]
            self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")
        # sshd takes the first of two values
        options = {"Subsystem": "sftp internal-sftp", **self.options}
        lines = "".join(f"{name} {value}\n" for name, value in options.items())
        text = _CONF.format(port=self.port, folder=self.folder)
        (self.folder / "sshd_config").write_text(lines + text)
        self.client_config.write_text(
            _CLIENT.format(
                alias=self.alias,
                port=self.port,
                user=self.user,
                key=self.user_key,
                known_hosts=self.known_hosts,
            )
        )

    def _listens(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise ServiceMissingError(f"sshd did not start: {self.log[-500:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
            return probe.recv(4) == b"SSH-"
        return False


def _make_key(path: Path) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)])


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
