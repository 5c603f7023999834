"""A queue with many jobs in many flows, put in as documents: what listings, infos and reports are measured on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from jobflow_remote.model.records import Document, history_entry, new_flow_document, new_job_document
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase

WORKERS = ("alpha", "beta", "gamma", "local_shell")
NAMES = ("relax", "static", "phonon", "bands", "collect results", "convert")
_SPREAD = timedelta(days=90)
_AT_ONCE = 1000
_STATES = (
    *[JobState.COMPLETED] * 80, *[JobState.WAITING] * 6, *[JobState.READY] * 4, *[JobState.FAILED] * 3,
    *[JobState.RUNNING] * 3, JobState.REMOTE_ERROR, JobState.SUBMITTED, JobState.PAUSED, JobState.USER_STOPPED,
)  # fmt: skip


@dataclass(slots=True)
class ManyJobs:
    """Makes documents; the same ones for the same seed."""

    jobs: int
    flows: int
    seed: int
    now: datetime
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))

    def fill(self, queue: QueueDatabase) -> None:
        """Put everything in, a few at a time."""
        flows: list[Document] = []
        jobs: list[Document] = []
        for flow, its_jobs in self._flows():
            flows.append(flow)
            jobs.extend(its_jobs)
            if len(jobs) >= _AT_ONCE:
                queue.load("flows", flows)
                queue.load("jobs", jobs)
                flows, jobs = [], []
        queue.load("flows", flows)
        queue.load("jobs", jobs)
        queue.finish_load()

    def _flows(self) -> Iterator[tuple[Document, list[Document]]]:
        """Flows with their jobs; the first ones have a job more where the numbers do not divide."""
        number = 0
        for position in range(self.flows):
            size = self.jobs // self.flows + (position < self.jobs % self.flows)
            created = self.now - _SPREAD * (1 - position / self.flows)
            name = f"flow {position % 50}"
            flow = new_flow_document(
                uuid=self._uuid(), name=name, now=created, metadata={"batch": position % 100}
            )
            jobs: list[Document] = []
            for _ in range(size):
                number += 1
                parents = [jobs[self._chance.randrange(len(jobs))]["uuid"]] if jobs else []
                jobs.append(self._job(number, flow["uuid"], parents, created))
            flow["state"] = _flow_state({job["state"] for job in jobs})
            flow["updated_on"] = max(job["updated_on"] for job in jobs)
            yield flow, jobs

    def _job(self, number: int, flow_uuid: str, parents: list[str], created: datetime) -> Document:
        chance = self._chance
        uuid, state = self._uuid(), chance.choice(_STATES)
        serialised = {
            "@module": "jobflow.core.job", "@class": "Job", "uuid": uuid, "index": 1, "name": chance.choice(NAMES),
            "hosts": [flow_uuid], "function": {"@module": "builtins", "@callable": "sum", "@bound": None},
            "function_args": [[chance.random() for _ in range(30)]], "function_kwargs": {"text": "x" * 400},
            "config": {"on_missing_references": "error"}, "metadata": {"tag": number % 1000, "campaign": "2026"},
        }  # fmt: skip
        document = new_job_document(
            serialised, flow_uuid=flow_uuid, worker=chance.choice(WORKERS), parents=parents, now=created,
            who="ada@desk", priority=number % 3, state=JobState.WAITING,
        )  # fmt: skip
        later = created + timedelta(seconds=chance.randint(1, 86_400))
        document |= {
            "db_id": str(number), "db_number": number, "state": state.value,
            "updated_on": min(later, self.now), "run_dir": f"/scratch/{uuid[:2]}/{uuid}_1",
        }  # fmt: skip
        document["remote"]["process_id"] = str(1_000_000 + number)
        if state in (JobState.COMPLETED, JobState.FAILED, JobState.RUNNING):
            document["start_time"] = created
            document["end_time"] = None if state is JobState.RUNNING else min(later, self.now)
        if state is JobState.FAILED:
            document["error"] = "Traceback (most recent call last):\n" + "  File …\n" * 20
        document["history"] += [
            history_entry(state, min(later, self.now), event="step", who="runner") for _ in range(6)
        ]
        return document


def _flow_state(states: set[str]) -> str:
    """Good enough for a listing: what most flows with jobs in these states are."""
    if states <= {JobState.COMPLETED}:
        return FlowState.COMPLETED.value
    if states & {JobState.FAILED, JobState.REMOTE_ERROR}:
        return FlowState.FAILED.value
    return FlowState.RUNNING.value
