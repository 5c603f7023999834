"""The examples in the docstrings of public names run, each on a copy of the same small project."""

from __future__ import annotations

import doctest
import inspect
import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from jobflow import Flow

import jobflow_remote
from jobflow_remote import ConfigManager, JobController, JobflowRemoteSettings, submit_flow
from jobflow_remote.jobs.daemon import DaemonManager
from jobflow_remote.jobs.data import DbCollection
from jobflow_remote.jobs.graph import get_graph, get_graph_elements, get_mermaid
from jobflow_remote.jobs.report import FlowsReport, JobsReport
from jobflow_remote.jobs.runner import Runner
from jobflow_remote.jobs.state import BatchState, FlowState, JobState
from jobflow_remote.testing import add, always_fails

CLASSES = (JobController, ConfigManager, DaemonManager)
FUNCTIONS = ("submit_flow", "set_run_config", "get_jobstore")
PROJECT = (
    "name: mine\nworkers:\n  local_shell: {{type: local, scheduler_type: shell, work_dir: {folder}/jobs}}\n"
)


def public_methods() -> Iterator[tuple[str, Any]]:
    """Methods and properties that are ours and public, with what carries their docstring."""
    for cls in CLASSES:
        for name in dir(cls):
            found = inspect.getattr_static(cls, name)
            owner = next(each for each in cls.__mro__ if name in vars(each))
            if name.startswith("_") or not owner.__module__.startswith("jobflow_remote."):
                continue
            function = getattr(found, "__func__", found)
            if inspect.isfunction(function):
                yield f"{cls.__name__}.{name}", function


def documented() -> dict[str, Any]:
    functions = {name: getattr(jobflow_remote, name) for name in FUNCTIONS}
    more = (JobsReport, FlowsReport, get_graph, get_graph_elements, get_mermaid)
    others = {each.__name__: each for each in more}
    return {**functions, **dict(public_methods()), **others, "Runner.run_all_jobs": Runner.run_all_jobs}


DOCUMENTED = documented()


def use(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("JFREMOTE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JFREMOTE_PROJECTS_FOLDER", str(folder))
    monkeypatch.setenv("JFREMOTE_CONFIG_FILE", str(folder / "settings.yaml"))
    monkeypatch.setattr(jobflow_remote, "SETTINGS", JobflowRemoteSettings(), raising=False)
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `docs/api.md` says of the project of the examples."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "mine.yaml").write_text(PROJECT.format(folder=folder))
    with pytest.MonkeyPatch.context() as monkeypatch:
        use(monkeypatch, folder)
        for name in ("sums", "more"):
            first = add(1, 2)
            submit_flow(Flow([first, add(first.output, 3)], name=name))
            if name == "sums":
                submit_flow(always_fails())
                Runner().run_all_jobs(max_seconds=60)
        with JobController.from_project_name() as jc:
            states = {job.db_id: job.state.value for job in jc.get_jobs_info(sort=[("db_id", 1)])}
        assert states == {
            "1": "COMPLETED", "2": "COMPLETED", "3": "FAILED", "4": "READY", "5": "WAITING",
        }  # fmt: skip
        yield folder


@pytest.fixture
def names(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    folder = tmp_path / "copy"
    shutil.copytree(prepared, folder)
    use(monkeypatch, folder)
    with JobController.from_project_name() as jc:
        yield {
            **{name: getattr(jobflow_remote, name) for name in jobflow_remote.__all__},
            "Flow": Flow, "add": add, "jc": jc, "JobState": JobState, "FlowState": FlowState, "Runner": Runner,
            "DaemonManager": DaemonManager, "DbCollection": DbCollection, "BatchState": BatchState,
            "JobsReport": JobsReport, "FlowsReport": FlowsReport, "get_graph": get_graph,
            "get_graph_elements": get_graph_elements, "get_mermaid": get_mermaid,
        }  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTED)
def test_example(name: str, names: dict[str, Any]) -> None:
    docstring = inspect.getdoc(DOCUMENTED[name]) or ""
    example = doctest.DocTestParser().get_doctest(docstring, names, name, None, None)
    assert example.examples, f"{name} has no example"
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=told.append)
    assert not runner.failures, "".join(told)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_are_explained(name: str) -> None:
    function = getattr(import_module("jobflow_remote"), name)
    docstring = inspect.getdoc(function) or ""
    for parameter in inspect.signature(function).parameters:
        assert parameter in docstring, f"{name}: {parameter}"
