"""Names and signatures of jobflow-remote 1.0.1 that scripts, notebooks and plug-ins import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

import jobflow_remote

NAMES = {
    "jobflow_remote": [
        "__version__", "set_run_config", "ConfigManager", "JobflowRemoteSettings", "JobController", "get_jobstore",
        "submit_flow", "SETTINGS",
    ],
    "jobflow_remote.config": [
        "ConfigError", "ConfigManager", "LocalWorker", "Project", "ProjectData", "RemoteWorker", "RunnerOptions",
    ],
    "jobflow_remote.config.base": [
        "RunnerOptions", "LogLevel", "BatchConfig", "WorkerBase", "LocalWorker", "ConnectionData",
        "BaseRemoteWorker", "RemoteWorker", "SeparatedTransferWorker", "WorkerConfig", "ExecutionConfig",
        "QueueConfig", "Project", "DEFAULT_JOBSTORE", "ConfigError", "ProjectUndefinedError", "ProjectParsingError",
    ],
    "jobflow_remote.config.manager": ["ConfigManager", "ProjectData", "WorkerData"],
    "jobflow_remote.config.settings": [
        "JobflowRemoteSettings", "DEFAULT_PROJECTS_FOLDER", "DEFAULT_CONFIG_FILE_PATH",
    ],
    "jobflow_remote.config.jobconfig": ["set_run_config", "load_job_store"],
    "jobflow_remote.jobs.state": [
        "JobState", "FlowState", "BatchState", "DeprecatedStateError", "PAUSABLE_STATES", "RUNNING_STATES",
        "RESETTABLE_STATES", "DELETABLE_STATES", "ERROR_STATES", "PAUSABLE_STATES_V", "RUNNING_STATES_V",
        "RESETTABLE_STATES_V", "DELETABLE_STATES_V", "ERROR_STATES_V",
    ],
    "jobflow_remote.jobs.data": [
        "IN_FILENAME", "OUT_FILENAME", "BATCH_INFO_FILENAME", "RemoteInfo", "JobInfo", "JobDoc", "FlowDoc",
        "BatchDoc", "FlowInfo", "DynamicResponseType", "DbCollection", "RemoteError", "get_initial_job_doc_dict",
        "get_initial_flow_doc_dict", "get_initial_batch_doc_dict", "get_reset_job_base_dict", "projection_job_info",
        "projection_flow_info_jobs",
    ],
    "jobflow_remote.jobs.jobcontroller": ["JobController"],
    "jobflow_remote.jobs.daemon": ["DaemonManager", "DaemonStatus", "DaemonError", "RunningDaemonError"],
    "jobflow_remote.jobs.run": ["CURRENT_JOBDOC", "run_remote_job"],
    "jobflow_remote.jobs.runner": ["Runner"],
    "jobflow_remote.jobs.store": ["get_jobstore"],
    "jobflow_remote.jobs.submit": ["submit_flow"],
    "jobflow_remote.jobs.upgrade": [
        "DatabaseUpgrader", "UpgradeAction", "UpgradeCondition", "NoDocumentsIn", "UpgradeRequiredError",
    ],
    "jobflow_remote.testing.cli": ["run_check_cli"],
    "jobflow_remote.cli.jf": ["app"],
    "jobflow_remote.cli.jfr_typer": ["JFRTyper"],
    "jobflow_remote.cli.types": ["force_opt"],
}  # fmt: skip

SIGNATURES = {
    "jobflow_remote:submit_flow": (
        "flow, worker=None, project=None, exec_config=None, resources=None, priority=0, "
        "allow_external_references=False, jobstore=None"
    ),
    "jobflow_remote:set_run_config": (
        "flow_or_job, name_filter=None, function_filter=None, exec_config=None, resources=None, priority=None, "
        "worker=None, dynamic=True, overwrite=False"
    ),
    "jobflow_remote:get_jobstore": "project_name=None, jobstore_name=None",
    "jobflow_remote.testing.cli:run_check_cli": (
        "cli_args, cli_input=None, cli_env=None, catch_exceptions=False, required_out=None, excluded_out=None, "
        "required_out_colored=None, error=False, terminal_width=1000"
    ),
    "jobflow_remote.jobs.runner:Runner": (
        "project_name=None, log_level=None, runner_id=None, connect_interactive=False, daemon_id=None"
    ),
}

JOB_QUERY = (
    "job_ids=None, db_ids=None, flow_ids=None, states=None, start_date=None, end_date=None, name=None, "
    "metadata=None, workers=None, locked=False"
)
FLOW_QUERY = (
    "job_ids=None, db_ids=None, flow_ids=None, states=None, start_date=None, end_date=None, name=None, "
    "metadata=None, locked=False"
)
PAGE = "sort=None, limit=0, skip=0"
CONTROLLER = {
    "__init__": (
        "self, queue_store, jobstore, flows_collection='flows', auxiliary_collection='jf_auxiliary', "
        "batches_collection='batches', project=None, optional_jobstores=None"
    ),
    "from_project_name": "project_name=None",
    "from_project": "project",
    "close": "self",
    "get_jobs_info_query": "self, query=None, **kwargs",
    "get_jobs_info": f"self, custom_query=None, {JOB_QUERY}, {PAGE}",
    "get_jobs_doc_query": "self, query=None, **kwargs",
    "get_jobs_doc": f"self, custom_query=None, {JOB_QUERY}, {PAGE}",
    "get_job_info": "self, job_id=None, db_id=None, job_index=None",
    "get_job_doc": "self, job_id=None, db_id=None, job_index=None",
    "get_job_info_by_pid": "self, pid",
    "get_job_info_by_job_uuid": "self, job_uuid, job_index='last', projection=None",
    "get_jobs": "self, query=None, projection=None",
    "get_jobs_info_by_flow_uuid": "self, flow_uuid, projection=None",
    "get_job_output": "self, job_id=None, db_id=None, job_index=None, load=False",
    "get_flows_info": f"self, {FLOW_QUERY}, {PAGE}, jobs_sort=None, with_jobs_info=False",
    "get_flow_job_aggreg": (
        "self, query=None, projection_flow=None, projection_job=None, sort=None, jobs_sort=None, limit=0"
    ),
    "get_flow_jobs_data": "self, query=None, projection=None, sort=None, limit=0",
    "get_flow_info_by_flow_uuid": "self, flow_uuid, projection=None",
    "get_flow_info_by_job_uuid": "self, job_uuid, projection=None",
    "get_job_uuids": "self, flow_uuids",
    "count_jobs": f"self, query=None, {JOB_QUERY}",
    "count_flows": f"self, query=None, {FLOW_QUERY}",
    "count_jobs_states": "self, states, worker=None",
    "count_flows_states": "self, states",
    "get_trends": "self, states, interval='days', num_intervals=None, interval_timezone='UTC'",
    "get_flow_store": "self, flow_id",
    "get_collection": "self, collection",
    "generate_job_id_query": "db_id=None, job_id=None, job_index=None",
    "generate_flow_id_query": "db_id=None, job_id=None, flow_id=None",
    "add_flow": (
        "self, flow, worker, allow_external_references=False, exec_config=None, resources=None, priority=0, "
        "jobstore=None"
    ),
    "reset": "self, reset_output=False, max_limit=25, validation=None",
    "build_indexes": "self, background=True, job_custom_indexes=None, flow_custom_indexes=None, drop=False",
    "create_indexes": "self, indexes, collection=<DbCollection.JOBS: 'jobs'>, unique=False, background=True",
    "upgrade_check_jobflow": "self",
    "upgrade_full_check": "self",
    "update_version_information": "self, version=None",
    "get_current_db_version": "self",
    "get_running_runner": "self",
    "clean_running_runner": "self, break_lock=False",
}
ATTRIBUTES = ("queue_store", "jobstore", "optional_jobstores", "project", "flows_collection",
              "auxiliary_collection", "batches_collection", "queue_supports_transactions")  # fmt: skip


def signature_of(function: Any) -> str:
    """Names and defaults of the parameters; types do not matter to a caller."""
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(
        f"**{parameter.name}"
        if parameter.kind is parameter.VAR_KEYWORD
        else parameter.name
        if parameter.default is parameter.empty
        else f"{parameter.name}={parameter.default!r}"
        for parameter in parameters
    )


@pytest.mark.parametrize("module", NAMES)
def test_names_can_be_imported(module: str) -> None:
    missing = [name for name in NAMES[module] if not hasattr(import_module(module), name)]
    assert not missing


def test_public_names_are_exactly_those() -> None:
    assert set(jobflow_remote.__all__) == set(NAMES["jobflow_remote"])
    assert set(jobflow_remote.__all__) <= set(dir(jobflow_remote))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        jobflow_remote.nonsense  # noqa: B018


@pytest.mark.parametrize("where", SIGNATURES)
def test_signatures_of_functions(where: str) -> None:
    module, name = where.split(":")
    assert signature_of(getattr(import_module(module), name)) == SIGNATURES[where]


@pytest.mark.parametrize("method", CONTROLLER)
def test_signatures_of_the_controller(method: str) -> None:
    from jobflow_remote import JobController

    assert signature_of(getattr(JobController, method)) == CONTROLLER[method]


def test_importing_the_package_is_cheap() -> None:
    script = (
        "import sys, jobflow_remote\n"
        "names = ('jobflow', 'maggma', 'pydantic', 'pymongo', 'sqlite3', 'typer')\n"
        "heavy = [name for name in names if name in sys.modules]\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_settings_can_be_replaced_and_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from jobflow_remote import ConfigManager, JobflowRemoteSettings

    monkeypatch.setattr(
        jobflow_remote, "SETTINGS", JobflowRemoteSettings(projects_folder=str(tmp_path / "a")), raising=False
    )
    assert str(ConfigManager().projects_folder) == str(tmp_path / "a")
    jobflow_remote.SETTINGS.projects_folder = str(tmp_path / "b")
    assert str(ConfigManager().projects_folder) == str(tmp_path / "b")


def test_groups_of_states() -> None:
    from jobflow_remote.jobs import state

    S = state.JobState
    assert state.JobState.RUN_FINISHED is state.JobState("RUN_FINISHED") is state.JobState.TERMINATED
    assert {S.READY, S.WAITING} <= set(state.PAUSABLE_STATES)
    assert [
        S.CHECKED_OUT,
        S.UPLOADED,
        S.SUBMITTED,
        S.RUNNING,
        S.TERMINATED,
        S.DOWNLOADED,
    ] == state.RESETTABLE_STATES
    assert {*state.RESETTABLE_STATES, S.BATCH_SUBMITTED, S.BATCH_RUNNING} == set(state.RUNNING_STATES)
    assert {S.FAILED, S.REMOTE_ERROR} == set(state.ERROR_STATES)
    assert set(S) - {S.BATCH_SUBMITTED, S.BATCH_RUNNING} == set(state.DELETABLE_STATES)
    assert [each.value for each in state.RUNNING_STATES] == state.RUNNING_STATES_V
    assert state.FlowState.from_jobs_states([S.COMPLETED, S.FAILED], [S.FAILED]) is state.FlowState.FAILED


@pytest.mark.parametrize(
    ("exception", "base"),
    [("NotFoundError", ValueError), ("NotAllowedError", ValueError), ("DuplicateError", ValueError),
     ("MissingReferenceError", ValueError)],
)  # fmt: skip
def test_errors_are_what_scripts_catch(exception: str, base: type[Exception]) -> None:
    from jobflow_remote import errors

    assert issubclass(getattr(errors, exception), base)
