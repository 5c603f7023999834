"""One job on the compute node: read its input, run its function, leave its result in the run folder.

Nothing but the standard library is imported before the job's own world (jobflow) is, and of jobflow-remote
only ``errors`` and ``layout``. This package knows nothing of queue databases, schedulers or hosts.
"""

from __future__ import annotations

from jobflow_remote.execution.current import CURRENT_JOBDOC, JfrState

__all__ = ["CURRENT_JOBDOC", "JfrState", "main"]


def main(argv: list[str] | None = None) -> int:
    """Run what the command line of ``python -m jobflow_remote.execution`` asks for; returns the exit code."""
    from jobflow_remote.execution.commandline import run_command_line

    return run_command_line(argv)
