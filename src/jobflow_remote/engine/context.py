"""What steps and lanes share within one process of the runner."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from jobflow_remote.config.project import Project
from jobflow_remote.config.workers import LocalWorker, WorkerBase
from jobflow_remote.engine.configuration import ConfigurationWatch
from jobflow_remote.engine.databasewatch import DatabaseWatch
from jobflow_remote.engine.launching import Launching
from jobflow_remote.engine.polling import StatusDesk
from jobflow_remote.engine.twin import Twin
from jobflow_remote.engine.warm import REFUSED_FOR_SECONDS
from jobflow_remote.hosts.port import Host
from jobflow_remote.layout import run_folder
from jobflow_remote.model.records import LAUNCH, JobRecord
from jobflow_remote.schedulers.port import HostJob, Scheduler
from jobflow_remote.services.opened import Services

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class RunnerContext:
    """Opened adapters, the session's token, and one thread for each thing that may block.

    A store that hangs holds up its own thread, not the queue database.
    """

    services: Services
    token: str
    wake: Callable[[str, str | None], None] = lambda step, worker: None
    """Wake the lanes of a step (of one worker) in this process."""
    desk: StatusDesk = field(default_factory=StatusDesk)
    """Where workers on the same host ask their scheduler together."""
    on_change: Callable[[Project], None] = lambda project: None
    """Go on by another configuration."""
    configuration: ConfigurationWatch = field(init=False)
    """The project file, which may change."""
    database: DatabaseWatch = field(init=False)
    """Through it the queue database is asked."""
    twin: Twin | None = None
    """A warm process that was forked beforehand."""
    _local: dict[str, Launching] = field(default_factory=dict)
    _telling: set[asyncio.Task[None]] = field(default_factory=set)
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _threads: dict[str, ThreadPoolExecutor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.configuration = ConfigurationWatch(self.services.project, None)
        self.database = DatabaseWatch(self.services.daemon_dir)

    async def in_thread(self, name: str, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking call in the thread called ``name``."""
        if name not in self._threads:
            self._threads[name] = ThreadPoolExecutor(1, thread_name_prefix=name)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads[name], lambda: call(*args, **kwargs))

    async def in_queue_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a call to the queue database; it fails at once while the database is known to be away."""
        return await self.in_thread("queue database", partial(self.database.call, call, *args, **kwargs))

    async def look_at_configuration(self) -> None:
        """Go on by what the project file says now, if it has changed and is valid."""
        async with self._looking:
            project = await self.in_thread("configuration", self.configuration.look)
            if project is not None:
                self.on_change(project)

    def launching(self, worker: str) -> Launching | None:
        """How jobs of a worker are started, where that is our own business: on this machine, by the shell."""
        if worker not in self._local:
            config = self.services.worker(worker)
            if not isinstance(config, LocalWorker) or config.scheduler_type != "shell" or config.is_batch:
                return None
            made = self._local[worker] = Launching(
                worker, config, lambda: self.wake("poll", worker), self._teller(worker)
            )
            twin, self.twin = self.twin, None
            if twin is not None and (twin.worker, twin.recipe) == (worker, made.warm.recipe):
                made.warm.adopt(twin.server)
            else:
                self.twin = twin
        return self._local[worker]

    def _teller(self, worker: str) -> Callable[[str | None], None]:
        """Writes down for people why the warm process of a worker cannot be had."""
        from jobflow_remote.engine.health import Health

        health = Health(self, worker=worker, step=LAUNCH)

        def tell(why: str | None) -> None:
            work = (
                health.is_up() if why is None else health.is_down(why, next_try_seconds=REFUSED_FOR_SECONDS)
            )
            task = asyncio.get_running_loop().create_task(work)
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

        return tell

    def forget_worker(self, worker: str) -> None:
        """Its configuration is another one, or it is no more; jobs that run go on."""
        known = self._local.pop(worker, None)
        if known is not None:
            known.warm.close()

    def close(self) -> None:
        """Let the threads end, and the warm processes know that nobody listens."""
        for worker in list(self._local):
            self.forget_worker(worker)
        if self.twin is not None:
            self.twin.server.leave()
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)


class WorkerContext:
    """One worker, as its steps see it: the same until they end, whatever becomes of the project file."""

    def __init__(self, runner: RunnerContext, name: str) -> None:
        self.runner, self.name = runner, name
        self.config: WorkerBase = runner.services.worker(name)
        self._host: Host | None = None

    @property
    def host(self) -> Host:
        """Where its jobs run."""
        if self._host is None:
            self._host = self.runner.services.host(self.name)
        return self._host

    @property
    def scheduler(self) -> Scheduler:
        """How its jobs are run."""
        return self.runner.services.make_scheduler(self.config)

    def results_folder(self, record: JobRecord) -> Path:
        """Where this machine has the files that a job left behind, once they are here."""
        if self.config.is_local:
            return Path(record.run_dir or "")
        downloads = os.path.join(self.runner.services.project.tmp_dir, "download")
        return Path(run_folder(downloads, record.uuid, record.index))

    @property
    def max_running(self) -> int | None:
        """How many jobs may run at a time; None: any number."""
        return None if self.config.is_batch else self.config.job_limit

    @property
    def max_submitted(self) -> int | None:
        """How many jobs may be with the scheduler at a time, those included that wait there for others to end."""
        launching = self.runner.launching(self.name)
        ahead = launching.handed_ahead if launching is not None else 0
        return None if self.max_running is None else self.max_running + ahead


def host_job(record: JobRecord) -> HostJob:
    """The record as host and scheduler know it."""
    return HostJob(record.run_dir or "", record.attempt or "0", record.process_id)
