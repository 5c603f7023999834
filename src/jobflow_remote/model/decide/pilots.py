"""Pilots: how many a batch worker deserves, what jobs need of them, and what becomes of those that a pilot lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jobflow_remote.model.records import Document, JobRecord

MOST_INTERRUPTIONS = 5
"""So often a job may be running when its pilot ends; then it may well be the cause."""


@dataclass(frozen=True, slots=True)
class PilotLoad:
    """A pilot that has not ended, as far as its signs of life tell."""

    begun: bool
    capacity: int
    """Jobs that it runs at the same time."""
    running: int = 0
    ending: bool = False
    """It takes no further jobs."""


def count_missing(
    waiting: int, pilots: Iterable[PilotLoad], *, capacity: int, most: int, pending: int = 0
) -> int:
    """How many pilots to submit: as many as the jobs that wait deserve, never more than ``most`` at a time.

    Parameters
    ----------
    waiting
        Jobs that no pilot runs.
    capacity
        Jobs that a new pilot will run at the same time.
    pending
        Pilots that shall wait in the scheduler's queue while there is any work at all.
    """
    present = list(pilots)
    room = most - len(present)
    if room <= 0 or waiting <= 0:
        return 0
    free = sum(max(0, each.capacity - each.running) for each in present if not each.ending)
    deserved = math.ceil(max(0, waiting - free) / max(1, capacity))
    unbegun = sum(not each.begun for each in present)
    return min(room, max(deserved, pending - unbegun))


def another_try(record: JobRecord, *, interrupted: bool = False) -> dict[str, Any]:
    """Fields of a job that pilots shall try once more: what the former try left behind does not count any more."""
    fields: dict[str, Any] = {"remote.tries": int(record.remote.get("tries") or 0) + 1}
    if interrupted:
        fields["remote.interruptions"] = int(record.remote.get("interruptions") or 0) + 1
    return fields


def attempt_of_try(record: JobRecord) -> str:
    """The attempt under which pilots run the job: the same one, however often it is asked for."""
    base = (record.attempt or "0").partition("r")[0]
    tries = int(record.remote.get("tries") or 0)
    return f"{base}r{tries}" if tries else base


# -- what a job needs ------------------------------------------------------------------------------------------

_CORES = ("cores", "processes", "ntasks")
_CORES_PER_TASK = ("cpus_per_task", "threads_per_process")
_GPUS = ("gpus", "gpus_per_job", "gpus_per_node")
_MEMORY = ("memory", "mem", "memory_mb")
_TIME = ("time", "time_limit", "walltime")
_UNITS_MB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


def read_needs(resources: Mapping[str, Any] | None) -> Document:
    """What a job takes of its allocation, out of its resources in the words of any scheduler.

    The keys are ``cores``, ``gpus``, ``memory_mb``, ``nodes``, ``whole_nodes``, ``seconds``; those that the resources
    say nothing of are left out.
    """
    given = {key: value for key, value in (resources or {}).items() if value not in (None, {}, "")}
    found: Document = {}
    tasks, threads = _first(given, _CORES), _first(given, _CORES_PER_TASK)
    if tasks is not None or threads is not None:
        found["cores"] = int(tasks or 1) * int(threads or 1)
    gpus = _first(given, _GPUS)
    if gpus is not None:
        found["gpus"] = float(str(gpus).rpartition(":")[2])
    memory = _first(given, _MEMORY)
    if memory is not None:
        found["memory_mb"] = math.ceil(_megabytes(memory))
    if "nodes" in given:
        found["nodes"] = int(given["nodes"])
    if given.get("exclusive") or given.get("whole_nodes") or found.get("nodes", 1) > 1:
        found["whole_nodes"] = True
    seconds = _first(given, _TIME)
    if seconds is not None:
        found["seconds"] = read_seconds(seconds)
    return found


def cores_of_allocation(resources: Mapping[str, Any] | None) -> int | None:
    """Cores that a pilot with these resources will have; None: they do not tell."""
    given = {key: value for key, value in (resources or {}).items() if value not in (None, {}, "")}
    threads = int(_first(given, _CORES_PER_TASK) or 1)
    per_node = _first(given, ("ntasks_per_node", "processes_per_node"))
    if per_node is not None:
        return int(given.get("nodes", 1)) * int(per_node) * threads
    tasks = _first(given, _CORES)
    return int(tasks) * threads if tasks is not None else None


def _first(given: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((given[name] for name in names if name in given), None)


def _megabytes(value: Any) -> float:
    text = str(value).strip().upper().removesuffix("B").removesuffix("I")
    unit = _UNITS_MB.get(text[-1:])
    return float(text) if unit is None else float(text[:-1]) * unit


def read_seconds(value: Any) -> float:
    """Seconds of a number of them, or of ``minutes``, ``mm:ss``, ``hh:mm:ss``, ``d-hh:mm:ss`` as Slurm has it."""
    if isinstance(value, int | float):
        return float(value)
    days, _, rest = str(value).rpartition("-")
    parts = [float(part) for part in rest.split(":")]
    if days:
        parts = [*parts, 0.0, 0.0][:3]
    elif len(parts) == 1:
        parts = [0.0, parts[0], 0.0]
    elif len(parts) == 2:
        parts = [0.0, *parts]
    hours, minutes, seconds = parts
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds
