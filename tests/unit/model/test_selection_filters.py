from __future__ import annotations

import re
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobflow_remote.errors import FilterError
from jobflow_remote.model.selection import FlowSelection, JobSelection
from jobflow_remote.model.states import FlowState, JobState

START, END = datetime(2026, 1, 1), datetime(2026, 2, 1)


@pytest.mark.parametrize(
    "selection, expected",
    [
        (JobSelection(), {}),
        (JobSelection(uuids=["a"]), {"uuid": "a"}),
        (JobSelection(uuids=["a", "b"]), {"uuid": {"$in": ["a", "b"]}}),
        (JobSelection(uuids=[]), {"uuid": {"$in": []}}),
        (JobSelection(db_ids=["1"]), {"db_id": "1"}),
        (JobSelection(flow_ids=["f", "g"]), {"flow_uuid": {"$in": ["f", "g"]}}),
        (JobSelection(states=[JobState.RUN_FINISHED]), {"state": "TERMINATED"}),
        (JobSelection(states=[]), {}),
        (JobSelection(states=[JobState.READY, JobState.WAITING]), {"state": {"$in": ["READY", "WAITING"]}}),
        (JobSelection(start=START), {"updated_on": {"$gte": START}}),
        (JobSelection(start=START, end=END), {"updated_on": {"$gte": START, "$lte": END}}),
        (JobSelection(name="add"), {"job.name": "add"}),
        (JobSelection(name=""), {}),
        (JobSelection(metadata={"a.b": 1}), {"job.metadata.a.b": 1}),
        (JobSelection(workers=["w"]), {"worker": "w"}),
        (JobSelection(locked=True), {"lock_id": {"$ne": None}}),
        (JobSelection(job_ids=[("a", 2)]), {"$or": [{"uuid": "a", "index": 2}]}),
        (JobSelection(job_ids=[]), {"$or": [{"uuid": None}]}),
        (JobSelection(uuids=["a"], query={"priority": 3}), {"uuid": "a", "priority": 3}),
    ],
)
def test_jobs(selection: JobSelection, expected: dict[str, Any]) -> None:
    assert selection.to_filter() == expected


@pytest.mark.parametrize(
    "selection, expected",
    [
        (FlowSelection(), {}),
        (FlowSelection(flow_ids=["f"]), {"uuid": "f"}),
        (FlowSelection(states=[FlowState.FAILED]), {"state": "FAILED"}),
        (FlowSelection(end=END, locked=True), {"updated_on": {"$lte": END}, "lock_id": {"$ne": None}}),
        (FlowSelection(name="f", metadata={"k": "v"}), {"name": "f", "metadata.k": "v"}),
        (FlowSelection(query={"jobstore": "s"}), {"jobstore": "s"}),
    ],
)
def test_flows(selection: FlowSelection, expected: dict[str, Any]) -> None:
    assert selection.to_filter() == expected


def test_a_query_may_not_speak_of_what_an_option_speaks_of() -> None:
    with pytest.raises(FilterError, match="both constrain state, uuid") as caught:
        JobSelection(uuids=["a"], states=[JobState.READY], query={"state": "READY", "uuid": "b"}).to_filter()
    assert caught.value.hint
    assert caught.value.exit_code == 2
    with pytest.raises(FilterError, match="both constrain name"):
        FlowSelection(name="f", query={"name": "g"}).to_filter()


@given(
    pattern=st.text(alphabet="ab*?[]!-.^$\n+(", max_size=6).filter(
        lambda text: any(c in text for c in "*?[")
    ),
    name=st.text(alphabet="ab.^$-!]\n+(", max_size=6),
)
def test_shell_patterns_mean_as_a_regular_expression_what_they_mean_in_a_shell(
    pattern: str, name: str
) -> None:
    condition = JobSelection(name=pattern).to_filter()["job.name"]
    assert condition["$options"] == "s"
    # $ also matches before a last newline, in Python as in PCRE: names of jobs do not end with one
    if not name.endswith("\n"):
        found = re.search(condition["$regex"], name, re.DOTALL) is not None
        assert found == fnmatchcase(name, pattern)
