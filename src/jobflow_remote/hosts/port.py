"""A host as the runner sees it: run commands, move many small files, notice what ended.

All verbs are asynchronous and may be called concurrently. They raise
:class:`~jobflow_remote.errors.HostUnreachableError` when the host cannot be used right now (it is weather: the caller
waits), and :class:`~jobflow_remote.errors.HostError` when this one thing did not work.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command answered."""

    stdout: str
    stderr: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One name in a folder."""

    name: str
    """Relative to the folder that was listed."""
    size: int
    """Bytes; 0 for folders."""
    modified: float
    """Seconds since 1970, by the clock of the host."""
    is_folder: bool = False


class Host(ABC):
    """A place where jobs run."""

    files_are_local: bool = False
    """Whether the files of this host can be read as files of this machine (nothing needs to be downloaded)."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What people call it: ``this machine``, or ``user@host:port``; without secrets."""

    @property
    def place(self) -> Hashable:
        """Hosts with equal ones are the same login on the same machine: one question there serves them all."""
        return id(self)

    @abstractmethod
    async def run(
        self, command: str, *, stdin: bytes | None = None, timeout_seconds: float | None = None
    ) -> CommandResult:
        """Run a shell command (bash); a non-zero exit code is an answer, not an error.

        Raises
        ------
        HostTimeoutError
            After ``timeout_seconds``; the command and its children have been ended then.
        """

    async def run_many(
        self, commands: Sequence[str], *, timeout_seconds: float | None = None
    ) -> list[CommandResult]:
        """Run independent commands, at the same time as far as the host allows; answers in the order given."""
        return await asyncio.gather(*(self.run(c, timeout_seconds=timeout_seconds) for c in commands))

    @abstractmethod
    async def put_many(self, files: Mapping[str, bytes | Path], *, replace_in: Sequence[str] = ()) -> None:
        """Write files (path → content, or a file of this machine), making folders as needed, in one transfer.

        Each file appears as a whole. ``replace_in``: files to remove first, missing ones are fine. Files of this
        machine are streamed: memory does not grow with their size.
        """

    async def put_and_run(
        self, files: Mapping[str, bytes | Path], command: str, *, timeout_seconds: float | None = None
    ) -> CommandResult:
        """Write files, then run a command that needs them; where the host allows, in one round trip.

        The command does not run unless all files were written.
        """
        await self.put_many(files)
        return await self.run(command, timeout_seconds=timeout_seconds)

    @abstractmethod
    async def get_many(self, files: Mapping[str, Path]) -> frozenset[str]:
        """Copy files (path → file of this machine) in one transfer; returns the paths that do not exist.

        Folders of this machine are made as needed; each file appears as a whole, streamed.
        """

    @abstractmethod
    async def read_tail(self, path: str, max_bytes: int) -> str | None:
        """The last ``max_bytes`` of a text file, undecodable bytes replaced; None if there is no such file."""

    @abstractmethod
    async def list_folder(self, path: str, *, deep: bool = False) -> list[FileInfo] | None:
        """What is in a folder (``deep``: and in the folders below), sorted by name; None if there is no such folder."""

    @abstractmethod
    async def remove_run_folders(self, paths: Sequence[str]) -> frozenset[str]:
        """Remove jobs' folders with all they contain; returns those that were removed.

        A folder is left alone unless it holds a job's input file and its name is that of a run folder.
        """

    @abstractmethod
    async def remove_files(self, paths: Sequence[str]) -> frozenset[str]:
        """Remove files (no folders); returns those that existed."""

    @abstractmethod
    async def close(self) -> None:
        """Give back connections; may be called twice."""

    def watch(self, process_ids: Sequence[str], ended: Callable[[str], None]) -> bool:
        """Call ``ended`` in the event loop as soon as one of these processes is gone; later calls add to the set.

        Returns False where the host cannot notice such things, so that it must be asked.
        """
        return False
