"""The processes of a runner as supervisord's configuration file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from jobflow_remote.errors import DaemonError
from jobflow_remote.model.lifecycle import ROLES
from jobflow_remote.services.session import PID_FILENAME, SHARE_VARIABLE, TOKEN_VARIABLE

_SOCKET_PATH_LIMIT = 97
"""supervisord binds a temporary name next to the socket, and paths of sockets may have 107 bytes."""
_OPTIONS = "; started with "
STOP_SECONDS = 60
"""A process ends well before (it cuts steps in hand short); what does not is stuck."""
EXIT_CODES = "0,3"
"""Ends that are meant: told to stop, and superseded by another runner."""


class End(Enum):
    """How a runner ends."""

    STOP = "stop"
    """Its processes finish the steps in hand; the daemon stays."""
    SHUTDOWN = "shutdown"
    """The daemon ends, too."""
    KILL = "kill"


@dataclass(frozen=True)
class DaemonFiles:
    """Files of the daemon, below ``daemon_dir`` and ``log_dir`` of the project."""

    daemon_dir: Path
    log_dir: Path

    @property
    def configuration(self) -> Path:
        """supervisord's configuration."""
        return self.daemon_dir / "supervisord.conf"

    @property
    def pid(self) -> Path:
        """Pid of supervisord."""
        return self.daemon_dir / PID_FILENAME

    @property
    def socket(self) -> Path:
        """Socket on which supervisord listens."""
        path = self.daemon_dir / "s.sock"
        if len(os.fsencode(path)) > _SOCKET_PATH_LIMIT:
            raise DaemonError(
                f"the path of the daemon's socket is too long for the system: {path}",
                hint="set daemon_dir in the project file to a shorter folder",
            )
        return path

    @property
    def log(self) -> Path:
        """supervisord's own log."""
        return self.log_dir / "supervisord.log"


@dataclass(frozen=True)
class RunnerLayout:
    """Which processes a runner has."""

    single: bool = False
    transfer: int = 1
    complete: int = 1
    log_level: str | None = None
    interactive: bool = False
    """It was logged in to hosts that ask questions, at a terminal."""

    def programs(self) -> list[tuple[str, str, list[str], int]]:
        """Group, process name, roles and number of processes of each program, named as in the slides."""
        if self.single:
            return [("runner_daemon", "run_jobflow%(process_num)s", [], 1)]
        numbers = {"transfer": self.transfer, "complete": self.complete}
        return [
            (
                f"runner_daemon_{role}",
                f"run_jobflow_{role}" + ("%(process_num)s" if role in numbers else ""),
                [role],
                numbers.get(role, 1),
            )
            for role in ROLES
        ]


def render_configuration(files: DaemonFiles, layout: RunnerLayout, *, project: str, token: str) -> str:
    """supervisord's configuration for a runner whose session is ``token``."""
    sections: dict[str, Mapping[str, object]] = {
        "unix_http_server": {"file": files.socket, "chmod": "0700"},
        "supervisord": {
            "logfile": files.log,
            "logfile_maxbytes": "10MB",
            "logfile_backups": 5,
            "pidfile": files.pid,
            "identifier": "jobflow-remote",
            "directory": files.daemon_dir,
            "umask": "077",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    for group, process, roles, number in layout.programs():
        sections[f"program:{group}"] = _program(files, layout, project, token, group, process, roles, number)
    head = f"{_OPTIONS}{json.dumps(asdict(layout))}\n"
    return head + "\n".join(
        f"[{name}]\n" + "".join(f"{key}={_escape(value, key)}\n" for key, value in values.items())
        for name, values in sections.items()
    )


def parse_layout(configuration: str) -> RunnerLayout | None:
    """With which options the daemon of a configuration was started; None if it does not say."""
    first, _, _ = configuration.partition("\n")
    if not first.startswith(_OPTIONS):
        return None
    try:
        return RunnerLayout(**json.loads(first.removeprefix(_OPTIONS)))
    except (ValueError, TypeError):
        return None


def _program(
    files: DaemonFiles,
    layout: RunnerLayout,
    project: str,
    token: str,
    group: str,
    process: str,
    roles: list[str],
    number: int,
) -> dict[str, object]:
    words = [sys.executable, "-m", "jobflow_remote.engine", project, *roles]
    if layout.log_level:
        words += ["--log-level", layout.log_level]
    return {
        "command": " ".join(f'"{word}"' for word in words),
        "process_name": process,
        "numprocs": number,
        "autostart": "true",
        "autorestart": "unexpected",
        "exitcodes": EXIT_CODES,
        "startsecs": 1,
        "startretries": 1000,
        "stopsignal": "TERM",
        "stopwaitsecs": STOP_SECONDS,
        "environment": f'{TOKEN_VARIABLE}="{token}",{SHARE_VARIABLE}="%(process_num)s/{number}"',
        "stdout_logfile": str(files.log_dir).replace("%", "%%") + f"/{group}_%(process_num)s.out",
        "stdout_logfile_maxbytes": "1MB",
        "stdout_logfile_backups": 1,
        "redirect_stderr": "true",
    }


def _escape(value: object, key: str) -> str:
    text = str(value)
    return text if key in ("process_name", "environment", "stdout_logfile") else text.replace("%", "%%")
