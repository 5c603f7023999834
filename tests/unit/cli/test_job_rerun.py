"""``jf job rerun`` with all that can be changed in the same command, and what actions tell of each job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobflow_remote.model.states import JobState


@pytest.fixture
def chain(world: Any) -> Any:
    """ids 1 to 3 in a row; 1 and 2 are COMPLETED, 3 is READY."""
    world.flow, (world.a, world.b, world.c) = world.add_flow("add multiply divide")
    world.run_job(world.a)
    world.run_job(world.b)
    return world


def states(world: Any) -> dict[str, str]:
    return {job["db_id"]: job["state"] for job in world.queue.find_jobs({}, sort=[("db_number", 1)])}


def test_a_dry_run_lists_what_would_become_of_each_job(chain: Any, jf: Any) -> None:
    jf("job rerun 1", error=True, required_out=["cannot rerun job 1: it is COMPLETED", "--force"])
    jf(
        "job rerun 1 -f --dry-run",
        required_out=[
            "3 jobs would be modified",
            "1 add: rerun (COMPLETED → WAITING)",
            "2 multiply: wait again (COMPLETED → WAITING)",
            "3 divide: wait again (READY → WAITING)",
        ],
    )
    told = json.loads(jf("job rerun 1 -f --no-descendants --dry-run --json").stdout)
    assert told[0]["changed"] == ["1", "2", "3"]
    assert states(chain) == {"1": "COMPLETED", "2": "COMPLETED", "3": "READY"}


def test_the_children_only(chain: Any, jf: Any) -> None:
    chain.change(chain.c, JobState.COMPLETED)
    jf("job rerun 1 -f --no-descendants", required_out="2 jobs modified")
    assert states(chain) == {"1": "READY", "2": "WAITING", "3": "COMPLETED"}
    jf("job rerun 3 -f -v", required_out="3 divide: rerun (COMPLETED → WAITING)")
    assert states(chain)["3"] == "WAITING"
    assert chain.queue.check_integrity() == []


def test_everything_that_can_be_changed_with_it(chain: Any, jf: Any) -> None:
    jf(
        'job rerun 1 -f -si 1=40 --set-input x=text --set-input deep={"k":[1]} --priority 5',
        "--resources",
        "nodes=2,time=1:00",
        required_out="3 jobs modified",
    )
    job = chain.queue.get_job(chain.a, with_inputs=True)
    assert job["job"]["function_args"] == [0, 40]
    assert job["job"]["function_kwargs"] == {"x": "text", "deep": {"k": [1]}}
    assert (job["priority"], job["resources"]) == (5, {"nodes": 2, "time": "1:00"})
    jf("job rerun 2 -f --set-input 7=1", error=True, required_out="no positional argument 7: it has 0 to 1")
    jf("job rerun 2 -f --set-input 7", error=True, required_out="not NAME=VALUE")
    jf("job rerun 2 -f --to-worker nobody", error=True, required_out="no worker 'nobody'")
    jf("job rerun 2 -f --exec-config none", error=True, required_out="no exec_config 'none'")


def test_a_retry_with_other_resources(world: Any, jf: Any) -> None:
    _, (a,) = world.add_flow("add")
    world.change(a, JobState.REMOTE_ERROR, previous_state="UPLOADED", resources={"time": 1})
    jf("job retry 1 --to-worker nobody", error=True, required_out="no worker 'nobody'")
    jf("job retry 1 --exec-config none", error=True, required_out="no exec_config 'none'")
    jf("job retry 1 --resources nodes=2 --priority 4", required_out="1 jobs modified")
    job = world.queue.get_job(a)
    assert (job["state"], job["resources"], job["priority"]) == ("UPLOADED", {"time": 1, "nodes": 2}, 4)
    world.change(a, JobState.REMOTE_ERROR, previous_state="RUNNING")
    jf(
        "job retry 1 --resources nodes=4",
        error=True,
        required_out=["it was submitted already", "`jf job rerun 1` takes the same options"],
    )


def test_another_worker_gets_the_inputs_before_a_retry(world: Any, jf: Any) -> None:
    _, (a,) = world.add_flow("add")
    world.change(a, JobState.REMOTE_ERROR, previous_state="UPLOADED", worker="renamed")
    jf("job set worker local_shell -did 1", required_out="1 jobs modified")
    jf("job retry 1", required_out="1 jobs modified")
    job = world.queue.get_job(a)
    assert (job["state"], job["worker"]) == ("CHECKED_OUT", "local_shell")


def test_resources_are_merged_where_that_makes_sense(world: Any, jf: Any) -> None:
    world.add_flow("add")
    told = json.loads(jf("job set resources nodes=2 -did 1 --json").stdout)
    assert [outcome["changed"] for outcome in told] == [["1"]]
    jf("job set resources time=5 -did 1")
    (job,) = world.queue.find_jobs({})
    assert job["resources"] == {"nodes": 2, "time": 5}
    jf("job set resources processes=4 --qresources -did 1")
    (job,) = world.queue.find_jobs({})
    assert job["resources"]["@class"] == "QResources"
    jf(
        "job set resources ntasks=2 -did 1",
        error=True,
        required_out=["QResources, which has no ntasks", "--replace"],
    )
    jf("job set resources queue_name=long -did 1")
    (job,) = world.queue.find_jobs({})
    assert (job["resources"]["queue_name"], job["resources"]["processes"]) == ("long", 4)
    jf("job set resources nodes=2 --replace -did 1")
    assert world.queue.find_jobs({})[0]["resources"] == {"nodes": 2}
