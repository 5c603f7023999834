"""A worker is corrected in the project file while the runner works: the runner logs in anew, and its jobs go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_checks_over_ssh import worker
from tests.services.debian import free_ports
from tests.services.logins import Site
from tests.services.sites import folder, servers, site

import jobflow_remote
from jobflow_remote import submit_flow
from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.settings import JobflowRemoteSettings
from jobflow_remote.control.workers import find_troubles
from jobflow_remote.engine.configuration import ConfigurationWatch
from jobflow_remote.engine.runner import Runner
from jobflow_remote.hosts.pool import POOL
from jobflow_remote.model.lifecycle import ROLES
from jobflow_remote.services.session import describe_owner, open_session
from jobflow_remote.testing import check_env_var

__all__ = ["folder", "servers", "site"]


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    yield
    POOL.shut_down()


def write(path: Path, site: Site, folder: Path, **more: Any) -> None:
    described = worker(site, folder / "run", **more).model_dump(mode="json", exclude_unset=True)
    path.write_text(json.dumps({"name": "one", "workers": {"there": described}}))


async def run_and_correct(runner: Runner, path: Path, site: Site, folder: Path) -> None:
    queue = runner.services.queue
    running = asyncio.create_task(runner.run(until_idle=True, max_seconds=90))
    while not await asyncio.to_thread(find_troubles, queue, "there", ["upload"]):
        assert not running.done()
        await asyncio.sleep(0.05)
    more = worker(site, folder / "run").pre_run or ""
    write(path, site, folder, pre_run=f"{more}\nexport TESTING_ENV_VAR=corrected")
    await running


def test_a_wrong_port_is_corrected(
    site: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = JobflowRemoteSettings(projects_folder=str(tmp_path), config_file=str(tmp_path / "none.yaml"))
    monkeypatch.setitem(vars(jobflow_remote), "SETTINGS", settings)
    (site.home / ".ssh" / "known_hosts").write_text(site.server("key").known_hosts.read_text())
    path, (port,) = tmp_path / "one.json", free_ports(1)
    write(path, site, folder, port=port)
    submitted = submit_flow(check_env_var())

    configuration = ConfigurationWatch.read("one", fall_back=False)
    with services_of(configuration.project) as services:
        session = open_session(services.queue, describe_owner("one", services.daemon_dir), lease_seconds=60)
        runner = Runner(services, session.token, roles=tuple(ROLES), configuration=configuration)
        asyncio.run(run_and_correct(runner, path, site, folder))
        assert runner.ended_by == "idle"
        record = services.queue.get_job(submitted.uuids[0])
    assert record is not None
    assert record["state"] == "COMPLETED", record
    assert record["remote"]["configuration"] == configuration.in_use.digest
    assert submitted.output() == "corrected"
