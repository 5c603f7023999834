"""Whether the queue database and the output stores of a project can be used, and its file is private."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from jobflow_remote.config.helper import outputs_are_in_queue
from jobflow_remote.config.project import Project
from jobflow_remote.config.redact import redact
from jobflow_remote.control.checks.findings import Finding, error, from_exception, ok, warning
from jobflow_remote.errors import ConfigError
from jobflow_remote.queuedb import open_queue_database

Connect = Callable[[], list[Finding]]


def check_queue(project: Project) -> list[Finding]:
    """Open the queue database and read from it."""
    spec = project.queue_spec()
    try:
        queue = open_queue_database(spec)
        try:
            number = queue.count_jobs({})
            queue.get_session()
            where = queue.describe()
        finally:
            queue.close()
    except Exception as exc:  # noqa: BLE001 - whatever a database's library raises is the answer
        return [from_exception("queue", exc, "see `queue` in the project file: is the server running?")]
    return [ok("queue", f"{where} answers: {number} jobs")]


def check_outputs(project: Project, name: str | None) -> list[Finding]:
    """Connect to an output store and read from it."""
    from jobflow_remote import bootstrap

    found = []
    if name is None and outputs_are_in_queue(project):
        found.append(
            warning(
                "jobstore",
                "outputs and jobs are in the same collection",
                "give one of them another `collection_name`",
            )
        )
    try:
        store = bootstrap.make_jobstore(project, name)
    except ConfigError as exc:
        return [*found, from_exception("jobstore", exc)]
    if store is None:
        return [
            *found,
            warning(
                "jobstore",
                "the project has none: outputs are not kept",
                "leave `jobstore` out to keep outputs in files in the folder of the project",
            ),
        ]
    try:
        store.connect()
        store.query_one({}, {"uuid": 1})
    except Exception as exc:  # noqa: BLE001 - whatever a store raises is the answer
        fix = "see `jobstore` in the project file: is the server running, and may you log in?"
        return [*found, from_exception("jobstore", exc, fix)]
    finally:
        _close_quietly(store.close)
    return [*found, ok("jobstore", "it answers")]


def _close_quietly(close: Callable[[], object]) -> None:
    try:
        close()
    except Exception:  # noqa: BLE001, S110 - it was opened to look at it, and that is over
        pass


def check_file(project: Project, path: str | Path) -> list[Finding]:
    """A file with passwords is not for others."""
    content = project.model_dump(mode="json", exclude_unset=True)
    if redact(content) != content and os.stat(path).st_mode & 0o077:
        text = "it holds passwords and others can read it"
        return [warning("file", text, f"chmod 600 {path}")]
    return []


def no_workers() -> list[Finding]:
    """Nothing can run."""
    fix = "`workers` in the project file"
    return [error("workers", "the project has none: nothing can run", fix)]
