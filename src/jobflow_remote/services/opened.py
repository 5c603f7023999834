"""What a process of ours works with: the project, its queue database, hosts, schedulers and output stores.

Adapters are made on first use and kept open; :mod:`jobflow_remote.bootstrap` says which.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow_remote.config.project import Project
from jobflow_remote.config.workers import WorkerBase
from jobflow_remote.errors import ConfigError
from jobflow_remote.hosts.port import Host
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.schedulers.handover import render_withdraw
from jobflow_remote.schedulers.port import HostJob, Scheduler
from jobflow_remote.services import wakeup

if TYPE_CHECKING:
    from jobflow_remote.outputs.jobstore import OutputStore


@dataclass
class Services:
    """Opened adapters of one project. Close it when done."""

    project: Project
    queue: QueueDatabase
    make_host: Callable[[WorkerBase], Host]
    make_scheduler: Callable[[WorkerBase], Scheduler]
    make_outputs: Callable[[Project, str | None], OutputStore]
    _hosts: dict[str, Host] = field(default_factory=dict)
    _outputs: dict[str | None, OutputStore] = field(default_factory=dict)
    _opening: threading.RLock = field(default_factory=threading.RLock)

    @property
    def daemon_dir(self) -> Path:
        """Folder of the runner's sockets, locks and pid file."""
        return Path(str(self.project.daemon_dir))

    def worker(self, name: str) -> WorkerBase:
        """Configuration of a worker.

        Raises
        ------
        ConfigError
            If the project has no such worker.
        """
        try:
            return self.project.workers[name]
        except KeyError:
            raise ConfigError(
                f"project {self.project.name} has no worker {name!r}",
                hint=f"its workers: {', '.join(self.project.workers) or 'none'}",
            ) from None

    def host(self, worker: str) -> Host:
        """The host of a worker, connected when it is first used."""
        with self._opening:
            if worker not in self._hosts:
                self._hosts[worker] = self.make_host(self.worker(worker))
            return self._hosts[worker]

    def forget_host(self, worker: str) -> Host | None:
        """Make the host of a worker anew when it is next used; returns the former one, for the caller to close."""
        with self._opening:
            return self._hosts.pop(worker, None)

    def scheduler(self, worker: str) -> Scheduler:
        """How jobs are handed to the batch system of a worker."""
        return self.make_scheduler(self.worker(worker))

    def render_cancel(self, worker: str, jobs: Sequence[HostJob]) -> str:
        """Command for the host of a worker that ends jobs, whoever has them: the scheduler or a pilot."""
        batch = self.worker(worker).batch
        if batch is not None:
            return render_withdraw(str(batch.jobs_handle_dir), jobs)
        return self.scheduler(worker).render_cancel(jobs)

    def outputs(self, name: str | None = None) -> OutputStore:
        """The project's output store, or one of its ``optional_jobstores``; opened when it is first used."""
        with self._opening:
            if name not in self._outputs:
                self._outputs[name] = self.make_outputs(self.project, name)
            return self._outputs[name]

    def store_name(self, flow_uuid: str) -> str | None:
        """Which of the ``optional_jobstores`` keeps the outputs of a flow; None: the project's own store."""
        if not self.project.optional_jobstores:
            return None
        flows = self.queue.find_flows({"uuid": flow_uuid}, fields=["jobstore"])
        name: str | None = flows[0].get("jobstore") if flows else None
        return name

    def ring(self, steps: Iterable[str] = (wakeup.EVERYBODY,)) -> int:
        """Wake the runner's processes on this machine."""
        return wakeup.ring(self.daemon_dir, steps)

    async def close_hosts(self) -> None:
        """Give back connections to hosts."""
        for host in self._hosts.values():
            await host.close()
        self._hosts.clear()

    def close(self) -> None:
        """Close the stores and the database; may be called twice."""
        for store in self._outputs.values():
            store.close()
        self._outputs.clear()
        self.queue.close()

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
