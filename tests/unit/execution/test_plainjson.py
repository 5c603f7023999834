"""Documents come back as they were, and a file is there whole or not at all."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from jobflow_remote.execution import plainjson

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=5, minutes=30))))
    | st.uuids()
    | st.binary(min_size=12, max_size=12).map(ObjectId)
)
keys = st.text() | st.sampled_from(
    ["$date", "$oid", "$$date", "$$$binary", "$numberDouble", "$other", "$", "@class"]
)
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or left == right
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


@given(documents)
def test_round_trip(document: Any) -> None:
    assert same(plainjson.decode(plainjson.encode(document)), document)


@given(documents)
def test_strict_json(document: Any) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(plainjson.encode(document), parse_constant=refuse)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2024, 1, 2, 3, 4, 5, 678901), '{"$date":"2024-01-02T03:04:05.678901"}'),
        (b"abc", '{"$binary":"YWJj"}'),
        (float("-inf"), '{"$numberDouble":"-Infinity"}'),
        (uuid.UUID(int=1), '{"$uuid":"00000000-0000-0000-0000-000000000001"}'),
        ({"$date": 1}, '{"$$date":1}'),
        ({"$date": 1, "x": 2}, '{"$date":1,"x":2}'),
        ((1, 2), "[1,2]"),
    ],
)
def test_form(value: Any, text: str) -> None:
    assert plainjson.encode(value) == text


def test_what_is_not_plain_is_named() -> None:
    with pytest.raises(TypeError, match=r"complex"):
        plainjson.encode({"a": [1j]})


def test_failing_write_leaves_no_trace(tmp_path: Path) -> None:
    target = tmp_path / "file.json"
    plainjson.write_file(target, "1")
    with pytest.raises(UnicodeEncodeError):
        plainjson.write_file(target, "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]
    assert plainjson.read_file(target) == 1


WRITER = """
import sys
from pathlib import Path
from jobflow_remote.execution import plainjson
number = 0
while True:
    plainjson.write_file(Path(sys.argv[1]), plainjson.encode([number] * 300_000))
    number += 1
    print(number, flush=True)
"""


@pytest.mark.parametrize("writes", [1, 2, 3, 5, 8])
def test_killed_while_writing_leaves_a_whole_file(tmp_path: Path, writes: int) -> None:
    target = tmp_path / "file.json"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(writes):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    found = plainjson.read_file(target)
    assert len(found) == 300_000
    assert found[0] == found[-1] >= writes - 1
