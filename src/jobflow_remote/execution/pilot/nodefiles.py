"""Allocations of PBS and Grid Engine: files name the nodes, and commands tell the rest where they are to be had."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobflow_remote.execution.pilot.allocation import Allocation, Run, here, own_cores, own_gpus
from jobflow_remote.execution.pilot.placement import NodeShare

_TO_MEGABYTES = {"b": 1 / (1 << 20), "kb": 1 / 1024, "mb": 1, "gb": 1024, "tb": 1 << 20}


@dataclass
class _Part:
    """What a job has of a node."""

    cores: int = 0
    gpus: int = 0
    memory_mb: int | None = None


# -- PBS -------------------------------------------------------------------------------------------------------


def read_pbs(environment: Mapping[str, str], run: Run) -> Allocation:
    """OpenPBS tells in ``exec_vnode`` what a job has of each node; Torque writes a line for each core."""
    job = environment["PBS_JOBID"]
    told = parse_pbs_job(run(["qstat", "-f", job]))
    with open(environment["PBS_NODEFILE"], encoding="utf-8") as file:
        names = file.read().split()
    parts = parse_exec_vnode(told.get("exec_vnode", ""))
    gpus = _gpus_by_file(environment.get("PBS_GPUFILE"))
    if not parts and len(set(names)) == 1 and environment.get("NCPUS", "").isdigit():
        parts = {_short(names[0]): _Part(int(environment["NCPUS"]))}
    nodes = []
    for name in dict.fromkeys(names):
        named = gpus.get(_short(name), [])
        part = parts.get(_short(name)) or _Part(names.count(name))
        nodes.append(_share(name, part, environment, named_gpus=named))
    return Allocation(tuple(nodes), _pbs_end(environment, told), "pbs", job)


def parse_pbs_job(text: str) -> dict[str, str]:
    """Attributes of ``qstat -f``; long ones go on in lines that begin with a tab."""
    found = {}
    for line in text.replace("\n\t", "").splitlines():
        name, mark, value = line.strip().partition(" = ")
        if mark:
            found[name] = value
    return found


def parse_exec_vnode(text: str) -> dict[str, _Part]:
    """``(n1:ncpus=4:mem=2gb)+(n2[0]:ncpus=2+n2[1]:ncpus=2:ngpus=1)``, by node."""
    found: dict[str, _Part] = {}
    for chunk in filter(None, re.split(r"[()+]+", text)):
        name, *resources = chunk.split(":")
        part = found.setdefault(_short(name.partition("[")[0]), _Part())
        for resource in resources:
            key, _, value = resource.partition("=")
            if key == "ncpus":
                part.cores += int(value)
            elif key == "ngpus":
                part.gpus += int(value)
            elif key == "mem":
                part.memory_mb = (part.memory_mb or 0) + _megabytes(value)
    return found


def _megabytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)([a-z]*)", text.lower())
    return int(int(match[1]) * _TO_MEGABYTES.get(match[2] or "b", 0)) if match else 0


def _gpus_by_file(path: str | None) -> dict[str, list[str]]:
    """Torque's ``n1-gpu0``, by node."""
    found: dict[str, list[str]] = {}
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for name, mark, number in (line.rpartition("-gpu") for line in file.read().split()):
                if mark:
                    found.setdefault(_short(name), []).append(number)
    return found


def _pbs_end(environment: Mapping[str, str], told: Mapping[str, str]) -> float | None:
    walltime = parse_duration(told.get("Resource_List.walltime") or environment.get("PBS_WALLTIME", ""))
    if walltime is None:
        return None
    try:
        began = time.mktime(time.strptime(told.get("stime", ""), "%a %b %d %H:%M:%S %Y"))
    except ValueError:
        began = time.time()
    return began + walltime


# -- Grid Engine -----------------------------------------------------------------------------------------------


def read_sge(environment: Mapping[str, str], run: Run) -> Allocation:
    """Nodes of a parallel environment, or slots on this node."""
    counts: dict[str, int] = {}
    if environment.get("PE_HOSTFILE"):
        with open(environment["PE_HOSTFILE"], encoding="utf-8") as file:
            for words in map(str.split, file):
                if len(words) > 1:
                    counts[words[0]] = counts.get(words[0], 0) + int(words[1])
    else:
        counts[here()] = int(environment.get("NSLOTS") or 1)
    nodes = tuple(_share(name, _Part(count), environment) for name, count in counts.items())
    return Allocation(nodes, _sge_end(environment, run), "sge", environment["JOB_ID"])


def _sge_end(environment: Mapping[str, str], run: Run) -> float | None:
    """The job's own limit, or that of its queue, whichever is the lower."""
    job = run(["qstat", "-j", environment["JOB_ID"]])
    queue = run(["qconf", "-sq", environment.get("QUEUE", "")]) if environment.get("QUEUE") else ""
    own = re.search(r"^hard.resource_list:.*\bh_rt=([\d:]+)", job, re.MULTILINE)
    whole = re.search(r"^h_rt\s+([\d:]+)", queue, re.MULTILINE)
    limits = [parse_duration(match[1]) for match in (own, whole) if match]
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    try:  # made when the job began
        began = os.stat(os.path.join(environment.get("SGE_JOB_SPOOL_DIR", ""), "environment")).st_mtime
    except OSError:
        began = time.time()
    return began + min(known)


# -- both ------------------------------------------------------------------------------------------------------


def parse_duration(text: str) -> int | None:
    """Seconds of ``3600``, ``1:00:00`` or ``1:00:00:00``; None: no limit."""
    if not re.fullmatch(r"\d+(:\d+){0,3}", text):
        return None
    seconds = 0
    for part, factor in zip(reversed(text.split(":")), (1, 60, 3600, 86400), strict=False):
        seconds += int(part) * factor
    return seconds


def _short(name: str) -> str:
    return name.split(".")[0]


def _share(
    name: str, part: _Part, environment: Mapping[str, str], *, named_gpus: Sequence[str] = ()
) -> NodeShare:
    """Which processors are meant nobody says, unless the job is confined to them."""
    is_here = _short(name) == _short(here())
    confined = is_here and len(own_cores()) == part.cores
    cores = own_cores() if confined else tuple(range(part.cores))
    gpus = (
        tuple(named_gpus) or (own_gpus(environment) if is_here else ()) or tuple(map(str, range(part.gpus)))
    )
    return NodeShare(name, cores, gpus, part.memory_mb, pins=confined)
