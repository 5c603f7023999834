"""Every scenario through jobflow's own ``run_locally`` and through the runner: the same outputs, job by job."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobflow import JobStore, run_locally
from tests_home import Home

from jobflow_remote import get_jobstore, submit_flow
from jobflow_remote.outputs.sqlitestore import SQLiteStore
from jobflow_remote.testing.scenarios import SCENARIOS, compare_stores


def reference_store(folder: Path) -> JobStore:
    return JobStore(
        SQLiteStore(str(folder / "reference.db")),
        additional_stores={"data": SQLiteStore(str(folder / "reference_blobs.db"), collection_name="blobs")},
    )


@pytest.mark.timeout(900)
def test_outputs_equal_those_of_run_locally(
    home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home.jf("runner", "start")
    expected = reference_store(tmp_path)
    flows, submitted = {}, {}
    for name, make in SCENARIOS.items():
        flows[name] = make()
        submitted[name] = submit_flow(flows[name])
    for name in SCENARIOS:  # the same objects, so that uuids agree; by themselves while the runner works
        run_locally(flows[name], store=expected, log=False, root_dir=tmp_path)
    store = get_jobstore()
    store.connect()
    differences = {}
    for name, handle in submitted.items():
        handle.wait(300, progress=False)
        different = compare_stores(expected, store, flows[name])
        if different:
            differences[name] = different
    report = "\n".join(f"{name}: {line}" for name, lines in differences.items() for line in lines)
    assert not report, report
    with capfd.disabled():
        print(f"\n{len(SCENARIOS)} scenarios give the same outputs as run_locally")
