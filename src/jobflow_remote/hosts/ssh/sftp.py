"""Files by SFTP, for hosts that run no commands. Requests are sent without waiting for the answers to others."""

from __future__ import annotations

import asyncio
import posixpath
import secrets
import stat
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from jobflow_remote.errors import HostError, HostUnreachableError
from jobflow_remote.hosts.commands import check_path
from jobflow_remote.hosts.port import FileInfo
from jobflow_remote.hosts.ssh.connection import SshConnection
from jobflow_remote.hosts.tarstream import write_whole_from

_FILES_AT_A_TIME = 32
_PIECE_BYTES = 1 << 20
_MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory)


class SftpFiles:
    """The verbs about files."""

    def __init__(self, connection: SshConnection) -> None:
        self._connection = connection
        self._client: asyncssh.SFTPClient | None = None
        self._over: asyncssh.SSHClientConnection | None = None
        self._starting = asyncio.Lock()
        self._few = asyncio.Semaphore(_FILES_AT_A_TIME)

    async def put_many(self, files: Mapping[str, bytes | Path], replace_in: Sequence[str]) -> None:
        """Write files, each as a whole."""
        suffix = f".part{secrets.token_hex(6)}"
        async with self._session("write files") as sftp:
            await self._all(self._remove(sftp, path) for path in replace_in)
            folders = _Folders(sftp)
            await self._all(
                self._put(sftp, folders, path, content, suffix) for path, content in files.items()
            )

    async def get_many(self, files: Mapping[str, Path]) -> frozenset[str]:
        """Read files; those that do not exist."""
        async with self._session("read files") as sftp:
            there = await self._all(self._get(sftp, path, target) for path, target in files.items())
        return frozenset(path for path, found in zip(files, there, strict=True) if not found)

    async def read_tail(self, path: str, max_bytes: int) -> str | None:
        """The end of a file."""
        check_path(path)
        try:
            async with self._session(f"read {path}") as sftp, sftp.open(path, "rb") as file:
                size = (await file.stat()).size or 0
                data = await file.read(max_bytes, max(0, size - max_bytes))
        except FileNotFoundError:
            return None
        return _bytes(data).decode(errors="replace")

    async def list_folder(self, path: str, deep: bool) -> list[FileInfo] | None:
        """What is in a folder."""
        check_path(path)
        try:
            async with self._session(f"list {path}") as sftp:
                found = [info async for info in _walk(sftp, path, "", deep)]
        except FileNotFoundError:
            return None
        return sorted(found, key=lambda info: info.name)

    async def remove_files(self, paths: Sequence[str]) -> frozenset[str]:
        """Remove files; those that were there."""
        async with self._session("remove files") as sftp:
            there = await self._all(self._remove(sftp, path) for path in paths)
        return frozenset(path for path, found in zip(paths, there, strict=True) if found)

    def close(self) -> None:
        """End the session."""
        client, self._client = self._client, None
        if client is not None:
            client.exit()

    # -- inside ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _session(self, doing: str) -> AsyncIterator[asyncssh.SFTPClient]:
        """An SFTP session; its errors become ours (a missing file becomes a FileNotFoundError)."""
        name = self._connection.login.name
        try:
            yield await self._get_client()
        except _MISSING as error:
            raise FileNotFoundError(error.reason) from error
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.ConnectionLost) as error:
            self._client = None
            raise HostUnreachableError(f"{name}: connection lost") from error
        except asyncssh.SFTPError as error:
            raise HostError(f"cannot {doing} on {name}: {error.reason}") from error
        except asyncssh.Error as error:
            self._client = None
            raise HostUnreachableError(f"{name}: {error.reason}") from error

    async def _get_client(self) -> asyncssh.SFTPClient:
        async with self._starting:
            connection = await self._connection.get()
            if self._client is None or self._over is not connection:
                self._client = await connection.start_sftp_client(path_errors="surrogateescape")
                self._over = connection
            return self._client

    async def _all(self, work: Iterable[Awaitable[bool]]) -> list[bool]:
        """Do many things, some at a time; the first error once all have ended."""
        done = await asyncio.gather(*map(self._one, work), return_exceptions=True)
        found: list[bool] = []
        for each in done:
            if isinstance(each, BaseException):
                raise each
            found.append(each)
        return found

    async def _one(self, work: Awaitable[bool]) -> bool:
        async with self._few:
            return await work

    async def _put(
        self, sftp: asyncssh.SFTPClient, folders: _Folders, path: str, content: bytes | Path, suffix: str
    ) -> bool:
        part = check_path(path) + suffix
        await folders.make(posixpath.dirname(path))
        try:
            if isinstance(content, bytes):
                async with sftp.open(part, "wb") as file:
                    await file.write(content)
            else:
                await _send(sftp, content, part)
            await sftp.posix_rename(part, path)
        except OSError as error:
            raise HostError(f"cannot send {content!s}: {error.strerror or error}") from error
        except BaseException:
            try:
                await sftp.remove(part)
            except asyncssh.Error:
                pass
            raise
        return True

    async def _get(self, sftp: asyncssh.SFTPClient, path: str, target: Path) -> bool:
        try:
            if not await sftp.isfile(check_path(path)):
                return False
            async with sftp.open(path, "rb") as file:

                async def read() -> bytes:
                    return _bytes(await file.read(_PIECE_BYTES))

                await write_whole_from(target, read)
        except _MISSING:
            return False
        except OSError as error:
            raise HostError(f"cannot write {target}: {error.strerror or error}") from error
        return True

    async def _remove(self, sftp: asyncssh.SFTPClient, path: str) -> bool:
        try:
            await sftp.remove(check_path(path))
        except _MISSING:
            return False
        return True


class _Folders:
    """Makes each folder once, parents first."""

    def __init__(self, sftp: asyncssh.SFTPClient) -> None:
        self._sftp = sftp
        self._made: dict[str, asyncio.Task[None]] = {}

    async def make(self, path: str) -> None:
        if path not in self._made:
            self._made[path] = asyncio.ensure_future(self._make(path))
        await self._made[path]

    async def _make(self, path: str) -> None:
        if await self._sftp.isdir(path):
            return
        await self.make(posixpath.dirname(path))
        try:
            await self._sftp.mkdir(path)
        except asyncssh.SFTPError:
            if not await self._sftp.isdir(path):
                raise


def _bytes(data: bytes | str) -> bytes:
    """What a binary file gives (asyncssh's types do not tell it from text)."""
    assert isinstance(data, bytes)
    return data


async def _send(sftp: asyncssh.SFTPClient, source: Path, target: str) -> None:
    with source.open("rb") as data:
        async with sftp.open(target, "wb") as file:
            while piece := await asyncio.to_thread(data.read, _PIECE_BYTES):
                await file.write(piece)


async def _walk(sftp: asyncssh.SFTPClient, root: str, below: str, deep: bool) -> AsyncIterator[FileInfo]:
    here = posixpath.join(root, below) if below else root
    for entry in await sftp.readdir(here):
        name = entry.filename if isinstance(entry.filename, str) else entry.filename.decode()
        if name in (".", ".."):
            continue
        full, shown = posixpath.join(here, name), posixpath.join(below, name)
        mode = entry.attrs.permissions or 0
        is_link = stat.S_ISLNK(mode)
        is_folder = await sftp.isdir(full) if is_link else stat.S_ISDIR(mode)
        size = 0 if is_folder else entry.attrs.size or 0
        yield FileInfo(shown, size, float(entry.attrs.mtime or 0), is_folder)
        if deep and is_folder and not is_link:
            async for info in _walk(sftp, root, shown, deep):
                yield info
