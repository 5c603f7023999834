"""What a job is told of its place: variables that launchers, numeric libraries and the job itself read."""

from __future__ import annotations

import os

from jobflow_remote.execution.pilot.allocation import Allocation
from jobflow_remote.execution.pilot.placement import Place
from jobflow_remote.execution.pilot.ticket import Ticket
from jobflow_remote.layout import ATTEMPT_VARIABLE

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_GPUS = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
NODES_FILENAME = ".jfremote_nodes"
"""What ``mpirun`` reads instead of the list of the whole allocation (PBS, Grid Engine)."""


def environment_of(ticket: Ticket, place: Place, allocation: Allocation, pilot: str) -> dict[str, str]:
    """Variables for a job, before those that its exec_config exports, which win."""
    told = {"JFREMOTE_PILOT": pilot, "JFREMOTE_NODES": ",".join(place.nodes)}
    if place.cores:
        number = str(len(place.cores))
        told |= {"JFREMOTE_CORES": ",".join(map(str, place.cores)), **dict.fromkeys(_THREADS, number)}
        if ticket.needs.gpus or any(node.gpus for node in allocation.nodes):
            told |= dict.fromkeys(_GPUS, ",".join(place.gpus))
            told["JFREMOTE_GPUS"] = ",".join(place.gpus)
            told["JFREMOTE_GPU_SHARE"] = f"{place.gpu_share:g}"
        if place.memory_mb:
            told["JFREMOTE_MEMORY_MB"] = str(place.memory_mb)
        told |= _for_launchers(ticket, place, allocation)
    if ticket.script is not None:
        told[ATTEMPT_VARIABLE] = ticket.attempt
    return {**told, **ticket.environment}


def nodes_file(place: Place, allocation: Allocation) -> str | None:
    """Content of :data:`NODES_FILENAME` for a job; None: its launcher reads no file."""
    if not place.cores:
        return None
    if allocation.scheduler == "pbs":
        return "".join(f"{node}\n" for node in place.nodes for _ in place.cores)
    if allocation.scheduler == "sge":
        return "".join(f"{node} {len(place.cores)} UNDEFINED UNDEFINED\n" for node in place.nodes)
    return None


def _for_launchers(ticket: Ticket, place: Place, allocation: Allocation) -> dict[str, str]:
    path = os.path.join(ticket.run_dir, NODES_FILENAME)
    number = len(place.cores)
    match allocation.scheduler:
        case "slurm":
            return _for_srun(place)
        case "pbs":
            return {"PBS_NODEFILE": path, "NCPUS": str(number), "PBS_NP": str(number * len(place.nodes))}
        case "sge":
            return {
                "PE_HOSTFILE": path,
                "NSLOTS": str(number * len(place.nodes)),
                "NHOSTS": str(len(place.nodes)),
            }
        case _:
            return {}


def _for_srun(place: Place) -> dict[str, str]:
    """Steps of the job land on its own nodes, beside the pilot's step, with as many processors as it has."""
    cores, nodes = len(place.cores), len(place.nodes)
    on_each = f"{cores}(x{nodes})" if nodes > 1 else str(cores)
    return {
        **dict.fromkeys(("SLURM_NODELIST", "SLURM_JOB_NODELIST"), ",".join(place.nodes)),
        **dict.fromkeys(("SLURM_NNODES", "SLURM_JOB_NUM_NODES"), str(nodes)),
        **dict.fromkeys(("SLURM_NTASKS", "SLURM_NPROCS"), str(cores * nodes)),
        **dict.fromkeys(("SLURM_TASKS_PER_NODE", "SLURM_JOB_CPUS_PER_NODE"), on_each),
        **dict.fromkeys(("SLURM_NTASKS_PER_NODE", "SLURM_CPUS_ON_NODE"), str(cores)),
        **dict.fromkeys(("SLURM_CPUS_PER_TASK", "SRUN_CPUS_PER_TASK"), "1"),
        "SLURM_OVERLAP": "1",
        "SLURM_CPU_BIND": "none",
    }
