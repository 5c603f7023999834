"""Taking jobs back from pilots before one of them begins: by one command for all jobs of a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from jobflow_remote.errors import JobflowRemoteError, NotAllowedError
from jobflow_remote.model.decide import hold
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.schedulers.handover import parse_take_back, render_take_back
from jobflow_remote.schedulers.port import HostJob
from jobflow_remote.services.opened import Services


class TakenBack:
    """What became of attempts at jobs that were wanted back."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[str, JobflowRemoteError | None] = {}
        """By attempt: why it cannot be had; None: no pilot will begin it."""

    def ask(self, records: Sequence[JobRecord]) -> None:
        """Take back those of the jobs that wait for pilots, or learn why that does not work."""
        by_worker: dict[str, list[JobRecord]] = {}
        for record in records:
            if record.state is JobState.BATCH_SUBMITTED and _attempt(record) not in self._known:
                by_worker.setdefault(record.worker, []).append(record)
        if by_worker:
            asyncio.run(self._ask_all(by_worker))

    def check(self, record: JobRecord) -> None:
        """See to it that no pilot begins a job.

        Raises
        ------
        NotAllowedError
            If one has begun it.
        HostError
            If the worker could not be asked.
        """
        self.ask([record])
        error = self._known[_attempt(record)]
        if error is not None:
            raise error

    async def _ask_all(self, by_worker: Mapping[str, Sequence[JobRecord]]) -> None:
        try:
            await asyncio.gather(*(self._ask(worker, records) for worker, records in by_worker.items()))
        finally:
            await self._services.close_hosts()

    async def _ask(self, worker: str, records: Sequence[JobRecord]) -> None:
        jobs = [HostJob(record.run_dir or "", _attempt(record)) for record in records]
        try:
            timeout = self._services.worker(worker).timeout_execute
            answer = await self._services.host(worker).run(render_take_back(jobs), timeout_seconds=timeout)
        except JobflowRemoteError as error:
            self._known |= {_attempt(record): error for record in records}
            return
        back = parse_take_back(answer)
        for record in records:
            self._known[_attempt(record)] = None if _attempt(record) in back else _begun(record)


def _attempt(record: JobRecord) -> str:
    return record.attempt or "0"


def _begun(record: JobRecord) -> NotAllowedError:
    return NotAllowedError(
        f"cannot pause {hold.named(record)}: a pilot has begun it",
        hint=f"`jf job stop {record.db_id}` ends it",
    )
