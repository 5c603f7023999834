"""``jf job info`` and ``jf job output``: one job, by any of its ids."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from jobflow_remote.model.states import JobState

TRACEBACK = (
    'Traceback (most recent call last):\n  File "run.py", line 42, in run\nRuntimeError: a fake [error]\n'
)


@pytest.fixture
def failed(world: Any) -> tuple[str, str]:
    """Flow and job; DB id 1."""
    flow, (uuid,) = world.add_flow("add_sleep", metadata={"tag": "x"})
    world.run_job(uuid, JobState.FAILED, error=TRACEBACK)
    return flow, uuid


def values(text: str) -> dict[str, str]:
    """``key = value`` lines of a panel."""
    return {
        match[1]: match[2].strip()
        for match in re.finditer(r"^│\s*(\w+)\s+=\s(.*?)│$", text, flags=re.MULTILINE)
    }


def test_panel(world: Any, jf: Any, failed: tuple[str, str]) -> None:
    flow, uuid = failed
    out = jf("job info 1").stdout
    found = values(out)
    assert found["db_id"] == "'1'"
    assert found["uuid"] == f"'{uuid}'"
    assert found["index"] == "1"
    assert found["name"] == "'add_sleep'"
    assert found["state"] == "'FAILED'"
    assert found["worker"] == "'local_shell'"
    assert found["priority"] == "0"
    assert found["parents"] == "[]"
    assert found["hosts"] == f"['{flow}']"
    assert found["metadata"] == "{'tag': 'x'}"
    assert re.fullmatch(r"'\d{4}-\d\d-\d\d \d\d:\d\d'", found["created_on"])
    assert list(found)[:6] == ["db_id", "uuid", "index", "name", "state", "error"]
    assert "'process_id': '4242'" in found["remote"]
    assert "queue_out" not in out


def test_error_is_shown_line_by_line(jf: Any, failed: tuple[str, str]) -> None:
    out = jf("job info 1").stdout
    assert re.search(r"error\s+= Traceback \(most recent call last\):", out)
    assert re.search(r'^│\s+File "run.py", line 42, in run\s+│$', out, flags=re.MULTILINE)
    assert "RuntimeError: a fake [error]" in out


def test_none_is_hidden_unless_asked_for(jf: Any, failed: tuple[str, str]) -> None:
    assert "lock_id" not in values(jf("job info 1").stdout)
    assert values(jf("job info 1 -n").stdout)["lock_id"] == "None"


def test_verbosity(jf: Any, failed: tuple[str, str]) -> None:
    brief, record, whole = (values(jf(f"job info 1 {words}").stdout) for words in ("", "-v", "-vv"))
    assert "history" not in brief
    assert "history" in record
    assert "job" not in record
    assert "job" in whole
    assert "function_args" in jf("job info 1 -vv").stdout


def test_many_parents_are_elided(world: Any, jf: Any) -> None:
    from jobflow_remote.cli.formatting import elide

    assert elide(list("abcde")) == list("abcde")
    assert elide(list("abcdef")) == ["a", "b", "...", "e", "f"]


@pytest.mark.parametrize("length", [36, 35, 6])
def test_uuid_and_its_beginning(jf: Any, failed: tuple[str, str], length: int) -> None:
    _, uuid = failed
    jf(f"job info {uuid[:length]}", required_out=uuid)
    jf(f"job info {uuid[:length].upper()}", required_out=uuid)


def test_index(world: Any, jf: Any, failed: tuple[str, str]) -> None:
    _, uuid = failed
    jf(f"job info {uuid} 1", required_out=uuid)
    jf(f"job info {uuid} 2", error=True, required_out="and index 2")
    jf("job info 1 7", required_out="The index is ignored")


def test_ambiguous_beginning(world: Any, jf: Any) -> None:
    uuids = ["abcdef12-0000-4000-8000-000000000001", "abcdef12-0000-4000-8000-000000000002"]
    world.add_flow("one two", uuids=uuids)
    result = jf("job info abcdef", error=True, required_out=[*uuids, "several jobs", "more letters"])
    assert result.exit_code == 1
    jf("job info abcdef12-0000-4000-8000-000000000002", required_out="two")


def test_db_id_goes_before_a_beginning_of_a_uuid(world: Any, jf: Any) -> None:
    world.add_flow("one", uuids=["111111aa-0000-4000-8000-000000000001"])
    jf("job info 111111", required_out="111111aa-0000-4000-8000-000000000001")
    jf("job info 1", required_out="db_id = '1'")


@pytest.mark.parametrize("identifier", ["17", "abcdef", "nonsense", "00000000-0000-4000-8000-000000000000"])
def test_no_such_job(world: Any, jf: Any, identifier: str) -> None:
    result = jf(f"job info {identifier}", error=True)
    assert result.exit_code == 1
    assert f"no job has the id {identifier}" in result.stderr
    assert "Traceback" not in result.stderr


def test_short_beginning_is_explained(world: Any, jf: Any) -> None:
    jf("job info abcde", error=True, required_out="needs 6 letters or more")


def test_by_queue_id(jf: Any, failed: tuple[str, str]) -> None:
    _, uuid = failed
    jf("job info --pid 4242", required_out=uuid)
    assert jf("job info --pid 1", error=True).exit_code == 1
    assert jf("job info 1 --pid 4242", error=True).exit_code == 2
    assert jf("job info", error=True).exit_code == 2


def test_json(jf: Any, failed: tuple[str, str]) -> None:
    result = jf("job info 1 --json")
    document = json.loads(result.stdout)
    assert (document["db_id"], document["state"], document["error"]) == ("1", "FAILED", TRACEBACK)
    assert document["start_time"].endswith("+00:00")
    assert document["history"][-1]["state"] == "FAILED"
    assert "function_args" not in document["job"]
    assert json.loads(jf("job info 1 --json -vv").stdout)["job"]["function_args"] == [0, 2]


# -- outputs ---------------------------------------------------------------------------------------


@pytest.fixture
def with_output(world: Any) -> Any:
    """``store(value)``: job 1 is COMPLETED and this is its output."""
    from jobflow_remote.bootstrap import open_services

    _, (uuid,) = world.add_flow()
    world.run_job(uuid)

    def store(value: Any) -> str:
        with open_services() as services:
            document = {
                "uuid": uuid, "index": 1, "output": value, "completed_at": "2025-01-13T13:30:08", "metadata": {},
                "hosts": [], "name": "add",
            }  # fmt: skip
            services.outputs().store_output(document, {}, db_id="1")
        return str(uuid)

    return store


@pytest.mark.parametrize("value", [0, False, [], "", {}, 3, {"energy": -1.5}, None])
def test_output_of_any_value(jf: Any, with_output: Any, value: Any) -> None:
    with_output(value)
    assert json.loads(jf("job output 1 --json").stdout) == value
    result = jf("job output 1")
    assert result.stdout.strip() == repr(value)
    assert "The selected project" in result.stderr


def test_no_output(world: Any, jf: Any) -> None:
    world.add_flow()
    result = jf("job output 1", error=True, required_out=["has no output", "READY"])
    assert result.exit_code == 1
    assert result.stdout == ""


def test_output_to_a_file(jf: Any, with_output: Any, tmp_path: Any) -> None:
    with_output({"energy": -1.5, "sites": [1, 2]})
    jf(f"job output 1 -p {tmp_path}/out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == {"energy": -1.5, "sites": [1, 2]}
    jf(f"job output 1 -p {tmp_path}/out.yaml")
    assert "energy: -1.5" in (tmp_path / "out.yaml").read_text()
    assert jf(f"job output 1 -p {tmp_path}/out.xyz", error=True).exit_code == 2
    assert jf(f"job output 1 -p {tmp_path}/no/out.json", error=True).exit_code == 2


# -- files of the process --------------------------------------------------------------------------


def test_queue_out(world: Any, jf: Any, tmp_path: Any) -> None:
    _, (uuid,) = world.add_flow()
    result = jf("job queue-out 1", required_out="no run folder yet")
    assert result.stdout == ""
    world.run_job(uuid)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "queue.out").write_text("hello [from] the job\n")
    world.change(uuid, JobState.COMPLETED, run_dir=str(tmp_path / "run"))
    result = jf("job queue-out 1", required_out="queue.err")
    assert result.stdout == "hello [from] the job\n"
    assert "there is no file" in result.stderr
