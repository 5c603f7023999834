"""Which jobs of a local worker are forked, and why the others are not."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.config.base import ExecutionConfig
from jobflow_remote.config.project import Project
from jobflow_remote.config.workers import LocalWorker
from jobflow_remote.engine.launching import make_recipe, why_not_forked
from jobflow_remote.model.records import JobRecord, new_job_document
from jobflow_remote.schedulers.script import DEFAULT_COMMAND

CORES = len(os.sched_getaffinity(0))


def worker(**more: Any) -> LocalWorker:
    return LocalWorker(scheduler_type="shell", work_dir=Path("/runs"), **more)


def record(attempt: str = "a") -> JobRecord:
    document = new_job_document(
        {"uuid": "u", "index": 1},
        flow_uuid="f",
        worker="here",
        parents=(),
        now=datetime(2026, 1, 1),
        who="me",
    )
    return JobRecord.from_document(document | {"db_id": "1", "db_number": 1, "attempt": attempt})


def reason(
    config: LocalWorker | None = None, resources: Any = None, attempt: str = "a", **execution: Any
) -> str:
    found = why_not_forked(config or worker(), record(attempt), ExecutionConfig(**execution), resources or {})
    return found or ""


@pytest.mark.parametrize(
    ("execution", "words"),
    [
        ({}, ""),
        ({"export": {"A": "b/c:d", "N": 3}}, ""),
        ({"export": {"A": "$HOME/x"}}, "a shell has to read"),
        ({"export": {"A": "two words"}}, "a shell has to read"),
        ({"export": {"PYTHONPATH": "/x"}}, "sets PYTHONPATH, which a process looks at when it starts"),
        ({"export": {"OMP_NUM_THREADS": 4}}, "sets OMP_NUM_THREADS"),
        ({"export": {"LD_LIBRARY_PATH": "/x"}}, "sets LD_LIBRARY_PATH"),
        ({"pre_run": "true"}, "has `pre_run`"),
        ({"post_run": "true"}, "has `post_run`"),
        ({"modules": ["gcc"]}, "has `modules`"),
    ],
)
def test_an_exec_config_that_needs_a_shell(execution: dict[str, Any], words: str) -> None:
    assert words in reason(**execution)
    assert bool(words) == bool(reason(**execution))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, ""),
        ({"execution_cmd": DEFAULT_COMMAND}, ""),
        ({"execution_cmd": "srun jf -fe execution run {}"}, "the worker has `execution_cmd`"),
        ({"pre_run": "module load x"}, "the worker has `pre_run`"),
        ({"pre_run": "cd /x", "post_run": "rm y"}, "the worker has `pre_run` and `post_run`"),
    ],
)
def test_a_worker_that_needs_a_shell(config: dict[str, Any], words: str) -> None:
    assert words in reason(worker(**config))
    assert bool(words) == bool(reason(worker(**config)))


def test_resources_that_are_lines_of_a_script() -> None:
    assert reason(resources={"job_name": "x"}) == ""
    assert reason(resources={"qverbatim": "x", "qout_path": "y"}) == "its resources have qout_path, qverbatim"


def test_a_job_that_an_older_release_prepared() -> None:
    assert "older release" in reason(attempt="old-1")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"scheduler_type": "slurm", "launch": "fork"}, "`launch: fork` is possible only where"),
        ({"launch": "script", "preload": ["numpy"]}, "`preload` is for jobs that are forked"),
        ({"launch": "script", "pin_cores": True}, "`pin_cores` is for jobs that are forked"),
        ({"launch": "spoon"}, "launch"),
        (
            {"launch": "fork", "batch": {"jobs_handle_dir": "/h", "work_dir": "/w"}},
            "`launch: fork` is possible only where",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(more: dict[str, Any], words: str) -> None:
    local = {"type": "local", "scheduler_type": "shell", "work_dir": "/runs", **more}
    with pytest.raises(ValueError, match=words):
        Project.model_validate({"name": "p", "workers": {"here": local}})


@pytest.mark.parametrize(("max_jobs", "threads"), [(None, "1"), (1, str(CORES)), (CORES * 4, "1"), (0, None)])
def test_threads_keep_to_the_share_of_a_job(
    monkeypatch: pytest.MonkeyPatch, max_jobs: int | None, threads: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert make_recipe(worker(max_jobs=max_jobs)).environment.get("OMP_NUM_THREADS") == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert make_recipe(worker(max_jobs=max_jobs)).environment == {}
