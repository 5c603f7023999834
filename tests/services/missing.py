"""What is done about a service that is not there: a failure where ``CI=true``, a skip with its reason elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.services.debian import ServiceMissingError

S = TypeVar("S")


def or_skip(start: Callable[[], S]) -> S:
    """What ``start`` gives, or the end of the test."""
    try:
        return start()
    except ServiceMissingError as exc:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"CI has to have this service: {exc}")
        pytest.skip(str(exc))
