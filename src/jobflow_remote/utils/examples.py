"""Jobs to try things out with."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import time
from typing import Any

from jobflow import Response, job


@job
def add(a: float, b: float) -> float:
    """The sum of two numbers."""
    return a + b


@job
def add_many(*to_sum: float) -> float:
    """The sum of any number of numbers."""
    return sum(to_sum)


@job
def sleep(s: float) -> float:
    """Do nothing for ``s`` seconds."""
    time.sleep(s)
    return s


@job
def add_raise(a: float, b: float) -> float:
    """Fail, always."""
    raise RuntimeError(f"An error for a and b: {a}, {b}")


@job
def make_list(a: Any, length: int | None = None) -> list[Any]:
    """``a``, ``length`` times (at random from 2 to 4 times without it)."""
    from random import randint

    return [a] * (randint(2, 4) if length is None else length)


@job
def add_distributed(list_a: list[float]) -> Any:
    """Replace the job by one addition for each number of the list, which adds 1 to it."""
    return Response(replace=[add(value, 1) for value in list_a])


@job
def value(n: Any) -> Any:
    """``n`` itself."""
    return n


@job
def conditional_sum_replace(numbers: list[float], min_n: float = 10) -> Any:
    """The sum of the numbers; while it is less than ``min_n``, the job is replaced by one with 1 more."""
    total = sum(numbers)
    if total < min_n:
        return Response(output=total, replace=conditional_sum_replace([total, 1], min_n=min_n))
    return total
