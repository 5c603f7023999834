"""A host reached by the system's ``ssh``, over a session that a person opened.

Sites with one-time passwords or Kerberos let a person in, not a daemon. OpenSSH can leave such a login open for others
(``ControlMaster``): the user does that with ``ssh``, or ``jf worker login`` does it in a terminal. When it ends the
worker waits for the next login.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from jobflow_remote.errors import CapabilityMissingError, HostError, HostUnreachableError, LoginNeededError
from jobflow_remote.hosts.channel import Channel, ChannelRefusedError
from jobflow_remote.hosts.login import Login
from jobflow_remote.hosts.remote import RemoteHost, ShellOptions

_CHECK_SECONDS = 10.0
_ENDING_SECONDS = 2.0
_LONGEST_FOLDER = 45
"""A socket's name has up to 107 letters; ours has 44, and ssh adds 17 while it makes one."""
_REFUSED_WORDS = ("session open refused", "session request failed", "Session open refused by peer")


class OpensshHost(RemoteHost):
    """Commands and files by ``ssh`` processes that share the session."""

    def __init__(self, login: Login, shell: ShellOptions) -> None:
        super().__init__(shell)
        self._login = login
        self._socket: Path | None = None
        self._gone_since: float | None = None
        self._processes: set[asyncio.subprocess.Process] = set()

    @property
    def name(self) -> str:
        return self._login.name

    async def open_channel(self, command: str) -> Channel:
        await self._check()
        try:
            process = await asyncio.create_subprocess_exec(
                *over_session(self._login, self._found_socket()), "--", self._login.host, command,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, limit=1 << 18,
            )  # fmt: skip
        except OSError as error:
            raise CapabilityMissingError(f"the system's ssh cannot be started: {error}") from error
        self._processes = {each for each in self._processes if each.returncode is None} | {process}
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None

        def close() -> None:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()

        async def explain(words: str) -> HostError | None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _CHECK_SECONDS)
            if any(each in words for each in _REFUSED_WORDS):
                return ChannelRefusedError(f"{self.name} refuses one more session: {words}")
            await self._check()  # the session has ended
            return HostUnreachableError(f"{self.name}: {words}") if process.returncode == 255 else None

        stdin = process.stdin
        return Channel(
            stdin,
            process.stdout,
            process.stderr,
            close=close,
            is_open=lambda: process.returncode is None and not stdin.is_closing(),
            explain=explain,
        )

    async def close(self) -> None:
        await super().close()
        processes, self._processes = self._processes, set()
        for process in processes:
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                if process.returncode is None:
                    process.terminate()
                await asyncio.wait_for(process.wait(), _ENDING_SECONDS)

    def _found_socket(self) -> Path:
        if self._socket is None:
            self._socket = control_socket(self._login)
        return self._socket

    async def _check(self) -> None:
        """See whether the session is there.

        Raises
        ------
        LoginNeededError
            If it is not.
        """
        socket = self._found_socket() if self._socket else await asyncio.to_thread(self._found_socket)
        if socket.exists():
            check = await asyncio.create_subprocess_exec(
                *over_session(self._login, socket), "-O", "check", "--", self._login.host,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                if await asyncio.wait_for(check.wait(), _CHECK_SECONDS) == 0:
                    self._gone_since = None
                    return
            except TimeoutError:
                check.kill()
                raise HostUnreachableError(f"the ssh session to {self.name} does not answer") from None
        if self._gone_since is None:
            self._gone_since = time.time()
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self._gone_since))
        raise LoginNeededError(
            f"{self.name} needs login since {since}: there is no open session of ssh ({socket})",
            hint="run `jf worker login WORKER`; jobs wait until then",
        )


def options_for_ssh(login: Login) -> list[str]:
    """What the worker's configuration says, as options of ssh."""
    words = []
    if login.port:
        words += ["-p", str(login.port)]
    if login.user:
        words += ["-l", login.user]
    for key in login.key_files:
        words += ["-i", os.path.expanduser(key)]
    settings = {
        "StrictHostKeyChecking": "yes" if login.host_keys == "strict" else "accept-new",
        "ServerAliveInterval": login.keepalive_seconds,
        "ConnectTimeout": login.connect_timeout_seconds,
        "ForwardAgent": None if login.forward_agent is None else ("yes" if login.forward_agent else "no"),
    }
    words += [word for name, value in settings.items() if value for word in ("-o", f"{name}={value}")]
    if isinstance(login.gateway, str):
        words += ["-o", f"ProxyCommand={login.gateway}"]
    elif login.gateway is not None:
        words += ["-J", ",".join(reversed([_jump(each) for each in _chain(login.gateway)]))]
    return words


def _chain(login: Login) -> list[Login]:
    found = [login]
    while isinstance(found[-1].gateway, Login):
        found.append(found[-1].gateway)
    return found


def _jump(login: Login) -> str:
    user = f"{login.user}@" if login.user else ""
    return f"{user}{login.host}" + (f":{login.port}" if login.port else "")


def _identity(login: Login) -> list[str]:
    """Options that decide which session it is (they are part of its name)."""
    words = []
    if login.port:
        words += ["-p", str(login.port)]
    if login.user:
        words += ["-l", login.user]
    return words


def over_session(login: Login, socket: Path) -> list[str]:
    """``ssh`` that uses the session and nothing else: without one it must not try a login of its own."""
    return [
        "ssh", *_identity(login), "-T", "-o", "BatchMode=yes", "-o", "ControlMaster=no", "-o",
        f"ControlPath={socket}", "-o", "ProxyJump=none", "-o", "ProxyCommand=false",
    ]  # fmt: skip


def control_socket(login: Login) -> Path:
    """Where the session listens: ``ControlPath`` of ``~/.ssh/config``, else a file of ours in ``~/.ssh``.

    Raises
    ------
    CapabilityMissingError
        If there is no ``ssh``.
    HostError
        If it does not like its configuration.
    """
    own = _own_folder() / "jf-%C"
    configured = _ask_config(login, [])
    path = configured.get("controlpath", "none")
    if path == "none":
        path = _ask_config(login, ["-o", f"ControlPath={own}"])["controlpath"]
    return Path(path).expanduser()


def _own_folder() -> Path:
    """``~/.ssh``, unless that is too long for the name of a socket."""
    folder = Path("~/.ssh").expanduser()
    if len(str(folder)) > _LONGEST_FOLDER:
        folder = Path(f"/tmp/jobflow-remote-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise HostError(f"{folder} is somebody else's", hint="give a `ControlPath` in ~/.ssh/config")
    return folder


def _ask_config(login: Login, options: Sequence[str]) -> dict[str, str]:
    command = ["ssh", "-G", *_identity(login), *options, "--", login.host]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise CapabilityMissingError(
            f"the system's ssh cannot be started: {error}", hint="install OpenSSH, or leave `transport` out"
        ) from error
    if done.returncode != 0:
        raise HostError(f"ssh cannot read its configuration: {done.stderr.strip()[-300:]}")
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def login_command(login: Login) -> list[str]:
    """The command that opens the session; a person runs it in a terminal and answers what it asks."""
    socket = control_socket(login)
    return [
        "ssh", *options_for_ssh(login), "-M", "-N", "-f", "-o", f"ControlPath={socket}", "-o", "ControlPersist=yes",
        "--", login.host,
    ]  # fmt: skip


def logout_command(login: Login) -> list[str]:
    """The command that ends the session."""
    return [*over_session(login, control_socket(login)), "-O", "exit", "--", login.host]


def is_open(login: Login) -> bool:
    """Whether there is a session."""
    socket = control_socket(login)
    if not socket.exists():
        return False
    check = [*over_session(login, socket), "-O", "check", "--", login.host]
    done = subprocess.run(check, check=False, capture_output=True, timeout=_CHECK_SECONDS)
    return done.returncode == 0
