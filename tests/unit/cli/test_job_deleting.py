"""``jf job delete``, ``jf flow set store`` and ``jf admin unlock…``, on a real queue database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.errors import CapabilityMissingError
from jobflow_remote.jobs.jobcontroller import JobController
from jobflow_remote.layout import IN_FILENAME, run_folder
from jobflow_remote.model.states import FlowState, JobState


@pytest.fixture
def chain(world: Any) -> Any:
    """ids 1 to 3 in a row, the first one COMPLETED."""
    world.flow, (world.a, world.b, world.c) = world.add_flow("add multiply divide")
    world.run_job(world.a)
    return world


def states(world: Any) -> dict[str, str]:
    return {job["db_id"]: job["state"] for job in world.queue.find_jobs({}, sort=[("db_number", 1)])}


def test_it_asks_with_number_and_names(chain: Any, jf: Any) -> None:
    jf("job delete -did 2 -did 3", cli_input="n\n", required_out="delete 2 job(s): 2 multiply, 3 divide.")
    jf(
        "job delete 2 --all",
        cli_input="n\n",
        required_out="1 job(s), their outputs and run folders: 2 multiply",
    )
    assert len(states(chain)) == 3
    jf("job delete 2 --dry-run", required_out=["Would delete 1 job(s): 2", "will not come: 3"])
    assert len(states(chain)) == 3


def test_jobs_that_need_the_output_are_stopped(chain: Any, jf: Any) -> None:
    jf("job delete 2 -y", required_out=["Deleted 1 job(s): 2", "that will not come: 3"])
    assert states(chain) == {"1": "COMPLETED", "3": "USER_STOPPED"}
    assert chain.job(chain.c)["history"][-1]["why"] == "job 2, whose output it needs, was deleted"
    assert chain.queue.find_flows({})[0]["state"] == "STOPPED"
    assert chain.queue.check_integrity() == []


def test_an_output_that_stays_is_enough(chain: Any, jf: Any) -> None:
    jf("job delete 1 -y", required_out="Deleted 1 job(s): 1", excluded_out="will not come")
    assert states(chain) == {"2": "READY", "3": "WAITING"}
    assert chain.queue.find_flows({})[0]["db_number"] == 2


def test_the_last_job_goes_with_its_flow(world: Any, jf: Any) -> None:
    world.add_flow("add")
    jf("job delete 1 -y", error=True, required_out=["only job of its flow", "jf flow delete -did 1"])


def test_some_may_refuse(world: Any, jf: Any) -> None:
    world.add_flow("add")
    world.add_flow("add multiply")
    done = json.loads(jf("job delete -y -did 1 -did 3 --json").stdout)
    assert done["deleted"] == ["3"]
    assert [bool(outcome["refusal"]) for outcome in done["outcomes"]] == [True, False]
    assert states(world) == {"1": "READY", "2": "READY"}


def test_too_many_at_once(world: Any, jf: Any) -> None:
    world.add_flow(" ".join(["add"] * 12))
    jf("job delete -y", error=True, required_out=["delete 12 jobs, more than 10", "--max 0"])
    jf("job delete -y -m 0 -n nothing", required_out="No job matches")


def test_folders_and_outputs_go_when_asked(chain: Any, jf: Any, tmp_path: Path) -> None:
    folder = Path(run_folder(str(tmp_path / "run"), chain.a, 1))
    folder.mkdir(parents=True)
    (folder / IN_FILENAME).write_text("{}")
    chain.change(chain.a, JobState.COMPLETED, run_dir=str(folder))
    with JobController.from_project_name("tutorial") as controller:
        assert controller.safe_delete_files(controller.get_jobs_info(db_ids="2")) == []
    jf("job delete 1 -a -y", required_out=["Removed 1 run folder(s)", "will not come: 2"])
    assert not folder.exists()


def test_the_store_of_a_flow_that_has_not_begun(world: Any, jf: Any) -> None:
    text = world.file.read_text()
    world.file.write_text(
        text
        + f"optional_jobstores:\n  other:\n    docs_store:\n      type: SQLiteStore\n      path: {world.folder}/o\n"
    )
    world.add_flow("add multiply")
    jf("flow set store 2 other", required_out="Outputs of the flow go to other")
    assert world.queue.find_flows({})[0]["jobstore"] == "other"
    jf("flow set store 1", required_out="the jobstore of the project")
    jf("flow set store 1 none", error=True, required_out=["no jobstore 'none'", "other"])
    world.run_job(world.queue.find_jobs({"db_id": "1"})[0]["uuid"])
    jf("flow set store 1 other", error=True, required_out="before its first job begins")
    assert world.queue.find_flows({})[0]["state"] == FlowState.RUNNING


def test_unlocking_says_what_it_did(world: Any, jf: Any) -> None:
    world.add_flow("add multiply", name="first")
    jf("admin unlock", error=True, required_out="No job is locked")
    jf("admin unlock-runner", required_out="No runner is recorded")
    (taken,) = world.queue.claim(world.session.token, worker="local_shell", limit=1)
    jf("admin unlock -y", required_out=["Released 1 job(s): 1", "takes them up again"])
    assert world.job(taken.uuid)["lock_id"] is None
    (again,) = world.queue.due(
        world.session.token, states=frozenset({JobState.CHECKED_OUT}), worker=None, limit=10
    )
    assert again.attempt == taken.attempt
    jf("admin unlock-runner", required_out="Nothing is locked. The runner of guido on elsewhere")
    jf("admin unlock-flow", error=True, required_out="never locks one")
    world.queue.change_flow(world.queue.find_flows({})[0]["uuid"], {"lock_id": "old"})
    jf("admin unlock-flow -y", required_out="Released 1 flow(s)")
    assert world.queue.find_flows({})[0]["lock_id"] is None


def test_all_flows_are_not_deleted_by_a_slip(world: Any, jf: Any) -> None:
    world.add_flow("add")
    world.add_flow("add")
    jf("flow delete -y", error=True, required_out=["no filter", "all 2 flows", "--max 0"])
    jf("flow delete -y -m 5")
    assert world.queue.count_flows({}) == 0


def test_the_same_from_python(chain: Any) -> None:
    with JobController.from_project_name("tutorial") as controller:
        with pytest.raises(ValueError, match="max_limit is 1"):
            controller.delete_jobs(db_ids=["1", "2"], max_limit=1)
        assert controller.set_job_doc_properties({"stored_data": {"x": 1}}, db_id="3") == "3"
        assert chain.job(chain.c)["stored_data"] == {"x": 1}
        with pytest.raises(ValueError, match="state"):
            controller.set_job_doc_properties({"state": "READY"}, db_id="3")
        with pytest.raises(ValueError, match="WAITING, not READY"):
            controller.set_job_doc_properties({"priority": 1}, db_id="3", acceptable_states=[JobState.READY])
        with pytest.raises(CapabilityMissingError):
            controller.set_job_doc_properties({"priority": 1}, db_id="3", use_pipeline=True)
        assert controller.unlock_runner() == (1, 0)
        assert controller.unlock_jobs(db_ids=["1", "2"]) == 0
        assert controller.unlock_flows() == 0
        assert controller.delete_job(db_id="3") == "3"
        assert controller.delete_jobs(flow_ids=chain.flow, raise_on_error=False) == ["1"]
        with pytest.raises(ValueError, match="only job"):
            controller.delete_job(db_id="2")
