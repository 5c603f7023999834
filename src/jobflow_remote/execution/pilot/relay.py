"""Speaks with an agent on another node whose launcher passes on neither streams nor environment.

``srun`` does. The launchers of PBS start a process on a node and do nothing else, and what ``ssh`` and ``qrsh`` pass on
depends on how they were set up. So the launcher gets a script that makes the environment and starts the agent, and the
agent connects to the relay, which is a child of the pilot and looks to it like ``srun``: it copies what comes on its
standard streams. Both ends prove that they know a secret, which only the owner of the script can read.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SECRET_VARIABLE, ADDRESSES_VARIABLE = "JFREMOTE_AGENT_SECRET", "JFREMOTE_AGENT_ADDRESSES"
_NONCE_BYTES, _ANSWER_BYTES = 32, 32
_PATIENCE_SECONDS = 120.0
"""An agent that has not called after so long is not to be expected any more."""
_HANDSHAKE_SECONDS = 10.0
_OWN_OF_A_NODE = frozenset(
    {
        "HOSTNAME", "TMPDIR", "TMP", "TEMP", "PBS_NODENUM", "PBS_VNODENUM", "PBS_TASKNUM", "PBS_MOMPORT",
        "SGE_JOB_SPOOL_DIR", "SGE_STDIN_PATH", "SGE_STDOUT_PATH", "SGE_STDERR_PATH", "PWD", "OLDPWD", "SHLVL", "_",
    }
)  # fmt: skip
"""Variables that are not those of the pilot."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PIECE_BYTES = 65536


# -- the pilot's end -------------------------------------------------------------------------------------------


def run_relay(node: str, launcher: Sequence[str], command: Sequence[str]) -> int:
    """Have ``command`` run on a node and speak with it, until one of the ends is gone; returns an exit code.

    Parameters
    ----------
    launcher
        Words before the name of a node and a command without blanks in its words.
    command
        What starts an agent that connects to the addresses of its environment.
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # the pilot is told too, and decides
        signal.signal(number, signal.SIG_IGN)
    secret = secrets.token_hex(32)
    script = Path.cwd() / f".agent.{secrets.token_hex(4)}.sh"
    with socket.create_server(("", 0)) as listener:
        port = listener.getsockname()[1]
        told = {
            SECRET_VARIABLE: secret,
            ADDRESSES_VARIABLE: " ".join(f"{name}:{port}" for name in own_addresses(node)),
        }
        text = render_agent_script(command, {**os.environ, **told}, folder=str(Path.cwd()))
        write_private(script, text)
        words = [*launcher, node, "/bin/sh", str(script)]
        launched = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        try:
            connection = _wait_for_agent(listener, launched, secret)
            script.unlink(missing_ok=True)
            if connection is None:
                _say(f"no agent on {node}: {shlex.join(words)} ended with {launched.poll()}")
                return 1
            with connection:
                _copy(connection)
        finally:
            script.unlink(missing_ok=True)
            _end(launched)
    return 0


def own_addresses(node: str) -> list[str]:
    """How a node may reach this one, the surest way first."""
    found = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node, 9))  # nothing is sent
        found.append(probe.getsockname()[0])
    return list(dict.fromkeys([*found, socket.gethostname(), socket.getfqdn()]))


def render_agent_script(command: Sequence[str], environment: Mapping[str, str], *, folder: str) -> str:
    """A script for ``sh`` that starts a command with the environment of a pilot."""
    exports = [
        f"export {name}={shlex.quote(value)}"
        for name, value in sorted(environment.items())
        if _NAME.fullmatch(name) and name not in _OWN_OF_A_NODE
    ]
    return "\n".join([*exports, f"cd {shlex.quote(folder)}", f"exec {shlex.join(command)}", ""])


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _wait_for_agent(
    listener: socket.socket, launched: subprocess.Popen[bytes], secret: str
) -> socket.socket | None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        ready, _, _ = select.select([listener.fileno(), 0], [], [], 0.5)
        if listener.fileno() in ready:
            connection, _ = listener.accept()
            if shake_hands(connection, secret, calls=False):
                return connection
            connection.close()
        elif (
            0 in ready or (launched.poll() or 0) != 0
        ):  # the pilot is gone (it has said nothing yet), or the launcher
            return None
    return None


def _copy(connection: socket.socket) -> None:
    """Until one end is gone."""

    def inwards() -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(0, _PIECE_BYTES):
                connection.sendall(piece)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=inwards, daemon=True).start()
    with contextlib.suppress(OSError):
        while piece := connection.recv(_PIECE_BYTES):
            while piece:
                piece = piece[os.write(1, piece) :]


def _end(launched: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        launched.wait(2)  # the agent is gone: so should be what launched it
        return
    launched.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        launched.wait(3)
        return
    launched.kill()


def _say(message: str) -> None:
    print(f"jobflow-remote: {message}", file=sys.stderr, flush=True)


# -- the agent's end -------------------------------------------------------------------------------------------


def call_pilot() -> socket.socket | None:
    """A connection to the pilot of which the environment tells; None: nobody there, or not the one."""
    secret = os.environ.pop(SECRET_VARIABLE, "")
    addresses = os.environ.pop(ADDRESSES_VARIABLE, "").split()
    for address in addresses:
        name, _, port = address.rpartition(":")
        try:
            connection = socket.create_connection((name, int(port)), timeout=_HANDSHAKE_SECONDS)
        except OSError as error:
            _say(f"the pilot cannot be reached at {address}: {error}")
            continue
        if shake_hands(connection, secret, calls=True):
            return connection
        connection.close()
    return None


def shake_hands(connection: socket.socket, secret: str, *, calls: bool) -> bool:
    """Prove to know the secret, without saying it, and have the other end do so; ``calls``: we are the agent."""
    mine, theirs = (b"agent", b"pilot") if calls else (b"pilot", b"agent")
    nonce = secrets.token_bytes(_NONCE_BYTES)
    try:
        connection.settimeout(_HANDSHAKE_SECONDS)
        connection.sendall(nonce)
        other = _receive(connection, _NONCE_BYTES)
        if calls:  # whoever calls has to prove itself first
            connection.sendall(_answer(secret, mine, other))
        if not hmac.compare_digest(_receive(connection, _ANSWER_BYTES), _answer(secret, theirs, nonce)):
            return False
        if not calls:
            connection.sendall(_answer(secret, mine, other))
        connection.settimeout(None)
        _keep_alive(connection)
    except OSError:
        return False
    return True


def _answer(secret: str, who: bytes, nonce: bytes) -> bytes:
    return hmac.digest(secret.encode(), who + nonce, "sha256")


def _receive(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = connection.recv(size - len(found))
        if not piece:
            raise ConnectionError("the other end is gone")
        found += piece
    return found


def _keep_alive(connection: socket.socket) -> None:
    """Notice within minutes when the other node has vanished."""
    if connection.family is not socket.AF_INET:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
