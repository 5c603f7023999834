"""The warm process: takes orders, forks, tells at once what ended.

It ends, and its jobs with it, when the process that it works for is gone.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobflow_remote.execution.forkserver import child, reused
from jobflow_remote.execution.forkserver.channel import Channel
from jobflow_remote.execution.forkserver.order import EXIT_NOT_STARTED, Order, exit_code_of
from jobflow_remote.execution.forkserver.warming import warm_up
from jobflow_remote.execution.plainjson import Durability

_MOST_IDLE = 64


@dataclass(slots=True)
class _Running:
    """A job and its process."""

    order: Order
    pid: int
    started: float
    place: _Place | None = None
    begun: bool = False
    """The process has taken notice of it (a new one always has)."""


@dataclass(slots=True)
class _Place:
    """A reused child."""

    pid: int
    channel: Channel
    job: _Running | None = None


class ForkServer:
    """One conversation: orders in, ends of jobs out."""

    def __init__(self, channel: Channel, origin: child.Origin) -> None:
        self.channel, self._origin = channel, origin
        self._jobs: dict[str, _Running] = {}
        self._by_pid: dict[int, _Running] = {}
        self._places: dict[int, _Place] = {}
        self._idle: list[_Place] = []
        self._selector = selectors.DefaultSelector()
        self._bell = socket.socketpair()

    def serve(self) -> None:
        """Work until the other end is gone, or says stop; then end what still runs."""
        self._origin = replace(self._origin, filters=list(warnings.filters))
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        for end in self._bell:
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._bell[1].fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever we work for is told too, and decides
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._bell[0], selectors.EVENT_READ, self._on_bell)
        self._selector.register(self.channel.reading, selectors.EVENT_READ, self._on_orders)
        try:
            while self._goes_on():
                if self.channel.has_unsent:
                    self._wait_for_room()
                for key, _ in self._selector.select(1.0):
                    key.data()
                self._reap()
        finally:
            self._end_all()

    def _goes_on(self) -> bool:
        return not self.channel.closed

    # -- orders ------------------------------------------------------------------------------------------------

    def _on_orders(self) -> None:
        for message in self.channel.receive():
            if message["op"] == "start":
                self._start(Order.from_message(message))
            elif message["op"] == "signal":
                self._signal(message["id"], int(message["signal"]))
            elif message["op"] == "stop":
                self.channel.closed = True

    def _start(self, order: Order) -> None:
        running = _Running(order, 0, time.time())
        try:
            if order.reuse and order.script is None:
                self._hand_over(running)
            else:
                running.pid, running.begun = self._fork(order), True
        except OSError as error:
            self._tell(running, EXIT_NOT_STARTED, why=f"no process could be started: {error}")
            return
        self._keep(running)
        self.channel.send({"event": "started", "id": order.id, "pid": running.pid, "time": running.started})

    def _note(self, order: Order, pid: int, started: float) -> None:
        self._keep(_Running(order, pid, started, begun=True))

    def _keep(self, running: _Running) -> None:
        self._jobs[running.order.id] = running
        self._by_pid[running.pid] = running

    def _fork(self, order: Order) -> int:
        pid = os.fork()
        if pid == 0:
            child.run_order(order, self._origin)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # both sides do, so that nobody is too late
        return pid

    def _hand_over(self, running: _Running) -> None:
        while True:
            place = self._idle.pop() if self._idle else self._new_place()
            place.channel.send(running.order.as_message())
            if not place.channel.closed:
                break
        place.job, running.place, running.pid = running, place, place.pid

    def _new_place(self) -> _Place:
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            number = theirs.detach()
            reused.serve_orders(Channel(number, number), self._origin)
        theirs.close()
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        number = ours.detach()
        place = _Place(pid, Channel(number, number))
        self._places[pid] = place
        self._selector.register(number, selectors.EVENT_READ, lambda: self._on_place(place))
        return place

    def _on_place(self, place: _Place) -> None:
        for message in place.channel.receive():
            if place.job is not None and "begun" in message:
                place.job.begun = True
            elif place.job is not None and "ended" in message:
                running, place.job = place.job, None
                self._forget(running)
                self._tell(running, int(message["ended"]))
                if len(self._idle) < _MOST_IDLE:
                    self._idle.append(place)
                else:
                    self._retire(place)
        if place.channel.closed:  # its end is told by the kernel
            self._retire(place)

    def _retire(self, place: _Place) -> None:
        if place.channel.reading >= 0:
            self._selector.unregister(place.channel.reading)
            place.channel.close()
        if place in self._idle:
            self._idle.remove(place)

    def _signal(self, job: str, number: int) -> None:
        running = self._jobs.get(job)
        if running is not None:
            _signal_group(running.pid, number)

    # -- ends --------------------------------------------------------------------------------------------------

    def _on_bell(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell[0].recv(4096)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._on_end(pid, status)

    def _on_end(self, pid: int, status: int) -> None:
        place = self._places.pop(pid, None)
        if place is not None:
            if place.channel.reading >= 0:
                self._on_place(place)  # what it said before it ended
            self._retire(place)
        self._end_group(pid)
        running = self._by_pid.get(pid)
        if running is not None and (place is None or place.job is running):
            self._forget(running)
            if running.begun:
                self._tell(running, exit_code_of(status))
            else:  # the process ended between two jobs
                self._start(running.order)

    def _end_group(self, pid: int) -> None:
        """What the job left behind in its group."""
        _signal_group(pid, signal.SIGKILL)

    def _forget(self, running: _Running) -> None:
        self._jobs.pop(running.order.id, None)
        self._by_pid.pop(running.pid, None)

    def _tell(self, running: _Running, code: int, *, why: str | None = None) -> None:
        self.channel.send(
            {
                "event": "ended", "id": running.order.id, "code": code, "pid": running.pid,
                "started": running.started, "ended": time.time(), "why": why,
            }
        )  # fmt: skip

    def _wait_for_room(self) -> None:
        with selectors.DefaultSelector() as room:
            room.register(self.channel.writing, selectors.EVENT_WRITE)
            room.select(0.05)
        self.channel.flush()

    def _end_all(self) -> None:
        for pid in [*self._by_pid, *self._places]:
            _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except OSError as error:
        if error.errno == errno.EPERM:  # macOS says so of zombies
            return
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def import_modules(names: Sequence[str]) -> str | None:
    """Import what jobs will need; says what is wrong with one of them, or None."""
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001  # a module may do anything
            return f"the module {name} of `preload` cannot be imported: {type(error).__name__}: {error}"
        if threading.active_count() > 1:
            threads = ", ".join(thread.name for thread in threading.enumerate()[1:])
            return f"the module {name} of `preload` leaves threads behind ({threads}): no process can be forked safely"
        if _native_threads():
            return (
                f"the module {name} of `preload` leaves threads of a native library behind (an OpenMP pool that has "
                "run, say): no process can be forked safely"
            )
    return None


def _native_threads() -> int:
    """Threads, beside this one, that a fork does not end. OpenBLAS ends its own before one, and begins anew after."""
    try:
        if len(os.listdir("/proc/self/task")) == 1:
            return 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return len(os.listdir("/proc/self/task")) - 1
    except FileNotFoundError:  # no /proc: not known
        return 0


def run_server(reading: int, writing: int, *, preload: Sequence[str] = ()) -> int:
    """Be a fork server on a pair of descriptors until the other end is gone; returns an exit code."""
    channel = Channel(reading, writing)
    origin = child.Origin()
    Durability.waits_for_disk = False
    refusal = import_modules(["jobflow", *preload])
    if refusal is not None:
        channel.send({"event": "refused", "why": refusal})
        return 1
    warm_up()
    settle()
    channel.send({"event": "ready", "pid": os.getpid()})
    ForkServer(channel, origin).serve()
    return 0


def settle() -> None:
    """Leave to the children what they need not do again."""
    sys.stdout.flush()
    gc.collect()
    gc.freeze()
