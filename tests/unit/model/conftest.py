from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from jobflow_remote.model.records import JobRecord, new_job_document
from jobflow_remote.model.states import JobState

NOW = datetime(2026, 1, 2, 3, 4, 5)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def make_job() -> Callable[..., dict[str, Any]]:
    """A serialised jobflow Job with what the model looks at."""

    def make(uuid: str = "a", *, index: int = 1, name: str = "add", **config: Any) -> dict[str, Any]:
        return {
            "uuid": uuid,
            "index": index,
            "name": name,
            "hosts": ["flow"],
            "function_args": [1],
            "function_kwargs": {},
            "config": config,
            "metadata": {},
        }

    return make


@pytest.fixture
def make_record(make_job: Callable[..., dict[str, Any]]) -> Callable[..., JobRecord]:
    """A record in any state; ``db_id`` counts up, and keywords are fields of the document (``remote`` is merged)."""
    numbers = iter(range(1, 1000))

    def make(uuid: str = "a", state: JobState = JobState.READY, **fields: Any) -> JobRecord:
        number = next(numbers)
        config = fields.pop("config", {})
        document = new_job_document(
            make_job(uuid, index=fields.pop("index", 1), **config),
            flow_uuid=fields.pop("flow_uuid", "flow"),
            worker="w",
            parents=fields.pop("parents", ()),
            now=NOW,
            who="test",
            state=state,
        )
        document["remote"].update(fields.pop("remote", {}))
        return JobRecord.from_document(
            {**document, "db_id": f"x{number}", "db_number": number, "attempt": "t1", **fields}
        )

    return make
