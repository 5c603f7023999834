"""A project with a real SQLite queue database, filled through the verbs of the port; no runner is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import jobflow_remote
from jobflow_remote.config.settings import JobflowRemoteSettings
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import NewFlow, RunnerSession, new_flow_document, new_job_document
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase
from jobflow_remote.testing.cli import run_check_cli

PROJECT = """\
name: {name}
base_dir: {folder}
workers:
  local_shell:
    type: local
    scheduler_type: shell
    work_dir: {folder}/run
queue:
  store:
    type: SQLiteStore
    path: {folder}/queue.sqlite
jobstore:
  docs_store:
    type: SQLiteStore
    path: {folder}/outputs.sqlite
"""


class World:
    """One project and what is in its queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.projects_folder = folder / "projects"
        self.projects_folder.mkdir()
        self.file = self.projects_folder / "tutorial.yaml"
        self.file.write_text(PROJECT.format(name="tutorial", folder=folder / "tutorial"))
        self.old_enough()
        (folder / "tutorial").mkdir()
        self.queue = SQLiteQueueDatabase(folder / "tutorial" / "queue.sqlite")
        self._session: RunnerSession | None = None

    def old_enough(self) -> None:
        """Make project files old, so that snapshots of them are believed."""
        for path in self.projects_folder.glob("*.yaml"):
            os.utime(path, (1e9, 1e9))

    @property
    def session(self) -> RunnerSession:
        """The runner session."""
        if self._session is None:
            owner = {
                "hostname": "elsewhere",
                "user": "guido",
                "daemon_dir": "/nowhere",
                "project_name": "tutorial",
            }
            self._session = self.queue.open_session(owner, lease_seconds=3600)
        return self._session

    def close_session(self) -> None:
        """The runner ends."""
        self.queue.close_session(self.session.token)
        self._session = None

    def add_flow(
        self,
        names: str = "add",
        *,
        name: str = "Flow",
        worker: str = "local_shell",
        uuids: list[str] | None = None,
        flow_uuid: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> tuple[str, list[str]]:
        """Insert a chain of jobs; returns the flow's uuid and the uuids of its jobs."""
        flow = flow_uuid or str(uuid4())
        now = utcnow()
        jobs: list[dict[str, Any]] = []
        for position, job_name in enumerate(names.split()):
            uuid = uuids[position] if uuids else str(uuid4())
            serialised = {
                "@module": "jobflow.core.job", "@class": "Job", "uuid": uuid, "index": 1, "name": job_name,
                "metadata": metadata or {}, "hosts": [flow], "function_args": [position, 2], "function_kwargs": {},
                "config": {},
            }  # fmt: skip
            parents = [jobs[-1]["uuid"]] if jobs else []
            document = new_job_document(
                serialised, flow_uuid=flow, worker=worker, parents=parents, now=now, who="guido@here"
            )
            jobs.append(document)
        self.queue.insert_flow(
            NewFlow(new_flow_document(uuid=flow, name=name, now=now, metadata=metadata), jobs)
        )
        return flow, [job["uuid"] for job in jobs]

    def change(self, uuid: str, to: JobState, **fields: Any) -> None:
        """Put a job into a state, as the runner would."""
        job = self.queue.get_job(uuid)
        assert job is not None
        holder = self.session.token if to in lifecycle.ACTIVE or job["claim"] else None
        change = JobChange(
            uuid=uuid,
            index=job["index"],
            expect=frozenset({JobState(job["state"])}),
            to=to,
            fields={key.replace("__", "."): value for key, value in fields.items()},
            holder=holder,
        )
        (result,) = self.queue.apply([ChangeSet(flow_uuid=job["flow_uuid"], changes=(change,))])
        assert result.applied, result.refusal

    def run_job(self, uuid: str, to: JobState = JobState.COMPLETED, **fields: Any) -> None:
        """Take a READY job through to an end."""
        taken = self.queue.claim(self.session.token, worker="local_shell", limit=1000)
        assert uuid in {record.uuid for record in taken}
        for other in taken:
            if other.uuid != uuid:
                self.change(other.uuid, JobState.READY)
        self.change(uuid, JobState.UPLOADED, run_dir=f"/run/{uuid}_1")
        self.change(uuid, JobState.SUBMITTED, remote__process_id="4242")
        start = utcnow() - timedelta(hours=2, minutes=5)
        self.change(uuid, JobState.RUNNING, start_time=start)
        if to is JobState.RUNNING:
            return
        self.change(uuid, JobState.DOWNLOADED, end_time=start + timedelta(hours=1, minutes=30))
        if to is not JobState.DOWNLOADED:
            self.change(uuid, to, **fields)

    def job(self, uuid: str) -> dict[str, Any]:
        """Document of a job."""
        document = self.queue.get_job(uuid)
        assert document is not None
        return document


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A project named ``tutorial``, selected because it is the only one."""
    created = World(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("JFREMOTE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JFREMOTE_PROJECTS_FOLDER", str(created.projects_folder))
    monkeypatch.setenv("JFREMOTE_CONFIG_FILE", str(tmp_path / "none.yaml"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(jobflow_remote, "SETTINGS", JobflowRemoteSettings(), raising=False)
    yield created
    created.queue.close()


Jf = Callable[..., Any]


@pytest.fixture
def jf(world: World) -> Jf:
    """``jf("job list -m 5", required_out=…)``."""

    def run(words: str, *more: str, **options: Any) -> Any:
        return run_check_cli([*words.split(), *more], **options)

    return run


def uuid_beginning(prefix: str) -> str:
    """A uuid that begins with these letters."""
    return str(UUID(prefix.ljust(32, "0")[: len(prefix)] + uuid4().hex[len(prefix) :]))
