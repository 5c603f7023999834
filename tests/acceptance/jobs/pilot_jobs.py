"""Jobs that tell where they ran, and jobs that do harm."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

from jobflow import job


def _append(path: str, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


@job
def ends_once(path: str, number: int, seconds: float) -> int:
    """Sleep, then leave a line: which job, from when to when."""
    began = time.time()
    time.sleep(seconds)
    _append(path, f"{number} {began} {time.time()}")
    return number


@job
def occupies(path: str, seconds: float) -> dict[str, Any]:
    """Keep its place for a while; tell which it was, from when to when."""
    began = time.time()
    time.sleep(seconds)
    names = ("JFREMOTE_NODES", "JFREMOTE_CORES", "JFREMOTE_GPUS", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    told: dict[str, Any] = {name: os.environ.get(name) for name in names}
    told |= {"began": began, "ended": time.time(), "affinity": sorted(os.sched_getaffinity(0))}
    _append(path, repr(told))
    return told


@job
def runs_a_step() -> list[str]:
    """The nodes on which the tasks of a step of this job's run, if nobody says how many there shall be."""
    words = ["srun", "--quiet", "printenv", "SLURMD_NODENAME"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


@job
def leaks_a_gigabyte() -> str:
    """Keep memory for good."""
    globals()["_kept"] = bytearray(1 << 30)
    return "leaked"


@job
def kills_its_group() -> None:
    """Kill the process group, oneself included."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


@job
def closes_descriptors() -> str:
    """Close all that is open, standard streams too."""
    os.closerange(0, 4096)
    return "closed"


@job
def forks_a_daemon() -> int:
    """Leave a process behind that has left the group."""
    return subprocess.Popen(["sleep", "300"], start_new_session=True).pid
