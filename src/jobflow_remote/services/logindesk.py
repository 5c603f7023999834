"""Logging a running runner in to hosts that ask questions: it asks them at the terminal of ``jf worker login``.

Each process of the runner that may need it listens at a socket beside its bell. A terminal says which worker it is
about, and gets questions, one line of JSON each, until the process is logged in or gives up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobflow_remote.config.project import Project
from jobflow_remote.errors import HostError, JobflowRemoteError
from jobflow_remote.hosts.pool import SharedHost
from jobflow_remote.hosts.port import Host
from jobflow_remote.hosts.questions import Prompt, Questions
from jobflow_remote.services.wakeup import bell_folder

_SUFFIX = ".login"
_PAUSE_SECONDS = 0.1
_START_SECONDS = 30.0

Answer = Callable[[Questions], list[str] | None]


def needs_desk(project: Project) -> bool:
    """Whether a worker of the project takes a person to log in."""
    return any(
        getattr(worker, "interactive_login", False) or getattr(worker, "transport", "") == "openssh"
        for worker in project.workers.values()
    )


class LoginDesk:
    """The runner's end."""

    def __init__(
        self,
        daemon_dir: str | Path,
        name: str,
        *,
        find_host: Callable[[str], Host],
        logged_in: Callable[[str], None],
    ) -> None:
        self._find_host, self._logged_in = find_host, logged_in
        self._path = bell_folder(daemon_dir) / f"{name}-{os.getpid()}{_SUFFIX}"
        self._server: asyncio.Server | None = None
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> None:
        """Begin to listen, once; the folder is private (see :class:`~jobflow_remote.services.wakeup.Bell`)."""
        if self._server is not None:
            return
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path))

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            async with self._one_at_a_time:
                asked = json.loads(await reader.readline() or b"{}")
                answer = await self._log_in(str(asked.get("worker")), reader, writer)
                await _say(writer, answer)
        writer.close()

    async def _log_in(
        self, worker: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> dict[str, Any]:
        async def ask(questions: Questions) -> list[str] | None:
            prompts = [[prompt.text, prompt.echo] for prompt in questions.prompts]
            words = {"host": questions.host, "title": questions.title, "text": questions.text}
            await _say(writer, {**words, "prompts": prompts})
            line = await reader.readline()
            answers: list[str] | None = json.loads(line) if line else None
            return answers

        try:
            host = self._find_host(worker)
            if isinstance(host, SharedHost):
                await host.log_in(ask)
        except JobflowRemoteError as error:
            return {"error": error.message, "hint": error.hint}
        self._logged_in(worker)
        return {"done": True}


async def _say(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
    await writer.drain()


def log_runner_in(daemon_dir: str | Path, worker: str, answer: Answer, *, wait_seconds: float = 0.0) -> int:
    """Log the processes of the project's runner on this machine in to a worker's host; returns how many there are.

    Raises
    ------
    HostError
        If one was not let in.
    """
    deadline = time.monotonic() + wait_seconds
    while not (paths := sorted(bell_folder(daemon_dir).glob(f"*{_SUFFIX}"))) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return sum(_log_one_in(path, worker, answer) for path in paths)


def log_runner_in_everywhere(project: Project, answer: Answer) -> None:
    """Log the project's runner, started a moment ago, in to all hosts that ask questions.

    Raises
    ------
    HostError
        If one did not let it in.
    """
    for name, worker in project.workers.items():
        if getattr(worker, "interactive_login", False):
            log_runner_in(str(project.daemon_dir), name, answer, wait_seconds=_START_SECONDS)


def _log_one_in(path: Path, worker: str, answer: Answer) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as desk:
        try:
            desk.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)  # of a process that was killed
            return False
        with desk.makefile("rw", encoding="utf-8") as talk:
            _write(talk, {"worker": worker})
            for line in talk:
                said = json.loads(line)
                if "error" in said:
                    raise HostError(said["error"], hint=said["hint"])
                if "done" in said:
                    return True
                prompts = tuple(Prompt(text, echo) for text, echo in said["prompts"])
                _write(talk, answer(Questions(said["host"], said["title"], said["text"], prompts)))
    raise HostError("the runner ended before it was logged in")


def _write(talk: Any, message: Any) -> None:
    talk.write(json.dumps(message) + "\n")
    talk.flush()
