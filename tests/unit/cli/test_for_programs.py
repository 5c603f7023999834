"""``--json``, ``--jsonl``, ``--watch``, ids in every form, filters: what scripts build upon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.model.states import JobState

FIRST, SECOND = "aaaaaa11-0000-4000-8000-000000000001", "aaaaaa22-0000-4000-8000-000000000002"


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def ids(jf: Any, words: str, *more: str) -> list[str]:
    return sorted(row["db_id"] for row in lines(jf(words.replace("list", "list --jsonl", 1), *more).stdout))


@pytest.fixture
def chain(world: Any) -> str:
    """A flow with two jobs whose uuids begin alike."""
    flow: str = world.add_flow("add multiply", name="sums", uuids=[FIRST, SECOND])[0]
    return flow


def test_one_object_a_line(world: Any, chain: str, jf: Any) -> None:
    assert [row["name"] for row in lines(jf("job list --sort db_id --jsonl").stdout)] == ["multiply", "add"]
    assert json.loads(jf("job list --sort db_id --json").stdout)[0]["name"] == "multiply"
    assert [row["uuid"] for row in lines(jf("flow list --jsonl").stdout)] == [chain]
    assert lines(jf("job info 1 --jsonl").stdout)[0]["uuid"] == FIRST
    assert len(lines(jf(f"flow info {chain} --jsonl").stdout)[0]["jobs"]) == 2
    assert lines(jf("job list --count --jsonl").stdout) == [{"count": 2}]
    assert lines(jf("project list --jsonl").stdout)
    assert [row["changed"] for row in lines(jf("job pause -s READY --jsonl").stdout)] == [["1"]]
    assert jf("job list --json").stdout.startswith("[\n")  # lines are not the habit from now on


def test_ids_in_every_form(world: Any, chain: str, jf: Any) -> None:
    world.add_flow("other")
    for words in ("-did 2", f"-did {SECOND}", "-did aaaaaa22", f"-jid {SECOND}:1", "-jid aaaaaa22:1"):
        assert ids(jf, f"job list {words}") == ["2"], words
    for words in (f"-fid {chain}", "-fid 2", f"-fid {chain[:9]}", "-fid aaaaaa11"):
        assert ids(jf, f"job list {words}") == ["1", "2"], words
        assert ids(jf, f"flow list {words}") == ["1"], words
    for words in ("-did 2", "-jid aaaaaa22", "-did aaaaaa22"):
        assert ids(jf, f"flow list {words}") == ["1"], words
    assert ids(jf, "job list -did 2 -did 3 -did 77") == ["2", "3"]
    jf("job pause -did aaaaaa11", required_out="1 jobs modified")


def test_ambiguous_ids_are_refused_with_the_candidates(world: Any, chain: str, jf: Any) -> None:
    for words in ("job info aaaaaa", "job list -did aaaaaa", "flow info aaaaaa", "job stop aaaaaa"):
        result = jf(words, error=True, required_out=["several jobs", FIRST, SECOND, "more letters"])
        assert result.exit_code == 1
    jf("job info aaaaa", error=True, required_out="needs 6 letters or more")


def test_queries_of_both_kinds(world: Any, chain: str, jf: Any) -> None:
    world.add_flow("other", name="more", metadata={"n": 3})
    assert ids(jf, "job list -q", '{"job.name": {"$in": ["add", "other"]}}') == ["1", "3"]
    assert ids(jf, "job list -q", "job.name=add") == ["1"]
    assert ids(jf, "flow list -q", '{"n_jobs": {"$gt": 1}}') == ["1"]
    assert ids(jf, "flow list -n m* -q", '{"metadata.n": 3}') == ["3"]
    assert ids(jf, "job list -q", '{"created_on": {"$lt": {"$date": "2999-01-01T00:00:00+02:00"}}}') == [
        "1", "2", "3",
    ]  # fmt: skip
    assert ids(jf, "job list -q", '{"created_on": {"$lt": {"$date": "2000-01-01"}}}') == []


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ('{"state": {"$nonsense": 1}}', 2, "$nonsense"),
        ('{"state": ', 2, "neither a JSON object nor key=value"),
        ('{"created_on": {"$gt": {"$date": "soon"}}}', 2, "'soon' is no moment"),
    ],
)
@pytest.mark.parametrize("listing", ["job list", "flow list"])
def test_bad_queries(jf: Any, listing: str, query: str, code: int, said: str) -> None:
    assert jf(f"{listing} -q", query, error=True, required_out=said).exit_code == code


def test_a_query_may_not_speak_of_what_another_option_says(jf: Any) -> None:
    for listing in ("job list", "flow list"):
        jf(f"{listing} -s READY -q state=READY", error=True, required_out=["both constrain state"])


def test_documents_are_dumped_with_their_inputs(world: Any, chain: str, jf: Any, tmp_path: Path) -> None:
    world.add_flow("other")
    jf(f"job dump -fid {chain} -p {tmp_path}/jobs.json", required_out="2 jobs are in")
    found = json.loads((tmp_path / "jobs.json").read_text())
    assert [job["db_id"] for job in found] == ["1", "2"]
    assert found[1]["job"]["function_args"] == [1, 2]
    jf(f"job dump -p {tmp_path}/jobs.jsonl")
    assert len(lines((tmp_path / "jobs.jsonl").read_text())) == 3
    jf(f"job dump -s FAILED -p {tmp_path}/none.json", required_out="0 jobs are in")
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_more_documents_than_are_read_at_once(world: Any) -> None:
    from jobflow_remote.control.inspect import iterate_jobs
    from jobflow_remote.model.selection import JobSelection

    world.add_flow("a b a b a")
    for at_once in (1, 2, 5, 6):
        found = iterate_jobs(world.queue, JobSelection(name="a"), at_once=at_once)
        assert [job["db_id"] for job in found] == ["1", "3", "5"]


# -- watching --------------------------------------------------------------------------------------


def start(words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "jobflow_remote.cli.main", *words.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=dict(os.environ),
    )


def read_until(stream: Any, word: str) -> str:
    """What is printed up to a line with this word; ends at the latest when the process does."""
    seen = ""
    for line in stream:
        seen += str(line)
        if word in line:
            return seen
    raise AssertionError(f"{word!r} was never printed: {seen}")


def test_watching_in_a_pipe(world: Any, jf: Any) -> None:
    _, (uuid,) = world.add_flow("add")
    people, programs = start("job list --watch"), start("job list --watch --jsonl")
    try:
        assert "Jobs info" in read_until(people.stdout, "READY")
        assert json.loads(read_until(programs.stdout, "READY"))["uuid"] == uuid
        world.add_flow("later")
        read_until(people.stdout, "later")
        assert json.loads(read_until(programs.stdout, "later"))["db_id"] == "2"  # and not job 1 again
        for process in (people, programs):
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
    finally:
        for process in (people, programs):
            process.kill()
            process.wait()


def test_watching_ends_when_nobody_reads(world: Any) -> None:
    world.add_flow("add")
    process = start("flow list --watch")
    try:
        assert process.stdout is not None
        read_until(process.stdout, "READY")
        process.stdout.close()
        world.run_job(world.queue.find_jobs({})[0]["uuid"], JobState.COMPLETED)
        assert process.wait(60) == 1
    finally:
        process.kill()
        process.wait()


def test_a_json_list_cannot_be_watched(jf: Any) -> None:
    assert jf("job list --watch --json", error=True, required_out="use --jsonl").exit_code == 2


def test_no_colours_where_they_are_not_wanted(world: Any) -> None:
    _, (uuid,) = world.add_flow("add")
    world.run_job(uuid, JobState.FAILED)
    words = [sys.executable, "-m", "jobflow_remote.cli.main", "job", "list", "-col"]

    def run(**more: str) -> str:
        done = subprocess.run(words, env=os.environ | more, capture_output=True, text=True, check=True)
        return done.stdout

    assert "\x1b[" not in run()
    assert "\x1b[1;31mFAILED" in run(FORCE_COLOR="1")
    assert "\x1b[31m" not in run(FORCE_COLOR="1", NO_COLOR="1")
