"""Ways to log in, as people meet them: a key, a gateway, a host without SFTP, a shell that talks, one-time codes, …

:class:`Site` starts the servers when they are wanted, gives workers that log in to them, and hosts out of a pool of
its own. Servers for other users than ourselves take root.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import os
import secrets
import shutil
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.services.debian import ServiceMissingError, need_packages, run
from tests.services.sshd import Sshd, find_sshd

from jobflow_remote.config.workers import RemoteWorker, SeparatedTransferWorker
from jobflow_remote.hosts import openssh
from jobflow_remote.hosts.login import login_of
from jobflow_remote.hosts.pool import HostPool
from jobflow_remote.hosts.port import Host
from jobflow_remote.hosts.questions import Questions

Worker = RemoteWorker | SeparatedTransferWorker

OTP_SECRET = "JBSWY3DPEHPK3PXP"

_ONLY_FORWARDS = {
    "PermitTTY": "no",
    "ForceCommand": "echo 'this host only forwards connections' >&2; exit 1",
}
_NOISY = """\
#!/bin/bash
echo "Loading module gcc/12.2 ..."
echo "Lmod warning: the module foo/1.0 is deprecated" >&2
exec "$SHELL" -c "$SSH_ORIGINAL_COMMAND"
"""
_PAM = """\
# written by the tests of jobflow-remote
auth required pam_unix.so
auth required pam_google_authenticator.so secret={secret} user=root no_strict_owner allowed_perm=0600
account required pam_permit.so
session required pam_permit.so
"""


class Site:
    """Servers and ways to get to them.

    Parameters
    ----------
    folder
        For all files, the ``home`` of the client among them; the test has to set ``HOME`` to it, and to put
        :attr:`bin` first in ``PATH``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.bin = folder, folder / "home", folder / "bin"
        for each in (self.home / ".ssh", self.bin):
            each.mkdir(parents=True, mode=0o700)
        self.pool = HostPool()
        self.answers_given = 0
        self._servers: dict[str, Sshd] = {}
        self._password: str | None = None
        self.user = ""
        """Somebody with a password (a new one each time)."""
        self._pam_name = f"jf-sshd-{os.getpid()}"
        self._ends: list[Callable[[], object]] = []
        self._write_ssh()

    # -- servers -----------------------------------------------------------------------------------------------

    def server(self, kind: str) -> Sshd:
        """A server, started when it is first asked for."""
        if kind not in self._servers:
            make = getattr(self, f"_start_{kind}", None)
            server = make() if make else self._start(kind)
            self._servers[kind] = server
        return self._servers[kind]

    def _start(self, kind: str, /, **options: str) -> Sshd:
        server = Sshd(self.folder / kind, options=options)
        if kind == "otp":
            server.binary = self.bin / self._pam_name
        server.folder.mkdir()
        if "key" in self._servers:  # one key gets in everywhere
            shutil.copy(self._servers["key"].user_key, server.user_key)
            shutil.copy(
                self._servers["key"].user_key.with_suffix(".pub"), server.user_key.with_suffix(".pub")
            )
        return server.start()

    def _start_gateway(self) -> Sshd:
        return self._start("gateway", **_ONLY_FORWARDS)

    def _start_nosftp(self) -> Sshd:
        return self._start("nosftp", Subsystem="sftp /bin/false")

    def _start_transfer(self) -> Sshd:
        return self._start("transfer", ForceCommand="internal-sftp")

    def _start_strict(self) -> Sshd:
        return self._start("strict", MaxSessions="1", AllowTcpForwarding="no", Subsystem="sftp /bin/false")

    def _start_noisy(self) -> Sshd:
        script, banner = self.folder / "noisy-shell", self.folder / "banner"
        script.write_text(_NOISY)
        script.chmod(0o755)
        banner.write_text("*" * 40 + "\n*  Quota: 93% of 1 TB used.\n" + "*" * 40 + "\n")
        return self._start("noisy", ForceCommand=str(script), Banner=str(banner))

    def _start_password(self) -> Sshd:
        self.need_user()
        return self._start(
            "password", PubkeyAuthentication="no", PasswordAuthentication="yes", AllowUsers=self.user
        )

    def _start_otp(self) -> Sshd:
        self.need_user()
        need_packages("libpam-google-authenticator")
        secret = self.folder / "otp.secret"
        secret.write_text(f'{OTP_SECRET}\n" TOTP_AUTH\n" WINDOW_SIZE 3\n')
        secret.chmod(0o600)
        # PAM knows the server by the name of its program
        service = Path("/etc/pam.d") / self._pam_name
        service.write_text(_PAM.format(secret=secret))
        self._ends.append(lambda: service.unlink(missing_ok=True))
        (self.bin / self._pam_name).symlink_to(find_sshd())
        return self._start(
            "otp", UsePAM="yes", PubkeyAuthentication="no", PasswordAuthentication="no",
            KbdInteractiveAuthentication="yes", AllowUsers=self.user,
        )  # fmt: skip

    def need_user(self) -> str:
        """The password of :attr:`user`, who is made if need be.

        Raises
        ------
        ServiceMissingError
            If we may not do that.
        """
        if os.geteuid() != 0:
            raise ServiceMissingError("only root can make a user with a password")
        if self._password is None:
            self.user = self._find_user()
            if subprocess.run(["id", self.user], check=False, capture_output=True).returncode:
                run(["useradd", "--create-home", "--shell", "/bin/bash", self.user])
            self._password = secrets.token_urlsafe(12)
            words = f"{self.user}:{self._password}".encode()
            subprocess.run(["chpasswd"], input=words, check=True, capture_output=True)
            self._ends.append(lambda: run(["passwd", "--lock", self.user], check=False))
        return self._password

    def _find_user(self) -> str:
        """A name that no other process of tests uses at present (each sets a password of its own)."""
        for number in range(100):
            lock = open(f"/tmp/.jobflow-remote-tests-user-{number}.lock", "w")  # noqa: SIM115  # held until the end
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self._ends.append(lock.close)
            return f"jfssh{number}"
        raise ServiceMissingError("a hundred processes have taken all users")

    # -- workers and hosts -------------------------------------------------------------------------------------

    def worker(self, kind: str, **more: Any) -> Worker:
        """The configuration of a worker that logs in that way."""
        make = getattr(self, f"_worker_{kind}", None)
        options = make() if make else self.by_key(kind)
        options = {"scheduler_type": "shell", "work_dir": "/tmp", **options, **more}
        return SeparatedTransferWorker(**options) if "transfer" in options else RemoteWorker(**options)

    def by_key(self, kind: str) -> dict[str, Any]:
        """Options of a login with our key."""
        server = self.server(kind)
        return {
            "host": "127.0.0.1",
            "port": server.port,
            "user": server.user,
            "key_filename": str(server.user_key),
        }

    def _worker_noisy(self) -> dict[str, Any]:
        return {**self.by_key("noisy"), "sanitize_command": True}

    def _worker_gateway(self) -> dict[str, Any]:
        return {**self.by_key("key"), "gateway": self.by_key("gateway")}

    def _worker_split(self) -> dict[str, Any]:
        return {**self.by_key("key"), "transfer": self.by_key("transfer")}

    def _worker_password(self) -> dict[str, Any]:
        port, password = self.server("password").port, self.need_user()
        return {"host": "127.0.0.1", "port": port, "user": self.user, "password": password}

    def _worker_otp(self) -> dict[str, Any]:
        port = self.server("otp").port
        return {"host": "127.0.0.1", "port": port, "user": self.user, "interactive_login": True}

    def _worker_openssh(self) -> dict[str, Any]:
        return {**self.by_key("key"), "transport": "openssh"}

    def host(self, kind: str) -> Host:
        """A host that is reached that way."""
        worker = self.worker(kind)
        if kind == "otp":
            self.pool.answerer = self.answer
        if kind == "openssh":
            self.open_session(worker)
        return self.pool.host(worker)

    def open_session(self, worker: Worker) -> None:
        """Do what ``jf worker login`` does in a terminal."""
        login = login_of(worker)
        if not openssh.is_open(login):
            subprocess.run(openssh.login_command(login), check=True, stdin=subprocess.DEVNULL)
            self._ends.append(lambda: run(openssh.logout_command(login), check=False))

    async def answer(self, questions: Questions) -> list[str]:
        """Know the password and have the phone with the codes."""
        self.answers_given += 1
        return [
            self.need_user() if "password" in prompt.text.lower() else one_time_code()
            for prompt in questions.prompts
        ]

    def _write_ssh(self) -> None:
        """The system's ``ssh`` takes its files from the home that the system knows; for us it shall be ours."""
        found = shutil.which("ssh")
        if found is None:
            raise ServiceMissingError("no ssh in PATH")
        config = self.home / ".ssh" / "config"
        wrapper = self.bin / "ssh"
        options = f"-F '{config}' -o 'UserKnownHostsFile {self.home}/.ssh/known_hosts'"
        wrapper.write_text(f'#!/bin/sh\nexec {found} {options} "$@"\n')
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
        config.write_text("")

    def close(self) -> None:
        """End it all."""
        self.pool.shut_down()
        for end in reversed(self._ends):
            end()
        for server in self._servers.values():
            server.stop()


def open_folder() -> Path:
    """A folder for files of every user."""
    folder = Path(tempfile.mkdtemp(prefix="jf on the host "))
    folder.chmod(0o777)
    return folder


def one_time_code() -> str:
    """The code that a phone shows now (RFC 6238)."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.new(base64.b32decode(OTP_SECRET), counter, hashlib.sha1).digest()
    at = digest[-1] & 15
    number: int = struct.unpack(">I", digest[at : at + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06d}"
