"""A flow may not refer to jobs that are not in it, unless its owner says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobflow import Flow

from jobflow_remote.control.submit import submit_flow
from jobflow_remote.errors import NotFoundError
from jobflow_remote.outputs.references import referred_uuids
from jobflow_remote.testing import add

PROJECT = "name: test\nworkers:\n  local: {{type: local, scheduler_type: shell, work_dir: {folder}/runs}}\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jobflow_remote
    from jobflow_remote.config.settings import JobflowRemoteSettings

    monkeypatch.setenv("JFREMOTE_PROJECTS_FOLDER", str(tmp_path))
    monkeypatch.setattr(jobflow_remote, "SETTINGS", JobflowRemoteSettings(), raising=False)
    (tmp_path / "test.yaml").write_text(PROJECT.format(folder=tmp_path))


def test_a_reference_to_a_job_outside_is_refused_and_named() -> None:
    outside = add(1, 2)
    with pytest.raises(NotFoundError, match=outside.uuid) as caught:
        submit_flow(Flow([add(3, 4), add(outside.output, 1)]))
    assert isinstance(caught.value, ValueError)  # what jobflow-remote 1.0.1 raised


def test_a_reference_to_a_job_outside_can_be_allowed() -> None:
    outside = add(1, 2)
    submit_flow(outside)
    assert submit_flow(add(outside.output, 1), allow_external_references=True) == ["2"]


def test_references_inside_are_found_wherever_they_are() -> None:
    first, second = add(1, 2), add(3, 4)
    third = add({"deep": [first.output.some[0]]}, second.output)
    assert referred_uuids(third.as_dict()) == {first.uuid, second.uuid}
