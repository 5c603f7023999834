"""A real server that speaks S3, for tests: moto's, in a process of its own on a free loopback port."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.services.debian import ServiceMissingError

_START_SECONDS = 60
CREDENTIALS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
"""Any will do."""


class ObjectStore:
    """One server; what it holds is gone when it is stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> ObjectStore:
        """Start it and wait until it answers."""
        if importlib.util.find_spec("moto") is None:
            raise ServiceMissingError("moto is not installed: pip install 'moto[server,s3]'")
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "objectstore.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = (self.folder / "objectstore.log").read_text(errors="replace")[-2000:]
                raise ServiceMissingError(f"the S3 server did not start:\n{words}")
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self) -> Any:
        """A client of boto3."""
        import boto3

        return boto3.client("s3", endpoint_url=self.url, **CREDENTIALS)

    def make_bucket(self, name: str) -> str:
        """A new bucket (names of three letters or more)."""
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        """Names of the objects in a bucket."""
        return [found["Key"] for found in self.client().list_objects_v2(Bucket=bucket).get("Contents", [])]

    def stop(self) -> None:
        """Stop it by its pid."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


def quiet_environment() -> dict[str, str]:
    """The environment without what somebody has set up for a real account."""
    return {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
