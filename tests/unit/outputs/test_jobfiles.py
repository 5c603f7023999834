"""What the runner writes to and reads from a run folder."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote import layout
from jobflow_remote.errors import CapabilityMissingError, Failure, UnreadableOutputError
from jobflow_remote.execution import plainjson
from jobflow_remote.model.decide.submission import GeneratedJob
from jobflow_remote.outputs import jobfiles

RESPONSE = {
    "replace": [{"job": {"uuid": "n"}, "parents": ["p"]}],
    "detour": None,
    "addition": [],
    "stored_data": {"when": datetime(2024, 1, 1)},
    "stop_children": True,
    "stop_jobflow": False,
}
RESULT = {
    "response": RESPONSE,
    "error": None,
    "start_time": datetime.fromisoformat("2024-05-06T09:00:00.123456+02:00"),
    "end_time": datetime(2024, 5, 6, 7, 0, 1),
    "version": layout.FORMAT_VERSION,
    "attempt": "a1",
    "worker_info": {"hostname": "h"},
}


def write(folder: Path, content: Any, name: str = layout.OUT_FILENAME) -> None:
    (folder / name).write_text(plainjson.encode(content))


def test_input_hides_what_is_no_business_of_the_compute_node() -> None:
    document = {
        "_id": 1,
        "job": {"big": 1},
        "claim": "t",
        "lock_id": "t",
        "lock_time": 1,
        "db_id": "p-1",
        "state": "READY",
    }
    content = json.loads(
        jobfiles.render_input(document, job={"uuid": "u"}, store_names=["data"], attempt="a1")
    )
    assert content == {
        "version": layout.FORMAT_VERSION,
        "attempt": "a1",
        "job": {"uuid": "u"},
        "store": {"format": "json", "additional_stores": ["data"]},
        "job_doc": {"lock_id": None, "lock_time": None, "db_id": "p-1", "state": "READY"},
    }
    assert document["claim"] == "t"


@pytest.mark.parametrize("spec", [None, {}, {"store": "maggma_json"}, {"store": "orjson", "zip": False}])
def test_json_is_what_travels(spec: Any) -> None:
    jobfiles.check_file_format(spec)


@pytest.mark.parametrize(
    ("spec", "word"),
    [({"store": "msgpack"}, "msgpack"), ({"zip": True}, "compressed"), ({"store": {"@class": "S"}}, "own")],
)
def test_other_formats_are_refused(spec: Any, word: str) -> None:
    with pytest.raises(CapabilityMissingError, match=word):
        jobfiles.check_file_format(spec)


def test_result(tmp_path: Path) -> None:
    write(tmp_path, RESULT)
    result = jobfiles.read_result(tmp_path, attempt="a1")
    assert result is not None
    assert result.response is not None
    assert result.response.replace == (GeneratedJob({"uuid": "n"}, ("p",)),)
    assert result.response.detour == result.response.addition == ()
    assert (result.response.stop_children, result.response.stop_jobflow) == (True, False)
    assert result.response.stored_data == {"when": datetime(2024, 1, 1)}
    assert result.start_time == datetime(2024, 5, 6, 7, 0, 0, 123000)
    assert result.end_time == datetime(2024, 5, 6, 7, 0, 1)
    assert (result.error, result.worker_info) == (None, {"hostname": "h"})


def test_error(tmp_path: Path) -> None:
    write(tmp_path, {**RESULT, "response": None, "error": "Traceback …"})
    result = jobfiles.read_result(tmp_path)
    assert result is not None
    assert (result.response, result.error) == (None, "Traceback …")


@pytest.mark.parametrize(
    "content",
    [{"start_time": datetime(2024, 1, 1)}, {**RESULT, "response": None}, {**RESULT, "attempt": "a0"}],
)
def test_no_result(tmp_path: Path, content: Any) -> None:
    write(tmp_path, content)
    assert jobfiles.read_result(tmp_path, attempt="a1") is None


def test_no_file(tmp_path: Path) -> None:
    assert jobfiles.read_result(tmp_path) is None
    assert jobfiles.read_result(tmp_path / "gone") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be understood"),
        ('{"response": ', "cannot be understood"),
        ("\xff", "cannot be understood"),
        ("[]", "does not hold a dictionary"),
        ('{"error": "x", "version": 99}', "has format 99"),
        (f'{{"error": "x", "version": {layout.FORMAT_VERSION}}}', "KeyError"),
        (f'{{"response": 5, "error": null, "version": {layout.FORMAT_VERSION}}}', "AttributeError"),
        (
            f'{{"response": {{"replace": [{{"job": {{}}}}]}}, "error": null, "version": {layout.FORMAT_VERSION}}}',
            "'parents'",
        ),
    ],
)
def test_a_result_that_cannot_be_understood(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / layout.OUT_FILENAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(UnreadableOutputError, match=words) as caught:
        jobfiles.read_result(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint
    assert caught.value.failure is Failure.PERMANENT


def test_output_documents(tmp_path: Path) -> None:
    write(tmp_path, [{"uuid": "u", "when": datetime(2024, 1, 1)}], layout.store_filename())
    write(tmp_path, [{"blob_uuid": "b", "data": b"x"}], layout.store_filename("data"))
    write(tmp_path, [], layout.store_filename("empty"))
    document, blobs = jobfiles.read_output_documents(tmp_path)
    assert document == {"uuid": "u", "when": datetime(2024, 1, 1)}
    assert blobs == {"data": [{"blob_uuid": "b", "data": b"x"}]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "is missing"),
        ("", "cannot be understood"),
        ("{}", "list of documents"),
        ("[1]", "list of documents"),
        ("[]", "0 documents instead of 1"),
        ("[{}, {}]", "2 documents instead of 1"),
    ],
)
def test_output_documents_that_cannot_be_understood(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / layout.store_filename()).write_text(text)
    with pytest.raises(UnreadableOutputError, match=words):
        jobfiles.read_output_documents(tmp_path)


def test_reading_imports_neither_jobflow_nor_bson() -> None:
    script = (
        "import sys; import jobflow_remote.outputs.jobfiles, jobflow_remote.outputs.references, "
        "jobflow_remote.outputs.jobstore; "
        "print([name for name in ('jobflow', 'maggma', 'bson', 'pydantic', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
