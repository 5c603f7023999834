from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import jobflow_remote
from jobflow_remote.config.settings import JobflowRemoteSettings


@pytest.fixture
def projects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A projects folder of the test's own, named by the settings in force."""
    for name in ("JFREMOTE_PROJECT", "JFREMOTE_PROJECTS_FOLDER", "JFREMOTE_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "projects"
    folder.mkdir()
    settings = JobflowRemoteSettings(projects_folder=str(folder), config_file=str(tmp_path / "none.yaml"))
    monkeypatch.setitem(vars(jobflow_remote), "SETTINGS", settings)
    return folder


@pytest.fixture
def every_field() -> dict[str, Any]:
    """A project in which every field has a value other than its default."""
    common = {
        "resources": {"nodes": 2, "account": "me"},
        "pre_run": "first line\nsecond line\n",
        "post_run": "echo done",
        "execution_cmd": "nice jf -fe execution run {}",
        "timeout_execute": 90,
        "max_jobs": 7,
        "scheduler_username": "somebody",
        "max_submitted_user_jobs": 100,
        "sanitize_command": True,
        "delay_download": 3,
    }
    batch = {
        "jobs_handle_dir": "/data/handle",
        "work_dir": "/data/batch",
        "max_jobs_per_batch": 5,
        "max_wait": 30.5,
        "max_time": 3600.0,
        "parallel_jobs": 4,
        "sleep_time": 2.5,
        "reuse": True,
        "preload": ["numpy"],
        "pack": True,
        "keep_pending": 1,
    }
    login = {
        "host": "cluster",
        "user": "me",
        "port": 2222,
        "password": "geheim-1",
        "key_filename": ["/keys/a", "/keys/b"],
        "passphrase": "geheim-2",
        "connect_kwargs": {"banner_timeout": 20},
    }
    remote = {
        **login,
        "gateway": {"host": "gate", "password": "geheim-3", "gateway": "ssh -W %h:%p outer"},
        "forward_agent": True,
        "connect_timeout": 11,
        "inline_ssh_env": True,
        "keepalive": 30,
        "shell_cmd": "zsh",
        "login_shell": False,
        "interactive_login": True,
        "transport": "openssh",
        "host_keys": "strict",
        "work_dir": "/scratch/me",
    }
    custom_scheduler = {"@module": "qtoolkit.io.sge", "@class": "SGEIO", "get_job_executable": "qstat"}
    return {
        "name": "everything",
        "base_dir": "/data/everything",
        "tmp_dir": "/data/tmp",
        "log_dir": "/data/log",
        "daemon_dir": "/data/daemon",
        "log_level": "debug",
        "runner": {
            "delay_checkout": 1.5,
            "delay_check_run_status": 2.0,
            "delay_advance_status": 3.0,
            "delay_refresh_limited": 4.0,
            "delay_update_batch": 5.0,
            "delay_ping_db": 6.0,
            "lock_timeout": 7.0,
            "delete_tmp_folder": False,
            "max_step_attempts": 9,
            "delta_retry": [1.0, 2.5],
            "unreachable_limit": 1000.0,
            "lease_seconds": 20.0,
            "heartbeat_seconds": 2.0,
        },
        "workers": {
            "here": {
                "type": "local",
                "scheduler_type": "shell",
                "work_dir": "/data/jobs",
                **common,
                "batch": batch,
                "launch": "script",
                "preload": [],
                "pin_cores": False,
            },
            "there": {**remote, **common, "type": "remote", "scheduler_type": "slurm"},
            "apart": {
                **remote,
                **common,
                "type": "separated_transfer",
                "scheduler_type": custom_scheduler,
                "transfer": {**login, "host": "data-mover"},
            },
        },
        "queue": {
            "store": {"type": "MongoStore", "host": "db", "database": "q", "collection_name": "jobs"},
            "flows_collection": "my_flows",
            "auxiliary_collection": "my_auxiliary",
            "batches_collection": "my_batches",
            "db_id_prefix": "run",
        },
        "exec_config": {
            "gcc": {
                "modules": ["GCC/12"],
                "export": {"OMP_NUM_THREADS": 4},
                "pre_run": "ulimit -s unlimited",
                "post_run": "rm -f core",
            }
        },
        "jobstore": {
            "docs_store": {"type": "MongoStore", "database": "out", "collection_name": "outputs"},
            "additional_stores": {
                "data": {"type": "GridFSStore", "database": "out", "collection_name": "blobs"}
            },
        },
        "remote_jobstore": {"store": "msgpack", "zip": True},
        "metadata": {"project": {"number": 12}},
        "optional_jobstores": {"second": {"docs_store": {"type": "MemoryStore"}}},
    }
