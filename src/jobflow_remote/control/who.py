"""Who acts, as the history of a job has it."""

from __future__ import annotations

import getpass
import socket


def whoami() -> str:
    """``user@machine``."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
