"""Project files of jobflow-remote 1.0.1 mean here what they meant there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote import ConfigManager
from jobflow_remote.config.project import Project
from jobflow_remote.config.snapshot import load_snapshot
from jobflow_remote.outputs.jobstore import jobstore_from_spec
from jobflow_remote.queuedb.mongo.options import parse_spec

DATA = Path(__file__).parents[2] / "data"
FILES = {path.stem: path for path in (DATA / "projects_1_0_1").iterdir() if path.suffix != ".md"}
UNDERSTOOD: dict[str, Any] = json.loads((DATA / "projects_1_0_1_understood.json").read_text())
_FOLDERS = ("base_dir", "tmp_dir", "log_dir", "daemon_dir")
SECRETS = (
    "secret_password",
    "key-secret",
    "gate-secret",
    "queue-secret",
    "output-secret",
    "archive-secret",
    "uri-secret",
)


def _load(name: str, folder: Path) -> Project:
    shutil.copy(FILES[name], folder)
    return ConfigManager().get_project(name)


def test_every_file_was_understood_by_1_0_1() -> None:
    assert set(FILES) == set(UNDERSTOOD)
    assert len(FILES) >= 9


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_means_the_same(name: str, projects_folder: Path) -> None:
    project = _load(name, projects_folder)
    found: dict[str, Any] = json.loads(project.model_dump_json())
    wanted = dict(UNDERSTOOD[name])
    text = FILES[name].read_text()
    for key in _FOLDERS:
        if "base_dir" not in text and key not in text:
            wanted.pop(key)  # they follow from the folder of the file
    if "jobstore" not in text.lower().replace("job_store", "jobstore"):
        assert wanted.pop("jobstore") == {"docs_store": {"type": "MemoryStore"}}  # which kept nothing
    for key, value in wanted.items():
        assert _part(found[key], value) == value, key


def _part(found: Any, wanted: Any) -> Any:
    """Of what was found, what 1.0.1 knows."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {key: _part(found[key], value) for key, value in wanted.items() if key in found}
    return found


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_queue_and_the_outputs_can_be_opened(name: str, projects_folder: Path) -> None:
    project = _load(name, projects_folder)
    server = parse_spec(project.queue_spec())
    stored = UNDERSTOOD[name]["queue"]
    assert (server.names.jobs, server.names.flows) == (
        stored["store"]["collection_name"],
        stored["flows_collection"],
    )
    assert not any(secret in server.describe() for secret in SECRETS)
    assert load_snapshot(name).queue_spec == project.queue_spec()
    for store in (None, *(project.optional_jobstores or {})):
        spec = project.jobstore_spec(store)
        assert spec is not None
        jobstore = jobstore_from_spec(spec)
        given = (
            UNDERSTOOD[name]["jobstore"] if store is None else UNDERSTOOD[name]["optional_jobstores"][store]
        )
        assert set(jobstore.additional_stores) >= set(given.get("additional_stores") or {})


def test_logins_tunnels_and_options_reach_the_driver(projects_folder: Path) -> None:
    server = parse_spec(_load("group", projects_folder).queue_spec())
    assert dict(server.credentials) == {"username": "anna", "password": "queue-secret", "authSource": "admin"}
    assert server.client_options["tlsCAFile"] == "/etc/ssl/ca.pem"
    assert server.ssh_tunnel is not None
    uri = parse_spec(_load("uris", projects_folder).queue_spec())
    assert (uri.names.database, "replicaSet=rs0" in (uri.uri or "")) == ("queue", True)


def test_secrets_are_not_shown(projects_folder: Path) -> None:
    for name in FILES:
        shown = repr(_load(name, projects_folder))
        assert not any(secret in shown for secret in SECRETS), name
