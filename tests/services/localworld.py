"""A project with local workers, and its runner as a thread of this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.project import Project
from jobflow_remote.control import act
from jobflow_remote.control.submit import submit_with
from jobflow_remote.engine.launching import Launching
from jobflow_remote.engine.runner import Runner
from jobflow_remote.model.lifecycle import ROLES
from jobflow_remote.model.records import Document, JobRecord

PATIENCE_SECONDS = 120


class LocalWorld:
    """Workers by their name: what their configuration says beside where they work."""

    def __init__(self, folder: Path, workers: Mapping[str, Mapping[str, Any]], **more: Any) -> None:
        self.folder = folder
        here = {"type": "local", "scheduler_type": "shell"}
        self.project = Project.model_validate(
            {
                "name": "world",
                "base_dir": str(folder),
                "workers": {
                    name: {**here, "work_dir": str(folder / "runs" / name), **worker}
                    for name, worker in workers.items()
                },
                "queue": {"store": {"type": "SQLiteStore", "path": str(folder / "queue.db")}},
                "jobstore": {"docs_store": {"type": "SQLiteStore", "path": str(folder / "outputs.db")}},
                **more,
            }
        )
        self.services = services_of(self.project)
        self.runner: Runner | None = None

    def close(self) -> None:
        """Close what is open here."""
        self.services.close()

    # -- people ------------------------------------------------------------------------------------------------

    def submit(self, flow: Any, worker: str, **options: Any) -> list[str]:
        """Put a flow into the queue."""
        return list(submit_with(self.services, flow, worker=worker, **options))

    def job(self, uuid: str) -> Document:
        """The document of a job."""
        found = self.services.queue.find_jobs({"uuid": uuid}, sort=[("index", -1)])
        return found[0]

    def output(self, uuid: str) -> Any:
        """Output of a job that is COMPLETED."""
        job = self.job(uuid)
        assert job["state"] == "COMPLETED", (job["job"]["name"], job["error"], job["remote"])
        return self.services.outputs(None).get_output(uuid, job["index"])

    def states(self) -> list[str]:
        """Of all jobs, in the order of their ids."""
        return [job["state"] for job in self.services.queue.find_jobs({}, sort=[("db_number", 1)])]

    def act(self, uuid: str, decide: act.Decide) -> act.JobOutcome:
        """Do something to a job."""
        return act.act_on_job(self.services, JobRecord.from_document(self.job(uuid)).key, decide)

    # -- the runner --------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until no job is left that the runner could move."""
        with self._session() as runner:
            asyncio.run(runner.run(until_idle=True, max_seconds=PATIENCE_SECONDS))
            assert runner.ended_by == "idle", (runner.ended_by, self.states())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within this context a runner works, in a thread of its own."""
        loops: list[asyncio.AbstractEventLoop] = []
        failures: list[BaseException] = []
        started = threading.Event()

        async def main(runner: Runner) -> None:
            loops.append(asyncio.get_running_loop())
            started.set()
            await runner.run()

        def work() -> None:
            try:
                with self._session() as runner:
                    asyncio.run(main(runner))
            except BaseException as error:  # noqa: BLE001  # told to whoever started it
                failures.append(error)
                started.set()

        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        try:
            yield
        finally:
            if loops and self.runner is not None:
                loops[0].call_soon_threadsafe(self.runner.stop)
            thread.join(PATIENCE_SECONDS)
        if failures:
            raise failures[0]

    @contextmanager
    def _session(self) -> Iterator[Runner]:
        with services_of(self.project) as services:
            token = services.queue.open_session({"user": "ada"}, lease_seconds=60, override=True).token
            self.runner = Runner(services, token, roles=tuple(ROLES))
            try:
                yield self.runner
            finally:
                services.queue.close_session(token)

    def launching(self, worker: str) -> Launching:
        """How the runner that works starts jobs of a worker."""
        assert self.runner is not None
        found = self.runner.context.launching(worker)
        assert found is not None
        return found

    def server_pid(self, worker: str) -> int | None:
        """The warm process of a worker."""
        return self.launching(worker).warm.pid

    def wait(self, is_so: Callable[[], Any], what: str = "") -> None:
        """Wait for something that another thread or process brings about."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, (what, self.states())
            time.sleep(0.01)
