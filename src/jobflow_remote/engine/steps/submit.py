"""``submit``: write the submission script and hand the job to the scheduler, once."""

from __future__ import annotations

from collections.abc import Sequence

from jobflow_remote.engine.context import WorkerContext, host_job
from jobflow_remote.engine.outcome import Advance, Failed, Outcome
from jobflow_remote.engine.polling import run_script
from jobflow_remote.engine.starting import Start, hand_over, prepare, submit
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import ConfigError, SchedulerBusyError, SchedulerError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import WHOLE, Share


class SubmitStep(Step):
    """All jobs of a batch are submitted by one command, whose answer tells each job's id."""

    name = "submit"
    renders = True
    makes_room_for = frozenset({"checkout"})

    def __init__(self, context: WorkerContext, share: Share = WHOLE) -> None:
        super().__init__(context, share)
        self._launching = self.runner.launching(self.worker)
        self._scripts: int | None = None
        """How many jobs may be started by scripts this time; the others wait in the warm process for their turn."""

    async def take(self) -> list[JobRecord]:
        room = self.batch
        limit, most = self.context.max_running, self.context.max_submitted
        self._scripts = None
        if limit is not None and most is not None:
            load = await self.runner.in_queue_thread(self.queue.workload, states=lifecycle.IN_SCHEDULER)
            there = sum(load.get((self.worker, s), 0) for s in lifecycle.IN_SCHEDULER)
            room, self._scripts = min(room, most - there), limit - there
            if (
                there > limit + (most - limit) // 2
            ):  # there is enough to do; refill in batches, not one by one
                return []
        if room <= 0:
            return []
        return await self.runner.in_queue_thread(
            self.queue.due, self.runner.token,
            states=lifecycle.STEPS[self.name], worker=self.worker, limit=room, share=self.share,
        )  # fmt: skip

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        rendered_by = self.runner.configuration.in_use.digest
        forks: list[Start] = []
        scripts: list[Start] = []
        for number, record in enumerate(records):
            try:
                start = prepare(self.context, record)
            except (ConfigError, SchedulerError) as error:
                outcomes.append(Failed(record, error))
                continue
            if start.order is None and self._scripts is not None and number >= self._scripts:
                break  # it does not wait for its turn; those after it are not to overtake it for ever
            (scripts if start.order is None else forks).append(start)
        if forks:
            await hand_over(self.context, forks)
            outcomes += [_handed_over(start.record, rendered_by) for start in forks]
        if scripts:
            outcomes += await self._submit(scripts, rendered_by)
        return outcomes

    async def _submit(self, starts: Sequence[Start], rendered_by: str) -> list[Outcome]:
        outcomes: list[Outcome] = []
        records = [start.record for start in starts]
        results = await submit(self.context, starts)
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
                    **({"remote.launch": "script"} if self._launching is not None else {}),
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


def _handed_over(record: JobRecord, rendered_by: str) -> Outcome:
    """SUBMITTED, and without a process until the warm process gets round to it."""
    fields = {
        "remote.process_id": None,
        "remote.exit_code": None,
        "remote.reason": None,
        "remote.configuration": rendered_by,
        "remote.launch": "fork",
    }
    return Advance(record, "submit", JobState.SUBMITTED, fields)
