"""One fork server per node, started there by the scheduler's own launcher."""

from __future__ import annotations

import os
import selectors
import shutil
import sys
from collections.abc import Sequence

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.execution.forkserver.client import ForkServerProcess
from jobflow_remote.execution.forkserver.order import Message, Order
from jobflow_remote.execution.pilot.allocation import Allocation, here
from jobflow_remote.execution.pilot.options import PilotOptions

_MOST_REVIVALS = 5


class Agents:
    """The fork servers of an allocation, as if they were one."""

    def __init__(
        self, allocation: Allocation, options: PilotOptions, selector: selectors.BaseSelector
    ) -> None:
        self.allocation, self.options, self._selector = allocation, options, selector
        self._servers: dict[str, ForkServerProcess] = {}
        self._lost: list[str] = []
        self._awaited: set[str] = set()
        self._revivals = 0

    @property
    def ready(self) -> bool:
        """Whether jobs can be started somewhere."""
        return any(server.ready for server in self._servers.values())

    @property
    def any_left(self) -> bool:
        """Whether there is a node to run jobs on."""
        return bool(self._servers)

    def open(self) -> None:
        """Start all of them."""
        for node in self.allocation.nodes:
            self._open(node.name)

    def _open(self, node: str) -> None:
        launcher = launcher_for(node, self.allocation)
        server = ForkServerProcess(preload=self.options.preload, launcher=launcher)
        self._servers[node] = server
        self._awaited.add(node)
        self._selector.register(server, selectors.EVENT_READ, node)

    def wait(self, seconds: float) -> list[Message]:
        """What they tell, as soon as one of them does, or nothing after some time."""
        messages: list[Message] = []
        if not self._servers:
            return messages
        for key, _ in self._selector.select(seconds):
            server = self._servers[key.data]
            try:
                messages += server.receive()
            finally:
                if server.gone:
                    self._drop(key.data)
        for server in self._servers.values():
            if server.channel.has_unsent:
                server.channel.flush()
        return messages

    def _drop(self, node: str) -> None:
        server = self._servers.pop(node)
        self._selector.unregister(server)
        server.close()
        self._lost.append(node)

    def take_lost(self) -> list[str]:
        """Nodes whose agent ended since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def take_ready(self) -> list[str]:
        """Nodes where jobs can be started since the last call."""
        came = [node for node in self._awaited if node in self._servers and self._servers[node].ready]
        self._awaited.difference_update(came)
        return came

    def revive(self, node: str) -> bool:
        """Start the agent of a node anew, if there is hope."""
        self._revivals += 1
        if self._revivals > _MOST_REVIVALS:
            return False
        self._open(node)
        return True

    def start(self, node: str, order: Order) -> None:
        """Have a job run on a node."""
        self._servers[node].start(order)

    def signal(self, node: str, job: str, number: int) -> None:
        """Send a signal to a job."""
        server = self._servers.get(node)
        if server is not None:
            server.signal(job, number)

    def close(self) -> None:
        """End them, and their jobs."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()


def launcher_for(node: str, allocation: Allocation) -> Sequence[str]:
    """Words before a command that has to run on a node; none for this one.

    Raises
    ------
    JobflowRemoteError
        If we do not know how to reach it.
    """
    if node.split(".")[0] == here().split(".")[0] or len(allocation.nodes) == 1:
        return ()
    if allocation.scheduler == "slurm":
        return (
            "srun", "--overlap", "--nodes=1", "--ntasks=1", f"--nodelist={node}", "--cpu-bind=none", "--mem=0",
            "--kill-on-bad-exit=0", "--unbuffered", "--export=ALL",
        )  # fmt: skip
    launcher = _plain_launcher(allocation)
    if launcher is None:
        raise JobflowRemoteError(
            f"there is no way to start an agent on {node}",
            hint="set JFREMOTE_LAUNCHER in pre_run of the worker to a command that takes a node and a command "
            "(ssh, say)",
        )
    return (sys.executable, "-m", "jobflow_remote.execution", "relay", node, launcher)


def _plain_launcher(allocation: Allocation) -> str | None:
    """A command that takes a node and a command, and of which nothing more is expected."""
    own = os.environ.get("JFREMOTE_LAUNCHER")
    if own:
        return own
    if allocation.scheduler == "sge" and shutil.which("qrsh"):
        return "qrsh -inherit -nostdin"
    if allocation.scheduler == "pbs" and shutil.which("pbs_tmrsh"):
        return "pbs_tmrsh"
    if allocation.scheduler == "pbs" and shutil.which("pbsdsh"):  # Torque's
        return "pbsdsh -h"
    return None
