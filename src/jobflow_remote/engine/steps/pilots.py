"""``start`` and ``leave_queue`` for a batch worker: read what its pilots tell, keep as many as the work deserves."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from jobflow_remote.engine.context import WorkerContext
from jobflow_remote.engine.fleet import Fleet
from jobflow_remote.engine.outcome import Advance, Failed, Outcome
from jobflow_remote.engine.polling import run_script
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import ConfigError, JobKilledError, SchedulerBusyError
from jobflow_remote.execution.pilot.handledir import DEAD
from jobflow_remote.execution.pilot.ticket import BUNDLE_SUFFIX, Ticket, render_bundle
from jobflow_remote.model import lifecycle
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide.pilots import MOST_INTERRUPTIONS, another_try
from jobflow_remote.model.records import Document, JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import WHOLE, Share
from jobflow_remote.schedulers.handover import Errands, Look, parse_look, render_look

logger = logging.getLogger(__name__)

_QUICK_SECONDS, _SLOWER_BY, _SLOWEST_MOVING_SECONDS = 0.5, 1.4, 5.0
_MUCH_NEWS, _LITTLE_NEWS = 150, 60
"""Jobs of which a look tells."""
_AT_ONCE = 500
_FINAL = frozenset({"end", "back", "unfit"})
_LOST = "lost"
"""Folder of jobs that no file speaks of any more, beside those of dead pilots."""


class PilotsStep(Step):
    """One look at the folder tells about all jobs and all pilots; the scheduler is asked when a pilot is in doubt."""

    name = "poll"
    drains = False
    makes_room_for = frozenset({"checkout"})

    def __init__(self, context: WorkerContext, share: Share = WHOLE) -> None:
        super().__init__(context, share)
        batch = context.config.batch
        assert batch is not None
        self.folder = str(batch.jobs_handle_dir)
        self.fleet = Fleet(context, batch)
        self._news: dict[str, Document] = {}
        self._read = Errands()
        """What was read in this turn."""
        self._written = Errands()
        """What was read and written down."""
        self._holders: set[str] = set()
        self._signed: set[str] = set()
        self._pause = _QUICK_SECONDS
        self._next: datetime | None = None
        self._look_at: datetime | None = None

    async def next_retry(self) -> datetime | None:
        return self._next

    async def take(self) -> list[JobRecord]:
        """Look around; the jobs of which there is news."""
        self._next = None
        load = await self.runner.in_queue_thread(self.queue.workload, states=lifecycle.IN_PILOT)
        jobs = sum(number for (worker, _), number in load.items() if worker == self.worker)
        await self.fleet.read()
        if not jobs and not self.fleet.live and self._read == self._written:
            return []
        if self.fleet.live and not self._is_time_to_look():  # woken by new jobs: pilots may be missing
            await self.fleet.submit(jobs)
            await self.fleet.write()
            self._next = self._look_at
            return []
        look = await self._look()
        self.fleet.hear(look.pilots)
        await self.fleet.recognise(look.holders)
        await self.fleet.ask()
        await self.fleet.submit(jobs)
        await self.fleet.write()
        records = await self._find_records(look)
        if jobs and not (look.new_bundles or look.holders or look.events or look.dead):
            await self._bury_lost()
        self._plan_next(look, jobs)
        if not records:
            self._written = self._read
            if self.fleet.trouble and not look.events and not self.fleet.live:
                raise SchedulerBusyError(self.fleet.trouble)
        return records

    async def _look(self) -> Look:
        done = self._written
        dead = sorted(self.fleet.finished & self._holders)
        gone = sorted((self.fleet.finished & self._signed) - self._holders)
        errands = Errands(done.reports, done.buried, dead, gone)
        command = render_look(self.folder, self._owner, errands)
        answer = await run_script(
            self.context.host, command, timeout_seconds=self.context.config.timeout_execute
        )
        look = parse_look(answer)
        if look.owner is not None and look.owner != self._owner:
            raise ConfigError(
                f"the folder {self.folder} is that of {look.owner}, and no two workers can share one",
                hint=f"give worker {self.worker} a jobs_handle_dir of its own",
            )
        if look.error is not None or not look.whole:
            raise SchedulerBusyError(look.error or f"{self.folder} could not be read: {answer.stderr[-300:]}")
        self._read = Errands(tuple(look.reports), tuple(look.dead))
        self._written = Errands()
        self._holders, self._signed = look.holders, set(look.pilots)
        return look

    async def _bury_lost(self) -> None:
        """No file speaks of the jobs: somebody has removed them. They are looked at like those of a dead pilot."""
        records = await super().take()
        logger.warning("worker %s: %d jobs are in no file of %s", self.worker, len(records), self.folder)
        tickets = [
            Ticket(record.attempt or "0", record.run_dir or "", record.uuid, record.index)
            for record in records
        ]
        path = f"{self.folder}/{DEAD}/{_LOST}.{int(time.time() * 1000)}/all{BUNDLE_SUFFIX}"
        await self.context.host.put_many({path: render_bundle(tickets).encode()})

    @property
    def _owner(self) -> str:
        return f"{self.runner.services.project.name}/{self.worker}"

    def _is_time_to_look(self) -> bool:
        return self._look_at is None or utcnow() >= self._look_at

    def _plan_next(self, look: Look, jobs: int) -> None:
        """Quick while much moves: over a link each look is a round trip, and shall bring news of many jobs."""
        news = len(look.events) + len(look.lost)
        slowest = self.runner.services.project.runner.delay_update_batch
        if self.context.host.files_are_local and news:
            self._pause = _QUICK_SECONDS
        elif news >= _MUCH_NEWS:
            self._pause = max(_QUICK_SECONDS, self._pause / _SLOWER_BY)
        elif not news or news < min(_LITTLE_NEWS, jobs):
            self._pause *= _SLOWER_BY
        self._pause = min(self._pause, _SLOWEST_MOVING_SECONDS if news else slowest, slowest)
        pauses = [self._pause]
        if (question := self.fleet.next_question_seconds) is not None:
            pauses.append(question)
        self._look_at = None
        if jobs or self.fleet.live or look.reports or look.dead:
            self._next = self._look_at = utcnow() + timedelta(seconds=min(pauses))

    # -- jobs --------------------------------------------------------------------------------------------------

    async def _find_records(self, look: Look) -> list[JobRecord]:
        """Records of the jobs that the news are about, as far as these are still those jobs' attempts."""
        self._news = {}
        for event in [*look.lost, *look.events]:
            known = self._news.get(event["attempt"])
            if known is None or _weight(event) >= _weight(known):
                self._news[event["attempt"]] = event
        uuids = sorted({event["uuid"] for event in self._news.values()})
        records = []
        for start in range(0, len(uuids), _AT_ONCE):
            query: Document = {"uuid": {"$in": uuids[start : start + _AT_ONCE]}}
            documents = await self.runner.in_queue_thread(self.queue.find_jobs, query)
            records += [JobRecord.from_document(document) for document in documents]
        return [
            record
            for record in records
            if record.attempt in self._news and record.state in lifecycle.IN_PILOT and not record.superseded
        ]

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        outcomes = [self._outcome(record, self._news[record.attempt or ""]) for record in records]
        return [outcome for outcome in outcomes if outcome is not None]

    async def after(self, applied: Sequence[Outcome]) -> None:
        self._written = self._read

    def _outcome(self, record: JobRecord, event: Mapping[str, Any]) -> Outcome | None:
        match event["kind"]:
            case "begin":
                if record.state is JobState.BATCH_RUNNING:
                    return None
                return Advance(record, "start", JobState.BATCH_RUNNING, _place_fields(event))
            case "end" | "ended":
                return self._ended(record, event)
            case "unfit":
                return Failed(
                    record,
                    ConfigError(
                        f"no pilot of worker {self.worker} can run it: {event.get('why')}",
                        hint="change its resources (`jf job set resources`), or those of the worker",
                    ),
                )
            case "missing":
                return Advance(record, "give_back", JobState.CHECKED_OUT, another_try(record))
            case "unbegun":
                return Advance(record, "give_back", JobState.UPLOADED, another_try(record))
            case _:
                return self._interrupted(record, event)

    def _ended(self, record: JobRecord, event: Mapping[str, Any]) -> Outcome:
        to = JobState.DOWNLOADED if self.context.host.files_are_local else JobState.TERMINATED
        fields = {
            "remote.exit_code": event.get("code"),
            "remote.reason": event.get("why"),
            "end_time": _moment(event.get("time")),
        }
        if event["kind"] == "end":
            fields |= _place_fields(event)
        if self.context.config.delay_download:
            delay = timedelta(seconds=self.context.config.delay_download)
            fields["remote.retry_time_limit"] = utcnow() + delay
        return Advance(record, "leave_queue", to, fields)

    def _interrupted(self, record: JobRecord, event: Mapping[str, Any]) -> Outcome:
        fields = another_try(record, interrupted=True)
        if fields["remote.interruptions"] >= MOST_INTERRUPTIONS:
            error = JobKilledError(
                f"{fields['remote.interruptions']} times the pilot that ran it came to an end"
                + (f", the last time because {event['why']}" if event.get("why") else ""),
                hint=f"it may need more time or memory than pilots have; `jf job retry {record.db_id}` tries again",
            )
            return Failed(record, error, fields)
        why = event.get("why") or "its pilot is gone"
        return Advance(record, "give_back", JobState.UPLOADED, fields, why)


def _weight(event: Mapping[str, Any]) -> int:
    """What a pilot told of a job's end counts more than what it left behind, and that more than the job's begin."""
    return 2 if event["kind"] in _FINAL else 0 if event["kind"] == "begin" else 1


def _moment(seconds: Any) -> datetime:
    if seconds is None:
        return utcnow()
    return datetime(1970, 1, 1) + timedelta(seconds=float(seconds))


def _place_fields(event: Mapping[str, Any]) -> Document:
    place = {key: event[key] for key in ("node", "cores", "gpus", "pid") if event.get(key)}
    return {
        "remote.process_id": event.get("pilot"),
        "remote.place": place,
        "start_time": _moment(event.get("begun") or time.time()),
    }
