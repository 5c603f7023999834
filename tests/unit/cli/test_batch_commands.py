"""``jf batch``: scheduler jobs of batch workers, as their documents tell."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from jobflow_remote import JobController
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.states import BatchState

UIDS = ("aaaaaa11-0000-4000-8000-000000000001", "bbbbbb22-0000-4000-8000-000000000002")
BATCH_WORKER = """\
  pilots:
    type: local
    scheduler_type: slurm
    work_dir: /run
    max_jobs: 2
    batch: {jobs_handle_dir: /handles, work_dir: /pilots}
"""


@pytest.fixture
def batches(world: Any) -> Any:
    """Two batches, one of which is over, and a job that the other one runs."""
    text = world.file.read_text().replace("queue:\n", BATCH_WORKER + "queue:\n")
    world.file.write_text(text)
    world.old_enough()
    _, (uuid,) = world.add_flow()
    now = utcnow()
    common = {
        "worker": "pilots",
        "created_on": now,
        "start_time": None,
        "end_time": None,
        "last_ping_time": None,
    }
    running = {"batch_uid": UIDS[0], "process_id": "77", "batch_state": "RUNNING", "jobs": [["1", uuid, 1]]}
    over = {"batch_uid": UIDS[1], "process_id": "78", "batch_state": "FINISHED", "jobs": []}
    world.queue.load(
        "batches",
        [
            {**common, **running, "updated_on": now},
            {**common, **over, "updated_on": now - timedelta(hours=1)},
        ],
    )
    world.uuid = uuid
    return world


def uids(jf: Any, words: str) -> list[str]:
    return [batch["batch_uid"] for batch in json.loads(jf(f"batch list --json {words}").stdout)]


def test_listing(batches: Any, jf: Any) -> None:
    jf("batch list", required_out=["Process ID", "77", UIDS[0], "pilots", f"/pilots/aa/aa/aa/{UIDS[0]}", "RUNNING"],
       excluded_out=batches.uuid)  # fmt: skip
    jf("batch list -v", required_out=[f"1 {batches.uuid} (1)", "Last updated [UTC]"])
    jf("batch list -m 1", required_out="limited by the maximum selected: 1", excluded_out="78")
    assert uids(jf, "") == list(UIDS)
    assert uids(jf, "-s FINISHED") == [UIDS[1]]
    assert uids(jf, "-wk other") == []
    assert uids(jf, "-did 1") == uids(jf, f"-jid {batches.uuid}:1") == [UIDS[0]]
    assert uids(jf, f"-did {batches.uuid[:8]}") == [UIDS[0]]
    jf("batch list -s SUBMITTED", required_out="No batch matches")


def test_information(batches: Any, jf: Any) -> None:
    for identifier in ("77", UIDS[0], "aaaaaa"):
        jf(
            f"batch info {identifier}",
            required_out=[f"batch_uid = '{UIDS[0]}'", "process_folder = '/pilots/"],
        )
    assert json.loads(jf("batch info 78 --json").stdout)["batch_state"] == "FINISHED"
    assert jf("batch info 99", error=True, required_out="no batch has the id 99").exit_code == 1
    batches.queue.load(
        "batches", [{**batches.queue.find_batches({"process_id": "78"})[0], "process_id": "77"}]
    )
    jf("batch info 77", error=True, required_out=["means several batches", *UIDS])


def test_deleting(batches: Any, jf: Any) -> None:
    jf("batch delete", cli_input="n\n", required_out="This will forget 1 batch(es): 78")
    assert uids(jf, "") == list(UIDS)
    jf("batch delete -y", required_out="Deleted 1 batch(es)")
    assert uids(jf, "") == [UIDS[0]]
    jf("batch delete -y", required_out="No batch matches")
    jf("batch delete -s RUNNING -pid 77 -y", required_out=["may still run", "Deleted 1"])
    assert uids(jf, "") == []
    assert json.loads(jf("batch delete --json").stdout) == {"deleted": []}


def test_repair_of_early_documents(batches: Any, jf: Any) -> None:
    (batch,) = batches.queue.find_batches({"batch_uid": UIDS[0]})
    batches.queue.load("batches", [{**batch, "jobs": {}}])
    jf("batch fix-batch-doc-jobs-dict", required_out="1 batch(es) repaired")
    assert batches.queue.find_batches({"batch_uid": UIDS[0]})[0]["jobs"] == []


def test_batches_by_the_names_of_1_0_1(batches: Any) -> None:
    with JobController.from_project_name() as controller:
        assert [batch.batch_uid for batch in controller.get_batches()] == list(UIDS)
        (batch,) = controller.get_batches(process_id="77", batch_state=BatchState.RUNNING)
        assert batch.jobs == [("1", batches.uuid, 1)]
        assert controller.count_batches(worker="pilots") == 2
        assert controller.count_batches(job_ids=(batches.uuid, 1), db_ids=["1"]) == 1
        assert controller.get_batch_process_id(UIDS[0]) == ("77", "pilots")
        with pytest.raises(ValueError, match="no batch"):
            controller.get_batch_process_id("nothing")
        assert [each.process_id for each in controller.get_batches(sort=[("process_id", -1)], limit=1)] == [
            "78"
        ]
        assert controller.delete_batches(batch_state=BatchState.FINISHED) == 1
        assert controller.fix_batch_doc_jobs() == 0
        assert controller.count_batches() == 1


def test_live_use_of_pilots_is_shown() -> None:
    from datetime import UTC, datetime

    from jobflow_remote.control.batches import Usage, usage_of

    now = datetime(2026, 3, 1, 12, 0)
    seconds = now.replace(tzinfo=UTC).timestamp()
    told = {
        "started": seconds - 100, "now": seconds, "cores": 4, "busy_seconds": 300.0, "done": 7, "queued": 2,
        "ends_at": seconds + 3600,
    }  # fmt: skip
    batch = {"batch_uid": "a", "batch_state": "RUNNING", "jobs": [["1", "u", 1]], "told": told}
    assert usage_of(batch, now=now) == Usage(running=1, done=7, queued=2, in_use=0.75, seconds_left=3600.0)
    assert usage_of({**batch, "told": {}}, now=now) is None
    ended = usage_of({**batch, "batch_state": "FINISHED", "jobs": []}, now=now)
    assert ended == Usage(running=0, done=7, queued=0, in_use=0.75, seconds_left=None)
