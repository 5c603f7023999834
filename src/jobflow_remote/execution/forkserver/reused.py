"""A child that runs one job after the other, and gives up its place as soon as a job left something behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from typing import Any, NoReturn

from jobflow_remote.execution.forkserver import child
from jobflow_remote.execution.forkserver.channel import Channel
from jobflow_remote.execution.forkserver.order import EXIT_NO_FOLDER, Order
from jobflow_remote.execution.run import run_job

MOST_JOBS = 500
"""Jobs after which a child is replaced in any case."""
MOST_GROWTH_BYTES = 256 << 20
"""A child that has grown by so much is replaced."""


def serve_orders(channel: Channel, origin: child.Origin) -> NoReturn:
    """Run what arrives; never returns. The end of the process tells the end of the job in hand, if there is one."""
    code = 1
    try:
        child.leave_server(origin)
        _close_others({channel.reading, channel.writing})
        child.renew_streams()
        code = _serve(channel)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        os._exit(code)


def _serve(channel: Channel) -> int:
    state, code = _State(), 0
    os.set_blocking(channel.reading, True)
    for number in range(MOST_JOBS):
        messages = channel.receive()
        while not messages and not channel.closed:
            messages = channel.receive()
        if not messages:
            return code
        if number:
            state.restore()
        owner = os.getpid()
        channel.send({"begun": True})
        code = _run(Order.from_message(messages[0]))
        if os.getpid() != owner or number + 1 == MOST_JOBS or not state.is_clean():
            return code  # the end of the process tells that of the job, and nobody hands it another one
        channel.send({"ended": code})
        if channel.closed:  # the job closed our descriptors: our end will tell how the job ended
            return code
    return 0


def _run(order: Order) -> int:
    if not child.enter_folder(order):
        return EXIT_NO_FOLDER
    os.environ.update(order.environment)
    child.pin(order.cores)
    child.reseed()
    return run_job(".", attempt=order.attempt, strict=True)


class _State:
    """What a job may change and the next one must not see."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        self.path = list(sys.path)
        self.threads = threading.active_count()
        self.umask = child.present_umask()
        self.cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        self.handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self.streams = (sys.stdin, sys.stdout, sys.stderr)
        self.filters: list[Any] = list(warnings.filters)
        self.memory = _memory_bytes()
        self.descriptors = _descriptors()

    def restore(self) -> None:
        """Put back what can be put back."""
        if dict(os.environ) != self.environment:
            os.environ.clear()
            os.environ.update(self.environment)
        sys.path[:] = self.path
        os.umask(self.umask)
        if self.cores is not None:
            child.pin(tuple(self.cores))
        warnings.filters[:] = self.filters  # type: ignore[index]
        sys.stdin, sys.stdout, sys.stderr = self.streams

    def is_clean(self) -> bool:
        """Whether the process can take another job: what cannot be put back is as it was."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        if threading.active_count() != self.threads or _has_children() or sys.stdout.closed:
            return False
        if {number: signal.getsignal(number) for number in self.handlers} != self.handlers:
            return False
        return _memory_bytes() - self.memory < MOST_GROWTH_BYTES and _descriptors() <= self.descriptors + 8


def _memory_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _close_others(kept: set[int]) -> None:
    low = child.FIRST_DESCRIPTOR
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, child.LAST_DESCRIPTOR)
