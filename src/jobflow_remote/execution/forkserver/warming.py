"""What is done once, before the first fork, so that no job has to: imports, look-ups, and a job that does nothing.

Whatever Python sets up at the first use of a function, a fork would set up again, in pages of its own: with a job done
beforehand a fork takes half of the processor time.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jobflow_remote import layout


def nothing() -> None:
    """The function of the job."""


def warm_up() -> None:
    """Run a job that does nothing, in this process; whatever goes wrong shows when a real job runs."""
    from jobflow_remote.execution.forkserver import child
    from jobflow_remote.execution.run import environment_info, run_job

    child.find_prctl()
    environment_info()
    with contextlib.suppress(Exception), tempfile.TemporaryDirectory() as folder, _leaving_no_trace():
        _write_input(Path(folder))
        run_job(folder)


def _write_input(folder: Path) -> None:
    from jobflow import Job

    from jobflow_remote.execution import plainjson
    from jobflow_remote.execution.jobfields import serialise_job

    content = {
        "version": layout.FORMAT_VERSION,
        "attempt": layout.NO_ATTEMPT,
        "job": serialise_job(Job(nothing)),
    }
    plainjson.write_file(folder / layout.IN_FILENAME, plainjson.encode(content))


@contextlib.contextmanager
def _leaving_no_trace() -> Iterator[None]:
    """What the job prints and how it has logging configured is nobody's business."""
    root = logging.getLogger()
    handlers, level, folder = list(root.handlers), root.level, os.getcwd()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        os.chdir(folder)
