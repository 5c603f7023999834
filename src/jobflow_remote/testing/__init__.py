"""For tests of jobflow-remote, of its plug-ins, and of flows: toy jobs, scenarios, contract suites.

The names of jobflow-remote 1.0.1 are loaded when they are first used; pytest is never imported here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "EnumMaker": "jobs",
    "MyShellIO": "shellio",
    "TestEnum": "jobs",
    "add": "jobs",
    "add_big": "jobs",
    "add_big_undefined_store": "jobs",
    "add_sleep": "jobs",
    "always_fails": "jobs",
    "arithmetic": "jobs",
    "check_env_var": "jobs",
    "create_detour": "jobs",
    "current_jobdoc": "jobs",
    "ignore_input": "jobs",
    "no_resolve": "jobs",
    "onmissing_none": "jobs",
    "replace_and_stop_children": "jobs",
    "replace_and_stop_jobflow": "jobs",
    "self_replace": "jobs",
    "stop_jobflow": "jobs",
    "write_file": "jobs",
}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
