"""A project file is changed while the runner works: what is valid takes effect, what is not is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jobflow import Flow
from tests_home import Home, Wait

from jobflow_remote import JobController, submit_flow
from jobflow_remote.errors import ConfigError
from jobflow_remote.jobs.state import JobState
from jobflow_remote.testing import add, check_env_var

SECOND = """\
exec_config:
  marked: {export: {TESTING_ENV_VAR: marked}}
"""
WORKER = """\
max_jobs: 1
  second:
    type: local
    scheduler_type: shell
    work_dir: %s/second
    pre_run: export TESTING_ENV_VAR=second
"""


def configuration(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(home.jf("runner", "info", "--json").stdout)["configuration"]
    return found


def run_one(home: Home, **options: Any) -> tuple[Any, str]:
    """What a job returns, and the configuration that rendered it."""
    submitted = submit_flow(check_env_var(), **options)
    submitted.wait(60, progress=False)
    info = home.json("job", "info", submitted[0])
    assert info["state"] == "COMPLETED", (info, home.logs())
    return submitted.output(), info["remote"]["configuration"]


def test_a_changed_project_file(running_single: Home, wait_for: Wait) -> None:
    home = running_single
    file = home.folder / "test.yaml"
    _, first = run_one(home)
    assert configuration(home)["digest"] == first

    # a worker and an execution configuration are added: the next job can use them
    home.write_project(worker=WORKER % home.folder, more=SECOND)
    assert run_one(home, worker="second")[0] == "second"
    assert run_one(home, worker="local", exec_config="marked")[0] == "marked"

    # a worker is changed
    home.write_project(worker=(WORKER % home.folder).replace("=second", "=changed"), more=SECOND)
    output, second = run_one(home, worker="second")
    assert output == "changed"
    wait_for(lambda: configuration(home)["digest"] == second)
    assert second != first

    # a broken file: the runner goes on by the former one, and says so, whatever is wrong
    slow = [add(1, 1)]
    for _ in range(5):
        slow.append(add(slow[-1].output, 1))
    chain = submit_flow(Flow(slow), worker="second")
    controller = JobController.from_project_name()
    valid = file.read_text()
    for broken, words in (
        (valid.replace("work_dir", "work_dri"), "did you mean `work_dir`"),
        (valid + "queue: {store: {type: SQLiteStore, path: elsewhere.db}}\n", "jf runner restart"),
        ("name: test\nworkers: [", "line"),
    ):
        file.write_text(broken)
        wait_for(lambda words=words: words in str(configuration(home)["problem"]))  # type: ignore[misc]
        told = home.jf("runner", "info")
        assert words in told.stdout
        assert configuration(home)["digest"] == second
    with pytest.raises(ConfigError):
        submit_flow(add(1, 2))
    wait_for(lambda: controller.count_jobs(db_ids=list(chain), states=JobState.COMPLETED) == 6)
    controller.close()
    assert "is not used" in home.logs()

    # a valid one again; a worker that went takes no jobs any more
    home.write_project(more=SECOND)
    assert run_one(home, worker="local", exec_config="marked")[0] == "marked"
    wait_for(lambda: configuration(home)["problem"] is None)


def test_a_runner_of_a_broken_project_can_be_stopped(running_single: Home) -> None:
    running_single.jf("runner", "status")
    (running_single.folder / "test.yaml").write_text("name: test\nworkers: [")
    assert "running" in running_single.jf("runner", "status").stdout
    assert running_single.jf("runner", "start", check=False).returncode == 1
    running_single.jf("runner", "shutdown", "--wait")
    refused = running_single.jf("runner", "status", check=False)
    assert refused.returncode == 1
    assert "test.yaml" in refused.stderr
