"""What becomes of a process between the fork and the job: all that a new process started by a script would have."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import random
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from jobflow_remote.execution.forkserver import marks
from jobflow_remote.execution.forkserver.marks import Process
from jobflow_remote.execution.forkserver.order import EXIT_DUPLICATE, EXIT_NO_FOLDER, EXIT_NOT_STARTED, Order
from jobflow_remote.execution.run import run_job

FIRST_DESCRIPTOR, LAST_DESCRIPTOR = 3, 1 << 20
_OWN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """What the server was before it imported anything; a job begins with that."""

    filters: list[Any] = field(default_factory=lambda: list(warnings.filters))
    """Of warnings."""
    handlers: dict[int, Any] = field(default_factory=lambda: {n: signal.getsignal(n) for n in _OWN_SIGNALS})
    umask: int = field(default_factory=lambda: present_umask())
    server: Process | None = None
    """The process that jobs outlive; None: they end with it."""


def run_order(order: Order, origin: Origin) -> NoReturn:
    """Run one job in the process that was forked for it, and end as a script's interpreter would."""
    code = 1
    try:
        code = _run(order, origin)
    except SystemExit as leaving:  # a child that the function forked
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001  # nothing may get into the loop of the server
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _run(order: Order, origin: Origin) -> int:
    leave_server(origin)
    os.closerange(FIRST_DESCRIPTOR, LAST_DESCRIPTOR)
    if origin.server is not None:
        refusal = _begin(order, origin.server)
        if refusal:
            return refusal
    if not enter_folder(order, append=origin.server is not None):
        return EXIT_NO_FOLDER
    os.environ.update(order.environment)
    pin(order.cores)
    if order.script is not None:
        os.execvp("bash", ["bash", order.script])
    renew_streams()
    reseed()
    owner = os.getpid()
    code = run_job(".", attempt=order.attempt, strict=True)
    if os.getpid() == owner:
        _finish_interpreter()
        if origin.server is not None:
            _flush()
            os.umask(origin.umask)
            _record_end(order, code)
    return code


def _begin(order: Order, server: Process) -> int:
    """Take the attempt; 0, or the code to end with."""
    try:
        taken = marks.begin(order.folder, order.attempt or "", server)
    except (FileNotFoundError, NotADirectoryError):
        return EXIT_NO_FOLDER
    except OSError as error:
        print(f"jobflow-remote: cannot begin in {order.folder}: {error}", file=sys.stderr)
        return EXIT_NOT_STARTED
    return 0 if taken else EXIT_DUPLICATE


def _record_end(order: Order, code: int) -> None:
    """If it cannot be written (a full disk, a folder that the job removed), the server tells it."""
    with contextlib.suppress(OSError):
        marks.record_end(order.folder, order.attempt or "", code)


def leave_server(origin: Origin) -> None:
    """A process group of its own, signals and warnings as a new process has them, and death when the server dies,
    unless jobs are to outlive it."""
    warnings.filters[:] = origin.filters  # type: ignore[index]
    signal.set_wakeup_fd(-1)
    for number, handler in origin.handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
    os.umask(origin.umask)
    os.setpgid(0, 0)
    if origin.server is None:
        die_with_parent()


def present_umask() -> int:
    """The umask; to ask is to set it."""
    present = os.umask(0o077)
    os.umask(present)
    return present


def die_with_parent() -> None:
    """Have the kernel end this process when the one that forked it ends (Linux; elsewhere the caller's business)."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    find_prctl()(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


@functools.cache
def find_prctl() -> Callable[..., int]:
    """The system call of Linux; looked up before a fork it need not be after it."""
    import ctypes

    return ctypes.CDLL(None, use_errno=True).prctl


def enter_folder(order: Order, *, append: bool = False) -> bool:
    """Work in the job's folder, with its output files; False if there is no such folder.

    ``append``: nobody may overwrite what others have written there, such as a program that opens ``/dev/stdout`` anew.
    """
    how = os.O_APPEND if append else os.O_TRUNC
    try:
        os.chdir(order.folder)
        for name, target in ((order.stdout, 1), (order.stderr, 2)):
            made = os.open(name, os.O_WRONLY | os.O_CREAT | how, 0o666)
            if made != target:
                os.dup2(made, target)
                os.close(made)
        nothing = os.open(os.devnull, os.O_RDONLY)
        if nothing != 0:
            os.dup2(nothing, 0)
            os.close(nothing)
    except OSError as error:
        print(f"jobflow-remote: cannot work in {order.folder}: {error}", file=sys.stderr)
        return False
    return True


def pin(cores: tuple[int, ...]) -> None:
    """Keep to some processors."""
    if cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cores)


def renew_streams() -> None:
    """Text streams for the present standard descriptors, buffered as those of a new interpreter."""
    streams: dict[str, object] = {"stdin": open(0, encoding="utf-8", closefd=False)}  # noqa: SIM115
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = open(descriptor, "wb", closefd=False)  # noqa: SIM115
        streams[name] = io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=descriptor == 2)
    for name, stream in streams.items():
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def reseed() -> None:
    """Random numbers of its own; ``random`` does so by itself after a fork, numpy does not."""
    random.seed()
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()


def _finish_interpreter() -> None:
    """What an interpreter does before it ends: wait for threads, call what asked to be called."""
    import atexit

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
