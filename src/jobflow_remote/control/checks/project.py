"""All checks of a project, at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from jobflow_remote.config.nearest import did_you_mean
from jobflow_remote.config.project import Project
from jobflow_remote.config.workers import WorkerBase
from jobflow_remote.control.checks import stores
from jobflow_remote.control.checks.findings import Finding, Progress, Report, error, from_exception
from jobflow_remote.control.checks.worker import CheckOptions, check_worker
from jobflow_remote.errors import ConfigError

_STORE_SECONDS = 60.0
"""Drivers of databases give up earlier; a store that does not is not waited for."""
_WORKER_SECONDS = 60.0
"""How much longer than its commands may take a worker may need altogether."""

Check = Callable[[Callable[[str], None]], Awaitable[list[Finding]]]


@dataclass(frozen=True)
class Wanted:
    """What to check; by default everything."""

    workers: bool = True
    worker: str | None = None
    """Only this one."""
    jobstores: bool = True
    queue: bool = True
    file: Path | None = None
    """The project file, if it is to be looked at."""
    options: CheckOptions = field(default_factory=CheckOptions)


def check_project(
    project: Project,
    wanted: Wanted,
    *,
    progress: Progress = lambda element, doing: None,
    told: Callable[[Report], None] = lambda report: None,
) -> list[Report]:
    """Check at the same time what is wanted; reports come in the order of the project file.

    Parameters
    ----------
    progress
        Told what is being done with each element.
    told
        Told each report as soon as it and those before it are complete.

    Raises
    ------
    ConfigError
        If the project has no worker of the name that is wanted.
    """
    if wanted.worker is not None and wanted.worker not in project.workers:
        raise ConfigError(
            f"project {project.name} has no worker {wanted.worker!r}"
            + did_you_mean(wanted.worker, project.workers),
            hint=f"its workers: {', '.join(project.workers) or 'none'}",
        )

    async def one(element: str, check: Check) -> Report:
        progress(element, "waiting")
        try:
            findings = await check(lambda what: progress(element, what))
        except Exception as exc:  # noqa: BLE001 - one element must not spoil the answers about the others
            findings = [from_exception("check", exc)]
        progress(element, None)
        return Report(element, tuple(findings))

    async def all_of_them() -> list[Report]:
        going_on = [asyncio.ensure_future(one(name, check)) for name, check in _checks(project, wanted)]
        reports = []
        for each in going_on:
            reports.append(await each)
            told(reports[-1])
        return reports

    return asyncio.run(all_of_them())


def _checks(project: Project, wanted: Wanted) -> Iterator[tuple[str, Check]]:
    if wanted.workers or wanted.worker is not None:
        for name, worker in project.workers.items():
            if wanted.worker in (None, name):
                yield f"Worker {name}", _of_worker(worker, wanted.options)
        if not project.workers:
            yield "Workers", _of_function("looking", stores.no_workers)
    if wanted.jobstores:
        for store in (None, *(project.optional_jobstores or ())):
            element = "Jobstore" if store is None else f"Jobstore {store}"
            yield (
                element,
                _of_function("connecting", partial(stores.check_outputs, project, store)),
            )
    if wanted.queue:
        yield "Queue store", _of_function("connecting", partial(stores.check_queue, project))
    file = wanted.file
    if file is not None and stores.check_file(project, file):
        yield f"File {file}", _of_function("looking", partial(stores.check_file, project, file))


def _of_worker(worker: WorkerBase, options: CheckOptions) -> Check:
    patience = _WORKER_SECONDS + 4 * worker.timeout_execute + (options.run_seconds if options.run else 0)

    async def check(doing: Callable[[str], None]) -> list[Finding]:
        try:
            async with asyncio.timeout(patience):
                return await check_worker(worker, options=options, doing=doing)
        except TimeoutError:
            text = f"the worker did not answer all questions within {patience:.0f} s"
            return [error("connection", text, "is the machine overloaded? Try to work on it by hand")]

    return check


def _of_function(what: str, look: Callable[[], list[Finding]]) -> Check:
    async def check(doing: Callable[[str], None]) -> list[Finding]:
        doing(what)
        return await _in_own_thread(look)

    return check


async def _in_own_thread(look: Callable[[], list[Finding]]) -> list[Finding]:
    """Run something that may hang, and that nobody waits for at the end of the process."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Finding]] = loop.create_future()

    def settle(result: list[Finding]) -> None:
        if not answer.done():
            answer.set_result(result)

    def run() -> None:
        try:
            result = look()
        except Exception as exc:  # noqa: BLE001 - it is told, not raised
            result = [from_exception("check", exc)]
        try:
            loop.call_soon_threadsafe(settle, result)
        except RuntimeError:  # the loop has ended: nobody waits for it any more
            return

    threading.Thread(target=run, daemon=True, name="check").start()
    try:
        return await asyncio.wait_for(answer, _STORE_SECONDS)
    except TimeoutError:
        text = f"no answer within {_STORE_SECONDS:g} s"
        return [error("connection", text, "is the server running, and reachable from here?")]
