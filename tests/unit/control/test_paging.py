"""Pages of a list are the same from both ends."""

from __future__ import annotations

import pytest

from jobflow_remote.control.paging import read_page
from jobflow_remote.queuedb.port import Sort

LINES = [(day, number) for number, day in enumerate([3, 1, 3, 2, 2, 3, 1, 2, 3, 3, 1], start=1)]


@pytest.mark.parametrize("sort", [(("day", -1),), (("day", 1),), (("db_number", -1),), (("db_number", 1),)])
@pytest.mark.parametrize("limit", [1, 3, 4, 50])
def test_pages_put_together_are_the_list(sort: Sort, limit: int) -> None:
    skipped: list[int] = []

    def read(order: Sort, skip: int, size: int) -> list[tuple[int, int]]:
        skipped.append(skip)
        lines = list(LINES)
        for field, direction in reversed(order):
            lines.sort(key=lambda line: line[0 if field == "day" else 1], reverse=direction < 0)
        return lines[skip : skip + size]

    whole = read(tuple(sort) if sort[0][0] == "db_number" else (*sort, ("db_number", sort[0][1])), 0, 100)
    pages: list[tuple[int, int]] = []
    for skip in range(0, len(LINES) + limit, limit):
        pages += read_page(read, len(LINES), sort=sort, skip=skip, limit=limit)
    assert pages == whole
    assert max(skipped) <= len(LINES) / 2
