"""The first warm process of a runner that does everything in one process: its twin.

Such a runner needs jobflow itself, to store results. So it imports it before it does anything else, and forks: both go
on with the same pages of memory, and the first job finds a process that is warm. Later ones (after a change of a file,
say) are started as everywhere.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
from dataclasses import dataclass
from typing import NoReturn

from jobflow_remote.config.project import Project
from jobflow_remote.config.workers import LocalWorker
from jobflow_remote.engine.launching import make_recipe, why_worker_needs_shell
from jobflow_remote.engine.warm import Recipe
from jobflow_remote.execution.forkserver.client import ForkServerProcess
from jobflow_remote.execution.forkserver.server import import_modules


@dataclass(frozen=True, slots=True)
class Twin:
    """A warm process that waits for its worker to be started."""

    worker: str
    recipe: Recipe
    server: ForkServerProcess


def fork_twin(project: Project) -> Twin | None:
    """Import, and fork; None where no worker of this machine has any use for it.

    To be called while the process has one thread, and has opened nothing that it does not want to share.
    """
    for name, worker in project.workers.items():
        if isinstance(worker, LocalWorker) and worker.can_fork and why_worker_needs_shell(worker) is None:
            return _fork_for(name, make_recipe(worker))
    return None


def _fork_for(worker: str, recipe: Recipe) -> Twin:
    since = time.time()
    os.environ.update(recipe.environment)  # libraries look at it when they are loaded
    import_modules(["jobflow"])  # if that does not work, the other end says so
    ours, theirs = socket.socketpair()
    gc.collect()
    gc.freeze()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _be_station(theirs, recipe, since)
    theirs.close()
    for variable in recipe.environment:
        os.environ.pop(variable, None)
    return Twin(worker, recipe, ForkServerProcess.of_child(pid, ours))


def _be_station(end: socket.socket, recipe: Recipe, since: float) -> NoReturn:
    from jobflow_remote.execution.forkserver.station import StationOptions, run_station

    code = 1
    try:
        os.setsid()
        os.set_inheritable(end.fileno(), False)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        number = os.dup2(end.fileno(), 3) if end.fileno() != 3 else 3
        os.closerange(4, 1 << 20)
        code = run_station(number, StationOptions(recipe.most, recipe.pin, recipe.preload), since=since)
    finally:
        os._exit(code)
