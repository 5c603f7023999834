"""From the input file to a jobflow Job that is ready to run."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow_remote import layout
from jobflow_remote.errors import ConfigError, JobflowRemoteError
from jobflow_remote.execution import plainjson
from jobflow_remote.execution.jobfields import stores_used
from jobflow_remote.execution.placeholder import fill_placeholders


@dataclass(frozen=True, slots=True)
class JobInput:
    """Content of ``jfremote_in.json``."""

    job: dict[str, Any]
    store_names: list[str]
    job_doc: dict[str, Any]
    attempt: str

    @property
    def label(self) -> str:
        """Name, uuid and index, for log lines."""
        return f"{self.job.get('name')} ({self.job.get('uuid')}, {self.job.get('index')})"


def read_input(folder: Path) -> JobInput:
    """Read the input file of a run folder.

    Raises
    ------
    JobflowRemoteError
        If it is missing or cannot be understood.
    """
    path = folder / layout.IN_FILENAME
    try:
        content = plainjson.read_file(path)
        version = content.get("version", 1)
        if version > layout.FORMAT_VERSION:
            raise JobflowRemoteError(
                f"{path} has format {version}; the jobflow-remote of {sys.executable} knows {layout.FORMAT_VERSION}",
                hint="Install the same version of jobflow-remote for the worker as for the runner.",
            )
        return JobInput(
            job=content["job"],
            store_names=list((content.get("store") or {}).get("additional_stores") or ()),
            job_doc=content.get("job_doc") or {},
            attempt=str(content.get("attempt") or layout.NO_ATTEMPT),
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        if isinstance(error, JobflowRemoteError):
            raise
        raise JobflowRemoteError(f"cannot read {path}: {type(error).__name__}: {error}") from error


def load_job(given: JobInput) -> Any:
    """The Job, with its function imported and its references in place."""
    _check_stores(given)
    _check_function(given.job.get("function"))
    from jobflow import Job
    from monty.json import MontyDecoder

    filled = {
        key: fill_placeholders(value) if key in ("function_args", "function_kwargs") else value
        for key, value in given.job.items()
    }
    job = MontyDecoder().process_decoded(filled)
    if not isinstance(job, Job) or not callable(job.function):
        raise JobflowRemoteError(f"the input of {given.label} does not describe a job that can be run here")
    # The references were resolved by the runner. What is left of them is meant to be left (OnMissing.PASS),
    # and the store of a compute node could not answer.
    job.resolve_args = lambda *_, **__: job
    return job


def _check_stores(given: JobInput) -> None:
    missing = sorted(stores_used(given.job) - set(given.store_names))
    if missing:
        defined = ", ".join(sorted(given.store_names)) or "none"
        raise ConfigError(
            f"{given.label} puts results in additional stores that the output store does not have: "
            f"{', '.join(missing)} (defined: {defined})",
            hint="Add them under additional_stores of the project's jobstore.",
        )


def _check_function(function: Any) -> None:
    """Import what the job calls, and say clearly what is missing and where."""
    if not isinstance(function, dict) or "@callable" not in function:
        raise JobflowRemoteError("the input file names no function")
    module, name = str(function.get("@module")), str(function["@callable"])
    if module == "__main__":
        raise JobflowRemoteError(
            f"the function {name} was defined in a script or notebook (__main__), which no other process can import",
            hint="Move it to a module that is installed, or on PYTHONPATH, where the job runs.",
        )
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise JobflowRemoteError(
            f"the job's function {module}.{name} cannot be imported: no module named {error.name!r} "
            f"in the environment of {sys.executable}",
            hint="Install it there, or let pre_run of the worker or of the exec_config choose another environment.",
        ) from error
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        where = getattr(sys.modules.get(module), "__file__", None) or "built in"
        raise JobflowRemoteError(
            f"module {module} ({where}), in the environment of {sys.executable}, has no {name}",
            hint="The version installed where the job runs may differ from the one where the flow was made.",
        ) from error
