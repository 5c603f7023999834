"""The contract: documents of the scheduler jobs of batch workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from jobflow_remote.errors import FilterError
from jobflow_remote.model.records import Document
from jobflow_remote.model.selection import BatchSelection
from jobflow_remote.model.states import BatchState
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.testing.contracts.queuedb.documents import START


def toy_batch(uid: str, *, minutes: int = 0, **fields: Any) -> Document:
    """A batch as it is stored; ``minutes``: when it was changed last."""
    return {
        "batch_uid": uid, "process_id": None, "batch_state": "RUNNING", "worker": "pilots", "jobs": [],
        "created_on": START, "updated_on": START + timedelta(minutes=minutes), "start_time": None,
        "end_time": None, "last_ping_time": None, **fields,
    }  # fmt: skip


class BatchContract:
    """Finding and deleting batches."""

    @pytest.fixture
    def batches(self, database: QueueDatabase) -> QueueDatabase:
        """Three batches."""
        database.load(
            "batches",
            [
                toy_batch("aa", process_id="11", jobs=[["1", "u1", 1], ["2", "u2", 1]]),
                toy_batch("bb", process_id="12", minutes=2, jobs=[["3", "u1", 2]], batch_state="FINISHED"),
                toy_batch("cc", minutes=1, worker="other", batch_state="SUBMITTED"),
            ],
        )
        return database

    def test_batches_come_with_the_latest_change_first(self, batches: QueueDatabase) -> None:
        """The latest change comes first, unless another order is asked for."""
        assert [each["batch_uid"] for each in batches.find_batches({})] == ["bb", "cc", "aa"]
        assert [each["batch_uid"] for each in batches.find_batches({}, limit=2)] == ["bb", "cc"]
        ordered = batches.find_batches({}, sort=(("worker", 1), ("updated_on", 1)))
        assert [each["batch_uid"] for each in ordered] == ["cc", "aa", "bb"]
        assert batches.find_batches({"batch_uid": "cc"}) == [
            toy_batch("cc", minutes=1, worker="other", batch_state="SUBMITTED")
        ]

    def test_batches_are_found_by_what_they_are_and_by_their_jobs(self, batches: QueueDatabase) -> None:
        """All criteria on batches work, each alone and together."""

        def find(**criteria: Any) -> list[str]:
            found = batches.find_batches(BatchSelection(**criteria).to_filter())
            return sorted(each["batch_uid"] for each in found)

        assert find() == ["aa", "bb", "cc"]
        assert find(workers=["pilots"]) == ["aa", "bb"]
        assert find(states=[BatchState.FINISHED, BatchState.SUBMITTED]) == ["bb", "cc"]
        assert find(process_ids=["11"]) == ["aa"]
        assert find(batch_uids=["aa", "cc"]) == ["aa", "cc"]
        assert find(db_ids=["2", "3"]) == ["aa", "bb"]
        assert find(job_ids=[("u1", 1)]) == ["aa"]
        assert find(job_ids=[("u1", 1)], db_ids=["3"]) == []
        with pytest.raises(FilterError):
            batches.find_batches({"worker": {"$no": 1}})

    def test_batches_can_be_forgotten(self, batches: QueueDatabase) -> None:
        """Batches are deleted by their uid; what is not there does not count."""
        assert batches.delete_batches(["aa", "bb", "nothing"]) == 2
        assert batches.delete_batches([]) == 0
        assert [each["batch_uid"] for each in batches.find_batches({})] == ["cc"]
