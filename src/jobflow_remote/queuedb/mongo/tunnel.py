"""A way through SSH to a server that this machine cannot reach, from maggma's description of an ``SSHTunnel``.

Unlike maggma's own it opens again what was lost, as long as it is needed, and looks at host keys: one that differs
from that in ``known_hosts`` is refused (a host that is not in there is believed, as maggma does).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import socketserver
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobflow_remote.errors import ConfigError, QueueDatabaseAwayError

if TYPE_CHECKING:
    import paramiko

_OPEN_SECONDS = 10.0
_KEEPALIVE_SECONDS = 10
_UNHEARD_MILLISECONDS = 30_000
_CHUNK = 65536


class Tunnel:
    """A port on this machine that leads to a server beyond an SSH login; open until :meth:`close`.

    Raises
    ------
    QueueDatabaseAwayError
        If the login does not answer or is refused.
    ConfigError
        If the description cannot be used.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._description = description
        self._gate = parse_address(description["tunnel_server_address"], 22)
        self._target = parse_address(description["remote_server_address"], 27017)
        self._lock = threading.Lock()
        self._login: paramiko.SSHClient | None = None
        self._closed = False
        self._connect()
        try:
            self._server = _Listener(("127.0.0.1", int(description.get("local_port") or 0)), self)
        except OSError as exc:
            self.close()
            raise ConfigError(
                f"the SSH tunnel cannot listen on local_port {description.get('local_port')}: {exc}"
            ) from exc
        threading.Thread(target=self._server.serve_forever, name="ssh tunnel", daemon=True).start()

    @property
    def local_address(self) -> tuple[str, int]:
        """Where clients of this machine connect to."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def close(self) -> None:
        """Close the port and the login; may be called twice."""
        self._closed = True
        server = getattr(self, "_server", None)
        if server is not None:
            server.shutdown()
            server.server_close()
        with self._lock:
            self._drop()

    def open_channel(self) -> paramiko.Channel:
        """A connection to the server, over a login that is opened again if it was lost."""
        with self._lock:
            login = self._login if self._is_alive() else self._connect()
            assert login is not None
            try:
                return login.get_transport().open_channel(
                    "direct-tcpip", self._target, self.local_address, timeout=_OPEN_SECONDS
                )
            except Exception as exc:
                if not _was_refused(exc):
                    self._drop()  # nobody answers on this login: the next one begins anew
                raise

    def _is_alive(self) -> bool:
        transport = self._login.get_transport() if self._login else None
        return transport is not None and transport.is_active()

    def _drop(self) -> None:
        if self._login is not None:
            self._login.close()
            self._login = None

    def _connect(self) -> paramiko.SSHClient:
        import paramiko

        self._drop()
        if self._closed:
            raise OSError("the tunnel is closed")
        login = paramiko.SSHClient()
        with contextlib.suppress(OSError):
            login.load_system_host_keys()
        login.set_missing_host_key_policy(_Believing())
        where = f"the SSH tunnel through {self._description['tunnel_server_address']}"
        hint = "see ssh_tunnel of the store in the project file"
        try:
            login.connect(*self._gate, **self._login_options())
        except paramiko.BadHostKeyException as exc:
            login.close()
            known = "`ssh-keygen -R` removes it from known_hosts, if the change was meant"
            raise QueueDatabaseAwayError(f"{where}: the host key has changed", hint=known) from exc
        except (paramiko.SSHException, OSError, EOFError) as exc:
            login.close()
            raise QueueDatabaseAwayError(f"{where} did not open: {exc}", hint=hint) from exc
        _watch(login.get_transport())
        self._login = login
        return login

    def _login_options(self) -> dict[str, Any]:
        password, key_file = self._description.get("password"), self._description.get("private_key")
        times = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), _OPEN_SECONDS)
        options = {"username": self._description.get("username"), **times}
        if key_file is None:
            return {
                **options,
                "password": password,
                "look_for_keys": not password,
                "allow_agent": not password,
            }
        key_file = os.path.expanduser(key_file)
        if not os.access(key_file, os.R_OK):
            raise ConfigError(f"ssh_tunnel.private_key: {key_file} cannot be read")
        return {
            **options, "key_filename": key_file, "passphrase": password, "look_for_keys": False, "allow_agent": False,
        }  # fmt: skip


def parse_address(text: str, default_port: int) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[IPv6]:port``."""
    host, port = str(text), ""
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    port = port.removeprefix(":")
    if not host or (port and not port.isdigit()):
        raise ConfigError(f"ssh_tunnel: {text!r} is not an address", hint="it is written as host:port")
    return host, int(port or default_port)


def _was_refused(exc: Exception) -> bool:
    """Whether the login works, and what is beyond it did not answer."""
    import paramiko

    return isinstance(exc, paramiko.ChannelException)


def _watch(transport: Any) -> None:
    """Have a login that is no longer there noticed."""
    transport.set_keepalive(_KEEPALIVE_SECONDS)
    limit = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux
    if limit is not None:
        with contextlib.suppress(OSError, AttributeError):
            transport.sock.setsockopt(socket.IPPROTO_TCP, limit, _UNHEARD_MILLISECONDS)


class _Believing:
    """What is done about a host that is not in ``known_hosts``: nothing."""

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        return


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        super().__init__(address, _Forwarding)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is the client's to complain of."""


class _Forwarding(socketserver.BaseRequestHandler):
    """One connection, both ways."""

    server: _Listener

    def handle(self) -> None:
        try:
            channel = self.server.tunnel.open_channel()
        except Exception:  # noqa: BLE001  # the client sees a closed connection, and says so
            return
        near: socket.socket = self.request
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, EOFError), contextlib.closing(channel):
            while _forward(near, channel):
                pass


def _forward(near: socket.socket, far: Any) -> bool:
    """Pass on what has come from either side; False: one has ended."""
    ready, _, _ = select.select([near, far], [], [])
    for source, sink in ((near, far), (far, near)):
        if source in ready:
            data = source.recv(_CHUNK)
            if not data:
                return False
            sink.sendall(data)
    return True
