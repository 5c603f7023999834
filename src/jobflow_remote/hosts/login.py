"""Where and how to log in: everything the configuration says about a connection, comparable, secrets hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jobflow_remote.config.workers import BaseRemoteWorker, ConnectionData, SeparatedTransferWorker
from jobflow_remote.errors import ConfigError
from jobflow_remote.hosts.remote import ShellOptions


@dataclass(frozen=True)
class Login:
    """A login; two workers with equal ones share the connection."""

    host: str
    user: str | None = None
    port: int | None = None
    password: str | None = field(default=None, repr=False)
    key_files: tuple[str, ...] = ()
    passphrase: str | None = field(default=None, repr=False)
    gateway: Login | str | None = None
    """A login to pass through, or a proxy command."""
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """``connect_kwargs`` apart from what has a field of its own, with the ``repr`` of their values."""
    keepalive_seconds: int | None = 60
    connect_timeout_seconds: int | None = None
    forward_agent: bool | None = None
    inline_env: bool = False
    interactive: bool = False
    """The login asks questions."""
    host_keys: str = "accept-new"
    transport: str = "asyncssh"

    @property
    def name(self) -> str:
        """What people call it."""
        user = f"{self.user}@" if self.user else ""
        return f"{user}{self.host}" + (f":{self.port}" if self.port and self.port != 22 else "")


def login_of(worker: BaseRemoteWorker) -> Login:
    """The login for a worker's commands."""
    return _login(
        worker,
        Login(
            host=worker.host,
            keepalive_seconds=worker.keepalive,
            connect_timeout_seconds=worker.connect_timeout,
            forward_agent=worker.forward_agent,
            inline_env=bool(worker.inline_ssh_env),
            interactive=worker.interactive_login,
            host_keys=worker.host_keys,
            transport=worker.transport,
        ),
    )


def transfer_login_of(worker: SeparatedTransferWorker) -> Login:
    """The login for a worker's files: what ``transfer`` leaves out is as for commands."""
    main = login_of(worker)
    login = _login(worker.transfer, main)
    if not (login.password or login.key_files or login.passphrase or login.options):
        login = replace(
            login,
            password=main.password,
            key_files=main.key_files,
            passphrase=main.passphrase,
            options=main.options,
        )
    return replace(login, user=login.user or main.user, port=login.port or main.port)


def shell_of(worker: BaseRemoteWorker) -> ShellOptions:
    """The environment of a worker's commands."""
    return ShellOptions(worker.shell_cmd, worker.login_shell)


def _login(data: BaseRemoteWorker | ConnectionData, base: Login) -> Login:
    options = dict(data.connect_kwargs or {})
    password = _text(options, "password", data.password)
    passphrase = _text(options, "passphrase", data.passphrase)
    keys = options.pop("key_filename", None) if data.key_filename is None else data.key_filename
    options.pop("key_filename", None)
    gateway: Login | str | None
    if isinstance(data.gateway, ConnectionData):
        # how patient to be and whether to accept keys is said once, for the worker
        gateway = _login(data.gateway, replace(base, host=data.gateway.host, forward_agent=None))
    else:
        gateway = data.gateway
    return replace(
        base,
        host=data.host,
        user=data.user,
        port=data.port,
        password=password,
        passphrase=passphrase,
        key_files=(keys,) if isinstance(keys, str) else tuple(keys or ()),
        gateway=gateway,
        options=tuple(sorted((name, repr(value)) for name, value in options.items())),
    )


def _text(options: dict[str, Any], name: str, given: str | None) -> str | None:
    found = options.pop(name, None)
    value = found if given is None else given
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"connect_kwargs: {name} must be text")
    return value


def options_of(login: Login) -> Mapping[str, Any]:
    """``connect_kwargs`` as values."""
    import ast

    return {name: ast.literal_eval(value) for name, value in login.options}
