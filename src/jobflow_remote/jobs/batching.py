"""Scheduler jobs of batch workers, by the names of the JobController of jobflow-remote 1.0.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobflow_remote.control import batches as control
from jobflow_remote.errors import CapabilityMissingError, NotFoundError
from jobflow_remote.jobs.data import BatchDoc
from jobflow_remote.jobs.querying import as_list, as_pairs
from jobflow_remote.model.selection import BatchSelection
from jobflow_remote.model.states import BatchState
from jobflow_remote.queuedb.port import QueueDatabase

States = BatchState | list[BatchState]
Texts = str | list[str]


class Batches:
    """Which batches there are."""

    queue: QueueDatabase

    @property
    def batches(self) -> Any:
        """The collection of the batches, where the queue is in MongoDB."""
        if "collections" in self.queue.capabilities:
            return self.queue.batches  # type: ignore[attr-defined]
        raise CapabilityMissingError(
            f"the queue is a {self.queue.describe()}, which has no collection `batches` of MongoDB",
            hint="get_batches(…) works on every queue database",
        )

    def get_batches(
        self,
        process_id: Texts | None = None,
        batch_uid: Texts | None = None,
        worker: Texts | None = None,
        batch_state: States | None = None,
        job_ids: Any = None,
        db_ids: Texts | None = None,
        limit: int = 20,
        sort: Sequence[tuple[str, int]] | None = None,
    ) -> list[BatchDoc]:
        """Batches for which all criteria hold, the latest change first; ``limit`` 0 means all.

        Examples
        --------
        >>> jc.get_batches(worker="local_shell")
        []
        """
        selection = _selection(process_id, batch_uid, worker, batch_state, job_ids, db_ids)
        found = self.queue.find_batches(selection.to_filter(), sort=sort or (), limit=limit)
        return [BatchDoc.model_validate(document) for document in found]

    def count_batches(
        self,
        process_id: Texts | None = None,
        batch_uid: Texts | None = None,
        worker: Texts | None = None,
        batch_state: States | None = None,
        job_ids: Any = None,
        db_ids: Texts | None = None,
    ) -> int:
        """Number of batches for which all criteria hold.

        Examples
        --------
        >>> jc.count_batches(batch_state=BatchState.RUNNING)
        0
        """
        selection = _selection(process_id, batch_uid, worker, batch_state, job_ids, db_ids)
        return len(self.queue.find_batches(selection.to_filter()))

    def delete_batches(
        self,
        process_id: Texts | None = None,
        batch_uid: Texts | None = None,
        worker: Texts | None = None,
        batch_state: States | None = None,
    ) -> int:
        """Forget batches for which all criteria hold; returns how many there were.

        Examples
        --------
        >>> jc.delete_batches(batch_state=BatchState.FINISHED)
        0
        """
        selection = _selection(process_id, batch_uid, worker, batch_state, None, None)
        return control.delete_batches(self.queue, self.queue.find_batches(selection.to_filter()))

    def get_batch_process_id(self, batch_uid: str) -> tuple[str | None, str]:
        """The scheduler's id of a batch, and its worker.

        Raises
        ------
        ValueError
            If there is no such batch.

        Examples
        --------
        >>> jc.get_batch_process_id("0bcfe83a-501d-41ee-b3ca-d738e14fbf05")
        Traceback (most recent call last):
        jobflow_remote.errors.NotFoundError: ...
        """
        found = self.queue.find_batches({"batch_uid": batch_uid})
        if not found:
            raise NotFoundError(f"there is no batch {batch_uid}")
        return found[0]["process_id"], found[0]["worker"]

    def fix_batch_doc_jobs(self) -> int:
        """Make the lists of jobs of batches lists; returns how many were none.

        Examples
        --------
        >>> jc.fix_batch_doc_jobs()
        0
        """
        return control.repair_jobs(self.queue)


def _selection(
    process_id: Any, batch_uid: Any, worker: Any, batch_state: Any, job_ids: Any, db_ids: Any
) -> BatchSelection:
    return BatchSelection(
        process_ids=as_list(process_id),
        batch_uids=as_list(batch_uid),
        workers=as_list(worker),
        states=as_list(batch_state),
        job_ids=as_pairs(job_ids),
        db_ids=as_list(db_ids),
    )
