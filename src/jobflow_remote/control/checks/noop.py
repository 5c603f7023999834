"""A real job through the rendered script and the scheduler of a worker, without the queue database.

It has a folder of its own below ``work_dir``, of which nothing is left afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from jobflow_remote.config.workers import WorkerBase
from jobflow_remote.control.checks import judging
from jobflow_remote.control.checks.findings import Finding, error, from_exception, last_lines, ok, warning
from jobflow_remote.control.who import whoami
from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.hosts.port import Host
from jobflow_remote.layout import (
    IN_FILENAME,
    OUT_FILENAME,
    QUEUE_ERR_FILENAME,
    QUEUE_OUT_FILENAME,
    SUBMIT_FILENAME,
    run_folder,
)
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import new_job_document
from jobflow_remote.outputs import jobfiles
from jobflow_remote.schedulers.port import HostJob, HostJobState, HostJobStatus, Scheduler
from jobflow_remote.schedulers.script import ScriptParts, render_script

NODE_CHECK = {"@module": "jobflow_remote.execution.nodecheck", "@callable": "describe_node", "@bound": None}
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_VISIBLE_SECONDS = 20.0
"""How long results may take to be seen after the job ended."""
_SLOW_SECONDS = 2.0


@dataclass(frozen=True)
class Trial:
    """The job: where it runs, on which attempt."""

    worker: WorkerBase
    root: str
    """Folder of this trial alone."""
    uuid: str
    attempt: str

    @classmethod
    def new(cls, worker: WorkerBase) -> Trial:
        """A job that nobody has seen yet."""
        uuid = str(uuid4())
        return cls(worker, f"{worker.work_dir}/.jfremote_check_{uuid[:8]}", uuid, uuid4().hex)

    @property
    def run_dir(self) -> str:
        """Its run folder."""
        return run_folder(self.root, self.uuid, 1)

    def render_input(self) -> bytes:
        """Its input file."""
        job: dict[str, Any] = {
            "@module": "jobflow.core.job", "@class": "Job", "function": NODE_CHECK, "function_args": [],
            "function_kwargs": {}, "uuid": self.uuid, "index": 1, "name": "check", "metadata": {}, "hosts": [],
        }  # fmt: skip
        document = new_job_document(
            job, flow_uuid=self.uuid, worker="check", parents=(), now=utcnow(), who=whoami()
        )
        return jobfiles.render_input(document, job=job, store_names=(), attempt=self.attempt)

    def render_script(self, scheduler: Scheduler) -> str:
        """Its submission script, as a job's is rendered."""
        worker = self.worker
        header = scheduler.render_header(
            name="jobflow-remote check",
            run_dir=self.run_dir,
            resources=worker.resources or {},
            attempt=self.attempt,
        )
        return render_script(
            ScriptParts(
                header=header,
                run_dir=self.run_dir,
                command=worker.execution_cmd,
                pre_run=(worker.pre_run,),
                post_run=(worker.post_run,),
                own_bin=os.path.dirname(sys.executable) if worker.is_local else None,
            )
        )

    def host_job(self, process_id: str | None = None) -> HostJob:
        """As host and scheduler know it."""
        return HostJob(self.run_dir, self.attempt, process_id)


async def run_noop(
    worker: WorkerBase,
    host: Host,
    scheduler: Scheduler,
    *,
    limit_seconds: float,
    doing: Callable[[str], None] = lambda what: None,
) -> list[Finding]:
    """Send the job, wait for its end, look at what it left, clean up."""
    trial = Trial.new(worker)
    process_id: str | None = None
    ended = False
    try:
        doing("sending a job")
        files: dict[str, bytes | Path] = {
            f"{trial.run_dir}/{IN_FILENAME}": trial.render_input(),
            f"{trial.run_dir}/{SUBMIT_FILENAME}": trial.render_script(scheduler).encode(),
        }
        await host.put_many(files)
        submitted = await _submit(trial, host, scheduler, limit_seconds)
        if isinstance(submitted, Finding):
            return [submitted]
        process_id = submitted
        status = await _wait(trial, host, scheduler, process_id, limit_seconds, doing)
        ended = status.state is HostJobState.ENDED
        if not ended:
            return [_too_late(status, process_id, limit_seconds)]
        doing("reading what the job left")
        return await _read(trial, host, status)
    except JobflowRemoteError as exc:
        return [from_exception("run", exc)]
    finally:
        with contextlib.suppress(JobflowRemoteError):
            await _clean_up(trial, host, scheduler, process_id, ended=ended)


async def _submit(trial: Trial, host: Host, scheduler: Scheduler, limit_seconds: float) -> str | Finding:
    job = trial.host_job()
    timeout = trial.worker.timeout_execute
    end, pause = time.monotonic() + limit_seconds, 1.0
    while True:
        answer = await host.run(scheduler.render_submit([job]), timeout_seconds=timeout)
        (result,) = scheduler.parse_submit(answer, [job])
        if result.process_id is not None:
            return result.process_id
        if not result.busy:
            fix = "see `resources` and `scheduler_type` of the worker: does the scheduler take such a job by hand?"
            return error("run", f"the scheduler refused the job: {result.error}", fix)
        if time.monotonic() + pause > end:
            fix = "jobs wait until it takes them; ask it by hand, or its administrators"
            return error("run", f"the scheduler does not take the job now: {result.error}", fix)
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)


async def _wait(
    trial: Trial,
    host: Host,
    scheduler: Scheduler,
    process_id: str,
    limit_seconds: float,
    doing: Callable[[str], None],
) -> HostJobStatus:
    job = trial.host_job(process_id)
    end, pause = time.monotonic() + limit_seconds, _FIRST_PAUSE_SECONDS
    while True:
        answer = await host.run(scheduler.render_status([job]), timeout_seconds=trial.worker.timeout_execute)
        (status,) = scheduler.parse_status(answer, [job])
        if status.state is HostJobState.ENDED or time.monotonic() > end:
            return status
        doing(f"job {process_id} is {_describe(status)}")
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.5)


def _describe(status: HostJobStatus) -> str:
    word = status.queue_state or status.state.value
    return f"{word}: {status.reason}" if status.reason else word


def _too_late(status: HostJobStatus, process_id: str, limit_seconds: float) -> Finding:
    text = f"job {process_id} is still {_describe(status)} after {limit_seconds:g} s, and was cancelled"
    if status.state is HostJobState.RUNNING:
        return error(
            "run", text, "log in and run the command of `execution_cmd` by hand to see what it waits for"
        )
    fix = "--timeout gives it longer; do `resources` of the worker ask for something that is never free?"
    return error("run", text, fix)


async def _read(trial: Trial, host: Host, status: HostJobStatus) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="jfremote_check_") as name:
        folder = Path(name)
        waited = await _fetch(trial, host, folder, patient=status.exit_code in (0, None))
        try:
            result = jobfiles.read_result(folder, attempt=trial.attempt)
        except JobflowRemoteError as exc:
            return [from_exception("run", exc)]
        if result is None:
            return [_without_result(folder, status)]
        if result.response is None or not isinstance(result.response.stored_data, dict):
            return [_with_error(result.error or "it returned nothing")]
        return _tell(result.response.stored_data, waited)


async def _fetch(trial: Trial, host: Host, folder: Path, *, patient: bool) -> float:
    """Copy what the job left; returns how long its result could not be seen."""
    wanted = {
        f"{trial.run_dir}/{name}": folder / name
        for name in (OUT_FILENAME, QUEUE_OUT_FILENAME, QUEUE_ERR_FILENAME)
    }
    begin = time.monotonic()
    while True:
        missing = await host.get_many(wanted)
        waited = time.monotonic() - begin
        if f"{trial.run_dir}/{OUT_FILENAME}" not in missing:
            return waited
        if not patient or waited > _VISIBLE_SECONDS or _said(folder):
            return waited
        await asyncio.sleep(0.5)


def _said(folder: Path) -> str:
    words = []
    for name in (QUEUE_OUT_FILENAME, QUEUE_ERR_FILENAME):
        with contextlib.suppress(OSError):
            words.append((folder / name).read_text(errors="replace"))
    return last_lines("\n".join(words), 4)


_EXIT_FIXES = {
    126: "the program of `execution_cmd` cannot be executed on the compute node",
    127: "the program of `execution_cmd` is not found where jobs run: let `pre_run` activate its environment",
    98: "the compute node does not see `work_dir`: it must be on a file system that all nodes share",
}


def _without_result(folder: Path, status: HostJobStatus) -> Finding:
    parts = [f"exit code {status.exit_code}" if status.exit_code is not None else "", status.reason or ""]
    how = ", ".join(part for part in parts if part) or "nobody knows how"
    said = _said(folder)
    fix = _EXIT_FIXES.get(status.exit_code or 0, "run `pre_run` and `execution_cmd` by hand there")
    if re.search(r"No module named.{,3}jobflow_remote", said):
        fix = f"install jobflow-remote {judging.own_version('jobflow-remote')} there, in the environment of the job"
    text = f"the job ended without a result ({how})" + (f": {said}" if said else "")
    return error("run", text, fix)


def _with_error(text: str) -> Finding:
    cause = last_lines(text, 1)
    fix = None
    if "nodecheck" in text or "format" in cause:
        fix = f"the worker has another jobflow-remote: install {judging.own_version('jobflow-remote')} there"
    return error("run", f"the job failed: {cause}", fix)


def _tell(facts: dict[str, Any], waited: float) -> list[Finding]:
    where = f"{facts.get('hostname')}, Python {facts.get('python')} ({facts.get('executable')})"
    found = [ok("run", f"a job ran on {where}")]
    found += judging.compare_versions(facts.get("versions") or {}, str(facts.get("executable")))
    if isinstance(facts.get("time"), int | float) and facts["time"] > time.time() + judging.CLOCK_SECONDS:
        ahead = facts["time"] - time.time()
        text = f"the clock of {facts.get('hostname')} is {ahead:.0f} s ahead of that of this machine"
        found.append(warning("clock", text, "let both machines set their clocks by NTP"))
    if waited > _SLOW_SECONDS:
        text = f"results were seen {waited:.0f} s after the job had ended"
        fix = f"the file system is slow to show new files: set `delay_download: {int(waited * 2) + 1}`"
        found.append(warning("file system", text, fix))
    return found


async def _clean_up(
    trial: Trial, host: Host, scheduler: Scheduler, process_id: str | None, *, ended: bool
) -> None:
    """Leave nothing: no job, no files, no empty folders."""
    timeout = trial.worker.timeout_execute
    if not ended:
        await host.run(scheduler.render_cancel([trial.host_job(process_id)]), timeout_seconds=timeout)
    await host.remove_run_folders([trial.run_dir])
    parents = []
    folder = os.path.dirname(trial.run_dir)
    while folder.startswith(trial.root):
        parents.append(shlex.quote(folder))
        folder = os.path.dirname(folder)
    await host.run(f"rmdir -- {' '.join(parents)} 2>/dev/null", timeout_seconds=timeout)
