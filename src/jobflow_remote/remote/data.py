"""Where the files of a job are, for scripts of jobflow-remote 1.0.1 that look at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow_remote import layout
from jobflow_remote.config.project import Project

if TYPE_CHECKING:
    from jobflow import Job, JobStore

__all__ = ["check_additional_stores", "get_job_path", "get_local_data_path"]


def get_job_path(job_id: str, index: int | None, base_path: str | Path | None) -> str:
    """The run folder of a job, below the ``work_dir`` of its worker.

    >>> get_job_path("0bcfe83a-501d-41ee-b3ca-d738e14fbf05", 1, "/scratch")
    '/scratch/0b/cf/e8/0bcfe83a-501d-41ee-b3ca-d738e14fbf05_1'
    """
    return layout.run_folder(str(base_path or ""), job_id, 1 if index is None else index)


def get_local_data_path(
    project: Project, worker: str, job_id: str, index: int, run_dir: str | Path | None
) -> str:
    """Where the runner reads the results of a job: its run folder, or the copy of it on this machine."""
    configured = project.workers[worker]
    if configured.is_local:
        return str(run_dir or layout.run_folder(str(configured.work_dir), job_id, index))
    return layout.run_folder(str(Path(project.tmp_dir) / "download"), job_id, index)


def check_additional_stores(job: Job | dict[str, Any], store: JobStore) -> list[str]:
    """Names of the additional stores that a job puts results in and that the output store does not have."""
    from jobflow_remote.execution.jobfields import serialise_job, stores_used

    serialised = job if isinstance(job, dict) else serialise_job(job)
    return sorted(stores_used(serialised) - set(store.additional_stores))
