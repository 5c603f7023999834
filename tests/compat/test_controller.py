"""JobController and the models of ``jobs.data`` on a real queue, with the calls that scripts make."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jobflow import Flow, Job

import jobflow_remote
from jobflow_remote import JobController, JobflowRemoteSettings, get_jobstore, submit_flow
from jobflow_remote.control.trends import get_trends, interval_starts
from jobflow_remote.errors import CapabilityMissingError, ConfigError
from jobflow_remote.jobs.data import DbCollection, FlowDoc, JobDoc, JobInfo
from jobflow_remote.jobs.state import FlowState, JobState
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.model.clock import utcnow
from jobflow_remote.testing import add

PROJECT = """\
name: compat
base_dir: {folder}/compat
workers:
  local_shell: {{type: local, scheduler_type: shell, work_dir: {folder}/run}}
  other: {{type: local, scheduler_type: shell, work_dir: {folder}/other}}
queue:
  store: {{type: SQLiteStore, path: {folder}/queue.sqlite}}
jobstore:
  docs_store: {{type: SQLiteStore, path: {folder}/outputs.sqlite}}
"""


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobController]:
    for name in list(os.environ):
        if name.upper().startswith("JFREMOTE_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "projects"
    folder.mkdir()
    (folder / "compat.yaml").write_text(PROJECT.format(folder=tmp_path))
    settings = JobflowRemoteSettings(projects_folder=str(folder), config_file=str(tmp_path / "none.yaml"))
    monkeypatch.setattr(jobflow_remote, "SETTINGS", settings, raising=False)
    with JobController.from_project_name() as opened:
        yield opened


def make_flow(name: str = "sums", **metadata: Any) -> Flow:
    first = add(1, 2)
    second = add(first.output, 3)
    second.name = "last sum"
    flow = Flow([first, second], name=name)
    flow.update_metadata(metadata)
    return flow


def end_job(controller: JobController, uuid: str, to: JobState) -> None:
    """As the runner would, in fewer steps."""
    job = controller.queue.get_job(uuid)
    assert job is not None
    change = JobChange(
        uuid=uuid, index=1, expect=frozenset({JobState(job["state"])}), to=to,
        fields={"start_time": utcnow() - timedelta(seconds=30), "end_time": utcnow(), "remote.process_id": "77"},
    )  # fmt: skip
    (result,) = controller.queue.apply([ChangeSet(flow_uuid=job["flow_uuid"], changes=(change,))])
    assert result.applied, result.refusal


def test_submitting_and_asking(controller: JobController) -> None:
    flow = make_flow(tag="x")
    ids = submit_flow(flow)
    assert ids == ["1", "2"]
    assert controller.add_flow(make_flow("more"), worker="other", priority=3) == ["3", "4"]
    first, second = (job.uuid for job in flow.jobs)

    info = controller.get_job_info(db_id="1")
    assert isinstance(info, JobInfo)
    assert (info.uuid, info.name, info.state, info.worker) == (first, "add", JobState.READY, "local_shell")
    assert (info.metadata, info.hosts, info.parents) == ({"tag": "x"}, [flow.uuid], [])
    assert info.run_time is None
    assert not info.is_locked
    assert controller.get_job_info(job_id=second) == controller.get_job_info(job_id=second, job_index=1)
    assert controller.get_job_info(db_id="99") is None
    for wrong in ({}, {"db_id": "1", "job_id": first}):
        with pytest.raises(ValueError, match="either db_id or job_id"):
            controller.get_job_info(**wrong)


def test_criteria_on_jobs(controller: JobController) -> None:
    flow = make_flow(tag="x")
    submit_flow(flow)
    submit_flow(make_flow("more"), worker="other")
    first, second = (job.uuid for job in flow.jobs)

    def ids(**criteria: Any) -> list[str]:
        found = controller.get_jobs_info(**criteria, sort=[("db_id", 1)])
        counted = controller.count_jobs(criteria.pop("custom_query", None), **criteria)
        assert counted == len(found)
        return [info.db_id for info in found]

    assert ids() == ["1", "2", "3", "4"]
    assert ids(job_ids=(first, 1)) == ["1"]
    assert ids(job_ids=[(first, 1), (second, 1), (second, 2)]) == ["1", "2"]
    assert ids(db_ids="3") == ["3"]
    assert ids(db_ids=["3", "1"]) == ["1", "3"]
    assert ids(flow_ids=flow.uuid) == ids(flow_ids=["2"]) == ["1", "2"]
    assert ids(flow_ids="77") == []
    assert ids(states=JobState.READY) == ["1", "3"]
    assert ids(states=[JobState.READY, JobState.WAITING], workers="other") == ["3", "4"]
    assert ids(name="last*") == ["2", "4"]
    assert ids(metadata={"tag": "x"}) == ["1", "2"]
    assert ids(custom_query={"priority": 0}, name="add") == ["1", "3"]
    assert ids(start_date=datetime.now() - timedelta(hours=1)) == ["1", "2", "3", "4"]
    assert ids(end_date=datetime.now() - timedelta(hours=1)) == []
    with pytest.raises(ValueError, match="state"):
        controller.get_jobs_info(custom_query={"state": "READY"}, states=JobState.READY)
    assert [info.db_id for info in controller.get_jobs_info(sort=[("db_id", -1)], limit=2, skip=1)] == [
        "3",
        "2",
    ]


def test_ids_sort_as_numbers(controller: JobController) -> None:
    controller.add_flow([add(number, 1) for number in range(11)], worker="local_shell")
    found = controller.get_jobs_info_query({}, sort=[("db_id", -1)])
    assert [info.db_id for info in found] == [str(number) for number in range(11, 0, -1)]


def test_documents_have_jobflow_jobs(controller: JobController) -> None:
    flow = make_flow()
    submit_flow(flow)
    document = controller.get_job_doc(db_id="2")
    assert isinstance(document, JobDoc)
    assert isinstance(document.job, Job)
    assert document.job.function_args[1] == 3
    assert document.job.function_args[0].uuid == flow.jobs[0].uuid
    assert document.parents == [flow.jobs[0].uuid]
    stored = controller.get_jobs({"db_id": "2"})[0]
    assert document.as_db_dict() == stored
    assert [doc.db_id for doc in controller.get_jobs_doc(db_ids=["1"])] == ["1"]


def test_raw_documents_and_projections(controller: JobController) -> None:
    flow = make_flow()
    submit_flow(flow)
    assert controller.get_jobs({"db_id": "1"}, projection=["state"]) == [{"state": "READY"}]
    assert controller.get_jobs({"db_id": "1"}, projection={"state": 1, "_id": 0}) == [{"state": "READY"}]
    assert "job" not in controller.get_jobs({"db_id": "1"}, projection={"job": 0})[0]
    by_flow = controller.get_jobs_info_by_flow_uuid(flow.uuid, projection=["db_id"])
    assert sorted(job["db_id"] for job in by_flow) == ["1", "2"]
    one = controller.get_job_info_by_job_uuid(flow.jobs[0].uuid, projection=["db_id", "index"])
    assert one == {"db_id": "1", "index": 1}
    assert controller.get_job_info_by_job_uuid(flow.jobs[0].uuid, 2) is None
    assert controller.get_job_uuids([flow.uuid]) == [job.uuid for job in flow.jobs]


def test_filters_for_one_document(controller: JobController) -> None:
    flow = make_flow()
    submit_flow(flow)
    uuid = flow.jobs[1].uuid
    assert controller.generate_job_id_query(job_id=uuid) == ({"uuid": uuid}, [("index", -1)])
    for ids in ({"db_id": "2"}, {"job_id": uuid}, {"flow_id": flow.uuid}):
        query = JobController.generate_flow_id_query(**ids)
        assert [found["uuid"] for found in controller.get_flow_jobs_data(query)] == [flow.uuid]
    with pytest.raises(ValueError, match="exactly one"):
        controller.generate_flow_id_query()


def test_flows(controller: JobController) -> None:
    flow, other = make_flow(tag="x"), make_flow("more")
    submit_flow(flow)
    submit_flow(other, worker="other")

    def names(**criteria: Any) -> list[str]:
        found = controller.get_flows_info(**criteria, sort=[("created_on", 1), ("db_id", 1)])
        assert controller.count_flows(**criteria) == len(found)
        return [info.name for info in found]

    assert names() == ["sums", "more"]
    assert names(flow_ids=other.uuid) == names(db_ids="3") == names(job_ids=[other.jobs[1].uuid]) == ["more"]
    assert names(flow_ids=[flow.uuid], db_ids="3") == []
    assert names(name="s*") == ["sums"]
    assert names(states=FlowState.READY) == ["sums", "more"]
    assert names(states=[FlowState.COMPLETED]) == []
    assert controller.count_flows(query={"name": "more"}) == 1
    assert controller.get_flow_store(flow.uuid) is None
    with pytest.raises(ValueError, match="there is no flow"):
        controller.get_flow_store("77")


def test_flow_info_with_and_without_jobs(controller: JobController) -> None:
    flow = make_flow()
    submit_flow(flow)
    first, second = (job.uuid for job in flow.jobs)
    (brief,) = controller.get_flows_info()
    assert (brief.db_ids, brief.job_ids, brief.job_indexes) == (["1", "2"], [first, second], [1, 1])
    assert brief.workers == brief.job_states == []
    (whole,) = controller.get_flows_info(with_jobs_info=True)
    assert whole.job_states == [JobState.READY, JobState.WAITING]
    assert (whole.job_names, whole.workers) == (["add", "last sum"], ["local_shell"] * 2)
    assert whole.parents == [[], [first]]
    assert whole.ids_mapping == {first: {1: "1"}, second: {1: "2"}}
    assert whole.jobs_info is not None
    assert [prop["name"] for prop in whole.iter_job_prop()] == ["add", "last sum"]
    (backwards,) = controller.get_flows_info(with_jobs_info=True, jobs_sort=[("db_id", -1)])
    assert backwards.db_ids == ["2", "1"]


def test_flow_documents(controller: JobController) -> None:
    flow = make_flow()
    submit_flow(flow)
    first, second = (job.uuid for job in flow.jobs)
    raw = controller.get_flow_info_by_job_uuid(second)
    assert raw is not None
    assert raw == controller.get_flow_info_by_flow_uuid(flow.uuid)
    document = FlowDoc.model_validate(raw)
    assert document.children == {first: [(second, 1)]}
    assert document.descendants(first) == [(second, 1)]
    assert document.int_index_parents[second] == {1: [first]}
    assert document.ids_mapping == {first: {1: "1"}, second: {1: "2"}}
    assert document.as_db_dict().items() <= raw.items()
    (joined,) = controller.get_flow_job_aggreg(
        {"uuid": flow.uuid}, projection_flow=["name"], projection_job=["state"]
    )
    assert joined["name"] == "sums"
    assert [job["state"] for job in joined["jobs_list"]] == ["READY", "WAITING"]


def test_ends_of_jobs(controller: JobController) -> None:
    flow = make_flow()
    submit_flow(flow)
    end_job(controller, flow.jobs[0].uuid, JobState.FAILED)
    info = controller.get_job_info_by_pid(77)
    assert info is not None
    assert info.db_id == "1"
    assert info.run_time == pytest.approx(30, abs=1)
    assert info.estimated_run_time is not None
    counted = controller.count_jobs_states([JobState.FAILED, JobState.WAITING, JobState.PAUSED])
    assert counted == {JobState.FAILED: 1, JobState.WAITING: 1, JobState.PAUSED: 0}
    assert controller.count_jobs_states([JobState.FAILED], worker="other") == {JobState.FAILED: 0}
    assert controller.count_flows_states([FlowState.FAILED]) == {FlowState.FAILED: 1}
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    trends = controller.get_trends([JobState.FAILED, JobState.COMPLETED])
    assert list(trends)[-1] == today
    assert trends[today] == {"FAILED": 1, "COMPLETED": 0}
    assert controller.get_trends([FlowState.FAILED], "weeks", 2)[datetime.now(UTC).strftime("%G-%V")] == {
        "FAILED": 1
    }


def test_outputs(controller: JobController) -> None:
    flow = make_flow()
    submit_flow(flow)
    with pytest.raises(ValueError, match="has no output"):
        controller.get_job_output(db_id="1")
    with pytest.raises(ValueError, match="no job 99"):
        controller.get_job_output(db_id="99")
    store = get_jobstore()
    store.connect()
    uuid = flow.jobs[0].uuid
    store.update({"uuid": uuid, "index": 1, "output": 0, "metadata": {}, "hosts": [], "name": "add"})
    store.close()
    assert controller.get_job_output(db_id="1") == controller.get_job_output(job_id=uuid, job_index=1) == 0
    assert controller.jobstore.query_one({"uuid": uuid})["output"] == 0


def test_what_only_mongodb_has(controller: JobController) -> None:
    for name in ("jobs", "flows", "auxiliary", "db"):
        with pytest.raises(CapabilityMissingError) as caught:
            getattr(controller, name)
        assert "get_jobs" in str(caught.value.hint)
    with pytest.raises(CapabilityMissingError):
        controller.get_collection(DbCollection.JOBS)
    with pytest.raises(CapabilityMissingError):
        JobController(object(), None)


def test_a_controller_of_a_bare_database(controller: JobController) -> None:
    bare = JobController(controller.queue, get_jobstore())
    assert bare.get_jobs_info() == []
    with pytest.raises(ConfigError, match="workers of a project"):
        bare.add_flow(make_flow(), worker="local_shell")


def test_resubmission_and_reset(controller: JobController) -> None:
    flow = make_flow()
    submit_flow(flow)
    with pytest.raises(ValueError, match=flow.uuid):
        submit_flow(flow)
    assert controller.get_running_runner() is None
    assert not controller.reset(max_limit=1)
    assert controller.count_flows() == 1
    assert controller.reset(max_limit=1, validation=datetime.now().strftime("%Y-%m-%d"))
    assert controller.count_flows() == 0
    assert submit_flow(make_flow()) == ["1", "2"]


def test_pings_of_runners(controller: JobController) -> None:
    assert controller.get_runner_pings() == []
    assert controller.ping_running_runner({"hostname": "here"}) == (False, [])
    is_registered, known = controller.ping_running_runner()
    assert (is_registered, [each["hostname"] for each in known]) == (False, ["here"])
    assert known[0]["time"] <= controller.get_runner_pings()[-1]["time"]
    for _ in range(60):
        controller.ping_running_runner()
    assert len(controller.get_runner_pings()) == 50
    controller.clean_runner_pings()
    assert controller.get_runner_pings() == []


def test_running_runner(controller: JobController) -> None:
    controller.queue.open_session({"hostname": "here", "user": "me"}, lease_seconds=60)
    runner = controller.get_running_runner()
    assert runner is not None
    assert (runner["hostname"], runner["user"]) == ("here", "me")
    controller.clean_running_runner()
    assert controller.get_running_runner() is None


@pytest.mark.parametrize(
    ("interval", "number", "first"),
    [
        ("hours", 3, "2025-03-30T01:00:00+01:00"),  # summer time began at 2:00
        ("days", 2, "2025-03-29T00:00:00+01:00"),
        ("weeks", 2, "2025-03-17T00:00:00+01:00"),
        ("months", 3, "2025-01-01T00:00:00+01:00"),
        ("years", 2, "2024-01-01T00:00:00+01:00"),
    ],
)
def test_beginnings_of_intervals(interval: str, number: int, first: str) -> None:
    from zoneinfo import ZoneInfo

    now = datetime(2025, 3, 30, 4, 30, tzinfo=ZoneInfo("Europe/Rome"))
    starts = interval_starts(interval, number, now=now)
    assert len(starts) == number
    assert starts[0].isoformat() == first


def test_unknown_interval(controller: JobController) -> None:
    from jobflow_remote.errors import JobflowRemoteError

    with pytest.raises(JobflowRemoteError, match="fortnights"):
        get_trends(controller.queue, [JobState.READY], interval="fortnights")
