"""A shell for a person, in a folder of a worker: the command line to start in a terminal."""

from __future__ import annotations

import os
import shlex

from jobflow_remote.config.workers import BaseRemoteWorker, WorkerBase
from jobflow_remote.errors import ConfigError
from jobflow_remote.hosts.login import login_of
from jobflow_remote.hosts.openssh import control_socket, options_for_ssh


def render_shell_command(worker: WorkerBase, folder: str, *, shell: str = "bash") -> list[str]:
    """Words of the command that opens an interactive shell in a folder: locally, or by the system's ``ssh``.

    ``ssh`` asks for passwords itself, and uses the open session where the worker has ``transport: openssh``.

    Raises
    ------
    ConfigError
        If ``shell`` is no command.
    """
    try:
        words = shlex.split(shell)
    except ValueError as error:
        raise ConfigError(f"--shell {shell!r} is no command: {error}") from error
    if not words:
        raise ConfigError("--shell must name a command, such as bash")
    enter = f"cd -- {shlex.quote(folder)} && exec {shlex.join(words)}"
    if not isinstance(worker, BaseRemoteWorker):
        return ["sh", "-c", enter]
    login = login_of(worker)
    session = ["-o", f"ControlPath={control_socket(login)}"] if login.transport == "openssh" else []
    # the login shell there may be csh or fish: it gets words in single quotes only
    command = f"exec sh -c {shlex.quote(enter)}"
    return ["ssh", "-t", *options_for_ssh(login), *session, "--", login.host, command]


def run_in_terminal(command: list[str]) -> int:
    """Start it with this process's terminal; returns its exit code.

    Raises
    ------
    ConfigError
        If there is no such program.
    """
    import subprocess

    try:
        return subprocess.run(command, check=False, env=os.environ).returncode
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be started: {error}") from error
