"""``submit``: write the submission script and hand the job to the scheduler, once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jobflow_remote.engine.context import host_job
from jobflow_remote.engine.jobscript import find_exec_config, render_job_script
from jobflow_remote.engine.outcome import Advance, Failed, Outcome
from jobflow_remote.engine.polling import run_script
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import ConfigError, SchedulerBusyError, SchedulerError
from jobflow_remote.layout import SUBMIT_FILENAME
from jobflow_remote.model import lifecycle
from jobflow_remote.model.records import Document, JobRecord
from jobflow_remote.model.states import JobState


class SubmitStep(Step):
    """All jobs of a batch are submitted by one command, whose answer tells each job's id."""

    name = "submit"
    renders = True
    makes_room_for = frozenset({"checkout"})

    async def take(self) -> list[JobRecord]:
        room = self.batch
        limit = self.context.max_running
        if limit is not None:
            load = await self.runner.in_queue_thread(self.queue.workload, states=lifecycle.IN_SCHEDULER)
            room = min(room, limit - sum(load.get((self.worker, s), 0) for s in lifecycle.IN_SCHEDULER))
        if room <= 0:
            return []
        return await self.runner.in_queue_thread(
            self.queue.due, self.runner.token,
            states=lifecycle.STEPS[self.name], worker=self.worker, limit=room, share=self.share,
        )  # fmt: skip

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        rendered_by = self.runner.configuration.in_use.digest
        scripts: dict[str, bytes | Path] = {}
        ready: list[JobRecord] = []
        for record in records:
            try:
                text = self._script(record)
            except (ConfigError, SchedulerError) as error:
                outcomes.append(Failed(record, error))
                continue
            scripts[os.path.join(record.run_dir or "", SUBMIT_FILENAME)] = text.encode()
            ready.append(record)
        if ready:
            outcomes += await self._submit(ready, scripts, rendered_by)
        return outcomes

    async def _submit(
        self, records: list[JobRecord], scripts: dict[str, bytes | Path], rendered_by: str
    ) -> list[Outcome]:
        host, scheduler = self.context.host, self.context.scheduler
        jobs = [host_job(record) for record in records]
        answer = await run_script(
            host,
            scheduler.render_submit(jobs),
            files=scripts,
            timeout_seconds=self.context.config.timeout_execute,
        )
        outcomes: list[Outcome] = []
        results = scheduler.parse_submit(answer, jobs)
        if all(result.busy for result in results):
            raise SchedulerBusyError(results[0].error or "the scheduler is busy")
        for record, result in zip(records, results, strict=True):
            if result.busy:  # it waits as it is, until the next turn
                continue
            if result.process_id is None:
                outcomes.append(Failed(record, SchedulerError(f"submission failed: {result.error}")))
            else:
                fields = {
                    "remote.process_id": result.process_id,
                    "remote.exit_code": None,
                    "remote.reason": None,
                    "remote.configuration": rendered_by,
                }
                outcomes.append(Advance(record, "submit", JobState.SUBMITTED, fields))
        return outcomes

    async def undo(self, refused: Sequence[Outcome]) -> None:
        """Cancel what was submitted for jobs that somebody stopped or reset in the meantime."""
        jobs = [
            host_job(outcome.record)
            for outcome in refused
            if isinstance(outcome, Advance) and outcome.record.run_dir
        ]
        if jobs:
            await run_script(
                self.context.host,
                self.context.scheduler.render_cancel(jobs),
                timeout_seconds=self.context.config.timeout_execute,
            )

    def _script(self, record: JobRecord) -> str:
        worker = self.context.config
        resources: Document = worker.resources or {} if record.resources is None else record.resources
        header = self.context.scheduler.render_header(
            name=record.name,
            run_dir=record.run_dir or "",
            resources=resources,
            attempt=record.attempt or "0",
        )
        execution = find_exec_config(self.context, record)
        return render_job_script(self.context, record, execution, header=header)
