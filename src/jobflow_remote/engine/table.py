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
}


def step_class(name: str) -> type[Step]:
    """Class of a step; only the modules of the roles at hand are imported."""
    module = import_module(f"jobflow_remote.engine.steps.{name}")
    found: type[Step] = getattr(module, _CLASSES[name])
    return found


def fallback_seconds(step: str, options: RunnerOptions) -> float:
    """Upper bound of a lane's sleep."""
    if step == "checkout":
        return options.delay_checkout
    if step == "poll":
        return options.delay_check_run_status
    return options.delay_advance_status
