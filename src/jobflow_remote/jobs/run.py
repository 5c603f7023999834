"""What runs on the worker; ``CURRENT_JOBDOC.job_doc`` is the record of the job that is running."""

from __future__ import annotations

from jobflow_remote.execution import CURRENT_JOBDOC, JfrState
from jobflow_remote.execution.run import run_job

__all__ = ["CURRENT_JOBDOC", "JfrState", "run_remote_job"]


def run_remote_job(run_dir: str = ".") -> None:
    """Run the job whose input file is in ``run_dir``; what happened is in the files that it leaves there."""
    run_job(run_dir)
