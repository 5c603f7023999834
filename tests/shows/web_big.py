"""A project of 100,000 jobs in 5,000 flows, one of them with 5,000 jobs in nested flows, on either queue database."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import Document, history_entry, new_flow_document, new_job_document
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase

JOBS, FLOWS, LARGE = 100_000, 5_000, 5_000
_STATES = ("COMPLETED", "FAILED", "RUNNING", "READY", "WAITING", "REMOTE_ERROR")
_WEIGHTS = (80, 3, 1, 5, 9, 2)
_WAY = ("CHECKED_OUT", "UPLOADED", "SUBMITTED", "RUNNING", "TERMINATED", "DOWNLOADED")
"""States that a job has been in, as its history says."""
_STEPS = {"COMPLETED": 6, "FAILED": 6, "RUNNING": 3, "REMOTE_ERROR": 2, "READY": 0, "WAITING": 0}
_ERRORS = (
    "ValueError: no convergence after {} steps",
    "KeyError: 'energy'",
    "OSError: no space left on /scratch/{}",
)
_PROJECT = """\
name: big
base_dir: {folder}
workers:
{workers}
queue:
  store: {store}
jobstore:
  docs_store: {{type: SQLiteStore, path: {folder}/outputs.sqlite}}
"""
_WORKER = "  {name}: {{type: local, scheduler_type: shell, work_dir: {folder}/run}}"


@dataclass(frozen=True, slots=True)
class Big:
    """The project, and its flow of 5,000 jobs."""

    projects: Path
    large_flow: str
    queue: QueueDatabase

    @property
    def env(self) -> dict[str, str]:
        """For ``jf``."""
        return {
            "JFREMOTE_PROJECTS_FOLDER": str(self.projects),
            "JFREMOTE_CONFIG_FILE": str(self.projects / "none"),
        }


def make_big(folder: Path, store: dict[str, Any], *, seed: int, jobs: int = JOBS, flows: int = FLOWS) -> Big:
    """Write the project file and fill the queue."""
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.queuedb import open_queue_database

    (folder / "projects").mkdir(parents=True)
    workers = "\n".join(_WORKER.format(name=name, folder=folder) for name in "abc")
    text = ", ".join(f"{key}: {value}" for key, value in store.items())
    file = folder / "projects" / "big.yaml"
    file.write_text(_PROJECT.format(folder=folder, workers=workers, store=f"{{{text}}}"))
    spec: QueueSpec = ConfigManager._parse(file).project.queue_spec()
    queue = open_queue_database(spec)
    maker = _Maker(random.Random(seed))
    large = maker.fill(queue, jobs=jobs, flows=flows, large=min(LARGE, jobs // 2))
    return Big(folder / "projects", large, queue)


class _Maker:
    """Documents in order, with ids."""

    def __init__(self, rand: random.Random) -> None:
        self.rand, self.number, self.now = rand, 0, utcnow()

    def uuid(self) -> str:
        return str(UUID(int=self.rand.getrandbits(128), version=4))

    def past(self, days: float) -> Any:
        return self.now - timedelta(days=days * self.rand.random(), milliseconds=1)

    def fill(self, queue: QueueDatabase, *, jobs: int, flows: int, large: int) -> str:
        per, batch, documents = (jobs - large) // (flows - 1), [], []
        self.rand.random()
        first = ""
        for number in range(flows):
            flow = new_flow_document(uuid=self.uuid(), name=f"flow {number}", now=self.past(30))
            flow["updated_on"] = self.past(7)
            first = first or flow["uuid"]
            batch.append(flow)
            made = self.nested(flow["uuid"], large) if number == 0 else self.chain(flow["uuid"], per)
            documents += made
            if len(documents) >= 5000 or number == flows - 1:
                queue.load("flows", batch)
                queue.load("jobs", documents)
                batch, documents = [], []
        queue.load("jf_auxiliary", [{"key": "next_id", "value": self.number + 1}])
        queue.finish_load()
        return first

    def job(self, flow: str, name: str, *, parents: list[str], hosts: list[str]) -> Document:
        self.number += 1
        uuid, state = self.uuid(), self.rand.choices(_STATES, _WEIGHTS)[0]
        serialised = {
            "@module": "jobflow.core.job", "@class": "Job", "uuid": uuid, "index": 1, "name": name, "metadata": {},
            "hosts": [*hosts, flow], "function_args": [1, 2], "function_kwargs": {}, "config": {},
        }  # fmt: skip
        updated = self.past(7)
        document = new_job_document(
            serialised,
            flow_uuid=flow,
            worker=self.rand.choice("abc"),
            parents=parents,
            now=updated - timedelta(days=self.rand.random()),
            who="me",
        )
        document |= {
            "db_id": str(self.number),
            "db_number": self.number,
            "state": state,
            "updated_on": updated,
        }
        if state in ("COMPLETED", "FAILED", "RUNNING"):
            document["start_time"] = document["created_on"]
            document["end_time"] = None if state == "RUNNING" else document["updated_on"]
        document["history"] = self.history(document)
        if state in ("FAILED", "REMOTE_ERROR"):
            document["error"] = "Traceback\n" + self.rand.choice(_ERRORS).format(self.rand.randrange(100))
        return document

    def history(self, document: Document) -> list[Document]:
        """From the beginning to now, at even distances."""
        begin, state = document["history"], document["state"]
        states = [*_WAY[: _STEPS[state]], state]
        step = (document["updated_on"] - document["created_on"]) / len(states)
        return [
            *begin,
            *(
                history_entry(
                    JobState(each), document["created_on"] + at * step, event="step", who="runner@here"
                )
                for at, each in enumerate(states, start=1)
            ),
        ]

    def chain(self, flow: str, number: int) -> list[Document]:
        made: list[Document] = []
        for step in range(number):
            parents = [made[-1]["uuid"]] if made else []
            made.append(self.job(flow, f"relax {step}", parents=parents, hosts=[]))
        return made

    def nested(self, flow: str, number: int) -> list[Document]:
        """Fifty nested flows: a start, many in the middle, an end that the next one begins with."""
        made: list[Document] = []
        last: list[str] = []
        for inner in self._split(number, 50):
            host = [self.uuid()]
            start = self.job(flow, "start", parents=last, hosts=host)
            middle = [
                self.job(flow, f"step {each}", parents=[start["uuid"]], hosts=host)
                for each in range(inner - 2)
            ]
            end = self.job(flow, "end", parents=[each["uuid"] for each in middle], hosts=host)
            made += [start, *middle, end]
            last = [end["uuid"]]
        return made

    @staticmethod
    def _split(number: int, parts: int) -> Iterator[int]:
        for part in range(parts):
            yield number // parts + (part < number % parts)
