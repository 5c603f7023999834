"""One SSH connection to a host: made when it is needed, shared, made again when it broke."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncssh

from jobflow_remote.errors import ConfigError, HostError, HostKeyError, HostUnreachableError, LoginNeededError
from jobflow_remote.hosts.channel import Channel, ChannelRefusedError
from jobflow_remote.hosts.login import Login, options_of
from jobflow_remote.hosts.questions import Answerer
from jobflow_remote.hosts.ssh.client import LoginClient
from jobflow_remote.hosts.ssh.hostkeys import HostKeys
from jobflow_remote.hosts.ssh.options import connect_options, jumps, proxy_command, read_config

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 60.0
_REFUSED_PAUSE_SECONDS, _LONGEST_REFUSED_PAUSE_SECONDS = 20.0, 600.0
"""A refused login is tried again rarely: hosts lock accounts, and block addresses, after a few."""
_CHANNEL_SECONDS = 30.0

FindConnection = Callable[[Login], "SshConnection"]


class SshConnection:
    """A connection that many use."""

    def __init__(self, login: Login, find: FindConnection, answerer: Callable[[], Answerer | None]) -> None:
        self.login, self._find, self._answerer = login, find, answerer
        self._connection: asyncssh.SSHClientConnection | None = None
        self._attempt: asyncio.Task[asyncssh.SSHClientConnection] | None = None
        self._refusal: HostError | None = None
        self._not_before, self._pause = 0.0, 0.0
        self.variables: Mapping[str, str] = {}
        """``SetEnv`` of the SSH configuration, where it is not left to the server."""

    def forget_failure(self) -> None:
        """Try at once, even if the last attempt failed a moment ago."""
        self._refusal = None

    async def get(self) -> asyncssh.SSHClientConnection:
        """The connection. All who come while it is being made wait for the same attempt.

        Raises
        ------
        HostUnreachableError
            If it cannot be made; for a while after a failure without another attempt.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._attempt is None:
            if self._refusal is not None and time.monotonic() < self._not_before:
                raise self._refusal
            self._attempt = asyncio.create_task(self._connect())
            self._attempt.add_done_callback(self._attempted)
        return await asyncio.shield(self._attempt)

    def _attempted(self, attempt: asyncio.Task[asyncssh.SSHClientConnection]) -> None:
        self._attempt = None
        error = None if attempt.cancelled() else attempt.exception()
        if error is None:
            self._connection = None if attempt.cancelled() else attempt.result()
            self._refusal, self._pause = None, 0.0
        elif isinstance(error, HostError) and not self.login.interactive:  # there, a person sets the pace
            refused = isinstance(error, _RefusedError)
            first, most = (
                (_REFUSED_PAUSE_SECONDS, _LONGEST_REFUSED_PAUSE_SECONDS)
                if refused
                else (_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            )
            self._pause = min(most, max(first, self._pause * 2))
            self._refusal, self._not_before = error, time.monotonic() + self._pause

    async def _connect(self) -> asyncssh.SSHClientConnection:
        login = self.login
        if login.interactive and self._answerer() is None:
            raise LoginNeededError(
                f"{login.name} needs login: it asks questions (`interactive_login`), and nobody is there to answer",
                hint="run `jf worker login WORKER` while the runner is running, or start it by `jf runner start -s -i`",
            )
        given = connect_options(login)
        config = await asyncio.to_thread(read_config, login, given)
        host_keys = _host_keys(login, config)
        if "server_host_key_algs" not in given and not config.config.get("HostKeyAlgorithms"):
            given["server_host_key_algs"] = _ALSO_OTHER_KEYS
        client = LoginClient(login, host_keys, self._answerer())
        given |= {
            "client_factory": lambda: client,
            "known_hosts": host_keys.known,
            "connect_timeout": given.get("connect_timeout") or config.connect_timeout or _CONNECT_SECONDS,
            **await self._way(config),
        }
        if login.inline_env:
            self.variables = _variables(config.env)
            given["env"] = None
        try:
            return await asyncssh.connect(login.host, **given)
        except (asyncssh.Error, OSError, ValueError) as error:
            raise _explain(error, login, client, host_keys) from error

    async def _way(self, config: Any) -> dict[str, Any]:
        """Through which host or command the connection goes."""
        gateway = self.login.gateway
        if isinstance(gateway, str):
            command = proxy_command(gateway, host=config.host, port=config.port, user=config.username)
            return {"tunnel": None, "proxy_command": command}
        if gateway is None and isinstance(config.tunnel, str):
            gateway = jumps(self.login, config.tunnel)
        if gateway is None:
            return {}
        try:
            return {"tunnel": await self._find(gateway).get(), "proxy_command": None}
        except HostUnreachableError as error:
            raise type(error)(
                f"no way to {self.login.name} through {gateway.name}: {error.message}", hint=error.hint
            ) from error

    async def open_channel(self, command: str) -> Channel:
        """Start a command on the host."""
        connection = await self.get()
        try:
            async with asyncio.timeout(_channel_seconds(self.login)):
                process = await connection.create_process(command, encoding=None)
        except asyncssh.ChannelOpenError as error:
            if connection.is_closed():
                raise HostUnreachableError(f"{self.login.name}: connection lost") from error
            raise ChannelRefusedError(
                f"{self.login.name} refuses one more session: {error.reason}"
            ) from error
        except (asyncssh.Error, OSError) as error:
            raise HostUnreachableError(f"{self.login.name}: {error}") from error
        except TimeoutError as error:
            connection.abort()
            raise HostUnreachableError(f"{self.login.name} does not answer any more") from error

        def is_open() -> bool:
            return not (connection.is_closed() or process.stdin.is_closing())

        return Channel(
            process.stdin,
            _Output(process.stdout, self.login),
            _Output(process.stderr, self.login),
            close=process.close,
            is_open=is_open,
            explain=_no_explanation,
        )

    async def close(self) -> None:
        """Hang up."""
        if self._attempt is not None:
            self._attempt.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            with contextlib.suppress(asyncssh.Error, OSError, TimeoutError):
                await asyncio.wait_for(connection.wait_closed(), 2)

    def abort(self) -> None:
        """Drop the connection: it does not answer."""
        if self._connection is not None:
            self._connection.abort()


class _Output:
    """Output of a command; what breaks is the connection."""

    def __init__(self, reader: asyncssh.SSHReader[bytes], login: Login) -> None:
        self._reader, self._login = reader, login

    async def read(self, n: int = -1, /) -> bytes:
        try:
            return await self._reader.read(n)
        except (asyncssh.Error, OSError) as error:
            raise HostUnreachableError(f"{self._login.name}: connection lost") from error


class _RefusedError(HostUnreachableError):
    """The host let nobody in."""


_CONNECT_SECONDS = 30
_ALSO_OTHER_KEYS = "+ssh-ed25519,ecdsa-sha2-*,rsa-sha2-*"
"""Kinds of host keys to ask for after those on record: a host without these hangs up, and nobody knows why."""


def _variables(given: Any) -> dict[str, str]:
    """``SetEnv``, which asyncssh keeps as words with equals signs."""
    words = (
        given.items() if isinstance(given, Mapping) else (word.partition("=")[::2] for word in given or ())
    )
    return {str(name): str(value) for name, value in words}


async def _no_explanation(words: str) -> HostError | None:
    return None


def _channel_seconds(login: Login) -> float:
    return float(options_of(login).get("channel_timeout") or _CHANNEL_SECONDS)


def _host_keys(login: Login, config: Any) -> HostKeys:
    user = config.config.get("UserKnownHostsFile", ()) or ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
    everybody = config.config.get("GlobalKnownHostsFile", ()) or ("/etc/ssh/ssh_known_hosts",)
    files = [Path(os.path.expanduser(name)) for name in (*user, *everybody)]
    return HostKeys(files, login.host_keys == "accept-new", by_alias=bool(config.host_key_alias))


def _explain(
    error: Exception, login: Login, client: LoginClient, host_keys: HostKeys
) -> HostError | ConfigError:
    """What went wrong, in words for a person."""
    name = login.name
    match error:
        case asyncssh.PermissionDenied():
            refusal = client.explain_refusal()
            if isinstance(refusal, LoginNeededError):
                return refusal
            return _RefusedError(refusal.message, hint=refusal.hint)
        case asyncssh.HostKeyNotVerifiable():
            return host_keys.refusal or HostKeyError(f"{name}: {error.reason}")
        case asyncssh.ConfigParseError():
            return ConfigError(f"~/.ssh/config cannot be understood: {error}")
        case asyncssh.KeyImportError() | asyncssh.KeyEncryptionError():
            return ConfigError(f"{name}: a key cannot be used: {error}", hint="is `passphrase` right?")
        case FileNotFoundError() if error.filename:
            return ConfigError(f"{name}: there is no key file {error.filename}")
        case socket.gaierror():
            return HostUnreachableError(f"{name}: the name {login.host} is not known ({error.strerror})")
        case ConnectionResetError():
            return HostUnreachableError(f"{name}: the connection was closed before the login")
        case ConnectionRefusedError():
            return HostUnreachableError(f"{name}: connection refused: no SSH server listens there")
        case TimeoutError():
            return HostUnreachableError(f"{name}: no answer in time")
        case asyncssh.ChannelOpenError():
            return HostUnreachableError(f"{name}: the gateway cannot reach it: {error.reason}")
        case asyncssh.ConnectionLost() if "timeout" in error.reason:
            return HostUnreachableError(f"{name}: no answer in time")
        case asyncssh.ConnectionLost():
            return HostUnreachableError(f"{name}: the connection was closed before the login: {error.reason}")
        case asyncssh.Error():
            return HostUnreachableError(f"{name}: {error.reason}")
        case OSError():  # asyncio says "Connect call failed" for whatever it was
            reason = os.strerror(error.errno) if error.errno else str(error)
            return HostUnreachableError(f"{name} cannot be reached: {reason}")
    return ConfigError(f"{name}: {error}")
