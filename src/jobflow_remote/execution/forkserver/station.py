"""The warm process of a local worker: a fork server whose jobs outlive it, and which runs so many at a time.

It holds what it was asked for and has no room for yet. When the runner is gone it forgets that (whoever follows hands
it over again, to another one), waits for what runs, and ends. What it has imported is looked at before each job: when
a file has changed it takes no more, and says so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from jobflow_remote.execution.forkserver import child, marks
from jobflow_remote.execution.forkserver.channel import Channel
from jobflow_remote.execution.forkserver.freshness import Freshness
from jobflow_remote.execution.forkserver.order import EXIT_DUPLICATE, Order, exit_code_of
from jobflow_remote.execution.forkserver.server import ForkServer, import_modules, settle
from jobflow_remote.execution.forkserver.warming import warm_up
from jobflow_remote.execution.plainjson import Durability

_OUT_OF_PROCESSES_SECONDS = 0.5
_AS_IN_THE_BACKGROUND: dict[int, Any] = {signal.SIGINT: signal.SIG_IGN, signal.SIGQUIT: signal.SIG_IGN}
"""A shell has commands in the background ignore what a terminal sends; a job that a script starts is one."""


@dataclass(frozen=True, slots=True)
class StationOptions:
    """How a station works."""

    most: int = 0
    """Jobs at a time; 0: as many as there are."""
    pin: bool = False
    """Give each job cores of its own."""
    preload: tuple[str, ...] = ()


class Station(ForkServer):
    """One conversation with a runner."""

    def __init__(
        self, channel: Channel, origin: child.Origin, options: StationOptions, freshness: Freshness
    ) -> None:
        handlers = {**origin.handlers, **_AS_IN_THE_BACKGROUND}
        super().__init__(channel, replace(origin, handlers=handlers, server=marks.this_process()))
        self._most, self._freshness = options.most, freshness
        self._cores = _Cores(options.most) if options.pin else None
        self._waiting: deque[Order] = deque()
        self._stale = False
        self._not_before = 0.0

    # -- orders ------------------------------------------------------------------------------------------------

    def _on_orders(self) -> None:
        for message in self.channel.receive():
            if message["op"] == "start":
                self._waiting.append(Order.from_message(message))
            elif message["op"] == "most":
                self._most = int(message["number"])
        if self.channel.closed:
            self._leave()
        self._start_waiting()

    def _leave(self) -> None:
        """Nobody listens any more."""
        self._waiting.clear()
        self._selector.unregister(self.channel.reading)

    def _start_waiting(self) -> None:
        while self._waiting and self._has_room() and not self._stale and time.monotonic() >= self._not_before:
            changed = self._freshness.changed()
            if changed is not None:
                self._stale = True
                self.channel.send({"event": "stale", "file": changed})
                return
            self._start(self._waiting.popleft())

    def _has_room(self) -> bool:
        return not self._most or len(self._jobs) < self._most

    def _start(self, order: Order) -> None:
        if os.path.exists(marks.started_path(order.folder, order.attempt or "")):
            self._tell_end(order.id, EXIT_DUPLICATE)
            return
        if self._cores is not None:
            order = replace(order, cores=self._cores.take(order.id))
        started = time.time()
        try:
            pid = self._fork(order)
        except OSError:  # out of processes or memory, for now
            self._free(order.id)
            self._waiting.appendleft(order)
            self._not_before = time.monotonic() + _OUT_OF_PROCESSES_SECONDS
            return
        self._note(order, pid, started)
        self.channel.send({"event": "started", "id": order.id, "pid": pid})

    # -- ends --------------------------------------------------------------------------------------------------

    def _goes_on(self) -> bool:
        if self._waiting:
            self._start_waiting()
        return not self.channel.closed or bool(self._jobs)

    def _on_end(self, pid: int, status: int) -> None:
        running = self._by_pid.get(pid)
        self._end_group(pid)
        if running is None:
            return
        self._forget(running)
        order, code = running.order, exit_code_of(status)
        self._free(order.id)
        with contextlib.suppress(OSError):  # a full disk: whoever listens is told all the same
            marks.record_death(order.folder, order.attempt or "", code, pid)
        self._tell_end(order.id, code)
        self._start_waiting()

    def _tell_end(self, job: str, code: int) -> None:
        self.channel.send({"event": "ended", "id": job, "code": code})

    def _free(self, job: str) -> None:
        if self._cores is not None:
            self._cores.give_back(job)

    def _end_all(self) -> None:
        """Jobs outlive it."""


class _Cores:
    """Which job has which cores."""

    def __init__(self, most: int) -> None:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        share = max(1, len(cores) // most) if most else 1
        self._free = [tuple(cores[at : at + share]) for at in range(0, len(cores) - share + 1, share)]
        self._taken: dict[str, tuple[int, ...]] = {}

    def take(self, job: str) -> tuple[int, ...]:
        """Cores for a job; none: all, since there are more jobs than cores."""
        if not self._free:
            return ()
        self._taken[job] = self._free.pop(0)
        return self._taken[job]

    def give_back(self, job: str) -> None:
        """It has ended."""
        cores = self._taken.pop(job, None)
        if cores is not None:
            self._free.append(cores)


def run_station(descriptor: int, options: StationOptions, *, since: float | None = None) -> int:
    """Be the warm process of a local worker on a socket; returns an exit code.

    ``since``: when this process began to import (``time.time``).
    """
    channel = Channel(descriptor, descriptor)
    origin = child.Origin()
    since = since or time.time()
    _be_like_a_script()
    Durability.waits_for_disk = False
    refusal = import_modules(["jobflow", *options.preload])
    if refusal is not None:
        channel.send({"event": "refused", "why": refusal})
        return 1
    warm_up()
    freshness = Freshness(options.preload, since=since)
    settle()
    station = Station(channel, origin, options, freshness)
    channel.send({"event": "ready", "pid": os.getpid()})
    station.serve()
    return 0


def _be_like_a_script() -> None:
    """Modules are found where ``jf execution run`` finds them, not in the folder from which the runner was started."""
    own_bin = os.path.dirname(sys.executable)
    sys.path[0] = own_bin
    sys.argv[:] = [os.path.join(own_bin, "jf"), "-fe", "execution", "run"]
