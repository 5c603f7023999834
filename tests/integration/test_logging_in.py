"""Logging in by hand: ``jf worker login``, and a running runner that asks its questions at somebody's terminal."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.services.logins import Site, one_time_code
from tests.services.missing import or_skip
from tests.services.sites import servers, site

from jobflow_remote.bootstrap import services_of
from jobflow_remote.config.project import Project
from jobflow_remote.config.workers import LocalWorker
from jobflow_remote.control.logins import Outcome, log_in
from jobflow_remote.errors import ConfigError, HostError, LoginNeededError
from jobflow_remote.hosts import openssh
from jobflow_remote.hosts.login import login_of
from jobflow_remote.hosts.pool import POOL
from jobflow_remote.hosts.port import Host
from jobflow_remote.hosts.questions import Questions
from jobflow_remote.services.logindesk import LoginDesk, log_runner_in, needs_desk
from jobflow_remote.services.opened import Services
from jobflow_remote.services.wakeup import Bell

__all__ = ["servers", "site"]

Answer = Callable[[Questions], list[str] | None]


@pytest.fixture
def services(site: Site, tmp_path: Path) -> Iterator[Services]:
    workers = {
        "here": LocalWorker(scheduler_type="shell", work_dir=tmp_path),
        "by_key": site.worker("key"),
        "by_session": site.worker("openssh"),
        "refused": site.worker("key", port=1),
    }
    with services_of(Project(name="logging_in", base_dir=str(tmp_path), workers=workers)) as opened:
        yield opened
    POOL.shut_down()


def _at_the_desk(folder: Path, host: Host, answer: Answer) -> tuple[int, list[str]]:
    """What becomes of a login to the only worker, and which workers the runner was told of."""
    told: list[str] = []

    async def runner() -> int:
        bell = Bell(folder, "test")
        desk = LoginDesk(folder, "test", find_host=lambda name: host, logged_in=told.append)
        await desk.open()
        try:
            number = await asyncio.to_thread(log_runner_in, folder, "otp", answer)
            assert (await host.run("echo hello")).stdout == "hello\n"
            return number
        finally:
            await desk.close()
            bell.close()

    return asyncio.run(runner()), told


def test_a_runner_asks_at_the_terminal_of_somebody_else(site: Site, tmp_path: Path) -> None:
    worker = or_skip(lambda: site.worker("otp"))
    password = site.need_user()
    asked: list[str] = []

    def answer(questions: Questions) -> list[str]:
        asked.extend(prompt.text for prompt in questions.prompts)
        return [password if "Password" in prompt.text else one_time_code() for prompt in questions.prompts]

    number, told = _at_the_desk(tmp_path, site.pool.host(worker), answer)
    assert (number, told) == (1, ["otp"])
    assert asked == ["Password: ", "Verification code: "]


def test_wrong_answers_and_none(site: Site, tmp_path: Path) -> None:
    worker = or_skip(lambda: site.worker("otp"))
    host = site.pool.host(worker)
    with pytest.raises(HostError, match="refused the login"):
        _at_the_desk(tmp_path, host, lambda questions: ["wrong" for _ in questions.prompts])
    with pytest.raises(HostError, match="nobody answers"):
        _at_the_desk(tmp_path, host, lambda questions: None)
    with pytest.raises(LoginNeededError):  # and now that the person has gone nobody is asked
        asyncio.run(host.run("echo"))


def test_there_is_no_runner(tmp_path: Path) -> None:
    assert log_runner_in(tmp_path, "any", lambda questions: None) == 0


def test_logging_in_from_the_command_line(services: Services) -> None:
    assert log_in(services, "here") is Outcome.LOCAL
    assert log_in(services, "by_key") is Outcome.WORKS
    with pytest.raises(ConfigError, match="no worker"):
        log_in(services, "nobody")
    with pytest.raises(HostError, match="connection refused"):
        log_in(services, "refused")


def test_opening_a_session_from_the_command_line(services: Services, site: Site) -> None:
    assert needs_desk(services.project)
    login = login_of(site.worker("openssh"))
    assert not openssh.is_open(login)
    assert log_in(services, "by_session") is Outcome.OPENED
    assert log_in(services, "by_session") is Outcome.WAS_OPEN
    assert asyncio.run(services.host("by_session").run("echo hello")).stdout == "hello\n"
    subprocess.run(openssh.logout_command(login), check=True, capture_output=True)


def test_a_login_for_a_runner_that_does_not_run(services: Services, site: Site) -> None:
    services.project.workers["otp"] = site.worker("key", interactive_login=True)
    with pytest.raises(LoginNeededError, match="not running"):
        log_in(services, "otp")
