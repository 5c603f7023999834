"""``jf job list``: what is in the table, and which jobs are."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.states import JobState


def column_of(text: str, position: int = 0) -> list[str]:
    """Cells of one column of a printed table, without the header."""
    rows = [line for line in text.splitlines() if line.startswith("│")]
    return [re.split("│", row)[position + 1].strip() for row in rows]


def test_default_columns(world: Any, jf: Any) -> None:
    _, (first, second) = world.add_flow("add multiply")
    out = jf("job list").stdout
    assert "The selected project is tutorial from config file" in out
    assert "Jobs info" in out
    assert re.search(
        r"DB id\s+┃ Name\s+┃ State\s+┃ Job id \(Index\)\s+┃ Worker\s+┃ Last updated \[UTC\]", out
    )
    assert re.search(
        rf"1\s+│ add\s+│ READY\s+│ {first} \(1\)\s+│ local_shell │ \d{{4}}-\d\d-\d\d \d\d:\d\d", out
    )
    assert re.search(rf"2\s+│ multiply\s+│ WAITING\s+│ {second} \(1\)", out)


def test_verbosity_adds_columns(world: Any, jf: Any) -> None:
    _, (uuid,) = world.add_flow("add", metadata={"tag": "x"})
    world.run_job(uuid)
    jf("job list -v", required_out=["Queue id", "4242", "Run time [h:mm]", "1:30", "Prev state", "Locked"],
       excluded_out="Metadata")  # fmt: skip
    jf("job list -vv", required_out=["Lock id", "Lock time [UTC]", "Metadata", "{'tag': 'x'}"])


def test_run_time_of_a_running_job_is_an_estimate(world: Any, jf: Any) -> None:
    _, (uuid,) = world.add_flow()
    world.run_job(uuid, JobState.RUNNING)
    jf("job list -v", required_out=["~2:05", "*"])


def test_columns_are_chosen_by_output_and_by_the_setting(
    world: Any, jf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_flow()
    out = jf("job list -o state,db_id").stdout
    assert re.search(r"State\s+┃ DB id", out)
    assert "Name" not in out
    jf("job list -o nonsense", error=True, required_out=["nonsense", "the columns: db_id"])
    jf("job list -o state -v", error=True, required_out="both choose the columns")
    import jobflow_remote

    monkeypatch.setattr(jobflow_remote.SETTINGS, "cli_job_list_columns", ["worker"])
    assert "Name" not in jf("job list").stdout
    assert "Name" in jf("job list -v").stdout


def test_stored_data_is_a_column(world: Any, jf: Any) -> None:
    _, (uuid,) = world.add_flow()
    world.run_job(uuid, stored_data={"energy": -3.25})
    jf("job list -sdk energy", required_out=["energy", "-3.25"])
    jf("job list -sdk state", error=True, required_out="a column has that name")


def test_ids_are_sorted_as_numbers(world: Any, jf: Any) -> None:
    for _ in range(6):
        world.add_flow("add add")
    out = jf("job list --sort db_id").stdout
    assert column_of(out) == [str(number) for number in range(12, 0, -1)]
    assert column_of(jf("job list --sort db_id -revs -m 3").stdout) == ["1", "2", "3"]


def test_limit_is_mentioned(world: Any, jf: Any) -> None:
    world.add_flow("a b c")
    jf("job list -m 2", required_out="limited by the maximum selected: 2")
    jf("job list -m 0", excluded_out="limited by")
    assert len(column_of(jf("job list -m 2").stdout)) == 2


def test_suggestions_can_be_turned_off(world: Any, jf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import jobflow_remote

    world.add_flow("a b c")
    monkeypatch.setattr(jobflow_remote.SETTINGS, "cli_suggestions", False)
    jf("job list -m 2", excluded_out="limited by")


@pytest.fixture
def varied(world: Any) -> Any:
    """ids: 1 COMPLETED add, 2 FAILED divide, 3 RUNNING relax on cluster… each in a flow of its own."""
    world.flows = {}
    for name, state in (
        ("add", JobState.COMPLETED),
        ("divide", JobState.FAILED),
        ("relax 1", JobState.RUNNING),
    ):
        flow, (uuid,) = world.add_flow(name.replace(" ", "_"), metadata={"tag": name})
        world.run_job(uuid, state)
        world.flows[name] = (flow, uuid)
    flow, _ = world.add_flow("wait", worker="cluster")
    world.flows["wait"] = (flow, "")
    return world


def ids(result: Any) -> list[str]:
    return sorted(column_of(result.stdout))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-did 1 -did 3", ["1", "3"]),
        ("-s COMPLETED", ["1"]),
        ("-s completed -s READY", ["1", "4"]),
        ("-e", ["2"]),
        ("-run", ["3"]),
        ("-e -run", ["2", "3"]),
        ("-n add", ["1"]),
        ("-n rel*", ["3"]),
        ("-wk cluster", ["4"]),
        ("-meta tag=divide", ["2"]),
        ("-q state=FAILED", ["2"]),
        ("--locked", ["3"]),
        ("-ds 1", ["1", "2", "3", "4"]),
        ("-hs 1 -s READY", ["4"]),
        ("-sdate 2015-01-01", ["1", "2", "3", "4"]),
        ("-edate 2015-01-01", []),
        ("-lf 1", ["4"]),
        ("-lf 2", ["3", "4"]),
    ],
)
def test_criteria(varied: Any, jf: Any, words: str, expected: list[str]) -> None:
    assert ids(jf(f"job list {words}")) == expected


def test_query_takes_json(varied: Any, jf: Any) -> None:
    query = json.dumps({"job.name": {"$in": ["add", "divide"]}})
    assert ids(jf("job list -q", query)) == ["1", "2"]
    jf("job list -s READY -q state=FAILED", error=True, required_out="both constrain state")
    jf("job list -q", '{"state": {"$frob": 1}}', error=True, required_out="$frob")


def test_flow_ids_may_be_any_id(varied: Any, jf: Any) -> None:
    flow, uuid = varied.flows["divide"]
    for identifier in (flow, flow[:9], uuid, "2"):
        assert ids(jf(f"job list -fid {identifier}")) == ["2"]
    jf("job list -fid 77", error=True, required_out="77")


def test_job_ids_need_an_index(varied: Any, jf: Any) -> None:
    _, uuid = varied.flows["add"]
    assert ids(jf(f"job list -jid {uuid}:1")) == ["1"]
    assert ids(jf(f"job list -jid {uuid[:10]}:1")) == ["1"]
    assert ids(jf(f"job list -jid {uuid}:2")) == []
    assert jf(f"job list -jid {uuid}", error=True).exit_code == 2


def test_run_finished_is_terminated(world: Any, jf: Any) -> None:
    _, (uuid,) = world.add_flow()
    world.run_job(uuid, JobState.RUNNING)
    world.change(uuid, JobState.TERMINATED)
    assert ids(jf("job list -s RUN_FINISHED")) == ["1"]
    assert ids(jf("job list -s TERMINATED")) == ["1"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("-ds 1 -hs 1", 1),
        ("-sdate 2020-01-01 -ds 1", 1),
        ("-edate 2020-01-01 -hs 1", 1),
        ("-sdate someday", 2),
        ("-s SLEEPING", 2),
        ("-lf 0", 2),
        ("-m few", 2),
        ("--sort size", 2),
        ("-meta tag", 2),
        ("--frobnicate", 2),
    ],
)
def test_refused_options(world: Any, jf: Any, words: str, code: int) -> None:
    assert jf(f"job list {words}", error=True).exit_code == code


def test_latest_flow_excludes_flow_id(varied: Any, jf: Any) -> None:
    assert jf("job list -lf 1 -fid 2", error=True).exit_code == 2


def test_count(varied: Any, jf: Any) -> None:
    jf("job list --count", required_out="Number of jobs: 4")
    jf("job list --count -e", required_out="Number of jobs: 1")
    assert json.loads(jf("job list --count --json").stdout) == {"count": 4}


def test_json_is_alone_on_stdout(varied: Any, jf: Any) -> None:
    result = jf("job list --json --sort db_id -revs")
    rows = json.loads(result.stdout)
    assert "The selected project is" in result.stderr
    assert [row["db_id"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[1] == {
        "uuid": varied.flows["divide"][1],
        "index": 1,
        "db_id": "2",
        "name": "divide",
        "state": "FAILED",
        "worker": "local_shell",
        "last_updated": rows[1]["last_updated"],
    }
    assert rows[1]["last_updated"].endswith("+00:00")
    verbose = json.loads(jf("job list --json -vv -did 1").stdout)[0]
    assert verbose["queue_id"] == "4242"
    assert verbose["run_time"] == 5400
    assert verbose["metadata"] == {"tag": "add"}


def test_errors_and_retries_are_coloured(world: Any, jf: Any) -> None:
    _, (failed,) = world.add_flow()
    world.run_job(failed, JobState.FAILED)
    _, (later,) = world.add_flow()
    world.run_job(later, JobState.DOWNLOADED)
    world.change(later, JobState.DOWNLOADED, remote__retry_time_limit=utcnow() + timedelta(minutes=5))
    jf(
        "job list",
        cli_env={"TERM": "xterm-256color", "COLORTERM": ""},
        required_out_colored=["\x1b[1;31mFAILED", "\x1b[1;38;5;214mDOWNLOADED"],
        required_out=["will be tried again", "jf job info"],
    )


def test_names_of_a_flow_share_a_colour(world: Any, jf: Any) -> None:
    world.add_flow("one two")
    world.add_flow("three")
    printed = jf("job list -col --sort db_id -revs", required_out_colored="one").stdout
    colors = {name: color for color, name in re.findall(r"\x1b\[(\d+)m(one|two|three)", printed)}
    assert colors["one"] == colors["two"] != colors["three"]


def test_listing_reads_no_heads(varied: Any, jf: Any) -> None:
    """The default listing must be answered from columns alone: documents may be large."""
    from jobflow_remote.cli.columns import choose_job_columns, job_fields
    from jobflow_remote.queuedb.sqlite.schema import JOB_COLUMNS

    assert set(job_fields(choose_job_columns(names=None, verbosity=1))) <= set(JOB_COLUMNS)
