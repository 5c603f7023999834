"""Result files of jobflow-remote 1.0.1: they are read as its own runner would."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
import pytest
from jobflow import Flow, JobOrder, OutputReference, Response
from jobflow.core.job import store_inputs
from monty.json import MontyDecoder, MontyEncoder

from jobflow_remote.errors import UnreadableOutputError
from jobflow_remote.outputs import jobfiles
from jobflow_remote.outputs.formerresults import jobs_of, parse_response
from jobflow_remote.testing import add


def _flows() -> dict[str, Flow]:
    first = add(1, 2)
    chain = Flow([first, add(first.output, 3)])
    top = add(1, 1)
    sides = [add(top.output, 1), add(2, top.output)]
    diamond = Flow([top, *sides, add(sides[0].output, sides[1].output)])
    inner = Flow([one := add(1, 1), two := add(one.output, 1)], output=two.output)
    nested = Flow([inner, add(inner.output, 1), add(5, 5)], order=JobOrder.LINEAR)
    deep = Flow(
        [Flow([add(1, 1), add(2, 2)], order=JobOrder.LINEAR), Flow([add(3, 3), add(4, 4)])],
        order=JobOrder.LINEAR,
    )
    outside = Flow([add(OutputReference("11111111-1111-4111-8111-111111111111"), {"deep": [first.output]})])
    backwards = Flow([late := add(0, 0), early := add(1, 1)])
    late.function_args = (early.output["x"], 1)
    stored = Flow([source := add(1, 2), store_inputs(source.output)])
    return {
        "chain": chain, "diamond": diamond, "nested": nested, "deep": deep, "outside": outside,
        "backwards": backwards, "stored": stored,
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(_flows()))
def test_the_parents_are_those_that_jobflow_tells(name: str) -> None:
    plain = json.loads(json.dumps(_flows()[name], cls=MontyEncoder))
    wanted = {job.uuid: set(parents) for job, parents in MontyDecoder().process_decoded(plain).iterflow()}
    found = jobs_of(plain)
    assert {new.job["uuid"]: set(new.parents) for new in found} == wanted
    seen: set[str] = set()
    for new in found:
        assert {parent for parent in new.parents if parent in wanted} <= seen
        seen.add(new.job["uuid"])
        assert new.job["function_args"] == _job(plain, new.job["uuid"])["function_args"]


def _job(flow: dict[str, Any], uuid: str) -> dict[str, Any]:
    found = [part for part in flow["jobs"] if part["uuid"] == uuid]
    return (
        found[0]
        if found
        else next(_job(p, uuid) for p in flow["jobs"] if "jobs" in p and uuid in json.dumps(p))
    )


def test_a_whole_response() -> None:
    response = Response(output=1, addition=Flow([add(1, 1)]), stored_data={"a": 1}, stop_children=True)
    parsed = parse_response(json.loads(json.dumps(response, cls=MontyEncoder)))
    assert len(parsed.addition) == 1
    assert (parsed.replace, parsed.detour) == ((), ())
    assert parsed.stored_data == {"a": 1}
    assert (parsed.stop_children, parsed.stop_jobflow) == (True, False)


MOMENT = {"@module": "datetime", "@class": "datetime", "string": "2026-11-23 22:07:08.666651+00:00"}


def _write(folder: Path, **content: Any) -> None:
    whole = {"response": None, "error": None, "start_time": MOMENT, "end_time": MOMENT, **content}
    (folder / "jfremote_out.json").write_text(json.dumps(whole))


def test_moments_and_errors(tmp_path: Path) -> None:
    _write(tmp_path, error="Traceback …")
    result = jobfiles.read_result(tmp_path, attempt="old-7")
    assert result is not None
    assert result.error == "Traceback …"
    assert result.start_time == datetime(2026, 11, 23, 22, 7, 8, 666000, tzinfo=UTC).replace(tzinfo=None)


def test_a_job_that_was_killed_left_only_its_start(tmp_path: Path) -> None:
    (tmp_path / "jfremote_out.json").write_text(json.dumps({"start_time": MOMENT}))
    assert jobfiles.read_result(tmp_path, attempt="old-7") is None


@pytest.mark.parametrize(("attempt", "accepted"), [("old-7", True), ("0123456789abcdef", False)])
def test_results_of_input_files_without_an_attempt(tmp_path: Path, attempt: str, accepted: bool) -> None:
    """Our own execution may have run a job that 1.0.1 had submitted."""
    _write(tmp_path, error="Traceback …", version=2, attempt="0", start_time=None, end_time=None)
    assert (jobfiles.read_result(tmp_path, attempt=attempt) is not None) is accepted


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, error="x", version=3)
    with pytest.raises(UnreadableOutputError, match="format 3"):
        jobfiles.read_result(tmp_path, attempt="old-7")


def _pack(documents: list[dict[str, Any]], ending: str) -> bytes:
    moment = {"__datetime__": True, "as_str": "20260102T03:04:05.678901"}
    if ending.startswith("msgpack"):
        content: bytes = msgpack.packb([{**document, "when": moment} for document in documents])
    else:
        content = json.dumps(
            [{**document, "when": "2026-01-02T03:04:05.678901"} for document in documents]
        ).encode()
    return gzip.compress(content) if ending.endswith("gz") else content


@pytest.mark.parametrize("ending", ["json", "json.gz", "msgpack", "msgpack.gz"])
def test_outputs_in_the_formats_of_remote_jobstore(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"remote_job_data.{ending}").write_bytes(_pack([{"uuid": "u", "output": 1}], ending))
    (tmp_path / f"additional_store_da.ta.{ending}").write_bytes(
        _pack([{"blob_uuid": "b", "data": [1]}], ending)
    )
    (tmp_path / f"additional_store_empty.{ending}").write_bytes(_pack([], ending))
    document, blobs = jobfiles.read_output_documents(tmp_path)
    assert document["output"] == 1
    assert set(blobs) == {"da.ta"}
    assert blobs["da.ta"][0]["data"] == [1]
    assert isinstance(document["when"], datetime if ending.startswith("msgpack") else str)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "remote_job_data.json.gz").write_bytes(b"no gzip")
    with pytest.raises(UnreadableOutputError, match="decompressed"):
        jobfiles.read_output_documents(tmp_path)
