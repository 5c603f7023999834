"""Flows with a known right answer: what ``jobflow.run_locally`` makes of them.

:data:`SCENARIOS` maps a name to a function that builds the flow. A flow is used up by running it, so build it, run a
copy of it elsewhere, and compare::

    flow = SCENARIOS["diamond"]()
    reference = run_reference(flow)
    ...  # run the same flow (same uuids) by other means into `jobstore`
    differences = compare_stores(reference, jobstore, flow)
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from jobflow import Flow, JobOrder, JobStore, OnMissing, run_locally
from maggma.stores import MemoryStore

from jobflow_remote.testing import scenario_jobs as jobs
from jobflow_remote.testing.jobs import EnumMaker, TestEnum, add, no_resolve, onmissing_none, self_replace

SCENARIOS: dict[str, Callable[[], Flow]] = {}
"""Name → function that builds the flow."""

STORE_NAMES = ("data",)
"""Additional stores that the scenarios use."""


def _scenario(build: Callable[[], Flow]) -> Callable[[], Flow]:
    SCENARIOS[build.__name__] = build
    return build


# -- connectivity ----------------------------------------------------------------------------------------------


@_scenario
def linear() -> Flow:
    """Four additions in a row."""
    chain = [add(1, 2)]
    for _ in range(3):
        chain.append(add(chain[-1].output, 1))
    return Flow(chain, output=chain[-1].output, name="linear")


@_scenario
def diamond() -> Flow:
    """Two jobs between one and another."""
    top = add(1, 1)
    left, right = add(top.output, 10), add(top.output, 20)
    return Flow([top, left, right, add(left.output, right.output)], name="diamond")


@_scenario
def fan() -> Flow:
    """Many jobs, and one that waits for all of them."""
    many = [add(i, 1) for i in range(12)]
    return Flow([*many, jobs.total([one.output for one in many])], name="fan")


@_scenario
def nested() -> Flow:
    """Flows within flows, with references across their borders."""
    innermost = Flow([a := add(1, 2)], output=a.output, name="innermost")
    middle = Flow([innermost, b := add(innermost.output, 3)], output=b.output, name="middle")
    return Flow([middle, add(middle.output, a.output)], name="outermost")


@_scenario
def decorated() -> Flow:
    """A flow made by a decorated function, and a job after it."""
    made = jobs.decorated_nested(3)
    return Flow([made, jobs.value(made.output)], name="decorated")


@_scenario
def in_given_order() -> Flow:
    """Jobs without references that run one after another all the same."""
    return Flow([jobs.value(i) for i in "abc"], order=JobOrder.LINEAR, name="in given order")


@_scenario
def indexed() -> Flow:
    """References to items of lists and dictionaries, from either end."""
    source = jobs.value({"list": [[1, 2], [3, {"x": "deep"}]], "dict": {"k": {"l": 5}}})
    out = source.output
    return Flow(
        [
            source,
            jobs.describe(out["list"][1][1]["x"], out["list"][-1][0], out.dict.k.l, out["dict"]["k"]),
            jobs.describe({"deep": [{"here": out["list"][0]}, (out["dict"].k, "text")]}, whole=out),
        ],
        name="indexed",
    )


# -- values ----------------------------------------------------------------------------------------------------


@_scenario
def assorted_types() -> Flow:
    """Dates, bytes, enums, None and falsy values, handed on as a whole and one by one."""
    source = jobs.assorted()
    names = ("datetime", "bytes", "enum", "none", "falsy", "tuple", "large", "small", "unicode", "dollar")
    parts = jobs.describe(**{name: source.output[name] for name in names})
    deep = jobs.describe(source.output["nested"][0]["a"][1]["b"], source.output["falsy"][5])
    objects = jobs.describe(
        source.output["interval"].width, source.output.interval[1], source.output["interval"].low
    )
    again = jobs.value(source.output)
    return Flow(
        [source, parts, deep, objects, again, jobs.describe(again.output["datetime"])], name="assorted"
    )


@_scenario
def numpy_arrays() -> Flow:
    """Arrays become lists."""
    source = jobs.arrays()
    return Flow([source, jobs.describe(source.output["matrix"][1], source.output["number"], source.output)])


@_scenario
def models() -> Flow:
    """Outputs with a schema: fields, fields of fields, and what only the class can compute."""
    source = jobs.model([1.0, 2.0, 6.0], note="n")
    made = jobs.model_from_dict([4.0])
    out = source.output
    return Flow(
        [
            source,
            made,
            jobs.describe(out.inner.values[2], out.count, out.note, out.inner.label),
            jobs.describe(out.mean, out.inner.total, made.output.mean),
            jobs.value({"inner": out.inner, "sums": [made.output.inner.total]}),
        ],
        name="models",
    )


@_scenario
def model_replaced() -> Flow:
    """A schema that outlives the replacement of its job."""
    source = jobs.model_replaced([1.0, 3.0])
    return Flow(
        [source, jobs.describe(source.output.mean, source.output.inner.values)], name="model replaced"
    )


@_scenario
def makers() -> Flow:
    """Jobs of Makers, of their subclasses, and of Makers within Makers."""
    first = jobs.ScaleMaker(factor=3).make(2)
    chain = jobs.ChainMaker(factor=10, then=jobs.ChainMaker(name="last", factor=0.5))
    enum = EnumMaker(enum=TestEnum.B).make(TestEnum.A)
    second = chain.make(first.output)
    return Flow([first, second, enum, jobs.describe(second.output, enum.output["maker"])], name="makers")


@_scenario
def big_outputs() -> Flow:
    """Parts of outputs in an additional store, used by other jobs."""
    source, objects, everything = jobs.big(2000), jobs.big_objects(50), jobs.all_big(30)
    return Flow(
        [
            source,
            objects,
            everything,
            jobs.total(source.output["array"]),
            jobs.describe(source.output["array"][-1], source.output["n"], objects.output["interval"].width),
            jobs.describe(everything.output["squares"][3], objects.output["rest"]),
            jobs.value(everything.output),
        ],
        name="big outputs",
    )


# -- new jobs at run time --------------------------------------------------------------------------------------


def _followed(source: Any, name: str) -> Flow:
    return Flow([source, jobs.describe(source.output)], name=name)


@_scenario
def replaced_by_job() -> Flow:
    """One job in place of another."""
    return _followed(jobs.replace_by_job(1), "replaced by job")


@_scenario
def replaced_by_flow() -> Flow:
    """A flow in place of a job."""
    return _followed(jobs.replace_by_flow(1), "replaced by flow")


@_scenario
def replaced_by_flow_without_output() -> Flow:
    """A flow without output in place of a job."""
    return _followed(jobs.replace_by_flow_without_output(1), "replaced by flow without output")


@_scenario
def replaced_by_list() -> Flow:
    """A list of jobs, one of whose outputs is used."""
    source = jobs.replace_by_list(3)
    return Flow([source, jobs.total(source.output), jobs.describe(source.output[1])], name="replaced by list")


@_scenario
def replaced_by_dict() -> Flow:
    """A dictionary of jobs, one of whose outputs is used."""
    source = jobs.replace_by_dict(2)
    return Flow([source, jobs.describe(source.output["sum 1"], source.output)], name="replaced by dict")


@_scenario
def replaced_by_decorated() -> Flow:
    """A flow made by a decorated function in place of a job."""
    return _followed(jobs.replace_by_decorated(2), "replaced by decorated")


@_scenario
def replaced_again_and_again() -> Flow:
    """Four replacements in a row."""
    return _followed(self_replace(4), "replaced again and again")


@_scenario
def replaced_within_replacement() -> Flow:
    """A replacement within a replacement."""
    return _followed(jobs.replace_twice(1), "replaced within replacement")


@_scenario
def detour() -> Flow:
    """Jobs between a job and those that wait for it."""
    return _followed(jobs.with_detour(1), "detour")


@_scenario
def addition() -> Flow:
    """A job beside those that were planned."""
    return _followed(jobs.with_addition(1), "addition")


@_scenario
def replace_and_detour() -> Flow:
    """A replacement and a detour at once."""
    return _followed(jobs.with_replace_and_detour(1), "replace and detour")


@_scenario
def everything_at_once() -> Flow:
    """All that a response can ask for."""
    return _followed(jobs.with_everything(1), "everything at once")


@_scenario
def inherited_settings() -> Flow:
    """Metadata, names and configuration that jobs made at run time get from the job that made them."""
    source = jobs.replace_by_flow(1)
    with_failure = jobs.generate_failing(2)
    with_failure.update_config(
        {"on_missing_references": OnMissing.NONE}, dynamic=True, name_filter="describe"
    )
    made = Flow([source, with_failure, jobs.describe(source.output)], name="inherited settings")
    made.update_metadata({"tag": "inherited", "number": 7}, dynamic=True)
    made.update_metadata({"only": "adders"}, name_filter="add", dynamic=True)
    made.append_name(" of the scenario", dynamic=True)
    return made


# -- stopping, failing -----------------------------------------------------------------------------------------


@_scenario
def stopped_children() -> Flow:
    """Children and their children do not run, others do."""
    first = jobs.stop_children(1)
    child = add(first.output, 1)
    return Flow([first, child, add(child.output, 1), add(5, 5)], name="stopped children")


@_scenario
def stopped_flow() -> Flow:
    """Nothing runs after a job that stops the flow."""
    return Flow(
        [add(1, 1), jobs.stop_everything(2), add(3, 3), add(4, 4)], order=JobOrder.LINEAR, name="stopped"
    )


@_scenario
def stored_data() -> Flow:
    """Data that goes to the queue database."""
    return _followed(jobs.store_data("x"), "stored data")


@_scenario
def failing_parent() -> Flow:
    """Jobs that cannot, and jobs that can do without the output of a failed one."""
    failed, fine = jobs.fail(), add(1, 1)
    strict = jobs.describe(failed.output)
    return Flow(
        [
            failed,
            fine,
            strict,
            jobs.describe(strict.output),
            jobs.describe_or_none(
                failed.output, fine.output, inner=[failed.output["x"], {"k": failed.output.y}]
            ),
            jobs.describe_or_pass(failed.output, fine.output, failed.output["x"][0].z),
            onmissing_none([failed.output, fine.output]),
        ],
        name="failing parent",
    )


@_scenario
def unresolved() -> Flow:
    """References that the function is given as they are."""
    source = add(1, 2)
    return Flow(
        [
            source,
            jobs.describe_unresolved(source.output, source.output["x"].y[0]),
            no_resolve(source.output),
        ],
        name="unresolved",
    )


@_scenario
def resolved_and_reference() -> Flow:
    """References beside what they lead to."""
    source, failed = jobs.model([1.0, 2.0]), jobs.fail()
    plain = jobs.value({"a": [1, 2]})
    return Flow(
        [
            source,
            failed,
            plain,
            jobs.describe_both(plain.output["a"][1], {"k": [source.output.inner.total]}, whole=plain.output),
            jobs.describe_both_or_pass(failed.output, plain.output.a),
        ],
        name="resolved and reference",
    )


@_scenario
def reference_in_output() -> Flow:
    """An output that contains a reference to another one: who reads it finds the value."""
    source = jobs.model([2.0, 4.0])
    holder = no_resolve(
        {"mean": source.output.mean, "inner": source.output.inner, "list": [source.output.count]}
    )
    out = holder.output
    return Flow(
        [source, holder, jobs.describe(out["mean"], out["inner"].values[0], out["list"], out.inner.total)],
        name="reference in output",
    )


# -- running and comparing -------------------------------------------------------------------------------------


def make_memory_store() -> JobStore:
    """An output store in memory with the additional stores that the scenarios use."""
    made = JobStore(MemoryStore(), additional_stores={name: MemoryStore() for name in STORE_NAMES})
    made.connect()
    return made


def run_reference(flow: Flow) -> JobStore:
    """Run a copy of the flow with ``jobflow.run_locally``; the flow itself can still be submitted."""
    store = make_memory_store()
    run_locally(copy.deepcopy(flow), store=store, log=False)
    return store


def compare_stores(reference: JobStore, jobstore: JobStore, flow: Flow) -> list[str]:
    """Differences between two runs of one flow, a line for each; none if both stores say the same.

    Compared are the jobs that have an output (uuid and index), outputs with their types, as stored and with what is in
    additional stores, metadata but for ``db_id``, hosts and names. Jobs made at run time get new uuids in each run:
    they count as the same if all else is.
    """
    known = set(_uuids_of(flow))
    wanted, found = (
        Counter(_described_documents(store, flow.uuid, known)) for store in (reference, jobstore)
    )
    lines = [f"missing ({number} times): {text}" for text, number in sorted((wanted - found).items())]
    return lines + [
        f"not expected ({number} times): {text}" for text, number in sorted((found - wanted).items())
    ]


def _uuids_of(flow: Any) -> Iterator[str]:
    yield flow.uuid
    yield from flow.hosts
    for member in getattr(flow, "jobs", ()):
        yield from _uuids_of(member)


def _described_documents(store: JobStore, flow_uuid: str, known: set[str]) -> Iterator[str]:
    mine = {"hosts": flow_uuid}
    loaded = {(found["uuid"], found["index"]): found["output"] for found in store.query(mine, load=True)}
    for document in store.query(mine, load=False):
        metadata = {key: value for key, value in document["metadata"].items() if key != "db_id"}
        described = {
            "name": document["name"],
            "uuid": document["uuid"],
            "index": document["index"],
            "hosts": document["hosts"],
            "metadata": metadata,
            "output": document["output"],
            "loaded": loaded[document["uuid"], document["index"]],
        }
        yield repr(_comparable(described, known))


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _comparable(value: Any, known: set[str]) -> Any:
    """``value`` with the names of its types, and with new uuids made equal."""
    if isinstance(value, dict):
        if "blob_uuid" in value:
            value = {**value, "blob_uuid": "blob"}
        return {key: _comparable(inner, known) for key, inner in sorted(value.items()) if key != "@version"}
    if isinstance(value, list | tuple):
        return [_comparable(inner, known) for inner in value]
    if isinstance(value, str):
        return _UUID.sub(lambda match: match[0] if match[0] in known else "new", value)
    if isinstance(value, datetime):
        return ("datetime", value.replace(microsecond=value.microsecond // 1000 * 1000).isoformat())
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    return value
