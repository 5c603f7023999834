"""One job, from its input file to its output file.

The order of what is written is the contract with the runner: blobs, the output document, and last
``jfremote_out.json``, each under a temporary name first. If the last one is there, everything is; if it is
not, the process ended without a result.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobflow_remote import layout
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.execution import plainjson
from jobflow_remote.execution.current import CURRENT_JOBDOC, JobDocView
from jobflow_remote.execution.loading import JobInput, read_input

EXIT_NO_RESULT = 1
"""The result could not be written (disk full, say)."""
EXIT_NO_INPUT = 2
"""There is no input file, or it cannot be read."""
EXIT_TAKEN = 3
"""Another process has taken this attempt; nothing was touched."""

_LONGEST_ERROR = 100_000
"""Characters of a traceback that are kept: it becomes part of the job's document."""


def run_job(run_dir: str | Path = ".", *, attempt: str | None = None, strict: bool = False) -> int:
    """Run the job whose input file is in ``run_dir``; returns an exit code.

    The code is 0 whenever a result was written, also if the function raised: then the result tells the
    traceback.

    Parameters
    ----------
    attempt
        The attempt to take; None for the one named in the input file.
    strict
        Only if the input file was written for this attempt, or for one that pilots gave back (its name begins with
        that): it may be that of a later one, and the process a late one.
    """
    folder = Path(run_dir).absolute()
    try:
        given = read_input(folder)
    except JobflowRemoteError as error:
        _complain(error.message, error.hint)
        return EXIT_NO_INPUT
    if strict and attempt and attempt.partition("r")[0] != given.attempt.partition("r")[0]:
        _complain(f"attempt {attempt} is over: the input file is for {given.attempt}")
        return EXIT_TAKEN
    if not _take_attempt(folder, attempt or given.attempt):
        return EXIT_TAKEN
    _remove_results(folder)
    try:
        _run_taken(folder, given, attempt or given.attempt)
    except OSError as error:
        _complain(f"the result of {given.label} could not be written: {error}")
        return EXIT_NO_RESULT
    finally:
        _flush()
    return 0


def _run_taken(folder: Path, given: JobInput, attempt: str) -> None:
    started = datetime.now(UTC)
    _log(f"Starting {given.label}, attempt {attempt}")
    response: dict[str, Any] | None = None
    error: str | None = None
    jobstore: Any = None
    owner = os.getpid()
    with _working_in(folder), _known_as(given):
        try:
            response, jobstore = _call_function(folder, given)
        except BaseException as raised:  # SystemExit and KeyboardInterrupt are failures too
            if os.getpid() != owner:
                raise
            error = _describe(raised)
    if (
        os.getpid() != owner
    ):  # a child that the function forked has come back: the result is its parent's business
        return
    if not _is_ours(folder, attempt):
        _log(
            f"Attempt {attempt} of {given.label} was given to another pilot meanwhile; its result is not wanted"
        )
        return
    result = {"response": response, "error": error, "start_time": started, "end_time": datetime.now(UTC)}
    _write_results(folder, {**result, "version": layout.FORMAT_VERSION, "attempt": attempt}, jobstore)
    _log(f"{'Finished' if error is None else 'Failed'} {given.label}")


def _call_function(folder: Path, given: JobInput) -> tuple[dict[str, Any], Any]:
    """Response and store of the job; the first import of the user's world is here."""
    import jobflow  # noqa: F401

    from jobflow_remote.execution.filestore import make_file_jobstore
    from jobflow_remote.execution.loading import load_job
    from jobflow_remote.execution.response import render_response

    _log_to_stdout()
    job = load_job(given)
    jobstore = make_file_jobstore(folder, given.store_names)
    return render_response(job.run(store=jobstore)), jobstore


def _write_results(folder: Path, result: dict[str, Any], jobstore: Any) -> None:
    if jobstore is not None:
        from jobflow_remote.execution.filestore import write_file_jobstore

        try:
            write_file_jobstore(jobstore)
        except (TypeError, ValueError, RecursionError) as error:
            result = {**result, "response": None, "error": f"The output cannot be serialised: {error}\n"}
    result["worker_info"] = _worker_info()
    path = folder / layout.OUT_FILENAME
    try:
        text = plainjson.encode(result)
    except (TypeError, ValueError, RecursionError) as error:
        result = {**result, "response": None, "error": f"The response cannot be serialised: {error}\n"}
        text = plainjson.encode(result)
    plainjson.write_file(path, text)


def _take_attempt(folder: Path, attempt: str) -> bool:
    """Create the file that says who runs this attempt; False, with a message, if somebody does."""
    path = folder / f"{layout.TAKEN_PREFIX}{attempt}"
    who = f"{os.uname().nodename} {os.getpid()} {datetime.now(UTC).isoformat(timespec='seconds')}"
    try:
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(who + "\n")
    except FileExistsError:
        holder = path.read_text(encoding="utf-8").strip() or "another process"
        _complain(f"attempt {attempt} was begun already by {holder} (host, pid, time); nothing is done here")
        return False
    except OSError as error:
        _complain(f"attempt {attempt} cannot be begun in {folder}: {error}")
        return False
    return True


def _is_ours(folder: Path, attempt: str) -> bool:
    """Whether nobody has taken the attempt back, believing that we were dead."""
    try:
        text = (folder / f"{layout.TAKEN_PREFIX}{attempt}").read_text(encoding="utf-8")
    except OSError:  # the job may remove what it likes
        return True
    return not text.startswith(layout.WITHDRAWN)


def _remove_results(folder: Path) -> None:
    """Results of an earlier attempt must not be taken for those of this one."""
    stale = [folder / layout.OUT_FILENAME, folder / layout.store_filename()]
    for path in [*stale, *folder.glob(layout.store_filename("*"))]:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Relative names mean the run folder; wherever the function goes, we come back to where we were."""
    try:
        before: str | None = os.getcwd()
    except FileNotFoundError:
        before = None
    os.chdir(folder)
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError):
                os.chdir(before)


@contextlib.contextmanager
def _known_as(given: JobInput) -> Iterator[None]:
    CURRENT_JOBDOC.job_doc = JobDocView(given.job_doc)
    try:
        yield
    finally:
        CURRENT_JOBDOC.reset()
        if "jobflow" in sys.modules:
            # jobflow forgets the job only when it succeeded.
            sys.modules["jobflow"].CURRENT_JOB.reset()


def _describe(raised: BaseException) -> str:
    """The traceback, and what to do about it where we know."""
    hint = getattr(raised, "hint", None) if isinstance(raised, JobflowRemoteError) else None
    try:
        text = traceback.format_exc()
    except Exception as error:  # noqa: BLE001  # an exception whose own __str__ raises
        text = f"{type(raised).__name__} (its traceback cannot be printed: {error!r})\n"
    if len(text) > _LONGEST_ERROR:
        half = _LONGEST_ERROR // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters …\n{text[-half:]}"
    # Names of files may hold what no database takes.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"{text}{hint}\n" if hint else text


def _worker_info() -> dict[str, Any]:
    return {"hostname": os.uname().nodename, "pid": os.getpid(), **environment_info()}


@functools.cache
def environment_info() -> dict[str, Any]:
    """Python and the packages that decide what a job does."""
    from importlib.metadata import PackageNotFoundError, version

    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {
        "python": f"{sys.executable} {sys.version.split()[0]}",
        "jobflow_version": installed("jobflow"),
        "jobflow_remote_version": installed("jobflow-remote"),
    }


def _log_to_stdout() -> None:
    """Show what jobflow and the job's own packages log, unless somebody configured logging already."""
    import logging

    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )


def _log(message: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(time.strftime("%Y-%m-%d %H:%M:%S"), message, flush=True)


def _complain(message: str, hint: str | None = None) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"jobflow-remote: {message}", *([hint] if hint else []), sep="\n", file=sys.stderr, flush=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
