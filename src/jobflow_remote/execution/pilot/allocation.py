"""What the scheduler gave: nodes, cores, GPUs, memory and time, read from the environment that it made."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jobflow_remote.execution.pilot.placement import NodeShare

Run = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Allocation:
    """The part of a machine in which a pilot lives."""

    nodes: tuple[NodeShare, ...]
    ends_at: float | None = None
    """Seconds since 1970; None: nobody ends it."""
    scheduler: str | None = None
    job_id: str | None = None


def here() -> str:
    """Name of this node, as schedulers give it."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def own_cores() -> tuple[int, ...]:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def ask(command: Sequence[str]) -> str:
    """What a command prints; nothing if it is not there or fails."""
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def read_allocation(environment: Mapping[str, str] = os.environ, *, run: Run = ask) -> Allocation:
    """The allocation that this process is in; without a scheduler it is this machine."""
    if environment.get("SLURM_JOB_ID"):
        return _read_slurm(environment, run)
    from jobflow_remote.execution.pilot.nodefiles import read_pbs, read_sge

    if environment.get("PBS_JOBID") and environment.get("PBS_NODEFILE"):
        return read_pbs(environment, run)
    if environment.get("JOB_ID") and (environment.get("PE_HOSTFILE") or environment.get("SGE_ROOT")):
        return read_sge(environment, run)
    return Allocation((NodeShare(here(), own_cores(), own_gpus(environment)),))


def own_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """GPUs that this process may use."""
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"):
        value = environment.get(name, "")
        if value and value not in ("NoDevFiles", "-1"):
            return tuple(value.split(","))
    return ()


# -- Slurm -----------------------------------------------------------------------------------------------------


def _read_slurm(environment: Mapping[str, str], run: Run) -> Allocation:
    job = environment["SLURM_JOB_ID"]
    described = run(["scontrol", "show", "job", "-d", "-o", job])
    names = _slurm_names(environment, run)
    counts = _expand_counts(environment.get("SLURM_JOB_CPUS_PER_NODE", str(len(own_cores()))), len(names))
    details = parse_slurm_nodes(described)
    nodes = []
    for name, count in zip(names, counts, strict=True):
        told = details.get(name, {})
        cores = parse_ranges(told.get("CPU_IDs", "")) or tuple(range(count))
        if name == here() and len(own_cores()) == len(cores):
            cores = own_cores()
        gpus = parse_gpu_ids(told.get("GRES", "")) or (own_gpus(environment) if name == here() else ())
        memory = told.get("Mem", "")
        nodes.append(
            NodeShare(name, cores, gpus, int(memory) if memory.isdigit() and memory != "0" else None)
        )
    return Allocation(tuple(nodes), _slurm_end(environment, described), "slurm", job)


def _slurm_names(environment: Mapping[str, str], run: Run) -> list[str]:
    text = environment.get("SLURM_JOB_NODELIST") or here()
    if "[" not in text:
        return text.split(",")
    return run(["scontrol", "show", "hostnames", text]).split() or expand_nodes(text)


def expand_nodes(text: str) -> list[str]:
    """Names of a list such as ``a[1-3,07],b``."""
    names = []
    for prefix, ranges, suffix in re.findall(r"([^,\[\]]+)(?:\[([^\]]+)\])?([^,\[\]]*)(?:,|$)", text):
        if not ranges:
            names.append(prefix + suffix)
        for part in ranges.split(",") if ranges else ():
            first, _, last = part.partition("-")
            names += [
                f"{prefix}{number:0{len(first)}d}{suffix}"
                for number in range(int(first), int(last or first) + 1)
            ]
    return names


def _expand_counts(text: str, nodes: int) -> list[int]:
    """``4(x2),3`` means 4, 4, 3."""
    counts: list[int] = []
    for part in text.split(","):
        number, _, times = part.partition("(x")
        counts += [int(number)] * int(times.rstrip(")") or 1)
    return (counts + counts[-1:] * nodes)[:nodes]


def parse_slurm_nodes(text: str) -> dict[str, dict[str, str]]:
    """By node: what ``scontrol show job -d`` says of its ``CPU_IDs``, ``Mem`` and ``GRES``."""
    found: dict[str, dict[str, str]] = {}
    pattern = r"\bNodes=(\S+) CPU_IDs=(\S*) Mem=(\S*)(?: GRES(?:_IDX)?=(\S*))?"
    for names, cores, memory, gres in re.findall(pattern, text):
        for name in expand_nodes(names):
            found[name] = {"CPU_IDs": cores, "Mem": memory, "GRES": gres}
    return found


def parse_ranges(text: str) -> tuple[int, ...]:
    """``0-2,5`` means 0, 1, 2, 5."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if not first.isdigit():
            return ()
        numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)


def parse_gpu_ids(text: str) -> tuple[str, ...]:
    """GPUs of ``gpu:a100:2(IDX:0-1)``."""
    found: list[str] = []
    for indices in re.findall(r"gpu[^(]*\(IDX:([\d,-]+)\)", text):
        found += [str(number) for number in parse_ranges(indices)]
    return tuple(found)


def _slurm_end(environment: Mapping[str, str], described: str) -> float | None:
    told = environment.get("SLURM_JOB_END_TIME", "")
    if told.isdigit():
        return float(told)
    match = re.search(r"\bEndTime=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", described)
    return time.mktime(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S")) if match else None
