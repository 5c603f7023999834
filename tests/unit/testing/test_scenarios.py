"""The flows of the differential test, and the comparison that its answer rests on."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from jobflow import Flow, JobStore

import jobflow_remote.testing
from jobflow_remote.testing.scenarios import (
    SCENARIOS,
    STORE_NAMES,
    compare_stores,
    make_memory_store,
    run_reference,
)
from jobflow_remote.utils import examples

pytestmark = pytest.mark.filterwarnings("ignore")


def test_names_of_the_former_release() -> None:
    for name in jobflow_remote.testing.__all__:
        assert getattr(jobflow_remote.testing, name).__name__ in (name, "job")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        jobflow_remote.testing.nothing  # noqa: B018


def test_importing_brings_no_pytest() -> None:
    script = (
        "import sys, jobflow_remote.testing as t; print('jobflow' in sys.modules); t.add; t.MyShellIO; "
        "import jobflow_remote.testing.scenarios; print('jobflow' in sys.modules, 'pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_functions_can_be_imported_elsewhere(name: str) -> None:
    flow = SCENARIOS[name]()
    for job, _ in flow.iterflow():
        assert job.function.__module__.startswith("jobflow_remote.testing.")
        assert set(job._kwargs) <= set(STORE_NAMES)


@pytest.mark.parametrize(
    ("make", "output"),
    [
        (lambda: examples.add(1, 2), 3),
        (lambda: examples.add_many(1, 2, 3), 6),
        (lambda: examples.sleep(0), 0),
        (lambda: examples.make_list("x", 3), ["x", "x", "x"]),
        (lambda: examples.add_distributed([1, 2]), [2, 3]),
        (lambda: examples.value({"k": 1}), {"k": 1}),
        (lambda: examples.conditional_sum_replace([4, 4], min_n=10), 10),
    ],
)
def test_examples(make: Callable[[], Any], output: Any) -> None:
    job = make()
    store = run_reference(Flow([job]))
    assert store.get_output(job.uuid) == output


def test_examples_that_vary_or_fail() -> None:
    many, failing = examples.make_list(1), examples.add_raise(1, 2)
    store = run_reference(Flow([many, failing]))
    assert 2 <= len(store.get_output(many.uuid)) <= 4
    assert store.count({"uuid": failing.uuid}) == 0


# -- the comparison --------------------------------------------------------------------------------------------


def changed(store: JobStore, change: Callable[[dict[str, Any]], None], *, blobs: bool = False) -> JobStore:
    """A copy of the store one of whose documents is different."""
    made = make_memory_store()
    pairs = [(store.docs_store, made.docs_store)]
    pairs += [(store.additional_stores[name], made.additional_stores[name]) for name in STORE_NAMES]
    for source, target in pairs:
        documents = [copy.deepcopy(document) for document in source.query()]
        if documents and (source is not store.docs_store) == blobs:
            change(documents[-1])
        for number, document in enumerate(documents):
            document["_id"] = document["number"] = number
        target.update(documents, key="number")
    return made


@pytest.mark.parametrize("name", ["assorted_types", "replaced_by_dict", "big_outputs", "inherited_settings"])
def test_two_runs_are_the_same(name: str) -> None:
    flow = SCENARIOS[name]()
    first, second = run_reference(flow), run_reference(flow)
    assert compare_stores(first, second, flow) == []
    assert compare_stores(first, changed(second, lambda document: None), flow) == []


def set_to(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.__setitem__(key, value)


def swap_type(document: dict[str, Any]) -> None:
    document["output"] = {"args": [["int", 1.0]], "kwargs": {}}


@pytest.mark.parametrize(
    "change",
    [
        set_to("output", 1.0),
        set_to("output", True),
        set_to("output", None),
        set_to("output", "1"),
        set_to("output", datetime(2024, 1, 1)),
        set_to("index", 3),
        set_to("uuid", "00000000-0000-0000-0000-000000000000"),
        lambda document: document["hosts"].append("another"),
        set_to("metadata", {"more": 1}),
        set_to("name", "other"),
        swap_type,
    ],
)
def test_a_difference_is_found(change: Callable[[dict[str, Any]], None]) -> None:
    flow = SCENARIOS["linear"]()
    reference = run_reference(flow)
    lines = compare_stores(reference, changed(reference, change), flow)
    assert [line.partition(" (")[0] for line in lines] == ["missing", "not expected"]


def test_a_db_id_is_no_difference() -> None:
    flow = SCENARIOS["linear"]()
    reference = run_reference(flow)
    assert compare_stores(reference, changed(reference, set_to("metadata", {"db_id": "1"})), flow) == []


def test_a_different_blob_is_found() -> None:
    flow = SCENARIOS["big_outputs"]()
    reference = run_reference(flow)
    assert compare_stores(reference, changed(reference, set_to("data", [0]), blobs=True), flow) != []


def test_jobs_that_did_not_run_are_found() -> None:
    flow = SCENARIOS["fan"]()
    lines = compare_stores(run_reference(flow), make_memory_store(), flow)
    assert sum(line.startswith("missing") for line in lines) == 13
