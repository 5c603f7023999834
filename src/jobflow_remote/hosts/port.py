"""A host as the runner sees it: run commands, move many small files, notice what ended.

All verbs are asynchronous and may be called concurrently. They raise
:class:`~jobflow_remote.errors.HostUnreachableError` when the host cannot be used right now (it is weather: the caller
waits), and :class:`~jobflow_remote.errors.HostError` when this one thing did not work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command answered."""

    stdout: str
    stderr: str
    exit_code: int


class Host(ABC):
    """A place where jobs run."""

    files_are_local: bool = False
    """Whether the files of this host can be read as files of this machine (nothing needs to be downloaded)."""

    @abstractmethod
    async def run(
        self, command: str, *, stdin: bytes | None = None, timeout_seconds: float | None = None
    ) -> CommandResult:
        """Run a shell command (bash); a non-zero exit code is an answer, not an error.

        Raises
        ------
        HostError
            After ``timeout_seconds``; the command and its children have been ended then.
        """

    @abstractmethod
    async def put_many(self, files: Mapping[str, bytes], *, replace_in: Sequence[str] = ()) -> None:
        """Write files (path → content), making folders as needed; each file appears as a whole.

        ``replace_in``: files to remove first, missing ones are fine.
        """

    @abstractmethod
    async def read_tail(self, path: str, max_bytes: int) -> str | None:
        """The last ``max_bytes`` of a text file, undecodable bytes replaced; None if there is no such file."""

    @abstractmethod
    async def list_folder(self, path: str) -> list[str] | None:
        """Names in a folder, sorted; None if there is no such folder."""

    @abstractmethod
    async def remove_run_folder(self, path: str) -> bool:
        """Remove a job's folder with all it contains; refused (False) unless it holds a job's input file."""

    @abstractmethod
    async def close(self) -> None:
        """Give back connections; may be called twice."""

    def watch(self, process_ids: Sequence[str], ended: Callable[[str], None]) -> bool:
        """Call ``ended`` in the event loop as soon as one of these processes is gone; later calls add to the set.

        Returns False where the host cannot notice such things, so that it must be asked.
        """
        return False
