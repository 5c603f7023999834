"""Two machines that see the same files: commands run on one, files travel through the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobflow_remote.hosts.port import CommandResult, FileInfo, Host


class SplitHost(Host):
    """A login node and a data-transfer node (``type: separated_transfer``)."""

    def __init__(self, commands: Host, files: Host) -> None:
        self._commands, self._files = commands, files

    @property
    def name(self) -> str:
        return f"{self._commands.name} (files: {self._files.name})"

    async def run(
        self, command: str, *, stdin: bytes | None = None, timeout_seconds: float | None = None
    ) -> CommandResult:
        return await self._commands.run(command, stdin=stdin, timeout_seconds=timeout_seconds)

    async def put_many(self, files: Mapping[str, bytes | Path], *, replace_in: Sequence[str] = ()) -> None:
        await self._files.put_many(files, replace_in=replace_in)

    async def get_many(self, files: Mapping[str, Path]) -> frozenset[str]:
        return await self._files.get_many(files)

    async def read_tail(self, path: str, max_bytes: int) -> str | None:
        return await self._files.read_tail(path, max_bytes)

    async def list_folder(self, path: str, *, deep: bool = False) -> list[FileInfo] | None:
        return await self._files.list_folder(path, deep=deep)

    async def remove_run_folders(self, paths: Sequence[str]) -> frozenset[str]:
        return await self._commands.remove_run_folders(paths)

    async def remove_files(self, paths: Sequence[str]) -> frozenset[str]:
        return await self._files.remove_files(paths)

    async def close(self) -> None:
        await asyncio.gather(self._commands.close(), self._files.close())
