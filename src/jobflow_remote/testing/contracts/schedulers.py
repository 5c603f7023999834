"""The contract of a scheduler, as tests that run real jobs on this machine: subclass it and give it a ``site``.

>>> class TestMyBatchSystem(BatchSystemContract):
...     @pytest.fixture(scope="class")
...     def site(self, tmp_path_factory):
...         return Site(MyScheduler(), tmp_path_factory.mktemp("runs"), held={"hold": True})
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.errors import SchedulerBusyError
from jobflow_remote.hosts.local import LocalHost
from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.layout import GONE_PREFIX, SUBMIT_FILENAME, SUBMITTED_PREFIX
from jobflow_remote.schedulers.port import HostJob, HostJobState, HostJobStatus, Scheduler, SubmitAnswer
from jobflow_remote.schedulers.script import ScriptParts, render_script

NAME = "relax (100); `id` $(id) 'é'"
"""What people call their jobs."""
_LONGEST_SECONDS = 60.0


@dataclass
class Site:
    """A scheduler at work, and what a person can do there."""

    scheduler: Scheduler
    folder: Path
    held: Mapping[str, Any] | None = None
    """Resources with which a job waits in the queue."""
    walltime: Mapping[str, Any] | None = None
    """Resources with which a job soon runs into its time limit."""
    memory: Mapping[str, Any] | None = None
    """Resources with which a job that uses 300 MB is killed; None where schedulers do not kill for that."""
    expire: Callable[[str], None] = lambda job_id: None
    """Bring a job nearer to its time limit."""
    cancel_by_hand: Callable[[str], None] | None = None
    stop: Callable[[], None] | None = None
    """Let the scheduler not answer; jobs go on."""
    start: Callable[[], None] = lambda: None

    def make(self, command: str, resources: Mapping[str, Any] | None = None) -> HostJob:
        """A run folder with its script, not submitted."""
        attempt = uuid.uuid4().hex
        run_dir = self.folder / uuid.uuid4().hex
        run_dir.mkdir(parents=True)
        header = self.scheduler.render_header(
            name=NAME, run_dir=str(run_dir), resources=resources or {}, attempt=attempt
        )
        parts = ScriptParts(header=header, run_dir=str(run_dir), command=f"echo ran >> ran; {command} # {{}}")
        (run_dir / SUBMIT_FILENAME).write_text(render_script(parts))
        return HostJob(str(run_dir), attempt)

    def run(self, command: str) -> CommandResult:
        """Run a command of the scheduler's."""

        async def on_host() -> CommandResult:
            return await LocalHost().run(command, timeout_seconds=_LONGEST_SECONDS)

        return asyncio.run(on_host())

    def submit(self, *jobs: HostJob) -> list[SubmitAnswer]:
        """Submit jobs by one command."""
        return self.scheduler.parse_submit(self.run(self.scheduler.render_submit(jobs)), jobs)

    def begin(self, command: str, resources: Mapping[str, Any] | None = None) -> HostJob:
        """A job that was submitted."""
        job = self.make(command, resources)
        (answer,) = self.submit(job)
        assert answer.error is None
        return replace(job, process_id=answer.process_id)

    def status(self, *jobs: HostJob) -> list[HostJobStatus]:
        """Where jobs are."""
        return self.scheduler.parse_status(self.run(self.scheduler.render_status(jobs)), jobs)

    def wait(self, job: HostJob, state: HostJobState) -> HostJobStatus:
        """The status of a job once it has arrived somewhere."""
        deadline = time.monotonic() + _LONGEST_SECONDS
        while True:
            (status,) = self.status(job)
            if status.state is state:
                return status
            assert time.monotonic() < deadline, f"it does not come to {state}: {status}"
            time.sleep(0.2)

    def wait_for_all(self, jobs: Sequence[HostJob]) -> list[HostJobStatus]:
        """How jobs ended."""
        return [self.wait(job, HostJobState.ENDED) for job in jobs]


def runs(job: HostJob) -> int:
    """How often a job has run."""
    path = Path(job.run_dir, "ran")
    return len(path.read_text().splitlines()) if path.exists() else 0


class SchedulerContract:
    """What every adapter of :class:`~jobflow_remote.schedulers.port.Scheduler` must do."""

    @pytest.fixture(scope="class")
    def site(self) -> Site:
        """The scheduler under test; a subclass provides it."""
        raise NotImplementedError

    def test_many_jobs_are_submitted_by_one_command_and_run_once(self, site: Site) -> None:
        """Whatever they are called, and however often they are submitted."""
        jobs = [site.make(f"echo {i}; echo e{i} >&2") for i in range(10)]
        answers = site.submit(*jobs)
        assert len({answer.process_id for answer in answers} - {None}) == len(jobs)
        assert [a.error for a in site.submit(*jobs)] == [None] * len(jobs)
        submitted = [replace(j, process_id=a.process_id) for j, a in zip(jobs, answers, strict=True)]
        assert {status.exit_code for status in site.wait_for_all(submitted)} == {0}
        assert [runs(job) for job in jobs] == [1] * len(jobs)
        assert Path(jobs[3].run_dir, "queue.out").read_text() == "3\n"
        assert Path(jobs[3].run_dir, "queue.err").read_text() == "e3\n"

    @pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("kill -9 $$", 137)])
    def test_the_exit_code_is_told(self, site: Site, command: str, code: int) -> None:
        """A signal as a shell tells it."""
        assert site.wait(site.begin(command), HostJobState.ENDED).exit_code == code

    def test_a_job_that_runs_is_told_and_cancelled(self, site: Site) -> None:
        """Cancelling what has ended is no error."""
        job = site.begin("sleep 100")
        site.wait(job, HostJobState.RUNNING)
        command = site.scheduler.render_cancel([job])
        site.run(command)
        status = site.wait(job, HostJobState.ENDED)
        assert status.exit_code != 0
        site.run(command)
        assert site.status(job)[0].state is HostJobState.ENDED

    def test_nothing_to_ask_is_asked_without_harm(self, site: Site) -> None:
        """No job, no answer."""
        assert site.status() == []
        assert site.submit() == []


class BatchSystemContract(SchedulerContract):
    """What is asked beyond that of schedulers in which jobs wait."""

    @pytest.fixture(scope="class")
    def doomed(self, site: Site) -> Iterator[dict[str, HostJob]]:
        """Jobs that are killed while other tests run: some schedulers take their time."""
        jobs: dict[str, HostJob] = {}
        if site.walltime is not None:
            jobs["walltime"] = site.begin("sleep 100", site.walltime)
            site.wait(jobs["walltime"], HostJobState.RUNNING)
            site.expire(str(jobs["walltime"].process_id))
        if site.memory is not None:
            jobs["memory"] = site.begin(
                "python3 -c 'import time; x = bytearray(300 << 20); time.sleep(60)'", site.memory
            )
        yield jobs
        site.run(site.scheduler.render_cancel(list(jobs.values())))

    @pytest.fixture(autouse=True)
    def begun(self, doomed: dict[str, HostJob]) -> None:
        """They are under way from the first test on."""

    def test_a_submission_whose_id_was_never_learnt_is_found(self, site: Site) -> None:
        """The command was killed between the scheduler's answer and writing it down."""
        job = site.begin("sleep 100")
        marker = Path(job.run_dir, f"{SUBMITTED_PREFIX}{job.attempt}")
        first = marker.read_text().splitlines()[0].split()
        site.wait(job, HostJobState.RUNNING)
        for path in Path(job.run_dir).glob(".jfremote_started.*"):
            path.unlink()  # so that the scheduler has to be asked
        marker.write_text(f"elsewhere 1 1 {first[3]}\n")
        (again,) = site.submit(replace(job, process_id=None))
        site.run(site.scheduler.render_cancel([job]))
        assert again.process_id == job.process_id

    def test_a_job_that_waits_is_told_and_cancelled(self, site: Site) -> None:
        """Even when its id was never learnt; it does not run."""
        assert site.held is not None
        job = site.begin("true", site.held)
        (status,) = site.status(job)
        assert status.state is HostJobState.QUEUED
        assert status.queue_state
        assert status.reason
        Path(job.run_dir, f"{SUBMITTED_PREFIX}{job.attempt}").write_text("elsewhere 1 1 1\n")
        site.run(site.scheduler.render_cancel([replace(job, process_id=None)]))
        _miss_since_long(site, job)
        site.wait(job, HostJobState.ENDED)
        assert runs(job) == 0

    def test_a_job_that_was_cancelled_by_hand(self, site: Site) -> None:
        """The reason is told."""
        assert site.cancel_by_hand is not None
        job = site.begin("sleep 100")
        site.wait(job, HostJobState.RUNNING)
        site.cancel_by_hand(str(job.process_id))
        status = site.wait(job, HostJobState.ENDED)
        assert any(word in (status.reason or "") for word in ("cancelled", "deleted"))

    def test_a_refusal_is_told(self, site: Site) -> None:
        """In the scheduler's words; the others of the batch are submitted."""
        good, bad = site.make("true"), site.make("true", self.refused)
        answers = site.submit(bad, good)
        assert (answers[0].process_id, answers[0].busy) == (None, False)
        assert answers[0].error
        assert answers[1].error is None

    refused: Mapping[str, Any] = {"queue": "nope"}
    """Resources that the scheduler refuses."""

    def test_a_job_that_nobody_knows_has_ended(self, site: Site) -> None:
        """But not at the first look."""
        job = replace(site.make("true"), process_id="999999")
        assert site.status(job)[0].state is not HostJobState.ENDED
        _miss_since_long(site, job)
        status = site.wait(job, HostJobState.ENDED)
        assert "does not know job 999999" in (status.reason or "")

    def test_a_scheduler_that_is_away_is_waited_for(self, site: Site) -> None:
        """Nothing is known, nothing is submitted, nothing is lost."""
        assert site.stop is not None
        running, fresh = site.begin("sleep 100"), site.make("true")
        site.wait(running, HostJobState.RUNNING)
        site.stop()
        try:
            with pytest.raises(SchedulerBusyError):
                site.status(running)
            (refused,) = site.submit(fresh)
        finally:
            site.start()
        assert refused.busy
        assert site.wait(running, HostJobState.RUNNING).process_id == running.process_id
        deadline = time.monotonic() + _LONGEST_SECONDS
        while (
            answer := site.submit(fresh)[0]
        ).busy:  # what was sent while it was away may have arrived, or not
            assert time.monotonic() < deadline, answer.error
            time.sleep(0.2)
        site.wait(replace(fresh, process_id=answer.process_id), HostJobState.ENDED)
        assert runs(fresh) == 1
        site.run(site.scheduler.render_cancel([running]))

    def test_out_of_memory(self, site: Site, doomed: dict[str, HostJob]) -> None:
        """The limit that the job itself asked for."""
        status = site.wait(doomed["memory"], HostJobState.ENDED)
        assert "out of memory" in (status.reason or "")

    def test_the_time_limit(self, site: Site, doomed: dict[str, HostJob]) -> None:
        """The last of all, since it may take long."""
        status = site.wait(doomed["walltime"], HostJobState.ENDED)
        assert "time limit of" in (status.reason or "")
        assert status.exit_code != 0


def _miss_since_long(site: Site, job: HostJob) -> None:
    """Let it look as if the job had been missed for an hour, once it is missed."""
    path = Path(job.run_dir, f"{GONE_PREFIX}{job.attempt}")
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not path.exists() and site.status(job)[0].state is not HostJobState.ENDED:
        assert time.monotonic() < deadline, "the scheduler still lists it"
        time.sleep(0.2)
    path.write_text(f"{int(time.time()) - 3600}\n")
