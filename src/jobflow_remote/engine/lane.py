"""A lane: one step for one worker, at its own pace.

Each turn asks the queue database for jobs that wait for the step, lets the step act upon them, and writes what came of
it. Between turns the lane sleeps until it is woken, until a job's retry time, or until its fallback interval ends. A
worker that is unreachable, slow or misconfigured holds up its own lanes only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from jobflow_remote.engine.context import RunnerContext
from jobflow_remote.engine.health import Health
from jobflow_remote.engine.outcome import Advance, Failed, Finish, Noted, Outcome
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import Failure, JobflowRemoteError, QueueDatabaseAwayError, SessionLostError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ApplyResult, ChangeSet
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide.failure import decide_failure, failure_of
from jobflow_remote.model.processes import Doing, LaneReport
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.retry import RetryPolicy

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 60.0
_LONGEST_LINE = 300


@dataclass
class Weather:
    """Why a lane cannot work at present."""

    since: float
    why: str
    pause_seconds: float = _FIRST_PAUSE_SECONDS


@dataclass(frozen=True)
class LaneOptions:
    """Times of a lane (settings of the project's ``runner``)."""

    fallback_seconds: float
    retry: RetryPolicy
    unreachable_limit_seconds: float


class Lane:
    """Repeats one step for one worker until it is told to stop."""

    def __init__(self, step: Step, runner: RunnerContext, options: LaneOptions) -> None:
        self.step, self.runner, self.options = step, runner, options
        self.weather: Weather | None = None
        self.report = LaneReport(step.name, step.worker, Doing.IDLE, utcnow())
        """What it does, for people; replaced as a whole, so that any thread may read it."""
        self._health = Health(runner, worker=step.worker, step=step.name)
        self._woken = asyncio.Event()
        self._woken.set()
        self._stopping = asyncio.Event()
        self._resumed = asyncio.Event()

    @property
    def name(self) -> str:
        """For logs: step and worker."""
        return f"{self.step.name}/{self.step.worker}"

    def wake(self) -> None:
        """Have a look at once."""
        self._woken.set()

    def stop(self) -> None:
        """Finish the step in hand, not the backlog."""
        self._stopping.set()
        self.resume()

    def resume(self) -> None:
        """Wait for nothing: what kept the lane from working may have passed."""
        self._resumed.set()
        self._woken.set()

    async def run(self) -> None:
        """Turn after turn, until :meth:`stop`."""
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                busy = await self.turn()
                await self._clear_up()
                if not busy:
                    self._tell(Doing.IDLE)
                    await _wait(self._woken, await self._pause_seconds())
            except SessionLostError:
                raise
            except Exception as error:  # noqa: BLE001  # a lane outlives whatever its step runs into
                await self._bad_turn(error)

    async def turn(self) -> bool:
        """One batch. Returns whether there may be more to do right away."""
        records = await self.step.take()
        if not records:
            self.step.has_nothing_to_do()
            return False
        if self.step.renders:
            await self.runner.look_at_configuration()
            if self._stopping.is_set():
                return False  # the worker is another one now; the jobs wait for its lanes
        if self.weather is None:  # else this is only another try, and people see since when it waits
            self._tell(Doing.WORKING, jobs=len(records))
        outcomes = await self._act(records)
        applied = await self.write(outcomes)
        if self.step.is_done_when_taken:
            self.report = replace(self.report, done=self.report.done + len(records))
        return (
            self.step.drains
            and (applied > 0 or not outcomes)
            and self._may_be_more(records, outcomes, applied)
        )

    def _may_be_more(self, records: Sequence[JobRecord], outcomes: Sequence[Outcome], applied: int) -> bool:
        """Whether to look again unasked: whoever brings jobs to this step wakes the lane."""
        all_went_well = applied == len(records) and not any(isinstance(each, Failed) for each in outcomes)
        return len(records) >= self.step.batch or (bool(outcomes) and not all_went_well)

    async def _act(self, records: list[JobRecord]) -> list[Outcome]:
        try:
            return await self.step.run(records)
        except SessionLostError:
            raise
        except Exception as error:
            if failure_of(error) is Failure.WEATHER and not self._is_too_long():
                raise
            return [Failed(record, error) for record in records]

    async def write(self, outcomes: Sequence[Outcome]) -> int:
        """Ask the queue database for all changes; undo the effect of those it refuses. Returns how many it made."""
        if not outcomes:
            return 0
        changes = [self._change_set(outcome) for outcome in outcomes]
        results = await self.runner.in_queue_thread(self.runner.services.queue.apply, changes)
        refused = [outcome for outcome, result in zip(outcomes, results, strict=True) if not result.applied]
        for outcome, result in zip(outcomes, results, strict=True):
            _log(outcome, result)
        if refused:
            await self.step.undo(refused)
        if any(isinstance(outcome, Failed) for outcome in outcomes):
            self.step.expect_retries()
        self._count(outcomes, results)
        self._wake_others(outcomes, results)
        await self.step.after([o for o, result in zip(outcomes, results, strict=True) if result.applied])
        return len(outcomes) - len(refused)

    def _change_set(self, outcome: Outcome) -> ChangeSet:
        if isinstance(outcome, Advance | Noted):
            return outcome.change_set(self.runner.token)
        if isinstance(outcome, Finish):
            return outcome.changes
        return decide_failure(
            outcome.record,
            outcome.error,
            message=describe_error(outcome.error),
            policy=self.options.retry,
            holder=self.runner.token,
            now=utcnow(),
            extra=dict(outcome.fields),
        )

    def _wake_others(self, outcomes: Sequence[Outcome], results: Sequence[ApplyResult]) -> None:
        steps: set[str] = set()
        for outcome, result in zip(outcomes, results, strict=True):
            if result.applied and isinstance(outcome, Advance):
                steps.update(lifecycle.next_steps(outcome.to))
            if result.ready:
                steps.add("checkout")
        if any(result.applied and self._left(o) for o, result in zip(outcomes, results, strict=True)):
            steps |= self.step.makes_room_for
        for step in steps - ({self.step.name} if self.step.drains else set()):
            self.runner.wake(step, self.step.worker if step != "checkout" else None)

    def _left(self, outcome: Outcome) -> bool:
        """Whether the job does not wait for this step any more, or not in the same way."""
        if isinstance(outcome, Advance):
            return outcome.to not in lifecycle.STEPS[self.step.name]
        return not isinstance(outcome, Noted)

    async def _pause_seconds(self) -> float:
        pause = self.options.fallback_seconds
        retry = await self.step.next_retry()
        if retry is not None:
            pause = min(pause, max(0.0, (retry - utcnow()) / timedelta(seconds=1)) + 0.01)
        return pause

    # -- weather -----------------------------------------------------------------------------------------------

    def _is_too_long(self) -> bool:
        return (
            self.weather is not None
            and time.monotonic() - self.weather.since > self.options.unreachable_limit_seconds
        )

    async def _bad_turn(self, error: Exception) -> None:
        self._resumed.clear()
        if self._stopping.is_set():
            return
        if isinstance(error, QueueDatabaseAwayError):  # said once, for all lanes; the heartbeat tries again
            self._tell(Doing.WAITING, why=error.message)
            away = self.runner.database.is_away
            await _wait(self._resumed, _LONGEST_PAUSE_SECONDS if away else _FIRST_PAUSE_SECONDS)
            return
        why = (
            describe_error(error)
            if isinstance(error, JobflowRemoteError)
            else f"{type(error).__name__}: {error}"
        )
        if self.weather is None:
            self.weather = Weather(time.monotonic(), why)
            expected = failure_of(error) is Failure.WEATHER
            logger.warning("%s waits: %s", self.name, why, exc_info=None if expected else error)
        weather = self.weather
        weather.why = why
        now = utcnow()
        self._tell(Doing.WAITING, why=why, until=now + timedelta(seconds=weather.pause_seconds))
        self.report = replace(self.report, last_error=_first_line(why), last_error_on=now)
        await self._health.is_down(why, next_try_seconds=weather.pause_seconds)
        await _wait(self._resumed, weather.pause_seconds)
        weather.pause_seconds = min(_LONGEST_PAUSE_SECONDS, weather.pause_seconds * 2)

    def _tell(self, doing: Doing, **more: Any) -> None:
        """Say what the lane does from now on."""
        present = self.report
        since = present.since if doing is present.doing else utcnow()
        cleared: dict[str, Any] = {"jobs": 0, "until": None, "why": None}
        if doing is not present.doing or more:
            self.report = replace(present, doing=doing, since=since, **{**cleared, **more})

    def _count(self, outcomes: Sequence[Outcome], results: Sequence[ApplyResult]) -> None:
        """Note for people how many jobs went on, and what went wrong last."""
        made = [outcome for outcome, result in zip(outcomes, results, strict=True) if result.applied]
        done = sum(isinstance(outcome, Advance | Finish) for outcome in made)
        self.report = replace(self.report, done=self.report.done + done)
        for outcome in made:
            if isinstance(outcome, Failed):
                error = f"job {outcome.record.db_id}: {_first_line(describe_error(outcome.error))}"
                self.report = replace(self.report, last_error=error, last_error_on=utcnow())

    async def _clear_up(self) -> None:
        if self.weather is not None:
            logger.warning("%s goes on after %.0f s", self.name, time.monotonic() - self.weather.since)
            self.weather = None
            await self._health.is_up()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _first_line(text: str) -> str:
    """What is told in a table: the message; of a traceback the line that says what was raised."""
    lines = text.strip().splitlines() or [""]
    return (lines[-1] if lines[0].startswith("Traceback ") else lines[0])[:_LONGEST_LINE]


def describe_error(error: BaseException) -> str:
    """What people read in ``remote.error``: the message and hint of an error of ours, else the traceback."""
    if isinstance(error, JobflowRemoteError):
        return f"{error.message}\n{error.hint}" if error.hint else error.message
    return "".join(traceback.format_exception(error))


def _log(outcome: Outcome, result: ApplyResult) -> None:
    record = outcome.record
    job = f"job {record.db_id} {record.uuid} ({record.index})"
    if not result.applied:
        logger.info("%s: refused, %s", job, result.refusal)
    elif isinstance(outcome, Advance):
        logger.info("%s: %s -> %s", job, outcome.event, outcome.to)
    elif isinstance(outcome, Noted):
        logger.debug("%s: %s", job, dict(outcome.fields))
    elif isinstance(outcome, Finish):
        change = outcome.changes.changes[0]
        more = f", {len(outcome.changes.new_jobs)} new jobs" if outcome.changes.new_jobs else ""
        logger.info("%s: %s -> %s%s", job, change.event, change.to, more)
    else:
        level = logging.DEBUG if isinstance(outcome.error, JobflowRemoteError) else logging.ERROR
        logger.error(
            "%s: %s failed in state %s: %s", job, record.state, record.state, describe_error(outcome.error)
        )
        logger.log(level, "%s", job, exc_info=outcome.error)
