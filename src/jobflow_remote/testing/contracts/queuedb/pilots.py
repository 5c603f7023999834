# ruff: noqa: D102 - the name of a test says what it is about
"""The contract: documents of pilots as the runner writes them."""

from __future__ import annotations

import pytest

from jobflow_remote.errors import SessionLostError
from jobflow_remote.model.records import Document
from jobflow_remote.testing.contracts.queuedb.documents import START, Stage


def pilot_document(uid: str, **fields: object) -> Document:
    """A pilot that was just submitted."""
    return {
        "batch_uid": uid, "process_id": None, "batch_state": "SUBMITTED", "worker": "pilots", "jobs": [],
        "created_on": START, "updated_on": START, "start_time": None, "end_time": None, "last_ping_time": None,
        **fields,
    }  # fmt: skip


class PilotDocumentsContract:
    """Only the present runner writes them, whole."""

    def test_pilots_are_written_and_written_over(self, stage: Stage) -> None:
        stage.open()
        stage.database.put_batches(stage.token, [])
        stage.database.put_batches(stage.token, [pilot_document("a"), pilot_document("b")])
        later = pilot_document("a", batch_state="RUNNING", process_id="12", told={"done": 3})
        stage.database.put_batches(stage.token, [later])
        assert stage.database.find_batches({"worker": "pilots"}, sort=[("batch_uid", 1)]) == [
            later,
            pilot_document("b"),
        ]
        assert stage.database.find_batches({"batch_state": {"$ne": "SUBMITTED"}}) == [later]

    def test_a_former_runner_writes_none(self, stage: Stage) -> None:
        stage.open()
        former = stage.token
        stage.open(override=True)
        with pytest.raises(SessionLostError):
            stage.database.put_batches(former, [pilot_document("a")])
        assert stage.database.find_batches({}) == []
