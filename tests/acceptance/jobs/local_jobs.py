"""Jobs that look around, and jobs that misbehave; the same ones start by script and as forks."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from jobflow import CURRENT_JOB, Response, job

from jobflow_remote.execution import CURRENT_JOBDOC

BY_BASH = ("_", "SHLVL", "OLDPWD", "COLUMNS", "LINES")
"""Variables in which bash tells of itself."""


@job
def add(a: Any, b: Any) -> Any:
    """The usual one."""
    return a + b


@job
def surroundings(*names: str) -> dict[str, Any]:
    """What a job can see of the process that it is in."""
    limits = {
        name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"
    }
    umask = os.umask(0)
    os.umask(umask)
    descriptors = [n for n in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{n}")]
    return {
        "is in run folder": os.getcwd().endswith(f"{CURRENT_JOB.job.uuid}_{CURRENT_JOB.job.index}"),
        "environment": {k: v for k, v in os.environ.items() if k not in (*BY_BASH, "PWD")},
        "PWD": os.environ.get("PWD") == os.getcwd(),
        "umask": umask,
        "limits": {name: list(limit) for name, limit in limits.items()},
        "descriptors": sorted(descriptors),
        "stdin": sys.stdin.read(),
        "signals": {int(n): str(getattr(signal.getsignal(n), "name", signal.getsignal(n))).split(" at ")[0]
                    for n in signal.valid_signals()},
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "argv": sys.argv[:1],
        "path": sys.path,
        "executable": sys.executable,
        "niceness": os.nice(0),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threading.active_count(),
        "main": threading.current_thread() is threading.main_thread(),
        "encodings": [sys.stdout.encoding, sys.stderr.encoding, sys.getfilesystemencoding()],
        "document": CURRENT_JOBDOC.job_doc is not None and CURRENT_JOBDOC.job_doc["uuid"] == CURRENT_JOB.job.uuid,
        "wanted": {name: os.environ.get(name) for name in names},
    }  # fmt: skip


@job
def colour() -> str | None:
    """What the environment says."""
    return os.environ.get("COLOUR")


@job
def own_group() -> list[int]:
    """Process group and session."""
    return [os.getpgrp(), os.getsid(0)]


@job
def random_numbers() -> list[float]:
    """From both generators that people use without a seed."""
    import random

    import numpy

    return [random.random(), float(numpy.random.random())]


@job
def prints() -> None:
    """To both streams, by Python, by a child, and by one that opens the stream anew."""
    print("by python")
    print("an error by python", file=sys.stderr)
    sys.stdout.flush()
    os.system("echo by a child; echo an error by a child >&2; echo anew >> /dev/stdout; echo after it")


@job
def exhausts_memory() -> int:
    """More than there may be."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    return len(bytearray(16 << 30))


@job
def closes_descriptors() -> str:
    """All that it did not open itself."""
    os.closerange(3, 1000)
    return "closed"


@job
def changes_everything() -> str:
    """What the next job must not see."""
    os.environ.clear()
    os.environ["CHANGED"] = "1"
    os.umask(0o777)
    os.umask(0o022)
    sys.path.append("/changed")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.chdir("/")
    return "changed"


@job
def leaves_child() -> int:
    """A child in its group goes on."""
    return subprocess.Popen(["sleep", "1000"]).pid


@job
def leaves_daemon() -> int:
    """A child in a session of its own goes on."""
    return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid


@job
def waits_for_thread() -> None:
    """A thread that is at work when the function returns is waited for, as by any interpreter."""

    def work() -> None:
        time.sleep(0.3)
        Path("by-thread").touch()

    threading.Thread(target=work).start()


@job
def comes_back_twice() -> str:
    """A fork in a job, and the child returns."""
    os.fork()
    return "back"


@job
def returns_more() -> Response[int]:
    """All that a response may carry beside the output."""
    return Response(output=1, stored_data={"note": "kept"}, detour=add(1, 1))


@job
def multiplies(size: int) -> float:
    """A product of matrices, by as many threads as there are."""
    import numpy

    a = numpy.arange(size * size, dtype=float).reshape(size, size)
    return float((a @ a)[0, 1])


@job
def timed_product(size: int) -> float:
    """Seconds of the best of twenty products of matrices."""
    import numpy

    a = numpy.ones((size, size))
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - began)
    return min(seconds)


@job
def sleeps(path: str | None = None) -> None:
    """Until it is told to end, or is stopped."""
    Path("begun").touch()
    while path is None or not Path(path).exists():
        time.sleep(0.02)


@job
def appends(path: str) -> None:
    """One line for each time that it runs."""
    with open(path, "a") as file:
        file.write(f"{CURRENT_JOB.job.uuid}\n")


@job
def fills_disk() -> None:
    """Until nothing more fits."""
    with open("ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
