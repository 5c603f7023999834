"""The submission script: what is written around the command that runs a job."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DEFAULT_COMMAND = "jf -fe execution run {}"


@dataclass(frozen=True, slots=True)
class ScriptParts:
    """What people can say about the script of one job; the worker's part comes before the exec_config's."""

    header: str
    run_dir: str
    command: str | None = None
    """``execution_cmd`` of the worker: ``{}`` stands for the run folder, and nothing else is replaced."""
    pre_run: Sequence[str | None] = ()
    export: Mapping[str, Any] = field(default_factory=dict)
    modules: Sequence[str] = ()
    post_run: Sequence[str | None] = ()
    own_bin: str | None = None
    """Folder of the runner's own ``jf``, on the machine of the runner."""
    threads: int | None = None
    """Threads of numeric libraries, unless somebody said otherwise."""


def render_script(parts: ScriptParts) -> str:
    """The script, in the order of jobflow-remote 1.0.1; it ends with the exit code of the job's command.

    Values of ``export`` are written as they are, so that ``$PATH`` in them means what it says.
    """
    lines = ["#!/bin/bash", parts.header, "", f"cd {shlex.quote(parts.run_dir)} || exit 98"]
    if parts.threads is not None:
        lines.append(f'export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-{parts.threads}}}"')
    lines += [text.rstrip() for text in parts.pre_run if text]
    lines += [f"export {key}={value}" for key, value in parts.export.items()]
    lines += [f"module load {module}" for module in parts.modules]
    if parts.own_bin:
        lines.append(_export_path(parts))
    lines.append((parts.command or DEFAULT_COMMAND).replace("{}", shlex.quote(parts.run_dir)))
    after = [text.rstrip() for text in parts.post_run if text]
    if after:
        lines += ["jobflow_remote_exit_code=$?", *after, "exit $jobflow_remote_exit_code"]
    return "\n".join(lines) + "\n"


def _export_path(parts: ScriptParts) -> str:
    """Find the runner's ``jf``; first of all unless the script may have activated another environment."""
    activated = any(parts.pre_run) or bool(parts.modules) or "PATH" in parts.export
    own = shlex.quote(parts.own_bin or "")
    return f'export PATH="$PATH":{own}' if activated else f'export PATH={own}:"$PATH"'
