"""The network between a client and a server, for tests: a TCP proxy that can cut, refuse and swallow."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from typing import Literal

State = Literal["works", "cut", "swallows"]


class Proxy:
    """Forwards a free port of the loopback interface to ``target``; :meth:`close` ends it."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self._state: State = "works"
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def cut(self) -> None:
        """Break all connections, and those that will be made: a cable that is pulled out, and somebody notices."""
        self._enter("cut", breaks=True)

    def swallow(self) -> None:
        """Take everything and deliver nothing, without a word: a firewall that drops packets."""
        self._enter("swallows", breaks=False)

    def mend(self) -> None:
        """The network works again; what was swallowed is lost, and its connections break."""
        self._enter("works", breaks=True)

    def close(self) -> None:
        """End it."""
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def open_connections(self) -> int:
        """Number of connections through it."""
        return len(self._sockets) // 2

    def _enter(self, state: State, *, breaks: bool) -> None:
        with self._lock:
            self._state = state
            for one in self._sockets if breaks else ():
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(_reset, near)
            if self._state == "cut":
                return
            try:
                far = socket.create_connection(self.target, timeout=5)
            except OSError:
                return
            stack.callback(_reset, far)
            far.settimeout(None)
            with self._lock:
                self._sockets |= {near, far}
            with contextlib.suppress(OSError):
                while self._pass_on(near, far):
                    pass
            with self._lock:
                self._sockets -= {near, far}

    def _pass_on(self, near: socket.socket, far: socket.socket) -> bool:
        """Pass on what has come from either side; False: one has ended."""
        ready, _, _ = select.select([near, far], [], [])
        for source, sink in ((near, far), (far, near)):
            if source in ready:
                data = source.recv(65536)
                if not data or self._state == "cut":
                    return False
                if self._state == "works":
                    sink.sendall(data)
        return True


def _reset(one: socket.socket) -> None:
    """Close it with a reset."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
