"""One page of a long list, also near its end: the database counts its way from whichever end is nearer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from jobflow_remote.queuedb.port import Sort

R = TypeVar("R")

Read = Callable[[Sort, int, int], list[R]]
"""Takes an order, how many to skip, and how many to give."""


def complete_order(sort: Sort) -> Sort:
    """The order with ties broken in its own direction: an index gives it from both ends."""
    if any(field == "db_number" for field, _ in sort):
        return sort
    return (*sort, ("db_number", sort[-1][1] if sort else -1))


def read_page(read: Read[R], total: int, *, sort: Sort, skip: int, limit: int) -> Sequence[R]:
    """Lines ``skip`` to ``skip + limit`` of a list of ``total`` in this order."""
    order = complete_order(sort)
    if 2 * skip <= total:
        return read(order, skip, limit)
    number = min(limit, total - skip)
    if number <= 0:
        return []
    turned = tuple((field, -direction) for field, direction in order)
    return read(turned, total - skip - number, number)[::-1]
