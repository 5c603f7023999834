"""Steps by their name in the lifecycle table, and how long a lane sleeps when nobody wakes it."""

from __future__ import annotations

from importlib import import_module

from jobflow_remote.config.base import RunnerOptions
from jobflow_remote.engine.steps.port import Step

_CLASSES = {
    "checkout": "CheckoutStep",
    "upload": "UploadStep",
    "submit": "SubmitStep",
    "poll": "PollStep",
    "download": "DownloadStep",
    "complete": "CompleteStep",
    "bundle": "BundleStep",
    "pilots": "PilotsStep",
    "look": "LookStep",
}
_OF_BATCH_WORKERS = {"submit": "bundle", "poll": "pilots"}
"""Steps that are something else where pilots run the jobs."""
_ON_THIS_MACHINE = {"poll": "look"}
"""Steps that are something else where we start the processes of jobs ourselves."""


def step_class(name: str, *, batch: bool = False, here: bool = False) -> type[Step]:
    """Class of a step (``batch``: of a batch worker; ``here``: of one whose processes we start ourselves).

    Only the modules of the roles at hand are imported.
    """
    others = _OF_BATCH_WORKERS if batch else _ON_THIS_MACHINE if here else {}
    module_name = others.get(name, name)
    module = import_module(f"jobflow_remote.engine.steps.{module_name}")
    found: type[Step] = getattr(module, _CLASSES[module_name])
    return found


def fallback_seconds(step: str, options: RunnerOptions) -> float:
    """Upper bound of a lane's sleep."""
    if step == "checkout":
        return options.delay_checkout
    if step == "poll":
        return options.delay_check_run_status
    return options.delay_advance_status
