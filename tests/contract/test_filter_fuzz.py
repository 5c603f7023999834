"""Random filters: the embedded queue database finds what a real mongod finds, and refuses what it refuses."""

from __future__ import annotations

import os
import time

from tests.services.mongod import Mongod
from tests.shows.fuzz import fuzz

FILTERS = 800
FIXED = 20
"""Seed that is always asked too: what it met once it meets again."""
SELECTIVE = 0.15
"""Part of the filters that have to select some documents and leave some out: else nothing would be compared."""


def test_both_databases_answer_random_filters_alike(mongo_standalone: Mongod) -> None:
    today = int(os.environ.get("JF_FUZZ_SEED") or time.time()) % 1_000_000
    for seed, filters in ((FIXED, FILTERS // 2), (today, FILTERS // 2)):
        report = fuzz(filters, seed, uri=mongo_standalone.uri, most=3)
        assert not report.differences, "\n".join(map(str, report.differences))
        assert report.filters == filters
        assert report.matched > SELECTIVE * filters
        assert report.refused > 0
