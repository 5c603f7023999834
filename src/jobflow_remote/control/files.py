"""Files that a job leaves in its run folder, wherever that is: list, fetch, delete.

Names come from people and are compared with what a listing of the run folder shows: nothing outside of it is read.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from jobflow_remote.control.inspect import job_info
from jobflow_remote.errors import JobflowRemoteError, NotAllowedError, NotFoundError
from jobflow_remote.hosts.port import FileInfo, Host
from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME, is_run_folder
from jobflow_remote.model.records import Document
from jobflow_remote.model.states import JobState
from jobflow_remote.services.opened import Services

R = TypeVar("R")

MAX_BYTES = 10_000_000
DELETABLE = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.REMOTE_ERROR})
"""States in which the folder of a job is of no use to the runner any more."""


@dataclass(frozen=True, slots=True)
class FileText:
    """One file, or why it could not be read."""

    path: str
    content: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a job runs or ran."""

    worker: str
    path: str
    state: JobState
    db_id: str
    uuid: str
    index: int

    @property
    def label(self) -> str:
        """The job, for messages."""
        return f"job {self.db_id} ({self.uuid}, {self.index})"


def find_run_folder(services: Services, identifier: str, index: int | None = None) -> RunFolder | None:
    """The run folder of a job; None if it was not sent to its worker yet.

    Raises
    ------
    NotFoundError
        If there is no such job.
    ConfigError
        If the project has no such worker any more.
    """
    document = job_info(services.queue, identifier, index)
    services.worker(document["worker"])
    return run_folder_of(document)


def run_folder_of(document: Document) -> RunFolder | None:
    """Where the job of a document runs or ran; None if nowhere yet."""
    if not document.get("run_dir"):
        return None
    return RunFolder(
        worker=document["worker"],
        path=document["run_dir"],
        state=JobState(document["state"]),
        db_id=document["db_id"],
        uuid=document["uuid"],
        index=document["index"],
    )


def _ask_host(services: Services, worker: str, ask: Callable[[Host], Awaitable[R]]) -> R:
    """Ask the host of a worker something and hang up."""

    async def do() -> R:
        try:
            return await ask(services.host(worker))
        finally:
            await services.close_hosts()

    return asyncio.run(do())


# -- what the process wrote ------------------------------------------------------------------------------------


async def _read(host: Host, run_dir: str) -> list[FileText]:
    found = []
    for name in (QUEUE_OUT_FILENAME, QUEUE_ERR_FILENAME):
        path = posixpath.join(run_dir, name)
        try:
            text = await host.read_tail(path, MAX_BYTES)
        except JobflowRemoteError as exc:
            found.append(FileText(path, "", f"{path} cannot be read: {exc.message}"))
            continue
        error = f"there is no file {path}" if text is None else None
        found.append(FileText(path, text or "", error))
    return found


def read_queue_files(services: Services, identifier: str, index: int | None = None) -> list[FileText] | None:
    """What the process of a job wrote to standard output and error; None if it has no run folder yet."""
    folder = find_run_folder(services, identifier, index)
    if folder is None:
        return None
    return _ask_host(services, folder.worker, lambda host: _read(host, folder.path))


# -- all files -------------------------------------------------------------------------------------------------


def list_files(services: Services, folder: RunFolder, *, deep: bool = False) -> list[FileInfo]:
    """What is in a run folder (``deep``: and in the folders below).

    Raises
    ------
    NotFoundError
        If the folder is gone.
    """
    return _ask_host(services, folder.worker, lambda host: _list(host, folder, deep=deep))


async def _list(host: Host, folder: RunFolder, *, deep: bool) -> list[FileInfo]:
    found = await host.list_folder(folder.path, deep=deep)
    if found is None:
        raise NotFoundError(
            f"the run folder of {folder.label} is gone: {folder.path} on {host.name}",
            hint="it was deleted, or the worker's file system is not mounted there",
        )
    return found


def choose_files(files: Sequence[FileInfo], patterns: Sequence[str]) -> list[str]:
    """Names of files that people mean: names, folders (with all below), wildcards for each part of a path.

    Raises
    ------
    NotAllowedError
        If a name leads out of the run folder.
    NotFoundError
        If nothing answers to a name.
    """
    chosen: dict[str, None] = {}
    for pattern in patterns:
        wanted = _check_name(pattern)
        meant = [info for info in files if wanted == "." or _fits(info.name, wanted)]
        if not meant:
            raise NotFoundError(
                f"there is no {pattern} in the run folder", hint="`jf job files ls ID` lists its files"
            )
        below = tuple(info.name + "/" for info in meant if info.is_folder)
        for info in files:
            if not info.is_folder and (info in meant or info.name.startswith(below)):
                chosen[info.name] = None
    return list(chosen)


def _check_name(pattern: str) -> str:
    name = posixpath.normpath(pattern)
    if name.startswith("/") or name.split("/")[0] == ".." or "\0" in name or not pattern:
        raise NotAllowedError(
            f"{pattern!r} leads out of the run folder", hint="give names relative to the run folder"
        )
    return name


def _fits(name: str, pattern: str) -> bool:
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(
        one == other or fnmatchcase(one, other) for one, other in zip(names, patterns, strict=True)
    )


def get_files(services: Services, folder: RunFolder, patterns: Sequence[str], target: Path) -> list[Path]:
    """Copy files of a run folder into a folder of this machine, in one transfer; returns where they are."""

    async def get(host: Host) -> list[Path]:
        names = choose_files(await _list(host, folder, deep=True), patterns)
        wanted = {posixpath.join(folder.path, name): target / name for name in names}
        missing = await host.get_many(wanted)
        if missing:
            raise NotFoundError(f"these vanished while they were being copied: {', '.join(sorted(missing))}")
        return list(wanted.values())

    return _ask_host(services, folder.worker, get)


def check_deletable(folder: RunFolder, *, any_state: bool = False) -> None:
    """Refuse to delete a folder that somebody may still need, or that is not this job's.

    Raises
    ------
    NotAllowedError
        The message says why.
    """
    if not any_state and folder.state not in DELETABLE:
        raise NotAllowedError(
            f"{folder.label} is {folder.state}: its files may still be needed",
            hint="--all-states deletes them all the same, while no runner is active",
        )
    if not _is_of_job(folder):
        raise NotAllowedError(
            f"{folder.path} does not look like a folder that jobflow-remote made; nothing was deleted",
            hint="look at it, and remove it by hand if it is of no use",
        )


def _is_of_job(folder: RunFolder) -> bool:
    return is_run_folder(folder.path) and posixpath.basename(folder.path) == f"{folder.uuid}_{folder.index}"


def delete_files(services: Services, folder: RunFolder) -> bool:
    """Remove a run folder with all it contains; returns whether it was there.

    Raises
    ------
    NotAllowedError
        If the folder is none of ours (see :func:`check_deletable`), or holds no input file of a job.
    """
    check_deletable(folder, any_state=True)

    async def delete(host: Host) -> bool:
        if await host.list_folder(folder.path) is None:
            return False
        if folder.path not in await host.remove_run_folders([folder.path]):
            raise NotAllowedError(
                f"{folder.path} holds no input file of a job; nothing was deleted",
                hint="look at it, and remove it by hand if it is of no use",
            )
        return True

    return _ask_host(services, folder.worker, delete)
