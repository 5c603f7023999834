"""What jobflow-remote 1.0.1 lets people import: modules, names, parameters in their order, with their defaults.

``SIGNATURES`` are what they were. Ours may have more parameters behind them, with defaults. Where ours differ, or are
not there, ``DIFFERENT`` and ``ABSENT`` say so, and ``differences.md`` says why.
"""

from __future__ import annotations

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
    "jobflow_remote.config.helper": [
        "ConflictIssue", "generate_dummy_project", "generate_dummy_worker", "generate_dummy_jobstore",
        "generate_dummy_queue", "generate_dummy_exec_config", "check_worker", "check_queue_store", "check_jobstore",
        "check_projects_conflicts",
    ],
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
    "jobflow_remote.jobs.jobcontroller": ["JobController", "get_flow_leafs"],
    "jobflow_remote.jobs.daemon": ["DaemonManager", "DaemonStatus", "DaemonError", "RunningDaemonError"],
    "jobflow_remote.jobs.run": ["CURRENT_JOBDOC", "JfrState", "run_remote_job"],
    "jobflow_remote.jobs.runner": ["Runner"],
    "jobflow_remote.jobs.store": ["get_jobstore"],
    "jobflow_remote.jobs.submit": ["submit_flow"],
    "jobflow_remote.jobs.report": ["JobTrends", "JobsReport", "FlowTrends", "FlowsReport"],
    "jobflow_remote.jobs.graph": ["get_graph", "get_graph_elements", "plot_dash", "get_mermaid", "COLOR_MAPPING"],
    "jobflow_remote.jobs.upgrade": [
        "DatabaseUpgrader", "UpgradeAction", "UpgradeCondition", "NoDocumentsIn", "UpgradeRequiredError",
    ],
    "jobflow_remote.remote.data": ["get_job_path", "get_local_data_path", "check_additional_stores"],
    "jobflow_remote.remote.host": ["HostError"],
    "jobflow_remote.remote.host.base": ["HostError"],
    "jobflow_remote.utils.data": [
        "deep_merge_dict", "uuid_to_path", "store_from_dict", "convert_utc_time", "suuid", "check_valid_uuid",
        "remove_none", "check_dict_keywords",
    ],
    "jobflow_remote.utils.db": [
        "LockedDocumentError", "RunnerLockedError", "JobLockedError", "FlowLockedError", "MissingDocumentError",
    ],
    "jobflow_remote.utils.remote": ["UnsafeDeletionError"],
    "jobflow_remote.utils.examples": [
        "add", "add_many", "sleep", "add_raise", "make_list", "add_distributed", "value", "conditional_sum_replace",
    ],
    "jobflow_remote.testing": [
        "add", "always_fails", "write_file", "arithmetic", "check_env_var", "add_big", "add_big_undefined_store",
        "add_sleep", "create_detour", "self_replace", "ignore_input", "current_jobdoc", "no_resolve",
        "onmissing_none", "replace_and_stop_jobflow", "replace_and_stop_children", "stop_jobflow", "TestEnum",
        "EnumMaker", "MyShellIO",
    ],
    "jobflow_remote.testing.cli": ["run_check_cli"],
    "jobflow_remote.cli.jf": ["app", "add_cli_logger_names"],
    "jobflow_remote.cli.jfr_typer": ["JFRTyper"],
    "jobflow_remote.cli.types": ["force_opt"],
    "jobflow_remote.cli.utils": [
        "get_config_manager", "get_job_controller", "exit_with_error_msg", "exit_with_warning_msg",
        "print_success_msg", "out_console", "err_console", "loading_spinner", "check_stopped_runner", "SortOption",
        "SerializeFileFormat", "IndexDirection", "ReportInterval",
    ],
}  # fmt: skip
"""Module → names that can be imported from it."""

JOB_QUERY = (
    "job_ids=None, db_ids=None, flow_ids=None, states=None, start_date=None, end_date=None, name=None, "
    "metadata=None, workers=None, locked=False"
)
FLOW_QUERY = (
    "job_ids=None, db_ids=None, flow_ids=None, states=None, start_date=None, end_date=None, name=None, "
    "metadata=None, locked=False"
)
PAGE = "sort=None, limit=0, skip=0"
ONE_JOB = "self, job_id=None, db_id=None, job_index=None"
LOCK = "wait=None, break_lock=False"
DELETE = "delete_output=False, delete_files=False"

CONTROLLER = {
    "__init__": (
        "self, queue_store, jobstore, flows_collection='flows', auxiliary_collection='jf_auxiliary', "
        "batches_collection='batches', project=None, optional_jobstores=None"
    ),
    "from_project_name": "project_name=None",
    "from_project": "project",
    "close": "self",
    # queries
    "get_jobs_info_query": "self, query=None, **kwargs",
    "get_jobs_info": f"self, custom_query=None, {JOB_QUERY}, {PAGE}",
    "get_jobs_doc_query": "self, query=None, **kwargs",
    "get_jobs_doc": f"self, custom_query=None, {JOB_QUERY}, {PAGE}",
    "get_job_info": ONE_JOB,
    "get_job_doc": ONE_JOB,
    "get_job_info_by_pid": "self, pid",
    "get_job_info_by_job_uuid": "self, job_uuid, job_index='last', projection=None",
    "get_jobs": "self, query=None, projection=None",
    "get_jobs_info_by_flow_uuid": "self, flow_uuid, projection=None",
    "get_job_output": f"{ONE_JOB}, load=False",
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
    # actions on one job
    "rerun_job": f"{ONE_JOB}, force=False, {LOCK}, delete_files=True",
    "retry_job": f"{ONE_JOB}, {LOCK}",
    "pause_job": f"{ONE_JOB}, wait=None",
    "resume_job": f"{ONE_JOB}, {LOCK}",
    "stop_job": f"{ONE_JOB}, {LOCK}",
    "set_job_state": f"self, state, {ONE_JOB.removeprefix('self, ')}, {LOCK}",
    "delete_job": f"{ONE_JOB}, {DELETE}, {LOCK}",
    # flows and the whole database
    "add_flow": (
        "self, flow, worker, allow_external_references=False, exec_config=None, resources=None, priority=0, "
        "jobstore=None"
    ),
    "resume_flow": f"self, job_id=None, db_id=None, flow_id=None, {LOCK}",
    "set_flow_store": "self, store, db_id=None, job_id=None, flow_id=None",
    "delete_flow": f"self, flow_id, {DELETE}, cancel_processes=True, {LOCK}",
    "delete_flows": (
        f"self, flow_ids=None, max_limit=10, {DELETE}, cancel_processes=True, {LOCK}, raise_on_error=False"
    ),
    "safe_delete_files": "self, jobs_info",
    "reset": "self, reset_output=False, max_limit=25, validation=None",
    "build_indexes": "self, background=True, job_custom_indexes=None, flow_custom_indexes=None, drop=False",
    "compact": "self",
    "create_indexes": "self, indexes, collection=<DbCollection.JOBS: 'jobs'>, unique=False, background=True",
    "backup_dump": "self, dir_path='.', mongo_bin_path=None, compress=False, python=False",
    "backup_restore": "self, dir_path='.', mongo_bin_path=None, compress=None, python=False",
    "upgrade_check_jobflow": "self",
    "upgrade_full_check": "self",
    "update_version_information": "self, version=None",
    "get_current_db_version": "self",
    "get_running_runner": "self",
    "clean_running_runner": "self, break_lock=False",
    "ping_running_runner": "self, data=None",
    "get_runner_pings": "self",
    "clean_runner_pings": "self",
    "unlock_runner": "self",
    # batch workers
    "get_batches": (
        "self, process_id=None, batch_uid=None, worker=None, batch_state=None, job_ids=None, db_ids=None, "
        "limit=20, sort=None"
    ),
    "count_batches": (
        "self, process_id=None, batch_uid=None, worker=None, batch_state=None, job_ids=None, db_ids=None"
    ),
    "delete_batches": "self, process_id=None, batch_uid=None, worker=None, batch_state=None",
    "get_batch_process_id": "self, batch_uid",
    "fix_batch_doc_jobs": "self",
}
"""Method of JobController → parameters."""

MANY_JOBS = {
    "rerun_jobs": "raise_on_error=True, force=False, wait=None, break_lock=False, delete_files=True",
    "retry_jobs": "raise_on_error=True, wait=None, break_lock=False",
    "pause_jobs": "raise_on_error=True, wait=None",
    "resume_jobs": "raise_on_error=True, wait=None, break_lock=False",
    "stop_jobs": "raise_on_error=True, wait=None, break_lock=False",
    "set_jobs_state": "raise_on_error=True, wait=None, break_lock=False",
    "delete_jobs": "raise_on_error=True, max_limit=10, delete_output=False, delete_files=False",
    "set_job_run_properties": "worker=None, exec_config=None, resources=None, priority=None, update=True",
    "unlock_jobs": "",
}
"""Method that acts on all jobs of a query → its further parameters. In which order they came is not known to us."""

MANAGER = {
    "__init__": "self, exclude_unset=False, exclude_none=False, warn=False",
    "load_projects_data": "self",
    "select_project_name": "self, project_name=None",
    "get_project_data": "self, project_name=None",
    "get_project": "self, project_name=None",
    "dump_project": "self, project_data",
    "create_project": "self, project, ext='yaml'",
    "remove_project": "self, project_name, remove_folders=True",
    "update_project": "self, config, project_name",
    "project_names_from_files": "self, suppress_warnings=False",
    "backup_project": "self, project_name",
    "set_worker": "self, name, worker, project_name=None, replace=False",
    "remove_worker": "self, worker_name, project_name=None",
    "get_worker": "self, worker_name, project_name=None",
    "set_queue_db": "self, store, project_name=None",
    "set_jobstore": "self, jobstore, project_name=None",
    "set_exec_config": "self, exec_config_name, exec_config, project_name=None, replace=False",
    "remove_exec_config": "self, exec_config_name, project_name=None",
    "get_exec_config": "self, exec_config_name, project_name=None",
}
"""Method of ConfigManager → parameters."""

DAEMON = {
    "__init__": "self, daemon_dir, log_dir, project, job_controller=None",
    "from_project": "project",
    "from_project_name": "project_name=None",
    "start": (
        "self, num_procs_transfer=1, num_procs_complete=1, single=True, log_level='info', raise_on_error=False, "
        "connect_interactive=False"
    ),
    "stop": "self, wait=False, raise_on_error=False",
    "kill": "self, raise_on_error=False, wait=False",
    "shut_down": "self, raise_on_error=False, wait=False",
    "restart": "self, raise_on_error=False",
    "check_status": "self, raise_on_shutdown=True",
    "get_processes_info": "self",
    "wait_start": "self, timeout=30",
    "foreground_processes": "self, processes_names=None, print_function=None",
    "get_supervisord_pid": "self",
    "check_matching_runner": "self, raise_on_error=False, allow_missing=False",
}
"""Method of DaemonManager → parameters."""

UPGRADER = {
    "register_upgrade": "version, upgrade_conditions=None",
    "collect_upgrades": "self, from_version, to_version",
    "check_upgrade_conditions": "self, versions, force=False",
    "dry_run": "self, from_version=None, target_version=None, force=False",
    "upgrade": "self, from_version=None, target_version=None, force=False",
}
"""Method of DatabaseUpgrader → parameters."""


def _methods(where: str, methods: dict[str, str]) -> dict[str, str]:
    return {f"{where}.{name}": parameters for name, parameters in methods.items()}


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
    **_methods("jobflow_remote:JobController", CONTROLLER),
    **_methods("jobflow_remote:ConfigManager", MANAGER),
    "jobflow_remote.config.base:RunnerOptions.get_delta_retry": "self, step_attempts",
    "jobflow_remote.config.base:LogLevel.to_logging": "self",
    "jobflow_remote.config.base:WorkerBase.get_scheduler_io": "self",
    "jobflow_remote.config.base:WorkerBase.get_host": "self",
    "jobflow_remote.config.base:ConnectionData.get_connect_kwargs": "self",
    "jobflow_remote.config.base:BaseRemoteWorker.get_connect_kwargs": "self",
    "jobflow_remote.config.base:Project.get_jobstore": "self, name=None",
    "jobflow_remote.config.base:Project.get_queue_store": "self",
    "jobflow_remote.config.base:Project.get_job_controller": "self",
    "jobflow_remote.config.jobconfig:load_job_store": "project=None",
    "jobflow_remote.config.helper:ConflictIssue": "kind, message, projects",
    "jobflow_remote.config.helper:generate_dummy_project": "name, full=False",
    "jobflow_remote.config.helper:generate_dummy_worker": "scheduler_type='slurm', host_type='remote'",
    "jobflow_remote.config.helper:generate_dummy_jobstore": "",
    "jobflow_remote.config.helper:generate_dummy_queue": "",
    "jobflow_remote.config.helper:generate_dummy_exec_config": "",
    "jobflow_remote.config.helper:check_worker": "worker, full_check=False",
    "jobflow_remote.config.helper:check_queue_store": "store",
    "jobflow_remote.config.helper:check_jobstore": "jobstore",
    "jobflow_remote.config.helper:check_projects_conflicts": "projects",
    "jobflow_remote.jobs.state:FlowState.from_jobs_states": "jobs_states, leaf_states",
    "jobflow_remote.jobs.data:RemoteError": "msg, no_retry=False",
    "jobflow_remote.jobs.data:JobInfo.from_query_output": "d",
    "jobflow_remote.jobs.data:JobDoc.as_db_dict": "self",
    "jobflow_remote.jobs.data:FlowDoc.as_db_dict": "self",
    "jobflow_remote.jobs.data:FlowDoc.descendants": "self, job_uuid",
    "jobflow_remote.jobs.data:FlowInfo.from_query_dict": "d",
    "jobflow_remote.jobs.data:FlowInfo.iter_job_prop": "self",
    "jobflow_remote.jobs.jobcontroller:get_flow_leafs": "job_docs",
    "jobflow_remote.jobs.runner:Runner": (
        "project_name=None, log_level=None, runner_id=None, connect_interactive=False, daemon_id=None"
    ),
    "jobflow_remote.jobs.runner:Runner.run": (
        "self, transfer=True, complete=True, queue=True, checkout=True, ticks=None"
    ),
    "jobflow_remote.jobs.runner:Runner.run_all_jobs": "self, max_seconds=None, wait_for_batches=False",
    **_methods("jobflow_remote.jobs.daemon:DaemonManager", DAEMON),
    "jobflow_remote.jobs.run:run_remote_job": "run_dir='.'",
    "jobflow_remote.jobs.report:JobsReport.generate_report": (
        "job_controller, interval='days', num_intervals=None, timezone='UTC'"
    ),
    "jobflow_remote.jobs.report:FlowsReport.generate_report": (
        "job_controller, interval='days', num_intervals=None, timezone='UTC'"
    ),
    "jobflow_remote.jobs.graph:get_graph": "flow, label='name'",
    "jobflow_remote.jobs.graph:get_graph_elements": "flow",
    "jobflow_remote.jobs.graph:plot_dash": "flow",
    "jobflow_remote.jobs.graph:get_mermaid": "flow, show_subflows=True",
    "jobflow_remote.jobs.upgrade:DatabaseUpgrader": "job_controller",
    **_methods("jobflow_remote.jobs.upgrade:DatabaseUpgrader", UPGRADER),
    "jobflow_remote.jobs.upgrade:UpgradeAction": "description, collection, action_type, details, required=False",
    "jobflow_remote.jobs.upgrade:UpgradeCondition": "description, check_func, skippable=False",
    "jobflow_remote.jobs.upgrade:NoDocumentsIn": "collection, query",
    "jobflow_remote.remote.data:get_local_data_path": "project, worker, job_id, index, run_dir",
    "jobflow_remote.remote.data:get_job_path": "job_id, index, base_path",
    "jobflow_remote.remote.data:check_additional_stores": "job, store",
    "jobflow_remote.utils.db:RunnerLockedError.from_runner_doc": "doc, additional_msg=None",
    "jobflow_remote.utils.db:JobLockedError.from_job_doc": "doc, additional_msg=None",
    "jobflow_remote.utils.db:FlowLockedError.from_flow_doc": "doc, additional_msg=None",
    "jobflow_remote.utils.data:deep_merge_dict": "d1, d2, path=None, raise_on_conflicts=True, inplace=True",
    "jobflow_remote.utils.data:uuid_to_path": "uuid, index=1, num_subdirs=3, subdir_len=2",
    "jobflow_remote.testing.cli:run_check_cli": (
        "cli_args, cli_input=None, cli_env=None, catch_exceptions=False, required_out=None, excluded_out=None, "
        "required_out_colored=None, error=False, terminal_width=1000"
    ),
}
"""``module:name`` → parameters, with the names and defaults that they had."""

TOY_JOBS = {
    "testing": {
        "add": "a, b", "always_fails": "", "write_file": "n", "arithmetic": "a, b, op=None", "check_env_var": "",
        "add_big": "a, b", "add_big_undefined_store": "a, b", "add_sleep": "a, b", "create_detour": "detour_job",
        "self_replace": "n", "ignore_input": "a", "current_jobdoc": "", "no_resolve": "ref",
        "onmissing_none": "args", "replace_and_stop_jobflow": "a=1, b=1", "replace_and_stop_children": "a=1, b=1",
        "stop_jobflow": "x=None",
    },
    "utils.examples": {"add": "a, b", "sleep": "s", "add_raise": "a, b", "add_distributed": "list_a"},
}  # fmt: skip
"""Module → job → parameters of its function."""

ATTRIBUTES = {
    "jobflow_remote:JobController": [
        "jobstore", "queue_supports_transactions", "db", "jobs", "flows", "auxiliary",
    ],
    "jobflow_remote:ConfigManager": ["projects_ext", "projects_data", "projects"],
    "jobflow_remote.config.base:WorkerBase": ["cli_info", "is_local", "is_batch"],
    "jobflow_remote.config.base:Project": ["has_interactive_workers"],
    "jobflow_remote.jobs.data:JobInfo": ["is_locked", "run_time", "estimated_run_time"],
    "jobflow_remote.jobs.data:FlowDoc": ["int_index_parents", "children", "ids_mapping"],
    "jobflow_remote.jobs.data:FlowInfo": ["ids_mapping"],
    "jobflow_remote.jobs.daemon:DaemonManager": ["conf_filepath", "pid_filepath", "sock_filepath", "log_filepath"],
    "jobflow_remote.jobs.report:JobsReport": ["running", "completed", "error", "active"],
    "jobflow_remote.jobs.upgrade:DatabaseUpgrader": ["registered_upgrades"],
}  # fmt: skip
"""Class → properties and class attributes."""

FIELDS = {
    "jobflow_remote.jobs.data:RemoteInfo": [
        "step_attempts", "queue_state", "process_id", "retry_time_limit", "error", "prerun_cleanup", "queue_out",
        "queue_err",
    ],
    "jobflow_remote.jobs.data:JobInfo": [
        "uuid", "index", "db_id", "worker", "name", "state", "created_on", "updated_on", "remote", "parents",
        "previous_state", "error", "lock_id", "lock_time", "run_dir", "start_time", "end_time", "priority",
        "metadata", "hosts", "stored_data",
    ],
    "jobflow_remote.jobs.data:JobDoc": [
        "job", "uuid", "index", "db_id", "worker", "state", "remote", "parents", "previous_state", "error",
        "lock_id", "lock_time", "run_dir", "start_time", "end_time", "created_on", "updated_on", "priority",
        "exec_config", "resources", "stored_data",
    ],
    "jobflow_remote.jobs.data:FlowDoc": [
        "uuid", "jobs", "state", "name", "lock_id", "lock_time", "created_on", "updated_on", "metadata", "parents",
        "ids", "jobstore",
    ],
    "jobflow_remote.jobs.data:FlowInfo": [
        "db_ids", "job_ids", "job_indexes", "flow_id", "state", "name", "created_on", "updated_on", "workers",
        "job_states", "job_names", "parents", "hosts", "flow_metadata", "jobs_info",
    ],
    "jobflow_remote.jobs.report:JobsReport": [
        "state_counts", "trends", "longest_running", "worker_utilization",
    ],
}  # fmt: skip
"""Model → fields."""

DIFFERENT: dict[str, str] = {
    "jobflow_remote.jobs.daemon:DaemonManager.start": (
        "self, num_procs_transfer=1, num_procs_complete=1, single=True, log_level=None, raise_on_error=False, "
        "connect_interactive=False, takeover=False"
    ),
}
"""``module:name`` → our parameters, where ours are others."""

ABSENT = [
    "jobflow_remote.jobs.batch:RemoteBatchManager", "jobflow_remote.jobs.batch:LocalBatchManager",
    "jobflow_remote.jobs.run:run_batch_jobs", "jobflow_remote.jobs.run:run_single_batch_jobs",
    "jobflow_remote.jobs.run:decompress_files",
    "jobflow_remote.jobs.runner:Runner.run_one_job", "jobflow_remote.jobs.runner:Runner.upload",
    "jobflow_remote:JobController.checkout_job", "jobflow_remote:JobController.complete_job",
    "jobflow_remote:JobController.checkin_job", "jobflow_remote:JobController.refresh_children",
    "jobflow_remote:JobController.stop_children", "jobflow_remote:JobController.stop_jobflow",
    "jobflow_remote:JobController.update_flow_state", "jobflow_remote:JobController.lock_job",
    "jobflow_remote:JobController.lock_flow", "jobflow_remote:JobController.lock_auxiliary",
    "jobflow_remote:JobController.lock_job_for_update", "jobflow_remote:JobController.lock_job_flow",
    "jobflow_remote:JobController.ping_flow_doc", "jobflow_remote:JobController.add_batch_process",
    "jobflow_remote.remote.host:RemoteHost", "jobflow_remote.remote.host:LocalHost",
    "jobflow_remote.remote.host:SeparatedTransferHost", "jobflow_remote.remote.host:BaseHost",
    "jobflow_remote.remote.queue:QueueManager", "jobflow_remote.remote.data:StdJSONStore",
    "jobflow_remote.remote.data:MinimalORJSONStore", "jobflow_remote.remote.data:MinimalMsgspecJSONStore",
    "jobflow_remote.remote.data:MinimalMsgpackStore", "jobflow_remote.remote.data:MinimalFileStore",
    "jobflow_remote.remote.data:get_remote_in_file", "jobflow_remote.remote.data:get_remote_store",
    "jobflow_remote.remote.data:update_store", "jobflow_remote.remote.data:resolve_job_dict_args",
    "jobflow_remote.utils.db:MongoLock", "jobflow_remote.utils.db:mongodump_from_store",
    "jobflow_remote.utils.db:mongorestore_to_store", "jobflow_remote.utils.db:pymongo_dump",
    "jobflow_remote.utils.db:pymongo_restore", "jobflow_remote.utils.remote:SharedHosts",
    "jobflow_remote.utils.remote:safe_remove_job_files", "jobflow_remote.utils.schedule:SafeScheduler",
    "jobflow_remote.utils.data:convert_store", "jobflow_remote.utils.data:get_past_time_rounded",
    "jobflow_remote.utils.data:get_utc_offset", "jobflow_remote.utils.data:get_h_m_s",
    "jobflow_remote.utils.log:initialize_runner_logger", "jobflow_remote.utils.log:initialize_cli_logger",
    "jobflow_remote.utils.log:initialize_remote_run_log", "jobflow_remote.utils.log:CLIFormatter",
    "jobflow_remote.cli.utils:execute_multi_jobs_cmd", "jobflow_remote.cli.utils:confirm_project_name",
]  # fmt: skip
"""``module:name`` that we do not have."""

PENDING: set[str] = set()
"""Names that are still being written."""
