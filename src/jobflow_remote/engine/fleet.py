"""The pilots of one batch worker: submit as many as the work deserves, once each, and know how they are."""

from __future__ import annotations

import logging
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from jobflow_remote.config.workers import BatchConfig
from jobflow_remote.engine.context import WorkerContext
from jobflow_remote.engine.jobscript import own_bin
from jobflow_remote.engine.polling import Pace, run_script
from jobflow_remote.errors import SchedulerBusyError
from jobflow_remote.layout import QUEUE_ERR_FILENAME, SUBMIT_FILENAME, run_folder
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide.pilots import PilotLoad, cores_of_allocation, count_missing
from jobflow_remote.model.records import Document
from jobflow_remote.model.states import BatchState
from jobflow_remote.schedulers.port import HostJob, HostJobState, HostJobStatus
from jobflow_remote.schedulers.script import ScriptParts, render_script

logger = logging.getLogger(__name__)

LEASE_SECONDS = 120.0
"""A pilot that could give no sign of life for so long ends its jobs and itself."""
_SILENT_SECONDS = 20.0
"""After so long without a sign of life the scheduler is asked."""
_WRITE_SECONDS = 5.0
_UNKNOWN_CAPACITY = 1_000_000_000
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 10.0, 600.0
_RUN_COMMAND, _PILOT_COMMAND = "execution run {}", "execution run-batch"
_TOLD = (
    "now",
    "started",
    "host",
    "nodes",
    "queued",
    "done",
    "capacity",
    "cores",
    "busy_seconds",
    "ends_at",
    "ending",
)


@dataclass
class Sign:
    """When a pilot's sign of life was last seen to change; by our clock, since theirs may be wrong."""

    told: Mapping[str, Any]
    seen: float = field(default_factory=time.monotonic)


class Fleet:
    """Pilots of a worker. Each has a document in the queue database before it is submitted."""

    def __init__(self, context: WorkerContext, batch: BatchConfig) -> None:
        self.context, self.batch = context, batch
        self.runner, self.queue = context.runner, context.runner.services.queue
        self.pilots: dict[str, Document] = {}
        self.trouble: str | None = None
        """Why pilots do not come to life."""
        self._signs: dict[str, Sign] = {}
        self._pace = Pace(self.runner.services.project.runner.delay_check_run_status)
        self._next_question, self._next_submission = 0.0, 0.0
        self._failures = 0
        self._written: dict[str, float] = {}
        self._dirty: set[str] = set()

    @property
    def finished(self) -> set[str]:
        """Pilots that have ended for sure."""
        return {uid for uid, pilot in self.pilots.items() if pilot["batch_state"] == BatchState.FINISHED}

    @property
    def live(self) -> list[Document]:
        """Pilots that have not ended."""
        return [pilot for pilot in self.pilots.values() if pilot["batch_state"] != BatchState.FINISHED]

    async def read(self) -> None:
        """Know the pilots from the queue database (those that ended a while ago are nobody's business)."""
        query: Document = {"worker": self.context.name, "batch_state": {"$ne": BatchState.FINISHED.value}}
        for pilot in await self.runner.in_queue_thread(self.queue.find_batches, query):
            self.pilots.setdefault(pilot["batch_uid"], pilot)

    async def recognise(self, holders: set[str]) -> None:
        """Know the pilots that hold jobs, also those that ended under a former runner, or whose documents are gone."""
        unknown = sorted(holders - self.pilots.keys())
        if not unknown:
            return
        query: Document = {"batch_uid": {"$in": unknown}}
        for pilot in await self.runner.in_queue_thread(self.queue.find_batches, query):
            self.pilots[pilot["batch_uid"]] = pilot
        now = time.monotonic()
        for uid in set(unknown) - self.pilots.keys():
            sign = self._signs.setdefault(uid, Sign({}))
            if now - sign.seen > LEASE_SECONDS + _SILENT_SECONDS:
                logger.warning(
                    "worker %s: pilot %s, of which nobody knows, is silent", self.context.name, uid
                )
                self.pilots[uid] = {"batch_uid": uid, "batch_state": BatchState.FINISHED.value}

    # -- signs of life -----------------------------------------------------------------------------------------

    def hear(self, told: Mapping[str, Mapping[str, Any]]) -> None:
        """Take notice of signs of life."""
        for uid, facts in told.items():
            sign = self._signs.get(uid)
            if sign is not None and sign.told == facts:
                continue
            self._signs[uid] = Sign(facts)
            pilot = self.pilots.get(uid)
            if pilot is None or pilot["batch_state"] == BatchState.FINISHED:
                continue
            changes: Document = {
                "jobs": [list(job) for job in facts.get("running") or ()],
                "last_ping_time": utcnow(),
                "told": {key: facts[key] for key in _TOLD if key in facts},
            }
            if pilot["batch_state"] == BatchState.SUBMITTED:
                changes |= {
                    "batch_state": BatchState.RUNNING.value,
                    "start_time": _moment(facts.get("started")),
                }
                self._failures, self.trouble = 0, None
            if facts.get("failed"):
                self._on_failure(pilot, str(facts.get("ending")))
            if facts.get("ended"):
                changes |= {"batch_state": BatchState.FINISHED.value, "end_time": utcnow()}
            self._note(pilot, changes)

    def _note(self, pilot: Document, changes: Document) -> None:
        uid = pilot["batch_uid"]
        urgent = any(key in changes for key in ("batch_state", "process_id"))
        pilot |= {**changes, "updated_on": utcnow()}
        if urgent or time.monotonic() - self._written.get(uid, 0.0) > _WRITE_SECONDS:
            self._dirty.add(uid)

    async def write(self) -> None:
        """Write down what has changed."""
        if self._dirty:
            documents = [self.pilots[uid] for uid in sorted(self._dirty)]
            await self.runner.in_queue_thread(self.queue.put_batches, self.runner.token, documents)
            now = time.monotonic()
            self._written |= dict.fromkeys(self._dirty, now)
            self._dirty.clear()

    # -- the scheduler -----------------------------------------------------------------------------------------

    @property
    def next_question_seconds(self) -> float | None:
        """When the scheduler should be asked; None: there is nothing to ask."""
        return max(0.0, self._next_question - time.monotonic()) if self._doubtful() else None

    def _doubtful(self) -> list[Document]:
        """Pilots whose state only the scheduler knows: they have not begun, or are silent."""
        now = time.monotonic()
        found = []
        for pilot in self.live:
            sign = self._signs.get(pilot["batch_uid"])
            silent = sign is None or now - sign.seen > _SILENT_SECONDS
            if pilot["process_id"] and (pilot["batch_state"] == BatchState.SUBMITTED or silent):
                found.append(pilot)
        return found

    async def ask(self) -> None:
        """Ask the scheduler about pilots that are in doubt, if it is time to."""
        doubtful = self._doubtful()
        if not doubtful or time.monotonic() < self._next_question:
            return
        statuses = await self._statuses(doubtful)
        moved = False
        for pilot, status in zip(doubtful, statuses, strict=True):
            moved |= self._take_status(pilot, status)
        self._pace.saw(movement=moved)
        self._next_question = time.monotonic() + self._pace.seconds

    async def _statuses(self, pilots: Sequence[Document]) -> list[HostJobStatus]:
        return await self.runner.desk.ask(
            self.context.host,
            self.context.scheduler,
            [self._host_job(pilot) for pilot in pilots],
            timeout_seconds=self.context.config.timeout_execute,
            invite=lambda: None,
        )

    def _take_status(self, pilot: Document, status: HostJobStatus) -> bool:
        changes: Document = {}
        if status.process_id and status.process_id != pilot["process_id"]:
            changes["process_id"] = status.process_id
        if status.state is HostJobState.ENDED:
            changes |= {
                "batch_state": BatchState.FINISHED.value, "end_time": utcnow(), "jobs": [],
                "exit_code": status.exit_code, "reason": status.reason,
            }  # fmt: skip
            if pilot["batch_state"] == BatchState.SUBMITTED or status.exit_code not in (0, None):
                how = status.reason or f"exit code {status.exit_code}"
                self._on_failure(pilot, f"it ended with {how}; see {QUEUE_ERR_FILENAME} in its folder")
        elif status.queue_state:
            changes["queue_state"] = status.queue_state
        if changes and any(pilot.get(key) != value for key, value in changes.items()):
            self._note(pilot, changes)
            return True
        return False

    def _on_failure(self, pilot: Document, why: str) -> None:
        begun = pilot["batch_state"] == BatchState.RUNNING and pilot.get("told", {}).get("done")
        if begun:  # it did something: the next one may do better
            return
        pause = self._back_off()
        self.trouble = f"the pilot in {self._folder(pilot['batch_uid'])} did not come to life: {why}"
        logger.warning("worker %s: %s; the next one in %.0f s", self.context.name, self.trouble, pause)

    # -- submission --------------------------------------------------------------------------------------------

    async def submit(self, waiting: int) -> None:
        """Submit what is missing, and what a former runner did not get to the end of."""
        undone = [pilot for pilot in self.live if not pilot["process_id"]]
        if time.monotonic() >= self._next_submission or undone:
            number = 0 if undone else count_missing(
                waiting, [self._load(pilot) for pilot in self.live],
                capacity=self._capacity(), most=self.context.config.job_limit or 0, pending=self.batch.keep_pending,
            )  # fmt: skip
            new = [self._document() for _ in range(number)]
            if new:
                await self.runner.in_queue_thread(self.queue.put_batches, self.runner.token, new)
                self.pilots |= {pilot["batch_uid"]: pilot for pilot in new}
            if undone or new:
                await self._hand_over([*undone, *new])

    def _load(self, pilot: Document) -> PilotLoad:
        sign = self._signs.get(pilot["batch_uid"])
        told = sign.told if sign is not None else {}
        return PilotLoad(
            begun=pilot["batch_state"] == BatchState.RUNNING,
            capacity=int(told.get("capacity") or self._capacity()),
            running=0,  # jobs that wait and those that run are counted together
            ending=bool(told.get("ending")),
        )

    def _capacity(self) -> int:
        """Jobs that a new pilot will run at a time, as the latest one tells; of one that gives out cores nobody knows
        beforehand unless its resources say so: then it is one pilot, and the others when it has told."""
        known = [sign for sign in self._signs.values() if sign.told.get("capacity")]
        if known:
            return int(max(known, key=lambda sign: sign.seen).told["capacity"])
        if self.batch.parallel_jobs or not self.batch.pack:
            return max(1, self.batch.parallel_jobs or 1)
        resources = self.context.config.resources
        return cores_of_allocation(resources if isinstance(resources, Mapping) else None) or _UNKNOWN_CAPACITY

    def _document(self) -> Document:
        now = utcnow()
        return {
            "batch_uid": str(uuid4()), "process_id": None, "batch_state": BatchState.SUBMITTED.value,
            "worker": self.context.name, "jobs": [], "created_on": now, "updated_on": now,
            "start_time": None, "end_time": None, "last_ping_time": None,
        }  # fmt: skip

    def _folder(self, uid: str) -> str:
        return os.path.dirname(run_folder(str(self.batch.work_dir), uid, 0)) + f"/{uid}"

    def _host_job(self, pilot: Document) -> HostJob:
        uid = pilot["batch_uid"]
        return HostJob(self._folder(uid), uid.replace("-", ""), pilot["process_id"])

    async def _hand_over(self, pilots: Sequence[Document]) -> None:
        jobs = [self._host_job(pilot) for pilot in pilots]
        scripts = {
            os.path.join(job.run_dir, SUBMIT_FILENAME): self._script(pilot["batch_uid"], job).encode()
            for pilot, job in zip(pilots, jobs, strict=True)
        }
        scheduler = self.context.scheduler
        answer = await run_script(
            self.context.host, scheduler.render_submit(jobs), files={**scripts},
            timeout_seconds=self.context.config.timeout_execute,
        )  # fmt: skip
        errors, refused = [], []
        for pilot, result in zip(pilots, scheduler.parse_submit(answer, jobs), strict=True):
            uid = pilot["batch_uid"]
            if result.process_id is not None:
                logger.info("worker %s: pilot %s is job %s", self.context.name, uid, result.process_id)
                self._note(pilot, {"process_id": result.process_id})
                continue
            errors.append(result.error)
            if not result.busy:  # there is no such pilot
                refused.append(uid)
                del self.pilots[uid]
        self._next_question = 0.0
        if errors:
            await self.write()
            await self.runner.in_queue_thread(self.queue.delete_batches, refused)
            self._back_off()
            raise SchedulerBusyError(f"no pilot could be submitted: {errors[0]}")

    def _back_off(self) -> float:
        self._failures += 1
        pause: float = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (self._failures - 1))
        self._next_submission = time.monotonic() + pause
        return pause

    def _script(self, uid: str, job: HostJob) -> str:
        worker = self.context.config
        header = self.context.scheduler.render_header(
            name=f"batch_{uid[:8]}",
            run_dir=job.run_dir,
            resources=worker.resources or {},
            attempt=job.attempt,
        )
        return render_script(
            ScriptParts(
                header=header,
                run_dir=job.run_dir,
                command=f"{self._command()} {shlex.join(self._arguments(uid))}",
                pre_run=(worker.pre_run,),
                post_run=(worker.post_run,),
                own_bin=own_bin(self.context),
            )
        )

    def _command(self) -> str:
        """How a pilot is started: as the worker's ``execution_cmd`` starts a job, if it is of the usual form."""
        command = self.context.config.execution_cmd
        if command is None or not command.strip().endswith(_RUN_COMMAND):
            return f"jf -fe {_PILOT_COMMAND}"
        return command.strip().removesuffix(_RUN_COMMAND) + _PILOT_COMMAND

    def _arguments(self, uid: str) -> list[str]:
        batch = self.batch
        words = [str(self.context.config.work_dir), str(batch.jobs_handle_dir), uid]
        for option, value in (
            ("-mj", batch.max_jobs_per_batch), ("-mt", batch.max_time), ("-mw", batch.max_wait),
            ("-pj", batch.parallel_jobs), ("-st", batch.sleep_time),
        ):  # fmt: skip
            if value:
                words += [option, f"{value:g}"]
        for module in batch.preload:
            words += ["--preload", module]
        words += ["--lease", f"{LEASE_SECONDS:g}"]
        words += ["--reuse"] if batch.reuse else []
        words += ["--pack"] if batch.pack else []
        return words


def _moment(seconds: Any) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=float(seconds)) if seconds else utcnow()
