"""A project whose runner is a thread of this process and whose jobs run on a warm node: everything else is real."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services.warmnode import WarmNode

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.project import Project
from jobflow_remote.control import act
from jobflow_remote.control.submit import submit_with
from jobflow_remote.engine.runner import Runner
from jobflow_remote.model.lifecycle import ROLES
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState

PATIENCE_SECONDS = 240


class Bench:
    """A project, somebody who works with it, and a runner when it is asked for."""

    def __init__(self, folder: Path, node: WarmNode, *, queue: dict[str, Any] | None = None) -> None:
        work = {"type": "local", "scheduler_type": "shell", "execution_cmd": node.execution_cmd}
        self.project = Project.model_validate(
            {
                "name": "bench",
                "base_dir": str(folder),
                "workers": {
                    "local": {**work, "work_dir": str(folder / "run"), "max_jobs": 4},
                    "other": {**work, "work_dir": str(folder / "elsewhere"), "max_jobs": 2},
                },
                "queue": {"store": queue or {"type": "SQLiteStore", "path": str(folder / "queue.sqlite")}},
                "jobstore": {
                    "docs_store": {"type": "SQLiteStore", "path": str(folder / "outputs.sqlite")},
                    "additional_stores": {
                        "data": {"type": "SQLiteStore", "path": str(folder / "blobs.sqlite")}
                    },
                },
            }
        )
        self.services = services_of(self.project)
        self.queue = self.services.queue
        self.failure: BaseException | None = None

    def close(self) -> None:
        """Close what is open here."""
        self.services.close()

    # -- the runner --------------------------------------------------------------------------------------------

    def run_until_idle(self) -> None:
        """Work until no job is left that the runner could move."""
        with self._session() as (services, token):
            runner = Runner(services, token, roles=tuple(ROLES))
            asyncio.run(runner.run(until_idle=True, max_seconds=PATIENCE_SECONDS))
            assert runner.ended_by == "idle", runner.ended_by

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within this context a runner works, in a thread of its own."""
        started = threading.Event()
        found: list[tuple[asyncio.AbstractEventLoop, Runner]] = []

        async def main(services: Any, token: str) -> None:
            runner = Runner(services, token, roles=tuple(ROLES))
            found.append((asyncio.get_running_loop(), runner))
            started.set()
            await runner.run()

        def work() -> None:
            try:
                with self._session() as (services, token):
                    asyncio.run(main(services, token))
            except BaseException as error:  # noqa: BLE001  # told to whoever started it
                self.failure = error
                started.set()

        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        try:
            yield
        finally:
            if found:
                loop, runner = found[0]
                loop.call_soon_threadsafe(runner.stop)
            thread.join(PATIENCE_SECONDS)
        if self.failure is not None:
            raise self.failure

    @contextmanager
    def _session(self) -> Iterator[tuple[Any, str]]:
        with services_of(self.project) as services:
            token = services.queue.open_session({"user": "ada"}, lease_seconds=60, override=True).token
            try:
                yield services, token
            finally:
                services.queue.close_session(token)

    # -- people ------------------------------------------------------------------------------------------------

    def submit(self, flow: Any, **options: Any) -> list[str]:
        """Put a flow into the queue."""
        return list(submit_with(self.services, flow, **options))

    def records(self, flow_uuid: str | None = None, *, all_of_them: bool = False) -> list[JobRecord]:
        """Jobs in the order of their ids; without superseded ones unless ``all_of_them``."""
        query = {} if flow_uuid is None else {"flow_uuid": flow_uuid}
        found = [JobRecord.from_document(job) for job in self.queue.find_jobs(query, sort=[("db_number", 1)])]
        return [record for record in found if all_of_them or not record.superseded]

    def states(self, flow_uuid: str | None = None) -> dict[str, JobState]:
        """State by ``db_id``."""
        return {record.db_id: record.state for record in self.records(flow_uuid)}

    def act(self, record: JobRecord, decide: act.Decide, *, dry_run: bool = False) -> act.JobOutcome:
        """Do something to a job."""
        return act.act_on_jobs(self.services, [record.key], decide, dry_run=dry_run)[0]


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that another thread or process brings about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain: {what}")
        time.sleep(0.02)
