"""Functions and classes of the scenarios: each does one thing that a workflow manager has to get right."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from jobflow import Flow, JobConfig, Maker, OnMissing, Response, flow, job
from monty.json import MSONable
from pydantic import BaseModel

from jobflow_remote.testing.jobs import add

INSTANT = datetime(2024, 5, 6, 7, 8, 9, 123000)


class Colour(Enum):
    """A plain enum, as an output."""

    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    """A model within a model, with something that only its class can compute."""

    values: list[float]
    label: str = "inner"

    @property
    def total(self) -> float:
        """Sum of the values."""
        return sum(self.values)


class Outer(BaseModel):
    """What :func:`model` returns."""

    inner: Inner
    count: int
    note: str | None = None

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return self.inner.total / self.count


class Interval(MSONable):  # type: ignore[misc]  # monty has no types
    """A serialisable object that is not a model."""

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high

    @property
    def width(self) -> float:
        """Distance between the ends."""
        return self.high - self.low

    def __getitem__(self, end: int) -> float:
        return (self.low, self.high)[end]


@job
def value(x: Any) -> Any:
    """``x`` itself."""
    return x


@job
def total(numbers: list[float]) -> float:
    """The sum of a list."""
    return sum(numbers)


@job
def fail(x: Any = None) -> Any:
    """Raise an error."""
    raise RuntimeError("meant to fail")


@job
def describe(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Types and values of what the function was given."""
    return {
        "args": [_described(arg) for arg in args],
        "kwargs": {k: _described(v) for k, v in kwargs.items()},
    }


def _described(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return [_described(inner) for inner in x]
    if isinstance(x, dict):
        return {key: _described(inner) for key, inner in x.items()}
    kind = type(x).__name__
    if kind == "OutputReference":
        return [kind, x.uuid, x.attributes_formatted]
    if kind == "ResolvedReference":
        return [kind, x.uuid, [list(step) for step in x.attributes], _described(x.value)]
    return [kind, str(x) if isinstance(x, bytes | Enum) else x]


@job(config=JobConfig(on_missing_references=OnMissing.NONE))
def describe_or_none(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """As :func:`describe`, with None for what is missing."""
    return {
        "args": [_described(arg) for arg in args],
        "kwargs": {k: _described(v) for k, v in kwargs.items()},
    }


@job(config=JobConfig(on_missing_references=OnMissing.PASS))
def describe_or_pass(*args: Any) -> Any:
    """As :func:`describe`, with the reference for what is missing."""
    return [_described(arg) for arg in args]


@job(config=JobConfig(resolve_references=False))
def describe_unresolved(*args: Any) -> Any:
    """As :func:`describe`, with all references as they are."""
    return [_described(arg) for arg in args]


@job(config=JobConfig(resolve_references="both"))
def describe_both(*args: Any, **kwargs: Any) -> Any:
    """As :func:`describe`, with each reference beside what it leads to."""
    return {
        "args": [_described(arg) for arg in args],
        "kwargs": {k: _described(v) for k, v in kwargs.items()},
    }


@job(config=JobConfig(resolve_references="both", on_missing_references=OnMissing.PASS))
def describe_both_or_pass(*args: Any) -> Any:
    """As :func:`describe_both`, where outputs may be missing."""
    return [_described(arg) for arg in args]


@job(output_schema=Outer)
def model(values: list[float], note: str | None = None) -> Any:
    """A pydantic model, checked by the job's output_schema."""
    return Outer(inner=Inner(values=values), count=len(values), note=note)


@job(output_schema=Outer)
def model_from_dict(values: list[float]) -> Any:
    """A dictionary that the output_schema makes a model of."""
    return {"inner": {"values": values}, "count": len(values)}


@job(output_schema=Outer)
def model_replaced(values: list[float]) -> Any:
    """A job with a schema that is replaced: whoever follows finds the schema kept."""
    return Response(replace=value({"inner": {"values": values}, "count": len(values)}))


@job
def assorted() -> dict[str, Any]:
    """Types that JSON does not have, and values that are taken for nothing."""
    return {
        "datetime": INSTANT,
        "bytes": b"\x00\xff",
        "enum": Colour.RED,
        "none": None,
        "falsy": [0, 0.0, "", False, [], {}],
        "tuple": (1, (2, 3)),
        "nested": [{"a": [1, {"b": "deep"}]}],
        "large": 2**40,
        "small": 1e-300,
        "unicode": "Ångström → π",
        "interval": Interval(1.0, 4.0),
        "dollar": {"$date": "not a date"},
    }


@job
def arrays() -> dict[str, Any]:
    """numpy arrays, numbers and booleans."""
    import numpy as np

    return {"matrix": np.arange(6.0).reshape(2, 3), "number": np.float64(2.5), "flag": np.bool_(True)}


@job(data="array")
def big(n: int) -> dict[str, Any]:
    """A large array for the additional store ``data``, and its length."""
    return {"array": [float(i) for i in range(n)], "n": n}


@job(data=["array", Interval])
def big_objects(n: int) -> dict[str, Any]:
    """An array and an object for the additional store ``data``, by name and by class."""
    return {"array": list(range(n)), "interval": Interval(0.0, float(n)), "rest": "here"}


@job(data=True)
def all_big(n: int) -> Any:
    """An output of which everything goes to the additional store ``data``."""
    return {"squares": [i * i for i in range(n)]}


@job
def replace_by_job(x: float) -> Any:
    """Replaced by one job."""
    return Response(replace=add(x, 10))


@job
def replace_by_flow(x: float) -> Any:
    """Replaced by a flow of two jobs."""
    first = add(x, 1)
    second = add(first.output, 2)
    return Response(replace=Flow([first, second], output=second.output, name="two steps"))


@job
def replace_by_flow_without_output(x: float) -> Any:
    """Replaced by a flow that has no output: the job's own output stays."""
    return Response(output=x, replace=Flow([add(x, 1)], name="no output"))


@job
def replace_by_list(n: int) -> Any:
    """Returns a list of jobs."""
    return [add(i, i) for i in range(n)]


@job
def replace_by_dict(n: int) -> Any:
    """Returns a dictionary of jobs."""
    return {f"sum {i}": add(i, i) for i in range(n)}


@flow
def decorated(x: float) -> Any:
    """A flow made by calling it."""
    first = add(x, 1)
    return add(first.output, first.output).output


@flow
def decorated_nested(x: float) -> Any:
    """A flow with another one inside."""
    inner = decorated(x)
    return {"inner": inner.output, "more": add(inner.output, 1).output}


@job
def replace_by_decorated(x: float) -> Any:
    """Replaced by a flow made by a decorated function."""
    return Response(replace=decorated(x))


@job
def replace_twice(x: float) -> Any:
    """Replaced by a flow one of whose jobs is replaced in its turn."""
    inner = replace_by_flow(x)
    last = add(inner.output, 100)
    return Response(replace=Flow([inner, last], output=last.output))


@job
def with_detour(x: float) -> Any:
    """A detour of two jobs; whoever waits for this job waits for them."""
    first = add(x, 1)
    return Response(output=x, detour=Flow([first, add(first.output, 1)], name="detour"))


@job
def with_addition(x: float) -> Any:
    """An additional job that nobody waits for."""
    return Response(output=x, addition=add(x, 1000))


@job
def with_replace_and_detour(x: float) -> Any:
    """A replacement and a detour at once."""
    return Response(replace=add(x, 5), detour=add(x, 7))


@job
def with_everything(x: float) -> Any:
    """Replacement, detour, addition and stored data at once."""
    return Response(
        replace=Flow([last := add(x, 1)], output=last.output),
        detour=add(x, 2),
        addition=add(x, 3),
        stored_data={"note": "kept with the job", "when": INSTANT},
    )


@job
def generate_failing(x: float) -> Any:
    """Replaced by a job that fails and one that waits for it."""
    failing = fail(x)
    return Response(replace=Flow([failing, describe(failing.output)], name="failing"))


@job
def stop_children(x: Any) -> Any:
    """An output, and the wish that nobody uses it."""
    return Response(output=x, stop_children=True)


@job
def stop_everything(x: Any) -> Any:
    """An output, and the wish that nothing else runs."""
    return Response(output=x, stop_jobflow=True)


@job
def store_data(x: Any) -> Any:
    """Data for the queue database beside the output."""
    return Response(output=x, stored_data={"energy": -1.5, "path": ["a", "b"]})


@dataclass
class ScaleMaker(Maker):  # type: ignore[misc]  # jobflow has no types
    """A Maker whose job multiplies."""

    name: str = "scale"
    factor: float = 2.0

    @job
    def make(self, x: float) -> float:
        """``x`` times the factor."""
        return x * self.factor


@dataclass
class ChainMaker(ScaleMaker):
    """A Maker that has another one, and hands over to it."""

    name: str = "chain"
    then: Maker | None = None

    @job
    def make(self, x: float) -> Any:
        """``x`` times the factor, and on to the next Maker."""
        if self.then is None:
            return x * self.factor
        return Response(replace=self.then.make(x * self.factor))
