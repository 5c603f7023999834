"""What a job is told of its place: variables that launchers, numeric libraries and the job itself read."""

from __future__ import annotations

from jobflow_remote.execution.pilot.allocation import Allocation
from jobflow_remote.execution.pilot.placement import Place
from jobflow_remote.execution.pilot.ticket import Ticket
from jobflow_remote.layout import ATTEMPT_VARIABLE

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_GPUS = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


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
        if allocation.scheduler == "slurm":
            told |= _for_srun(place)
    if ticket.script is not None:
        told[ATTEMPT_VARIABLE] = ticket.attempt
    return {**told, **ticket.environment}


def _for_srun(place: Place) -> dict[str, str]:
    """Steps of the job land on its own nodes, beside the pilot's step, with as many processors as it has."""
    return {
        "SLURM_NODELIST": ",".join(place.nodes),
        "SLURM_JOB_NODELIST": ",".join(place.nodes),
        "SLURM_NNODES": str(len(place.nodes)),
        "SLURM_JOB_NUM_NODES": str(len(place.nodes)),
        "SLURM_NTASKS": str(len(place.cores)),
        "SLURM_NPROCS": str(len(place.cores)),
        "SLURM_OVERLAP": "1",
        "SLURM_CPU_BIND": "none",
    }
