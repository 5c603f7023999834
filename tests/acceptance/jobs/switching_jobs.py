"""Flows for databases that another release began: submitted and run by either, with names that both have.

Jobs with a gate wait until the file of that name exists in ``SWITCHING_GATES`` (the folder of the gates), so that a
test says when they end. Without the variable they do not wait.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from jobflow import Flow, JobConfig, OnMissing, Response, job

GATES = "SWITCHING_GATES"
_PATIENCE_SECONDS = 300


def _pass(gate: str | None) -> None:
    folder = os.environ.get(GATES)
    end = time.monotonic() + _PATIENCE_SECONDS
    while gate and folder and not (Path(folder) / gate).exists():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody opened the gate {gate}")
        time.sleep(0.05)


@job
def give(value: Any, gate: str | None = None) -> Any:
    """The value itself, once the gate is open."""
    _pass(gate)
    return value


@job
def add_up(*values: Any) -> Any:
    """The sum."""
    return sum(values)


@job(data="data")
def give_large(value: int, gate: str | None = None) -> Any:
    """Something small, and something that goes to an additional store."""
    _pass(gate)
    return {"small": value, "large": {"data": list(range(value))}}


@job
def count_large(large: Any) -> Any:
    """How many numbers :func:`give_large` made."""
    return len(large["data"])


@job
def fail() -> Any:
    """Raise an error."""
    raise RuntimeError("this job fails")


@job(config=JobConfig(on_missing_references=OnMissing.NONE))
def tolerate(value: Any) -> Any:
    """Whether the value is missing."""
    return value is None


@job
def replace_by_sum(numbers: list[int], gate: str | None = None) -> Any:
    """A flow in place of this job, whose output is the sum of the numbers."""
    _pass(gate)
    parts = [give(number) for number in numbers]
    total = add_up(*[part.output for part in parts])
    return Response(replace=Flow([*parts, total], output=total.output, name="in place"))


@job
def detour_by(value: Any, gate: str | None = None) -> Any:
    """The value, after a detour by two jobs one of which needs the other."""
    _pass(gate)
    first = give(value)
    return Response(output=value, detour=Flow([first, add_up(first.output, 1)], name="detour"))


@job
def add_more(value: Any, gate: str | None = None) -> Any:
    """The value, and another flow (with one inside) whose jobs stand in a row."""
    _pass(gate)
    inner = Flow([give("inner")], name="inner")
    return Response(
        output=value,
        addition=Flow([inner, give("a"), give("b")], order="linear", name="added"),
        stored_data={"noted": value},
    )


@job
def stop_children(value: Any) -> Any:
    """The value; jobs that wait for it are stopped."""
    return Response(output=value, stop_children=True)


def chain(length: int, gate: str | None = None) -> Flow:
    """Jobs that each need the one before."""
    jobs = [give(1, gate)]
    for _ in range(length - 1):
        jobs.append(add_up(jobs[-1].output, 1))
    return Flow(jobs, output=jobs[-1].output, name="chain")


def fan(width: int, gate: str | None = None) -> Flow:
    """Jobs side by side and one that needs all of them; the first has the gate."""
    many = [give(number, gate if number == 0 else None) for number in range(width)]
    return Flow([*many, add_up(*[one.output for one in many])], name="fan")


def nested(gate: str | None = None) -> Flow:
    """Flows in flows."""
    innermost = Flow([give(1, gate)], name="innermost")
    middle = Flow([innermost, add_up(innermost.jobs[0].output, 2)], name="middle")
    return Flow([middle, add_up(middle.jobs[1].output, innermost.jobs[0].output)], name="outermost")


def large(gate: str | None = None) -> Flow:
    """Output in an additional store, and who reads it."""
    source = give_large(100, gate)
    return Flow([source, count_large(source.output["large"]), give(source.output["small"])], name="large")


def _followed(source: Any, name: str) -> Flow:
    return Flow([source, add_up(source.output, 100)], name=name)


def replacing(gate: str | None = None) -> Flow:
    """A job that is replaced, and one that waits for it."""
    return _followed(replace_by_sum([1, 2, 3], gate), "replacing")


def detouring(gate: str | None = None) -> Flow:
    """A job that makes a detour, and one that waits for it."""
    return _followed(detour_by(5, gate), "detouring")


def adding(gate: str | None = None) -> Flow:
    """A job that brings others about, and one that waits for it."""
    return _followed(add_more(7, gate), "adding")


def single(gate: str | None = None) -> Flow:
    """One job."""
    return Flow([give("alone", gate)], name="single")


SHAPES = {
    "single": single,
    "chain": lambda gate=None: chain(4, gate),
    "fan": lambda gate=None: fan(6, gate),
    "nested": nested,
    "large": large,
    "replacing": replacing,
    "detouring": detouring,
    "adding": adding,
}
"""Name → function that builds the flow, all of which complete; the gate is that of the first job."""


def failing() -> Flow:
    """A job that fails, one that waits for it in vain, and one that can do without it."""
    bad = fail()
    return Flow([bad, add_up(bad.output, 1), tolerate(bad.output)], name="failing")


def stopping() -> Flow:
    """A job that stops its children."""
    source = stop_children(1)
    child = add_up(source.output, 1)
    return Flow([source, child, add_up(child.output, 1)], name="stopping")


TROUBLED = {"failing": failing, "stopping": stopping}
