"""This machine as a host: commands by bash, files directly, the end of processes noticed by the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from jobflow_remote.errors import HostError, HostTimeoutError, HostUnreachableError
from jobflow_remote.hosts.port import CommandResult, FileInfo, Host
from jobflow_remote.layout import IN_FILENAME, is_run_folder

_WEATHER = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.ESTALE,
    errno.ENFILE,
    errno.EMFILE,
    errno.EAGAIN,
}
"""The machine cannot right now: full, read-only or absent disks, too many files or processes."""


_LONGEST_ARGUMENT_BYTES = 100_000
"""Linux allows 128 KiB for one."""
_DYING_SECONDS = 1.0


def _host_error(error: OSError, doing: str) -> HostError:
    kind = HostUnreachableError if error.errno in _WEATHER else HostError
    path = f" {error.filename}" if error.filename else ""
    return kind(f"cannot {doing}{path}: {error.strerror or error}")


class LocalHost(Host):
    """The machine on which the runner runs."""

    files_are_local = True

    @property
    def name(self) -> str:
        return "this machine"

    def __init__(self) -> None:
        self._watched: dict[str, int] = {}

    async def run(
        self, command: str, *, stdin: bytes | None = None, timeout_seconds: float | None = None
    ) -> CommandResult:
        if "\0" in command:
            raise HostError("a command cannot contain a zero byte")
        try:
            with _script(command) as (words, descriptors):
                process = await asyncio.create_subprocess_exec(
                    "bash", *words, pass_fds=descriptors,
                    stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise _host_error(error, "start bash") from error
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin), timeout_seconds)
        except TimeoutError as error:
            raise HostTimeoutError(f"no answer within {timeout_seconds} s to: {command[:200]}") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, TimeoutError):
                    os.killpg(process.pid, signal.SIGKILL)
                    await asyncio.wait_for(process.wait(), _DYING_SECONDS)
        return CommandResult(
            out.decode(errors="replace"),
            err.decode(errors="replace"),
            process.returncode if process.returncode is not None else -1,
        )

    async def put_many(self, files: Mapping[str, bytes | Path], *, replace_in: Sequence[str] = ()) -> None:
        await asyncio.to_thread(_put_many, files, replace_in)

    async def get_many(self, files: Mapping[str, Path]) -> frozenset[str]:
        return await asyncio.to_thread(_get_many, files)

    async def read_tail(self, path: str, max_bytes: int) -> str | None:
        return await asyncio.to_thread(read_tail, path, max_bytes)

    async def list_folder(self, path: str, *, deep: bool = False) -> list[FileInfo] | None:
        return await asyncio.to_thread(_list_folder, path, deep)

    async def remove_run_folders(self, paths: Sequence[str]) -> frozenset[str]:
        return await asyncio.to_thread(lambda: frozenset(path for path in paths if _remove_run_folder(path)))

    async def remove_files(self, paths: Sequence[str]) -> frozenset[str]:
        return await asyncio.to_thread(lambda: frozenset(path for path in paths if _remove_file(path)))

    def watch(self, process_ids: Sequence[str], ended: Callable[[str], None]) -> bool:
        if not hasattr(os, "pidfd_open"):
            return False
        loop = asyncio.get_running_loop()
        for process_id in process_ids:
            if process_id in self._watched:
                continue
            try:
                descriptor = os.pidfd_open(int(process_id))
            except ProcessLookupError:
                loop.call_soon(ended, process_id)
                continue
            except OSError:
                return (
                    False  # out of descriptors, or a kernel that lacks it: the caller asks from time to time
                )
            self._watched[process_id] = descriptor
            loop.add_reader(descriptor, self._ended, process_id, ended)
        return True

    def _ended(self, process_id: str, ended: Callable[[str], None]) -> None:
        self._forget(process_id)
        ended(process_id)

    def _forget(self, process_id: str) -> None:
        descriptor = self._watched.pop(process_id, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    async def close(self) -> None:
        for process_id in list(self._watched):
            self._forget(process_id)


@contextlib.contextmanager
def _script(command: str) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Words for bash, and the descriptors it needs: a long command does not fit among its arguments."""
    text = command.encode(errors="surrogateescape")
    if len(text) < _LONGEST_ARGUMENT_BYTES:
        yield ["-c", command], ()
        return
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        yield [f"/dev/fd/{file.fileno()}"], (file.fileno(),)


def _put_many(files: Mapping[str, bytes | Path], replace_in: Sequence[str]) -> None:
    try:
        for path in replace_in:
            Path(path).unlink(missing_ok=True)
        for path, content in files.items():
            _write_whole(path, content)
    except OSError as error:
        raise _host_error(error, "write") from error


def _write_whole(path: str, content: bytes | Path) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.part{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, file)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _get_many(files: Mapping[str, Path]) -> frozenset[str]:
    missing = set()
    try:
        for path, target in files.items():
            if Path(path).is_file():
                _write_whole(str(target), Path(path))
            else:
                missing.add(path)
    except OSError as error:
        raise _host_error(error, "copy") from error
    return frozenset(missing)


def _list_folder(path: str, deep: bool) -> list[FileInfo] | None:
    found = []
    try:
        for folder, folders, files in os.walk(path, onerror=_raise):
            for name in (*folders, *files):
                full = os.path.join(folder, name)
                stat = os.lstat(full)
                is_folder = name in folders
                size = 0 if is_folder else stat.st_size
                found.append(FileInfo(os.path.relpath(full, path), size, stat.st_mtime, is_folder))
            if not deep:
                break
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _host_error(error, "list") from error
    return sorted(found, key=lambda info: info.name)


def _raise(error: OSError) -> None:
    raise error


def _remove_file(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _host_error(error, "remove") from error
    return True


def read_tail(path: str, max_bytes: int) -> str | None:
    """The last ``max_bytes`` of a text file of this machine; None if there is no such file."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _host_error(error, "read") from error


def _remove_run_folder(path: str) -> bool:
    folder = Path(path)
    if not is_run_folder(path) or not any(
        (folder / name).exists() for name in (IN_FILENAME, IN_FILENAME + ".gz")
    ):
        return False
    for pause in (0.01, 0.05, 0.2):
        try:
            shutil.rmtree(folder)
            return True
        except OSError as error:
            if not folder.exists():
                return True
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise _host_error(error, "remove") from error
        time.sleep(pause)  # a process that is just ending writes its last files, or takes some away
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise _host_error(error, "remove") from error
    return True
