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
from typing import NoReturn

from jobflow_remote.execution.forkserver.order import EXIT_NO_FOLDER, Order
from jobflow_remote.execution.run import run_job

FIRST_DESCRIPTOR, LAST_DESCRIPTOR = 3, 1 << 20
_OWN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_PR_SET_PDEATHSIG = 1


def run_order(order: Order, filters: list[object]) -> NoReturn:
    """Run one job in the process that was forked for it, and end as a script's interpreter would.

    Parameters
    ----------
    filters
        Warning filters as they were before the server changed them.
    """
    code = 1
    try:
        code = _run(order, filters)
    except SystemExit as leaving:  # a child that the function forked
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001  # nothing may get into the loop of the server
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _run(order: Order, filters: list[object]) -> int:
    warnings.filters[:] = filters  # type: ignore[index]
    leave_server()
    os.closerange(FIRST_DESCRIPTOR, LAST_DESCRIPTOR)
    if not enter_folder(order):
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
    return code


def leave_server() -> None:
    """A process group of its own, no signal handlers, and death when the server dies."""
    signal.set_wakeup_fd(-1)
    for number in _OWN_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    os.setpgid(0, 0)
    die_with_parent()


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


def enter_folder(order: Order) -> bool:
    """Work in the job's folder, with its output files; False if there is no such folder."""
    try:
        os.chdir(order.folder)
        for name, target in ((order.stdout, 1), (order.stderr, 2)):
            made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
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
