"""Names of files and folders that the runner and the compute node must agree upon.

Standard library only: this is imported on compute nodes before anything else.
"""

from __future__ import annotations

import os

IN_FILENAME = "jfremote_in.json"
"""The job with its references resolved, the description of the store for its outputs, and its record."""
OUT_FILENAME = "jfremote_out.json"
"""Response or error of the job; written once, by rename."""
SUBMIT_FILENAME = "submit.sh"
QUEUE_OUT_FILENAME = "queue.out"
QUEUE_ERR_FILENAME = "queue.err"
STORE_STEM = "remote_job_data"
"""Stem of the file with the output document."""
ADDITIONAL_STORE_STEM = "additional_store_"
"""Stem of the files with blobs, followed by the name of the additional store."""
STARTED_PREFIX = ".jfremote_started."
"""Followed by the attempt: created exclusively by the process that runs the attempt; holds its pid and start time."""
SUBMITTED_PREFIX = ".jfremote_submitted."
"""Followed by the attempt: created exclusively by the command that hands the attempt to a batch system; holds host,
pid, start time of that process and the time, and on a second line the id that the scheduler gave."""
GONE_PREFIX = ".jfremote_gone."
"""Followed by the attempt: when a batch system was first seen not to know it any more."""
EXIT_PREFIX = ".jfremote_exit."
"""Followed by the attempt: exit code of the submission script (128 + n when killed by signal n)."""
TAKEN_PREFIX = ".jfremote_taken."
"""Followed by the attempt: created exclusively by ``execution`` when it begins the job's function."""
WITHDRAWN = "-"
"""First word of a file of :data:`TAKEN_PREFIX` that keeps the attempt from beginning."""
ATTEMPT_VARIABLE = "JFREMOTE_ATTEMPT"
"""Environment variable of a script that a pilot starts: the attempt, where the input file names a former one."""
NO_ATTEMPT = "0"
"""Attempt that an input file means which names none, as those of jobflow-remote 1.0.1."""
FORMER_ATTEMPT = "old-"
"""Begins the attempts that jobs in flight get when a database of an older release is upgraded: their folders have none
of the files above, and their results no attempt or :data:`NO_ATTEMPT`."""

FORMAT_VERSION = 2
"""Version of the input and output files; 1 is that of jobflow-remote 1.0.1."""


def run_folder(work_dir: str, uuid: str, index: int) -> str:
    """Folder in which a job runs: ``<work_dir>/aa/bb/cc/<uuid>_<index>``, as in jobflow-remote 1.0.1."""
    flat = uuid.replace("-", "")
    return os.path.join(work_dir, flat[0:2], flat[2:4], flat[4:6], f"{uuid}_{index}")


def is_run_folder(path: str) -> bool:
    """Whether a path is one that :func:`run_folder` makes: nothing else may be removed with all it contains."""
    uuid, _, index = os.path.basename(path).rpartition("_")
    root = os.path.abspath(os.path.join(path, *[".."] * 4))
    return bool(uuid) and index.isdigit() and run_folder(root, uuid, int(index)) == path


def store_filename(store_name: str | None = None, extension: str = "json") -> str:
    """File of the output document (no name), or of the blobs of one additional store."""
    stem = STORE_STEM if store_name is None else ADDITIONAL_STORE_STEM + store_name
    return f"{stem}.{extension}"
