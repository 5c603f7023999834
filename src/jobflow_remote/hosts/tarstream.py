"""Tar archives in threads, while their bytes travel through the event loop: memory does not grow with the files."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import IO, Any

from jobflow_remote.errors import HostError, HostUnreachableError

Sink = Callable[[bytes], Awaitable[None]]

_PIECE_BYTES = 1 << 18
_PIECES_WAITING = 8
_COMPRESSION = 1
_CLEANING_SECONDS = 5.0
"""How long the thread may take to remove what it had begun."""
_ENCODING, _ENCODING_ERRORS = "utf-8", "surrogateescape"


class _ToLoop(io.RawIOBase):
    """A file for a thread; what is written goes to the event loop, which may take its time."""

    def __init__(self, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        self._sink, self._loop, self.cut = sink, loop, False
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        if len(self._held) >= _PIECE_BYTES:
            self.flush_held()
        return len(data)

    def flush_held(self) -> None:
        """Send what is there."""
        piece, self._held = bytes(self._held), bytearray()
        if self.cut:
            raise HostUnreachableError("the transfer was given up")
        asyncio.run_coroutine_threadsafe(self._guarded(piece), self._loop).result()

    async def _guarded(self, piece: bytes) -> None:
        if self.cut:
            raise HostUnreachableError("the transfer was given up")
        await self._sink(piece)


class _FromLoop(io.RawIOBase):
    """A file for a thread; it reads what arrives in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._held, self._ended, self._closed = loop, b"", False, False
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_PIECES_WAITING)

    def readable(self) -> bool:
        return True

    async def put(self, piece: bytes | None) -> None:
        """More to read; None: nothing more comes."""
        if not self._closed:
            await self._pieces.put(piece)

    def close_input(self) -> None:
        """Whoever reads has reached the end, and whoever writes need not wait for it any more."""
        self._closed = True
        while not self._pieces.empty():
            self._pieces.get_nowait()
        self._pieces.put_nowait(None)

    def read(self, size: int | None = -1) -> bytes:
        """Exactly ``size`` bytes unless the end is near."""
        found = [self._held]
        length = len(self._held)
        while not self._ended and (size is None or size < 0 or length < size):
            piece = asyncio.run_coroutine_threadsafe(self._pieces.get(), self._loop).result()
            if piece is None:
                self._ended = True
                break
            found.append(piece)
            length += len(piece)
        data = b"".join(found)
        at = len(data) if size is None or size < 0 else size
        self._held = data[at:]
        return data[:at]


def _write_and_flush(file: _ToLoop, files: Mapping[str, bytes | Path], suffix: str) -> None:
    write_archive(file, files, suffix)
    file.flush_held()


def write_archive(file: io.RawIOBase | io.BytesIO, files: Mapping[str, bytes | Path], suffix: str) -> None:
    """Write a compressed archive of files called path + ``suffix``, relative to the root of the file system."""
    with (
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_COMPRESSION, mtime=0) as packed,
        tarfile.open(
            fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT, encoding=_ENCODING, errors=_ENCODING_ERRORS
        ) as archive,
    ):
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/") + suffix)
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                with content.open("rb") as source:
                    entry.size = os.fstat(source.fileno()).st_size
                    archive.addfile(entry, source)


def read_archive(file: io.RawIOBase, files: Mapping[str, Path]) -> frozenset[str]:
    """Unpack an archive; returns the paths that it does not hold."""
    missing = set(files)
    with tarfile.open(fileobj=file, mode="r|gz", encoding=_ENCODING, errors=_ENCODING_ERRORS) as archive:
        for entry in archive:
            source = archive.extractfile(entry)
            target = files.get(entry.name)
            if source is None or target is None:
                continue
            write_whole(target, source)
            missing.discard(entry.name)
    return frozenset(missing)


def write_whole(target: Path, source: IO[bytes]) -> None:
    """Write a file of this machine so that nobody sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part{os.getpid()}")
    try:
        with part.open("wb") as file:
            shutil.copyfileobj(source, file, _PIECE_BYTES)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


async def write_whole_from(target: Path, read: Callable[[], Awaitable[bytes]]) -> None:
    """Write a file of this machine, piece after piece, so that nobody sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part{os.getpid()}")
    try:
        with part.open("wb") as file:
            while piece := await read():
                file.write(piece)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def pack_small(files: Mapping[str, bytes | Path], suffix: str) -> bytes:
    """The archive as a whole."""
    packed = io.BytesIO()
    write_archive(packed, files, suffix)
    return packed.getvalue()


async def send_archive(
    files: Mapping[str, bytes | Path], suffix: str, *, sink: Sink, executor: Executor
) -> None:
    """Write an archive to ``sink``, as fast as it takes it."""
    loop = asyncio.get_running_loop()
    file = _ToLoop(sink, loop)
    work = loop.run_in_executor(executor, _write_and_flush, file, files, suffix)
    try:
        await asyncio.shield(work)
    except OSError as error:
        raise HostError(f"cannot send {error.filename or 'a file'}: {error.strerror or error}") from error
    finally:
        file.cut = True
        if not work.done():
            work.add_done_callback(_forget)


async def receive_archive(
    files: Mapping[str, Path], *, fill: Callable[[Sink], Awaitable[None]], executor: Executor
) -> frozenset[str]:
    """Unpack what ``fill`` gives to the sink that it is handed; returns the paths that were not in it."""
    loop = asyncio.get_running_loop()
    file = _FromLoop(loop)
    work = loop.run_in_executor(executor, read_archive, file, files)
    filling = asyncio.ensure_future(_fill(fill, file))
    waited: set[asyncio.Future[Any]] = {work, filling}
    try:
        done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if work in done:
            file.close_input()
            work.result()
        await filling
        return await work
    except OSError as error:
        raise HostError(f"cannot write {error.filename or 'a file'}: {error.strerror or error}") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise HostError(f"what the host sent is no archive: {error}") from error
    finally:
        filling.cancel()
        file.close_input()
        await asyncio.gather(filling, return_exceptions=True)
        await asyncio.wait({work}, timeout=_CLEANING_SECONDS)
        work.add_done_callback(_forget)


async def _fill(fill: Callable[[Sink], Awaitable[None]], file: _FromLoop) -> None:
    await fill(file.put)
    await file.put(None)


def _forget(work: asyncio.Future[Any]) -> None:
    if not work.cancelled():
        work.exception()
