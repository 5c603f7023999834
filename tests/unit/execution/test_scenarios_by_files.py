"""Each scenario, run job by job through the files that travel, gives what ``run_locally`` gives."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from jobflow import Flow

from jobflow_remote.errors import MissingReferenceError
from jobflow_remote.execution.jobfields import serialise_job
from jobflow_remote.execution.run import run_job
from jobflow_remote.layout import run_folder
from jobflow_remote.model.decide.submission import GeneratedJob
from jobflow_remote.model.records import tolerates_missing
from jobflow_remote.outputs import jobfiles, references
from jobflow_remote.outputs.jobstore import OutputStore
from jobflow_remote.testing.scenarios import SCENARIOS, compare_stores, run_reference


class OneByOne:
    """Runs jobs in the order in which ``run_locally`` does, each in a folder of its own."""

    def __init__(self, store: OutputStore, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.failed: set[str] = set()
        self.stopped: set[str] = set()
        self.all_stopped = False

    def run(self, jobs: Iterable[GeneratedJob]) -> None:
        for new in jobs:
            if self.all_stopped:
                return
            uuid = new.job["uuid"]
            if self.stopped & set(new.parents):
                self.stopped.add(uuid)
            elif self.failed & set(new.parents) and not tolerates_missing(new.job):
                self.failed.add(uuid)
            else:
                self.run_one(new.job)

    def run_one(self, job: dict[str, Any]) -> None:
        folder = Path(run_folder(str(self.folder), job["uuid"], job["index"]))
        folder.mkdir(parents=True)
        document = {"job": job, "uuid": job["uuid"], "index": job["index"], "db_id": "7"}
        resolved = references.resolve_job(job, self.store)
        (folder / "jfremote_in.json").write_bytes(
            jobfiles.render_input(document, job=resolved, store_names=self.store.store_names, attempt="a1")
        )
        assert run_job(folder) == 0
        result = jobfiles.read_result(folder, attempt="a1")
        assert result is not None
        if result.response is None:
            self.failed.add(job["uuid"])
            return
        self.store.store_output(*jobfiles.read_output_documents(folder), db_id="7")
        if result.response.stop_children:
            self.stopped.add(job["uuid"])
        self.all_stopped = result.response.stop_jobflow
        for jobs in (result.response.replace, result.response.detour, result.response.addition):
            self.run(jobs)


def run_by_files(flow: Flow, store: OutputStore, folder: Path) -> None:
    OneByOne(store, folder).run(
        [GeneratedJob(serialise_job(job), tuple(parents)) for job, parents in flow.iterflow()]
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_same_as_run_locally(name: str, tmp_path: Path) -> None:
    flow = SCENARIOS[name]()
    store = OutputStore.from_spec(
        {
            "docs_store": {"type": "SQLiteStore", "path": str(tmp_path / "outputs.db")},
            "additional_stores": {"data": {"type": "SQLiteStore", "path": str(tmp_path / "blobs.db")}},
        }
    )
    reference = run_reference(flow)
    run_by_files(flow, store, tmp_path / "work")
    assert compare_stores(reference, store.jobstore, flow) == []
    assert store.jobstore.count() > 0
    store.close()


def test_nested_flows_keep_their_names(tmp_path: Path) -> None:
    """Jobs know the uuids of the flows they are in; what these are called has to travel too."""
    from jobflow_remote.testing.jobs import add, create_detour

    inner = Flow([add(1, 2)], name="strain")
    job = create_detour(Flow([inner], name="elastic"))
    (folder := tmp_path / "run").mkdir()
    document = {"job": serialise_job(job), "uuid": job.uuid, "index": 1, "db_id": "7"}
    text = jobfiles.render_input(document, job=document["job"], store_names=(), attempt="a1")
    (folder / "jfremote_in.json").write_bytes(text)
    assert run_job(folder) == 0
    result = jobfiles.read_result(folder)
    assert result is not None
    assert result.response is not None
    (new,) = result.response.detour
    assert [result.response.flow_names[host] for host in new.job["hosts"]] == ["strain", "elastic", "Flow"]


def test_a_missing_item_is_found_out_on_the_runner(tmp_path: Path) -> None:
    from jobflow_remote.testing.scenario_jobs import describe, value

    source = value({"here": 1})
    flow = Flow([source, describe(source.output["there"])])
    store = OutputStore.from_spec(
        {"docs_store": {"type": "SQLiteStore", "path": str(tmp_path / "outputs.db")}}
    )
    with pytest.raises(MissingReferenceError, match=r"\['there'\].*keys: here"):
        run_by_files(flow, store, tmp_path / "work")
    store.close()
