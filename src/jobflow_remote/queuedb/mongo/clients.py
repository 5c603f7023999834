"""Clients of MongoDB servers, one for each server and process: the queue database and the output stores share them.

A client keeps threads and connections that watch the server, besides those it works with; several clients for one
server would only multiply them.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient, errors

from jobflow_remote.errors import ConfigError
from jobflow_remote.queuedb.mongo.options import FILE_OPTIONS, Server
from jobflow_remote.queuedb.mongo.trouble import describe
from jobflow_remote.queuedb.mongo.tunnel import Tunnel


@dataclass
class _Open:
    client: MongoClient[Any]
    tunnel: Tunnel | None
    users: int = 0

    def close(self) -> None:
        self.client.close()
        if self.tunnel is not None:
            self.tunnel.close()


_open: dict[tuple[int, str], _Open] = {}
_opening = threading.Lock()


class ClientHandle:
    """Somebody's share of a client; the last one to close it closes the client."""

    def __init__(self, server: Server, key: tuple[int, str], opened: _Open) -> None:
        self.server = server
        self.client = opened.client
        self._key = key
        self._closed = False

    def close(self) -> None:
        """Give it back; may be called twice."""
        with _opening:
            if self._closed or self._key[0] != os.getpid():
                return
            self._closed = True
            opened = _open[self._key]
            opened.users -= 1
            if not opened.users:
                del _open[self._key]
                opened.close()


def open_client(server: Server, *, key: str = "queue.store") -> ClientHandle:
    """The client of this process for a server; nothing is asked of the server yet.

    Parameters
    ----------
    key
        Place of the description in the project file, for messages.

    Raises
    ------
    ConfigError
        If the description cannot be used (the message names what is wrong in it).
    QueueDatabaseAwayError
        If there is an SSH tunnel and it does not open.
    """
    name = (os.getpid(), server.key())  # clients do not survive a fork
    with _opening:
        if name not in _open:
            _open[name] = _make(server, key)
        opened = _open[name]
        opened.users += 1
        return ClientHandle(server, name, opened)


def _make(server: Server, key: str) -> _Open:
    _check_files(server, key)
    tunnel = Tunnel(server.ssh_tunnel) if server.ssh_tunnel is not None else None
    try:
        return _Open(_make_client(server, tunnel), tunnel)
    except BaseException as exc:
        if tunnel is not None:
            tunnel.close()
        if isinstance(
            exc, errors.PyMongoError | OSError | TypeError | ValueError
        ):  # nothing was asked of a server
            raise ConfigError(
                f"{key} cannot be used: {describe(exc, server)}{_named_files(server)}",
                hint=f"see its mongoclient_kwargs{' and uri' if server.uri else ''} in the project file",
            ) from exc
        raise


def _make_client(server: Server, tunnel: Tunnel | None) -> MongoClient[Any]:
    options = {**server.credentials, **server.client_options}
    if tunnel is not None:  # other members of a replica set cannot be reached through it
        host, port = tunnel.local_address
        return MongoClient(host, port, **{"directConnection": True, **options})
    if server.uri:
        return MongoClient(server.uri, **options)
    return MongoClient(
        server.host if isinstance(server.host, str) else list(server.host), server.port, **options
    )


def _named_files(server: Server) -> str:
    """The files of TLS: what is wrong in one of them is told without its name."""
    files = [f"{name} {server.option(name)}" for name in FILE_OPTIONS if server.option(name)]
    return f" ({', '.join(files)})" if files else ""


def _check_files(server: Server, key: str) -> None:
    """Name a file that cannot be read; the driver's own complaints do not."""
    for name in FILE_OPTIONS:
        path = server.option(name)
        if path is not None and not os.access(path, os.R_OK):
            reason = "cannot be read" if os.path.exists(path) else "does not exist"
            raise ConfigError(f"{name} of {key}: {path} {reason}", hint="correct it in the project file")
