"""What `jf project check --run` has a worker run: a job that does nothing but tell where it is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import sys
import time
from typing import Any

PACKAGES = ("jobflow-remote", "jobflow")


def describe_node() -> Any:
    """Where this runs, and with which versions; as ``stored_data``, which needs no store."""
    from jobflow import Response

    return Response(
        stored_data={
            "hostname": socket.gethostname(),
            "python": platform.python_version(),
            "executable": sys.executable,
            "folder": os.getcwd(),
            "time": time.time(),
            "versions": {name: _version(name) for name in PACKAGES},
        }
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
