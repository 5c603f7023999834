"""The toy jobs of jobflow-remote 1.0.1."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import random
from typing import Any

from jobflow import Flow, Job, JobConfig, Maker, OnMissing, Response, job


@job
def add(a: float, b: float) -> float:
    """The sum of two numbers."""
    return a + b


@job
def always_fails() -> None:
    """Raise an error."""
    raise RuntimeError("This job failed.")


@job
def write_file(n: Any) -> None:
    """Write ``n`` to ``results.txt`` in the run folder."""
    Path("results.txt").write_text(str(n))


@job
def arithmetic(a: Any, b: Any, op: Callable[[Any, Any], Any] | None = None) -> Any:
    """``op(a, b)``; their sum without ``op``."""
    return a + b if op is None else op(a, b)


@job
def check_env_var() -> str:
    """Value of ``TESTING_ENV_VAR``."""
    return os.environ.get("TESTING_ENV_VAR", "unset")


@job(big_data="data")
def add_big(a: float, b: float) -> Any:
    """The sum, and a list of 5000 numbers that goes to the additional store ``big_data``."""
    return Response({"data": [random() for _ in range(5000)], "result": a + b})


@job(undefined_store="data")
def add_big_undefined_store(a: float, b: float) -> Any:
    """As :func:`add_big`, for an additional store that nobody has."""
    return Response({"data": [random() for _ in range(5000)], "result": a + b})


@job
def add_sleep(a: float, b: float) -> float:
    """The sum, after ``b`` seconds."""
    time.sleep(b)
    return a + b


@job
def create_detour(detour_job: Job) -> Any:
    """A detour by the given job."""
    return Response(detour=Flow(detour_job))


@job
def self_replace(n: int) -> Any:
    """The job replaces itself ``n`` times."""
    return Response(replace=self_replace(n - 1)) if n > 0 else n


@job
def ignore_input(a: Any) -> int:
    """1, whatever is given."""
    return 1


@job
def current_jobdoc() -> Any:
    """The document of the job itself."""
    from jobflow_remote.execution import CURRENT_JOBDOC

    return CURRENT_JOBDOC.job_doc


@job(config=JobConfig(resolve_references=False, on_missing_references=OnMissing.NONE))
def no_resolve(ref: Any) -> Any:
    """The reference itself."""
    return ref


@job(config=JobConfig(on_missing_references=OnMissing.NONE))
def onmissing_none(args: Any) -> Any:
    """What is given; None in place of an output that does not exist."""
    return args


@job
def replace_and_stop_jobflow(a: float = 1, b: float = 1) -> Any:
    """A replacement, and the wish to stop the whole flow."""
    return Response(replace=add(a, b), stop_jobflow=True)


@job
def replace_and_stop_children(a: float = 1, b: float = 1) -> Any:
    """A replacement, and the wish to stop whoever waits for this job."""
    return Response(replace=add(a, b), stop_children=True)


@job
def stop_jobflow(x: Any = None) -> Any:
    """The wish to stop the whole flow."""
    return Response(stop_jobflow=True)


class TestEnum(Enum):
    """An enum among the inputs."""

    __test__ = False

    A = "A"
    B = "B"


@dataclass
class EnumMaker(Maker):  # type: ignore[misc]  # jobflow has no types
    """A Maker one of whose fields is an enum."""

    name: str = "enum maker"
    enum: TestEnum = TestEnum.A

    @job
    def make(self, enum: TestEnum = TestEnum.B) -> dict[str, Any]:
        """Values of the Maker's enum and of the argument."""
        return {"maker": TestEnum(self.enum).value, "argument": TestEnum(enum).value}
