"""How many pilots, what jobs need, which attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobflow_remote.model.decide.pilots import (
    PilotLoad,
    another_try,
    attempt_of_try,
    cores_of_allocation,
    count_missing,
    read_needs,
    read_seconds,
)
from jobflow_remote.model.records import JobRecord

MakeRecord = Callable[..., JobRecord]


@pytest.mark.parametrize(
    ("waiting", "pilots", "most", "missing"),
    [
        (0, [], 5, 0),
        (1, [], 5, 1),
        (4, [], 5, 1),
        (5, [], 5, 2),
        (1000, [], 5, 5),
        (1000, [], 0, 0),
        (4, [PilotLoad(False, 4)], 5, 0),
        (5, [PilotLoad(False, 4)], 5, 1),
        (8, [PilotLoad(True, 4), PilotLoad(False, 4)], 5, 0),
        (8, [PilotLoad(True, 4, running=4), PilotLoad(False, 4)], 5, 1),
        (8, [PilotLoad(True, 4, ending=True)], 5, 2),
        (99, [PilotLoad(True, 4)] * 5, 5, 0),
        (99, [PilotLoad(True, 4)] * 6, 5, 0),
    ],
)
def test_as_many_pilots_as_the_work_deserves(
    waiting: int, pilots: list[PilotLoad], most: int, missing: int
) -> None:
    assert count_missing(waiting, pilots, capacity=4, most=most) == missing


@pytest.mark.parametrize(
    ("resources", "cores"),
    [
        (None, None),
        ({"nodes": 2}, None),
        ({"nodes": 2, "ntasks_per_node": 16}, 32),
        ({"nodes": 2, "processes_per_node": 4, "threads_per_process": 2}, 16),
        ({"ntasks": 8, "cpus_per_task": None}, 8),
        ({"cpus_per_task": 4, "processes": 3}, 12),
    ],
)
def test_cores_of_an_allocation(resources: dict[str, Any] | None, cores: int | None) -> None:
    assert cores_of_allocation(resources) == cores


def test_some_may_wait_in_the_queue_in_any_case() -> None:
    running = [PilotLoad(True, 4)]
    assert count_missing(1, running, capacity=4, most=5, pending=2) == 2
    assert count_missing(1, [*running, PilotLoad(False, 4)], capacity=4, most=5, pending=2) == 1
    assert count_missing(0, running, capacity=4, most=5, pending=2) == 0


@given(
    waiting=st.integers(0, 10_000),
    capacity=st.integers(1, 64),
    most=st.integers(0, 20),
    present=st.lists(st.builds(PilotLoad, begun=st.booleans(), capacity=st.integers(1, 64)), max_size=25),
)
def test_never_one_too_many(waiting: int, capacity: int, most: int, present: list[PilotLoad]) -> None:
    missing = count_missing(waiting, present, capacity=capacity, most=most)
    assert missing >= 0
    assert missing == 0 or len(present) + missing <= most
    free = sum(pilot.capacity for pilot in present)
    assert missing == 0 or free + (missing - 1) * capacity < waiting


@pytest.mark.parametrize(
    ("resources", "needs"),
    [
        (None, {}),
        ({}, {}),
        ({"cores": 4}, {"cores": 4}),
        ({"ntasks": 2, "cpus_per_task": 3}, {"cores": 6}),
        (
            {"@class": "QResources", "processes": 8, "memory_per_thread": None, "scheduler_kwargs": {}},
            {"cores": 8},
        ),
        ({"gpus": 0.5}, {"gpus": 0.5}),
        ({"gpus": "a100:2"}, {"gpus": 2.0}),
        ({"mem": "2G"}, {"memory_mb": 2048}),
        ({"mem": 500}, {"memory_mb": 500}),
        ({"memory": "1.5GiB"}, {"memory_mb": 1536}),
        ({"nodes": 1}, {"nodes": 1}),
        ({"nodes": 2}, {"nodes": 2, "whole_nodes": True}),
        ({"nodes": 1, "exclusive": True}, {"nodes": 1, "whole_nodes": True}),
        ({"time": "00:10:00"}, {"seconds": 600.0}),
    ],
)
def test_needs_are_read_in_the_words_of_any_scheduler(
    resources: dict[str, Any] | None, needs: dict[str, Any]
) -> None:
    assert read_needs(resources) == needs


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(90, 90), ("90", 5400), ("1:30", 90), ("1:00:01", 3601), ("1-2", 93600), ("2-00:00:10", 172810)],
)
def test_durations(text: Any, seconds: float) -> None:
    assert read_seconds(text) == seconds


def test_another_try_is_another_attempt_and_always_the_same(make_record: MakeRecord) -> None:
    record = make_record(attempt="abc", remote={})
    assert attempt_of_try(record) == "abc"
    assert another_try(record) == {"remote.tries": 1}
    second = make_record(attempt="abc", remote={"tries": 1, "interruptions": 2})
    assert attempt_of_try(second) == "abcr1"
    assert attempt_of_try(make_record(attempt="abcr1", remote={"tries": 2})) == "abcr2"
    assert another_try(second, interrupted=True) == {"remote.tries": 2, "remote.interruptions": 3}
