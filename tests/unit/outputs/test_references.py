"""References resolved on plain documents give what jobflow's own resolution gives, and say clearly what is missing."""

from __future__ import annotations

import copy
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobflow import Job, JobConfig, JobStore, OnMissing, OutputReference
from maggma.stores import MemoryStore
from monty.json import MontyDecoder

from jobflow_remote.errors import ConfigError, MissingReferenceError
from jobflow_remote.execution import plainjson
from jobflow_remote.execution.jobfields import serialise_job
from jobflow_remote.execution.placeholder import MARK, fill_placeholders
from jobflow_remote.outputs.jobstore import OutputStore
from jobflow_remote.outputs.references import has_references, resolve_job
from jobflow_remote.testing.scenario_jobs import Colour, Inner, Interval, Outer

MODEL = Outer(inner=Inner(values=[1.0, 2.0]), count=2)
OBJECTS: list[Any] = [
    MODEL,
    Interval(1.0, 3.0),
    Interval({"deep": [MODEL]}, [Interval(0, 1)]),  # type: ignore[arg-type]
    Colour.RED,
    np.arange(4.0),
    np.float64(1.5),
    datetime(2024, 1, 2, 3, 4, 5, 6000),
    b"bytes",
    {"@class": "no module", "x": 1},
]


def target(*args: Any, **kwargs: Any) -> None:
    """What the jobs of this file would call."""


def make_store() -> JobStore:
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    return store


def put(store: JobStore, job_uuid: str, output: Any, *, index: int = 1, save: Any = None) -> None:
    document = {"uuid": job_uuid, "index": index, "output": output, "metadata": {}, "hosts": [], "name": "x"}
    store.update([document], key=["uuid", "index"], save=save or {})


def expected(job: Job, store: JobStore) -> Any:
    """What jobflow gives the function."""
    resolved = copy.deepcopy(job).resolve_args(store, wrap_resolved=job.config.resolve_references == "both")
    return [list(resolved.function_args), resolved.function_kwargs]


def found(job: Job, store: JobStore) -> Any:
    """What ours gives the function, by way of the input file."""
    plain = serialise_job(job)
    before = plainjson.encode(plain)
    resolved = resolve_job(plain, OutputStore(store))
    assert plainjson.encode(plain) == before
    travelled = plainjson.decode(plainjson.encode(resolved))
    decoded = MontyDecoder().process_decoded(fill_placeholders(travelled))
    return [list(decoded.function_args), decoded.function_kwargs]


def look(value: Any) -> Any:
    """A value with its types, comparable."""
    if isinstance(value, dict):
        return {key: look(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [look(inner) for inner in value]
    if isinstance(value, Interval):
        return ["Interval", look(value.low), look(value.high)]
    if isinstance(value, OutputReference):
        return ["OutputReference", value.uuid, [list(step) for step in value.attributes]]
    if type(value).__name__ == "ResolvedReference":
        return ["ResolvedReference", value.uuid, [list(step) for step in value.attributes], look(value.value)]
    return [type(value).__name__, repr(value)]


# -- the same as jobflow ---------------------------------------------------------------------------------------

keys = st.sampled_from(["a", "b", "low", "high", "values", "x y"])
leaves = st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.booleans() | st.sampled_from(OBJECTS)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
ATTRIBUTES = {
    Interval: ("low", "high"),
    Outer: ("inner", "mean", "count", "note"),
    Inner: ("values", "total", "label"),
}


def path_into(draw: Callable[..., Any], value: Any) -> list[tuple[str, Any]]:
    """A path that can be followed into ``value`` as the function will see it."""
    path: list[tuple[str, Any]] = []
    while draw(st.booleans()):
        if isinstance(value, dict) and value:
            key = draw(st.sampled_from(sorted(value)))
            path.append((draw(st.sampled_from("ai")), key))
            value = value[key]
        elif isinstance(value, list | tuple) and value:
            index = draw(st.integers(-len(value), len(value) - 1))
            path.append(("i", index))
            value = value[index]
        elif isinstance(value, np.ndarray):
            index = draw(st.integers(-len(value), len(value) - 1))
            return [*path, ("i", index)]
        elif isinstance(value, Interval | Outer | Inner):
            name = draw(st.sampled_from(ATTRIBUTES[type(value)]))
            path.append(("a", name))
            value = getattr(value, name)
        elif isinstance(value, str) and value:
            return [*path, ("i", 0)]
        else:
            break
    return path


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Any], list[Any], Any]:
    """Outputs by number, jobs that refer to some of them, and the configuration."""
    outputs = draw(st.lists(values, min_size=1, max_size=3))
    references = []
    for number, value in enumerate(outputs):
        for _ in range(draw(st.integers(1, 3))):
            references.append((number, path_into(draw, value)))
    missing = draw(st.booleans())
    if missing:
        references.append((len(outputs), [("i", "x")] if draw(st.booleans()) else []))
    on_missing = draw(st.sampled_from([OnMissing.NONE, OnMissing.PASS] if missing else list(OnMissing)))
    config = JobConfig(
        resolve_references=draw(st.sampled_from([True, True, "both", False])),
        on_missing_references=on_missing,
    )
    shapes = draw(st.lists(st.integers(0, 3), min_size=len(references), max_size=len(references)))
    return outputs, list(zip(references, shapes, strict=True)), config


def arrange(reference: OutputReference, shape: int) -> Any:
    return [reference, [1, reference], {"k": {"l": [reference]}}, Interval(reference, 1)][shape]


@settings(max_examples=300, deadline=None)
@given(situations())
def test_same_as_jobflow(situation: tuple[list[Any], list[Any], Any]) -> None:
    outputs, references, config = situation
    store = make_store()
    uuids = [str(uuid.UUID(int=number)) for number in range(len(outputs) + 1)]
    for job_uuid, output in zip(uuids, outputs, strict=False):
        put(store, job_uuid, output)
    arguments = [
        arrange(OutputReference(uuids[number], tuple(path)), shape) for (number, path), shape in references
    ]
    job = Job(target, function_args=tuple(arguments), function_kwargs={"last": arguments[-1]}, config=config)
    if config.resolve_references:
        assert look(found(job, store)) == look(expected(job, store))
    else:
        assert not has_references(serialise_job(job))
        assert found(job, store)[0] == arguments or look(found(job, store)[0]) == look(arguments)


@settings(max_examples=150, deadline=None)
@given(st.data(), values, values)
def test_references_within_outputs(data: st.DataObject, inner: Any, outer: Any) -> None:
    """An output that contains references: as a whole, and a path that leads through one of them."""
    store = make_store()
    put(store, "inner", {"here": inner, "else": 1})
    whole, part = OutputReference("inner"), OutputReference("inner", (("i", "here"),))
    put(store, "outer", {"plain": outer, "whole": whole, "part": [part], "object": Interval(part, 0)})
    into = path_into(data.draw, inner)
    paths: list[list[tuple[str, Any]]] = [
        [],
        [("i", "plain")],
        [("a", "whole"), ("i", "here"), *into],
        [("i", "part"), ("i", 0), *into],
        [("i", "object"), ("a", "low"), *into],
    ]
    job = Job(target, function_args=tuple(OutputReference("outer", tuple(path)) for path in paths))
    assert look(found(job, store)) == look(expected(job, store))


@pytest.mark.parametrize("on_missing", [OnMissing.NONE, OnMissing.PASS])
def test_a_missing_reference_within_an_output(on_missing: OnMissing) -> None:
    store = make_store()
    put(store, "outer", {"gone": OutputReference("gone"), "list": [OutputReference("gone").a[0]], "fine": 1})
    config = JobConfig(on_missing_references=on_missing)
    outer = OutputReference("outer")
    job = Job(target, function_args=(outer, outer["gone"], outer["fine"]), config=config)
    assert look(found(job, store)) == look(expected(job, store))


def test_a_path_beyond_a_reference_that_is_passed_on() -> None:
    store = make_store()
    put(store, "outer", {"gone": OutputReference("gone").a})
    config = JobConfig(on_missing_references=OnMissing.PASS)
    job = Job(target, function_args=(OutputReference("outer")["gone"].b[1],), config=config)
    assert look(found(job, store)) == look(expected(job, store))
    assert look(found(job, store))[0] == [["OutputReference", "gone", [["a", "a"], ["a", "b"], ["i", 1]]]]


@pytest.mark.parametrize(
    ("save", "path"),
    [
        ({"data": "array"}, ()),
        ({"data": "array"}, (("i", "array"),)),
        ({"data": "array"}, (("i", "array"), ("i", 1))),
        ({"data": ["array", Interval]}, (("i", "interval"), ("a", "width"))),
        ({"data": Interval}, (("i", "interval"),)),
        ({"data": "low"}, (("i", "interval"), ("a", "low"), ("i", 0))),
        ({"data": "output"}, (("i", "array"),)),
    ],
)
def test_parts_in_an_additional_store(save: Any, path: tuple[Any, ...]) -> None:
    store = make_store()
    output = {"array": [1, 2, 3], "interval": Interval([1], 3) if save["data"] == "low" else Interval(1, 3)}  # type: ignore[arg-type]
    put(store, "big", output, save=save)
    assert store.additional_stores["data"].count() >= 1
    job = Job(target, function_args=(OutputReference("big", path),))
    assert look(found(job, store)) == look(expected(job, store))


def test_the_latest_index_counts() -> None:
    store = make_store()
    for index, output in ((2, "second"), (10, "last"), (1, "first")):
        put(store, "job", output, index=index)
    job = Job(target, function_args=(OutputReference("job"),))
    assert found(job, store) == expected(job, store) == [["last"], {}]


def test_a_job_as_an_argument_gets_its_references_resolved() -> None:
    store = make_store()
    put(store, "job", 5)
    inner = Job(target, function_args=(OutputReference("job"),))
    with pytest.warns(UserWarning, match="contains an Flow or Job as an input"):
        job = Job(target, function_args=(inner,))
    (resolved,) = found(job, store)[0]
    assert resolved.function_args == [5]


# -- what is read ----------------------------------------------------------------------------------------------


class Counting:
    """Outputs in memory; remembers what it was asked for."""

    def __init__(self, outputs: dict[str, Any], blobs: dict[str, Any] | None = None) -> None:
        self.outputs = outputs
        self.blobs = blobs or {}
        self.asked: list[Sequence[str]] = []

    def read_latest(self, uuids: Sequence[str]) -> dict[str, Any]:
        self.asked.append(uuids)
        return {uuid: self.outputs[uuid] for uuid in uuids if uuid in self.outputs}

    def read_blobs(self, store_name: str, blob_uuids: Sequence[str]) -> dict[str, Any]:
        self.asked.append(blob_uuids)
        return {uuid: self.blobs[uuid] for uuid in blob_uuids if uuid in self.blobs}


def blob(name: str) -> dict[str, str]:
    return {"@class": "", "@module": "", "blob_uuid": name, "store": "data"}


def test_one_question_for_all_parents() -> None:
    store = Counting({str(number): {"x": number} for number in range(50)})
    references = [OutputReference(str(number))["x"] for number in range(50)] * 2
    resolved = resolve_job(serialise_job(Job(target, function_args=(references,))), store)
    assert resolved["function_args"] == [list(range(50)) * 2]
    assert len(store.asked) == 1


def test_one_question_for_all_references_in_an_output() -> None:
    store = Counting({str(number): number for number in range(50)})
    store.outputs["list"] = serialise_job(
        Job(target, function_args=tuple(OutputReference(str(number)) for number in range(50)))
    )["function_args"]
    resolved = resolve_job(serialise_job(Job(target, function_args=(OutputReference("list"),))), store)
    assert resolved["function_args"] == [list(range(50))]
    assert len(store.asked) == 2


def test_only_the_blobs_on_the_way_are_read() -> None:
    output = {"small": 1, "big": blob("b1"), "huge": [blob("b2"), blob("b3")]}
    store = Counting({"job": output}, {"b1": {"x": [7]}, "b2": 2, "b3": 3})
    out = OutputReference("job")
    resolved = resolve_job(
        serialise_job(Job(target, function_args=(out["small"], out["big"]["x"][0]))), store
    )
    assert resolved["function_args"] == [1, 7]
    assert store.asked == [["job"], ["b1"]]
    resolved = resolve_job(serialise_job(Job(target, function_args=(out,))), store)
    assert resolved["function_args"] == [{"small": 1, "big": {"x": [7]}, "huge": [2, 3]}]
    assert store.asked[2:] == [["job"], ["b1", "b2", "b3"]]


def test_no_reference_no_question() -> None:
    job = serialise_job(Job(target, function_args=(1, {"uuid": "x"}), function_kwargs={"a": [MODEL]}))
    assert not has_references(job)
    store = Counting({})
    assert resolve_job(job, store) is job
    assert store.asked == []


def test_no_class_of_the_user_is_imported() -> None:
    script = """
import sys
from jobflow_remote.outputs.references import has_references, resolve_job
class Store:
    def read_latest(self, uuids):
        return {"p": {"m": {"@module": "users.science", "@class": "Model", "x": 1}}}
    def read_blobs(self, name, uuids):
        raise AssertionError
ref = {"@class": "OutputReference", "uuid": "p", "attributes": [["i", "m"], ["a", "x"]]}
job = {"name": "n", "uuid": "u", "function_args": [ref], "function_kwargs": {}, "config": {}}
print(resolve_job(job, Store())["function_args"])
print([name for name in ("jobflow", "monty", "maggma", "bson", "users") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    shipped, imported = done.stdout.splitlines()
    assert MARK in shipped
    assert "users.science" in shipped
    assert imported == "[]"


# -- what is missing -------------------------------------------------------------------------------------------


def refuse(*references: OutputReference, outputs: dict[str, Any], **config: Any) -> MissingReferenceError:
    job = serialise_job(Job(target, function_args=references, config=JobConfig(**config), name="child"))
    with pytest.raises(MissingReferenceError) as caught:
        resolve_job(job, Counting(outputs))
    assert "job 'child'" in str(caught.value)
    return caught.value


def test_a_missing_output_is_named() -> None:
    error = refuse(OutputReference("parent"), outputs={})
    assert "needs the output of job parent" in str(error)
    assert error.hint


def test_a_missing_output_within_an_output_is_named() -> None:
    outer = serialise_job(Job(target, function_args=(OutputReference("gone"),)))["function_args"]
    assert "needs the output of job gone" in str(refuse(OutputReference("outer"), outputs={"outer": outer}))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ((("i", "no"),), r"refers to ['no'] of the output of job p, which has no such item (keys: list)"),
        ((("a", "no"),), r"refers to .no of the output of job p, which has no such item (keys: list)"),
        (
            (("i", "list"), ("i", 3)),
            r"refers to ['list'][3] of the output of job p",
        ),
        ((("i", "list"), ("i", -3)), r"(length: 2)"),
    ],
)
@pytest.mark.parametrize("on_missing", list(OnMissing))
def test_a_missing_item_is_named(path: tuple[Any, ...], words: str, on_missing: OnMissing) -> None:
    error = refuse(
        OutputReference("p", path), outputs={"p": {"list": [1, 2]}}, on_missing_references=on_missing
    )
    assert words in str(error)


@pytest.mark.parametrize("on_missing", list(OnMissing))
def test_outputs_that_refer_to_each_other(on_missing: OnMissing) -> None:
    def reference_to(name: str) -> Any:
        return serialise_job(Job(target, function_args=(OutputReference(name),)))["function_args"]

    outputs = {"a": reference_to("b"), "b": reference_to("c"), "c": reference_to("a")}
    error = refuse(OutputReference("a"), outputs=outputs, on_missing_references=on_missing)
    assert "a → b → c → a" in str(error)


def test_a_missing_blob_is_named() -> None:
    assert "blob b1" in str(refuse(OutputReference("p"), outputs={"p": [blob("b1")]}))


def test_an_additional_store_that_is_not_defined() -> None:
    store = make_store()
    put(store, "big", {"x": {**blob("b1"), "store": "elsewhere"}})
    job = serialise_job(Job(target, function_args=(OutputReference("big"),)))
    with pytest.raises(ConfigError, match=r"no additional store elsewhere \(defined: data\)"):
        resolve_job(job, OutputStore(store))
