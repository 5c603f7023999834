"""From what the configuration says to what asyncssh is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncssh

from jobflow_remote.errors import ConfigError
from jobflow_remote.hosts.login import Login, options_of

CONNECT_SECONDS = 30
"""How long a connection may take if nobody says: the system would try for minutes."""
LOGIN_SECONDS = 30
INTERACTIVE_LOGIN_SECONDS = 120

_NEVER = {
    "pkey": "give `key_filename`",
    "sock": "give `gateway`",
    "auth_strategy": "give `key_filename` or `password`",
    "transport_factory": "it is a class of paramiko",
    "hostname": "give `host`",
    "port": "give `port`",
    "username": "give `user`",
    "gss_trust_dns": "it is a matter of /etc/krb5.conf (`dns_canonicalize_hostname`)",
}
"""Options of paramiko's ``connect`` that mean nothing here, and what to do instead."""
_ALGORITHMS = {
    "kex": "kex_algs",
    "ciphers": "encryption_algs",
    "macs": "mac_algs",
    "keys": "server_host_key_algs",
    "pubkeys": "signature_algs",
    "compression": "compression_algs",
}


def _agent(value: Any) -> dict[str, Any]:
    return {} if value else {"agent_path": None}


def _look_for_keys(value: Any) -> dict[str, Any]:
    return {} if value else {"look_for_keys": False}


def _compress(value: Any) -> dict[str, Any]:
    return {"compression_algs": ["zlib@openssh.com", "none"]} if value else {}


def _disabled(value: Any) -> dict[str, Any]:
    unknown = set(value) - set(_ALGORITHMS)
    if unknown:
        raise ConfigError(
            f"connect_kwargs: disabled_algorithms has no kind {', '.join(sorted(unknown))}",
            hint=f"it has {', '.join(_ALGORITHMS)}",
        )
    return {_ALGORITHMS[kind]: "-" + ",".join(names) for kind, names in value.items() if names}


def _same(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: value}


_TRANSLATED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "timeout": _same("connect_timeout"),
    "banner_timeout": _same("banner_timeout"),
    "auth_timeout": _same("auth_timeout"),
    "channel_timeout": _same("channel_timeout"),
    "allow_agent": _agent,
    "look_for_keys": _look_for_keys,
    "compress": _compress,
    "disabled_algorithms": _disabled,
    "gss_auth": _same("gss_auth"),
    "gss_kex": _same("gss_kex"),
    "gss_deleg_creds": _same("gss_delegate_creds"),
    "gss_host": _same("gss_host"),
}


def translate_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Paramiko's names of ``connect_kwargs`` as ours (some need a second look, see :func:`connect_options`).

    Raises
    ------
    ConfigError
        If there is no such thing here; the message names the option.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in _NEVER and value is not None:
            raise ConfigError(f"connect_kwargs: {name!r} cannot be used", hint=_NEVER[name])
        if name not in _TRANSLATED and name not in _NEVER:
            raise ConfigError(
                f"connect_kwargs: {name!r} is no option of an SSH connection",
                hint=f"it can have {', '.join(sorted(_TRANSLATED))}",
            )
        if value is not None:
            found |= _TRANSLATED[name](value)
    return found


def check_options(login: Login) -> None:
    """Complain about ``connect_kwargs`` before anybody connects."""
    translate_options(options_of(login))


def config_files() -> list[str]:
    """The SSH configuration of the user."""
    path = Path("~/.ssh/config").expanduser()
    return [str(path)] if path.is_file() else []


def connect_options(login: Login) -> dict[str, Any]:
    """Keyword arguments for asyncssh; what is left out comes from ``~/.ssh/config``."""
    more = translate_options(options_of(login))
    seconds = more.pop("banner_timeout", None), more.pop("auth_timeout", None)
    more.pop("channel_timeout", None)
    default = INTERACTIVE_LOGIN_SECONDS if login.interactive else LOGIN_SECONDS
    options: dict[str, Any] = {
        "config": config_files(),
        "login_timeout": max((s for s in seconds if s is not None), default=default),
        "request_pty": False,
        "x11_forwarding": False,
        "keepalive_interval": login.keepalive_seconds or 0,
    }
    looks_for_keys = more.pop("look_for_keys", True)
    given = {
        "port": login.port,
        "username": login.user,
        "password": login.password,
        "passphrase": login.passphrase,
        "connect_timeout": login.connect_timeout_seconds or None,
        "agent_forwarding": login.forward_agent,
    }
    options |= {name: value for name, value in given.items() if value is not None}
    if login.key_files:
        options["client_keys"] = [str(Path(path).expanduser()) for path in login.key_files]
        options["ignore_encrypted"] = False
    elif not looks_for_keys:
        # asyncssh takes "no keys" as "the default ones", so that there is no way to use those of the agent only
        options["client_keys"] = None
    return options | more


def read_config(login: Login, given: Mapping[str, Any]) -> Any:
    """What asyncssh makes of the options and ``~/.ssh/config``, apart from keys.

    Raises
    ------
    ConfigError
        If the SSH configuration cannot be understood.
    """
    try:
        return asyncssh.SSHClientConnectionOptions(host=login.host, **{**given, "client_keys": None})
    except asyncssh.ConfigParseError as error:
        raise ConfigError(f"~/.ssh/config cannot be understood: {error}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{login.name}: {error}") from error


def proxy_command(template: str, *, host: str, port: int, user: str) -> list[str]:
    """A proxy command to run, with ``%h``, ``%p`` and ``%r`` filled in."""
    values = {"%%": "%", "%h": host, "%p": str(port), "%r": user}
    filled = re.sub("%[%hpr]", lambda found: values[found[0]], template)
    return ["sh", "-c", f"exec {filled}"]


def jumps(login: Login, text: str) -> Login:
    """``ProxyJump`` of the SSH configuration as a login to pass through; how to log in there is said there."""
    gateway: Login | None = None
    for jump in text.split(","):
        user, _, place = jump.strip().removeprefix("ssh://").rpartition("@")
        found = re.fullmatch(r"\[?(.*?)\]?(?::(\d+))?", place)
        host, port = (found[1], found[2]) if found else (place, None)
        gateway = Login(
            host=host,
            user=user or None,
            port=int(port) if port else None,
            passphrase=login.passphrase,
            gateway=gateway,
            keepalive_seconds=login.keepalive_seconds,
            connect_timeout_seconds=login.connect_timeout_seconds,
            interactive=login.interactive,
            host_keys=login.host_keys,
        )
    assert gateway is not None
    return gateway
