"""A real server that speaks Azure Blob, for tests: Azurite (from npm), on a free loopback port."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.services.debian import ServiceMissingError

_PACKAGE = "azurite@3"
_INSTALL_SECONDS, _START_SECONDS = 300, 60
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Account and key of the emulator: published, and the same everywhere."""


def find_azurite() -> Path:
    """The program, installed if need be in a folder of this user's that later runs find again.

    Raises
    ------
    ServiceMissingError
        If npm is not there or cannot fetch it.
    """
    present = shutil.which("azurite-blob")
    folder = Path(tempfile.gettempdir()) / f"jobflow-remote-tests-npm-{os.getuid()}"
    program = Path(present) if present else folder / "node_modules/.bin/azurite-blob"
    if program.exists():
        return program
    npm = shutil.which("npm")
    if npm is None:
        raise ServiceMissingError("npm is not installed, and azurite-blob is not in PATH")
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:  # test processes that come at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program.exists():
            return program
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), _PACKAGE],
            capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    if done.returncode or not program.exists():
        raise ServiceMissingError(f"npm cannot fetch {_PACKAGE}: {(done.stderr or done.stdout)[-300:]}")
    return program


class Azurite:
    """One server; what it holds is gone when it is stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def connection_string(self) -> str:
        """How clients reach it."""
        endpoint = f"http://127.0.0.1:{self.port}/{_ACCOUNT}"
        return (
            f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};BlobEndpoint={endpoint};"
        )

    def start(self) -> Azurite:
        """Start it and wait until it answers."""
        program = find_azurite()
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            str(program), "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence",
            "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
        ]  # fmt: skip
        with (self.folder / "azurite.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = (self.folder / "azurite.log").read_text(errors="replace")[-2000:]
                raise ServiceMissingError(f"Azurite did not start:\n{words}")
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self) -> Any:
        """A client of azure-storage-blob."""
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient.from_connection_string(self.connection_string)

    def make_container(self, name: str) -> str:
        """A new container (names of three letters or more)."""
        self.client().create_container(name)
        return name

    def names(self, container: str) -> list[str]:
        """Names of the blobs in a container."""
        return [found.name for found in self.client().get_container_client(container).list_blobs()]

    def stop(self) -> None:
        """Stop it by its pid."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None
