"""``jf project check``, files and shells on workers that are reached through SSH, broken ones among them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.services.debian import free_ports
from tests.services.logins import Site
from tests.services.sites import folder, servers, site

from jobflow_remote.config.project import Project
from jobflow_remote.config.workers import RemoteWorker
from jobflow_remote.control.checks.findings import Level, Report
from jobflow_remote.control.checks.project import Wanted, check_project
from jobflow_remote.control.checks.worker import CheckOptions
from jobflow_remote.control.following import QueueFiles
from jobflow_remote.hosts.pool import POOL
from jobflow_remote.hosts.terminal import render_shell_command

__all__ = ["folder", "servers", "site"]

NODE = f"export PATH={Path(sys.executable).parent}:$PATH"


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    yield
    POOL.shut_down()


def worker(site: Site, work_dir: Path, **more: Any) -> RemoteWorker:
    """A worker that works, unless ``more`` says otherwise."""
    values = {"scheduler_type": "shell", "work_dir": work_dir, "pre_run": NODE, "login_shell": False}
    return RemoteWorker.model_validate({**site.by_key("key"), **values, "host": "127.0.0.1", **more})


def check(workers: dict[str, RemoteWorker], **options: Any) -> dict[str, Report]:
    project = Project(name="p", workers=dict(workers))
    wanted = Wanted(jobstores=False, queue=False, options=CheckOptions(**options))
    told: list[Report] = []
    reports = check_project(project, wanted, told=told.append)
    assert told == reports
    return {report.element.removeprefix("Worker "): report for report in reports}


def test_each_broken_worker_names_its_cause_and_the_healthy_one_is_well(site: Site, folder: Path) -> None:
    (site.home / ".ssh" / "known_hosts").write_text(site.server("key").known_hosts.read_text())
    stranger = site.folder / "stranger_key"
    if not stranger.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    (port,) = free_ports(1)
    reports = check(
        {
            "healthy": worker(site, folder / "a"),
            "port": worker(site, folder, port=port),
            "key": worker(site, folder, key_filename=str(stranger)),
            "no_key_file": worker(site, folder, key_filename="/no/such/key"),
            "name": worker(site, folder, host="login.cluster.invalid"),
            "gateway": worker(site, folder, gateway={"host": "127.0.0.1", "port": port}),
            "full": worker(site, Path("/proc/runs")),
            "no_jf": worker(site, folder, pre_run=None, execution_cmd="no-such-jf execution run {}"),
        }
    )
    causes = {
        "port": "connection refused",
        "key": "refused the login. It offers publickey",
        "no_key_file": "there is no key file /no/such/key",
        "name": "the name login.cluster.invalid is not known",
        "gateway": "no way to",
        "full": "work_dir /proc/runs cannot be written to",
        "no_jf": "'no-such-jf' is not found",
    }
    assert reports.pop("healthy").level is Level.OK
    assert {name: report.level for name, report in reports.items()} == dict.fromkeys(causes, Level.ERROR)
    for name, cause in causes.items():
        (trouble,) = [each for each in reports[name].findings if each.level is Level.ERROR]
        assert cause in trouble.text, name
        assert trouble.fix, name


def test_a_changed_and_an_unknown_host_key(site: Site, folder: Path) -> None:
    strict = check({"w": worker(site, folder, host_keys="strict")})["w"]
    assert "is not known" in str(strict.describe(Level.ERROR))
    assert "accept-new" in str(strict.describe(Level.ERROR))
    other = site.folder / "other_host_key"
    if not other.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    port = site.server("key").port
    text = other.with_suffix(".pub").read_text()
    (site.home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {text}")
    changed = str(check({"w": worker(site, folder)})["w"].describe(Level.ERROR))
    assert "has changed" in changed
    assert "ssh-keygen -R" in changed


def test_a_real_job_over_ssh_and_a_shell_that_talks(site: Site, folder: Path) -> None:
    shell = site.folder / "talking-bash"
    shell.write_text('#!/bin/bash\necho "Welcome! Quota: 93 %"\nexec bash "$@"\n')
    shell.chmod(0o755)
    report = check(
        {"w": worker(site, folder / "runs; `id`", shell_cmd=str(shell), post_run="true")}, run=True
    )["w"]
    assert report.describe(Level.ERROR) is None
    (talk,) = [each for each in report.findings if each.level is Level.WARNING]
    assert "Quota: 93 %" in talk.text
    assert "sanitize_command: true" in (talk.fix or "")
    assert any(each.what == "run" and "a job ran on" in each.text for each in report.findings)
    assert list((folder / "runs; `id`").iterdir()) == []


def test_following_and_a_shell_in_the_folder(site: Site, folder: Path) -> None:
    run_dir = folder / "it's a `folder`"
    run_dir.mkdir()
    (run_dir / "queue.out").write_text("naïve\n")
    host = POOL.host(worker(site, folder))
    files, told = QueueFiles(host, str(run_dir)), []
    for text in ("", "more\n"):
        with (run_dir / "queue.out").open("a") as file:
            file.write(text)
        asyncio.run(files.tell_new(lambda name, text: told.append((name, text))))
    assert told == [("queue.out", "naïve\n"), ("queue.out", "more\n")]
    command = render_shell_command(worker(site, folder), str(run_dir), shell="sh -c 'pwd > where'")
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=30)
    assert (run_dir / "where").read_text().rstrip("\n") == str(run_dir)
