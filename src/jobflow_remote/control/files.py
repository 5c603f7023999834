"""Files that a job leaves in its run folder, wherever that is."""

from __future__ import annotations

import asyncio
import posixpath
from dataclasses import dataclass

from jobflow_remote.control.inspect import job_info
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME
from jobflow_remote.services.opened import Services

MAX_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class FileText:
    """One file, or why it could not be read."""

    path: str
    content: str
    error: str | None = None


async def _read(services: Services, worker: str, run_dir: str) -> list[FileText]:
    host = services.host(worker)
    found = []
    try:
        for name in (QUEUE_OUT_FILENAME, QUEUE_ERR_FILENAME):
            path = posixpath.join(run_dir, name)
            try:
                text = await host.read_tail(path, MAX_BYTES)
            except JobflowRemoteError as exc:
                found.append(FileText(path, "", f"{path} cannot be read: {exc.message}"))
                continue
            error = f"there is no file {path}" if text is None else None
            found.append(FileText(path, text or "", error))
    finally:
        await services.close_hosts()
    return found


def read_queue_files(services: Services, identifier: str, index: int | None = None) -> list[FileText] | None:
    """What the process of a job wrote to standard output and error; None if it has no run folder yet."""
    document = job_info(services.queue, identifier, index)
    if not document.get("run_dir"):
        return None
    return asyncio.run(_read(services, document["worker"], document["run_dir"]))
