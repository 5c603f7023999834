from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobflow_remote.config import base
from jobflow_remote.config.base import (
    BatchConfig,
    ConnectionData,
    ExecutionConfig,
    LocalWorker,
    LogLevel,
    Project,
    QueueConfig,
    RemoteWorker,
    RunnerOptions,
    SeparatedTransferWorker,
)
from jobflow_remote.errors import CapabilityMissingError
from jobflow_remote.model.retry import RetryPolicy

LOCAL = {"type": "local", "scheduler_type": "shell", "work_dir": "/data/jobs"}


def local(**values: Any) -> LocalWorker:
    return LocalWorker.model_validate({**LOCAL, **values})


def remote(**values: Any) -> RemoteWorker:
    return RemoteWorker.model_validate(
        {"scheduler_type": "slurm", "work_dir": "/scratch", "host": "cluster", **values}
    )


def test_names_of_the_old_import_path() -> None:
    for name in base.__all__:
        assert getattr(base, name).__name__ if name not in {"WorkerConfig", "DEFAULT_JOBSTORE"} else True
    assert base.DEFAULT_JOBSTORE == {"docs_store": {"type": "MemoryStore"}}


def test_every_field_is_in_the_example(every_field: dict[str, Any]) -> None:
    example = every_field
    models: list[tuple[Any, dict[str, Any]]] = [
        (Project, example),
        (RunnerOptions, example["runner"]),
        (QueueConfig, example["queue"]),
        (ExecutionConfig, example["exec_config"]["gcc"]),
        (LocalWorker, example["workers"]["here"]),
        (BatchConfig, example["workers"]["here"]["batch"]),
        (RemoteWorker, {**example["workers"]["there"], "batch": None}),
        (SeparatedTransferWorker, {**example["workers"]["apart"], "batch": None}),
        (ConnectionData, {**example["workers"]["apart"]["transfer"], "gateway": None}),
    ]
    for model, values in models:
        assert set(model.model_fields) == set(values), model.__name__


def test_every_field_is_read(every_field: dict[str, Any]) -> None:
    example = every_field
    project = Project.model_validate(example)
    assert project.model_dump(mode="json", exclude_unset=True) == example


class TestRunnerOptions:
    def test_defaults(self) -> None:
        options = RunnerOptions()
        assert (options.delay_checkout, options.max_step_attempts) == (30, 3)
        assert options.unreachable_limit == 7 * 24 * 3600
        assert (options.lease_seconds, options.heartbeat_seconds) == (60, 5)

    @pytest.mark.parametrize(
        ("failure", "delay"), [(0, 30), (1, 30), (2, 300), (3, 1200), (4, 1200), (99, 1200)]
    )
    def test_delay_after_each_failure(self, failure: int, delay: float) -> None:
        assert RunnerOptions().get_delta_retry(failure) == delay

    def test_no_delays(self) -> None:
        assert RunnerOptions(delta_retry=()).get_delta_retry(1) == 0

    def test_retry_policy(self) -> None:
        policy = RunnerOptions(max_step_attempts=2, delta_retry=(1, 2)).retry_policy()
        assert policy == RetryPolicy(max_attempts=2, delays_seconds=(1, 2))

    @pytest.mark.parametrize(
        "values",
        [
            {"delay_checkout": -1},
            {"delay_ping_db": float("nan")},
            {"delay_update_batch": float("inf")},
            {"max_step_attempts": -1},
            {"delta_retry": (1, -1)},
            {"lock_timeout": -5},
            {"unreachable_limit": 0},
            {"lease_seconds": 8, "heartbeat_seconds": 5},
            {"heartbeat_seconds": 0},
            {"delay_chekout": 3},
        ],
    )
    def test_impossible_values(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            RunnerOptions.model_validate(values)

    def test_lock_timeout_may_be_absent(self) -> None:
        assert RunnerOptions(lock_timeout=None).lock_timeout is None


@pytest.mark.parametrize(
    ("name", "level"),
    [("error", logging.ERROR), ("warn", logging.WARNING), ("info", logging.INFO), ("debug", logging.DEBUG)],
)
def test_log_levels(name: str, level: int) -> None:
    assert LogLevel(name).to_logging() == level


class TestWorkers:
    @pytest.mark.parametrize(
        ("values", "word"),
        [
            ({"work_dir": "relative"}, "absolute"),
            ({"work_dir": "~/jobs"}, "absolute"),
            ({"scheduler_type": "slurn"}, "did you mean `slurm`"),
            ({"scheduler_type": {"@class": "SGEIO"}}, "@module"),
            ({"execution_cmd": "jf execution run"}, "{}"),
            ({"max_jobs": -1}, "greater"),
            ({"timeout_execute": 0}, "greater"),
            ({"delay_download": -1}, "greater"),
            ({"batch": {"jobs_handle_dir": "x", "work_dir": "/b"}}, "absolute"),
            ({"host": "h"}, "Extra inputs"),
        ],
    )
    def test_impossible_values(self, values: dict[str, Any], word: str) -> None:
        with pytest.raises(ValidationError) as caught:
            local(**values)
        assert word in str(caught.value)

    def test_kinds(self) -> None:
        batch = {"jobs_handle_dir": "/h", "work_dir": "/b"}
        assert (local().is_local, local().is_batch) == (True, False)
        assert (remote().is_local, remote(batch=batch).is_batch) == (False, True)

    def test_limits(self) -> None:
        batch = {"jobs_handle_dir": "/h", "work_dir": "/b"}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        assert local().job_limit == cores
        assert local(max_jobs=0).job_limit is None
        assert local(max_jobs=4).job_limit == 4
        assert remote().job_limit is None
        assert remote(batch=batch).job_limit == 1
        assert remote(batch=batch, max_jobs=0).job_limit == 0

    def test_schedulers(self) -> None:
        assert type(local().get_scheduler_io()).__name__ == "ShellIO"
        custom = {"@module": "qtoolkit.io.slurm", "@class": "SlurmIO", "get_job_executable": "scontrol"}
        worker = remote(scheduler_type=custom)
        assert worker.scheduler_name == "SlurmIO"
        assert type(worker.get_scheduler_io()).__name__ == "SlurmIO"

    def test_short_information(self) -> None:
        assert local(max_jobs=2).cli_info == {
            "scheduler_type": "shell",
            "work_dir": "/data/jobs",
            "max_jobs": 2,
        }
        assert remote().cli_info == {"host": "cluster", "scheduler_type": "slurm", "work_dir": "/scratch"}
        apart = SeparatedTransferWorker(
            host="cluster", scheduler_type="pbs", work_dir=Path("/s"), transfer=ConnectionData(host="mover")
        )
        assert apart.cli_info["transfer_host"] == "mover"

    def test_login(self) -> None:
        worker = remote(password="p", key_filename="k", connect_kwargs={"timeout": 3, "password": "other"})
        assert worker.get_connect_kwargs() == {"timeout": 3, "password": "p", "key_filename": "k"}
        gate = ConnectionData.model_validate({"host": "g", "passphrase": "x", "forward_agent": True})
        assert gate.get_connect_kwargs() == {"passphrase": "x"}

    def test_type_is_written_though_it_is_a_default(self) -> None:
        assert local().model_dump(exclude_unset=True)["type"] == "local"

    def test_passwords_are_not_shown(self, every_field: dict[str, Any]) -> None:
        values = every_field
        values["queue"]["store"] = {
            "type": "MongoURIStore",
            "uri": "mongodb://me:geheim-4@db/x",
            "password": "geheim-5",
        }
        project = Project.model_validate(values)
        assert "geheim" not in repr(project)
        assert "geheim" not in str(project)
        assert "geheim" not in repr(project.queue_spec())
        assert "mongodb://********@db/x" in repr(project)

    def test_passwords_are_not_in_errors(self) -> None:
        with pytest.raises(ValidationError) as caught:
            remote(password={"geheim": "geheim"})
        assert "geheim" not in str(caught.value)


class TestProject:
    def test_folders(self, projects_folder: Path) -> None:
        project = Project(name="p")
        assert project.base_dir == str(projects_folder / "p")
        assert project.tmp_dir == str(projects_folder / "p" / "tmp")
        assert project.log_dir == str(projects_folder / "p" / "log")
        assert project.daemon_dir == str(projects_folder / "p" / "daemon")
        moved = Project.model_validate({"name": "p", "base_dir": "/x", "log_dir": None})
        assert (moved.tmp_dir, moved.log_dir) == ("/x/tmp", "/x/log")
        assert Project(name="p", base_dir="~/x").base_dir == os.path.expanduser("~/x")

    @pytest.mark.parametrize("name", ["", "a/b", "..", "."])
    def test_names_that_are_no_folder(self, projects_folder: Path, name: str) -> None:
        with pytest.raises(ValidationError, match="folder"):
            Project(name=name)

    def test_relative_folders_are_refused(self, projects_folder: Path) -> None:
        with pytest.raises(ValidationError, match="absolute"):
            Project(name="p", base_dir="somewhere")

    def test_nothing_said_means_embedded(self, projects_folder: Path) -> None:
        project = Project(name="p")
        spec = project.queue_spec()
        assert (spec.kind, dict(spec.options)) == (
            "SQLiteStore",
            {"path": str(projects_folder / "p" / "queue.db")},
        )
        assert (spec.flows_collection, spec.auxiliary_collection) == ("flows", "jf_auxiliary")
        assert (spec.batches_collection, spec.db_id_prefix) == ("batches", "")
        outputs = project.jobstore_spec()
        assert outputs is not None
        assert outputs["docs_store"] == {
            "type": "SQLiteStore",
            "path": str(projects_folder / "p" / "outputs.db"),
            "collection_name": "outputs",
        }
        assert outputs["additional_stores"]["data"]["path"] == str(projects_folder / "p" / "outputs_blobs.db")

    def test_defaults_are_not_written(self, projects_folder: Path) -> None:
        assert Project(name="p").model_dump(exclude_unset=True) == {"name": "p"}

    def test_paths_of_embedded_databases(self, projects_folder: Path) -> None:
        project = Project.model_validate(
            {
                "name": "p",
                "base_dir": "/x",
                "queue": {"store": {"type": "SQLiteStore", "path": "sub/q.db", "journal": "delete"}},
                "jobstore": {"docs_store": {"type": "SQLiteStore"}},
            }
        )
        assert dict(project.queue_spec().options) == {"path": "/x/sub/q.db", "journal": "delete"}
        assert project.jobstore_spec() == {
            "docs_store": {"type": "SQLiteStore", "path": "/x/outputs.db"},
            "additional_stores": {},
        }

    def test_queue_in_mongodb(self, projects_folder: Path) -> None:
        plain = Project.model_validate(
            {"name": "p", "queue": {"store": {"type": "MongoStore", "database": "d"}}}
        )
        assert (plain.queue_spec().kind, dict(plain.queue_spec().options)) == (
            "MongoStore",
            {"database": "d"},
        )
        monty = {
            "@module": "maggma.stores.mongolike",
            "@class": "MongoStore",
            "@version": "1",
            "database": "d",
        }
        serialised = Project.model_validate({"name": "p", "queue": {"store": monty, "db_id_prefix": "x"}})
        assert serialised.queue_spec().kind == "MongoStore"
        assert dict(serialised.queue_spec().options) == {"database": "d"}
        assert serialised.queue_spec().db_id_prefix == "x"

    def test_older_name_of_the_jobstore(self, projects_folder: Path) -> None:
        store = {"docs_store": {"type": "MemoryStore"}}
        assert Project.model_validate({"name": "p", "JOB_STORE": store}).jobstore == store
        with pytest.raises(ValidationError, match="twice"):
            Project.model_validate({"name": "p", "JOB_STORE": store, "jobstore": store})

    def test_no_jobstore_at_all(self, projects_folder: Path) -> None:
        assert Project(name="p", jobstore={}).jobstore_spec() is None

    @pytest.mark.parametrize(
        ("jobstore", "words"),
        [
            ({"docs_stor": {"type": "MemoryStore"}}, "did you mean `docs_store`"),
            ({"additional_stores": {}}, "docs_store"),
            ({"docs_store": {"path": "x"}}, "type"),
            ({"docs_store": "MemoryStore"}, "mapping"),
            (
                {"docs_store": {"type": "MemoryStore"}, "additional_stores": {"data": {}}},
                "additional_stores.data",
            ),
            ({"@class": "JobStore"}, "@module"),
        ],
    )
    def test_jobstores_that_cannot_be(self, projects_folder: Path, jobstore: Any, words: str) -> None:
        with pytest.raises(ValidationError) as caught:
            Project(name="p", jobstore=jobstore)
        assert words in str(caught.value)
        with pytest.raises(ValidationError) as caught:
            Project(name="p", optional_jobstores={"second": jobstore})
        assert "second" in str(caught.value)

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ({"store": "json"}, "maggma_json"),
            ({"stor": "orjson"}, "did you mean `store`"),
            ({"store": {"@module": "m", "@class": "C"}}, "extension"),
        ],
    )
    def test_remote_jobstores_that_cannot_be(self, projects_folder: Path, spec: Any, words: str) -> None:
        with pytest.raises(ValidationError) as caught:
            Project(name="p", remote_jobstore=spec)
        assert words in str(caught.value)

    def test_optional_jobstores(self, projects_folder: Path) -> None:
        store = {"docs_store": {"type": "MemoryStore"}}
        project = Project(name="p", optional_jobstores={"second": store})
        assert project.jobstore_spec("second") == {**store, "additional_stores": {}}
        with pytest.raises(ValueError, match="second"):
            project.jobstore_spec("third")

    def test_batch_workers_of_one_host_need_folders_of_their_own(self, projects_folder: Path) -> None:
        batch = {"jobs_handle_dir": "/h", "work_dir": "/b"}
        with pytest.raises(ValidationError, match="jobs_handle_dir"):
            Project.model_validate(
                {"name": "p", "workers": {"a": LOCAL | {"batch": batch}, "b": LOCAL | {"batch": batch}}}
            )
        far = {"type": "remote", "host": "h", "scheduler_type": "slurm", "work_dir": "/w", "batch": batch}
        Project.model_validate({"name": "p", "workers": {"a": LOCAL | {"batch": batch}, "b": far}})

    def test_interactive_workers(self, projects_folder: Path) -> None:
        assert not Project(name="p", workers={"a": local(), "b": remote()}).has_interactive_workers
        assert Project(name="p", workers={"b": remote(interactive_login=True)}).has_interactive_workers

    def test_an_embedded_queue_is_no_maggma_store(self, projects_folder: Path) -> None:
        with pytest.raises(CapabilityMissingError, match="SQLiteStore"):
            Project(name="p").get_queue_store()
