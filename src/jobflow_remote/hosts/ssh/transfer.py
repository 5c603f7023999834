"""A host for files: by commands if it runs any, by SFTP if it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jobflow_remote.hosts.channel import NoShellError
from jobflow_remote.hosts.port import FileInfo
from jobflow_remote.hosts.remote import ShellOptions
from jobflow_remote.hosts.ssh.connection import SshConnection
from jobflow_remote.hosts.ssh.host import SshHost
from jobflow_remote.hosts.ssh.sftp import SftpFiles


class SshTransferHost(SshHost):
    """A data-transfer node."""

    def __init__(self, connection: SshConnection, shell: ShellOptions) -> None:
        super().__init__(connection, shell)
        self._sftp = SftpFiles(connection)
        self._has_shell = True

    async def put_many(self, files: Mapping[str, bytes | Path], *, replace_in: Sequence[str] = ()) -> None:
        if self._has_shell:
            try:
                return await super().put_many(files, replace_in=replace_in)
            except NoShellError:
                self._has_shell = False
        return await self._sftp.put_many(files, replace_in)

    async def get_many(self, files: Mapping[str, Path]) -> frozenset[str]:
        if self._has_shell:
            try:
                return await super().get_many(files)
            except NoShellError:
                self._has_shell = False
        return await self._sftp.get_many(files)

    async def read_tail(self, path: str, max_bytes: int) -> str | None:
        if self._has_shell:
            try:
                return await super().read_tail(path, max_bytes)
            except NoShellError:
                self._has_shell = False
        return await self._sftp.read_tail(path, max_bytes)

    async def list_folder(self, path: str, *, deep: bool = False) -> list[FileInfo] | None:
        if self._has_shell:
            try:
                return await super().list_folder(path, deep=deep)
            except NoShellError:
                self._has_shell = False
        return await self._sftp.list_folder(path, deep)

    async def remove_files(self, paths: Sequence[str]) -> frozenset[str]:
        if self._has_shell:
            try:
                return await super().remove_files(paths)
            except NoShellError:
                self._has_shell = False
        return await self._sftp.remove_files(paths)

    async def close(self) -> None:
        self._sftp.close()
        await super().close()
