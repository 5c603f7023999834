from __future__ import annotations

from pathlib import Path

import pytest
from jobflow import Flow, job
from qtoolkit.core.data_objects import QResources

from jobflow_remote.config.base import ExecutionConfig
from jobflow_remote.config.jobconfig import set_run_config


@job
def add(a: int, b: int) -> int:
    return a + b


@job
def multiply(a: int, b: int) -> int:
    return a * b


def make_flow() -> Flow:
    first = add(1, 2)
    return Flow([first, multiply(first.output, 3)])


def managers(flow: Flow) -> list[dict[str, object]]:
    return [each.config.manager_config for each in flow.jobs]


def test_nothing_given_changes_nothing() -> None:
    flow = make_flow()
    assert set_run_config(flow) is flow
    assert managers(flow) == [{}, {}]
    assert flow.jobs[0].config_updates == []


def test_everything() -> None:
    flow = make_flow()
    config = ExecutionConfig(modules=["m"])
    assert set_run_config(flow, worker="w", priority=0, resources={"nodes": 2}, exec_config=config) is flow
    expected = {"worker": "w", "priority": 0, "resources": {"nodes": 2}, "exec_config": {"modules": ["m"]}}
    assert managers(flow) == [expected, expected]


def test_what_is_not_given_stays() -> None:
    flow = set_run_config(make_flow(), worker="w", exec_config="e")
    set_run_config(flow, worker="x")
    assert managers(flow) == [{"worker": "x", "exec_config": "e"}] * 2
    set_run_config(flow, priority=3, overwrite=True)
    assert managers(flow) == [{"priority": 3}] * 2


def test_filters() -> None:
    flow = set_run_config(make_flow(), worker="w", name_filter="mult")
    assert managers(flow) == [{}, {"worker": "w"}]
    flow = set_run_config(make_flow(), worker="w", function_filter=add)
    assert managers(flow) == [{"worker": "w"}, {}]


@pytest.mark.parametrize("dynamic", [True, False])
def test_jobs_made_at_run_time(dynamic: bool) -> None:
    single = set_run_config(add(1, 2), worker="w", dynamic=dynamic)
    assert len(single.config_updates) == int(dynamic)


def test_resources_of_qtoolkit_and_none_at_all() -> None:
    resources = QResources(processes=4)
    single = set_run_config(add(1, 2), resources=resources)
    assert single.config.manager_config["resources"] == resources
    assert set_run_config(add(1, 2), resources={}).config.manager_config == {"resources": {}}


def test_a_flow_survives_serialisation() -> None:
    flow = set_run_config(make_flow(), exec_config=ExecutionConfig(export={"A": 1}), worker="w")
    again = Flow.from_dict(flow.as_dict())
    assert managers(again) == managers(flow)


def test_the_names_at_the_top(projects_folder: Path) -> None:
    import jobflow_remote

    assert jobflow_remote.set_run_config is set_run_config
