"""Fixtures with servers to log in to: import them where they are wanted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.logins import Site, open_folder
from tests.services.missing import or_skip


@pytest.fixture(scope="module")
def servers() -> Iterator[Site]:
    """Servers of many kinds, one of each, started when they are wanted. Names of sockets must be short."""
    with tempfile.TemporaryDirectory(prefix="jf") as folder:
        site = or_skip(lambda: Site(Path(folder)))
        or_skip(lambda: site.server("key"))
        yield site
        site.close()


@pytest.fixture
def site(servers: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The servers, a home without any history, and a pool without connections."""
    ssh = servers.home / ".ssh"
    shutil.rmtree(ssh)
    ssh.mkdir(mode=0o700)
    (ssh / "config").touch()
    monkeypatch.setenv("HOME", str(servers.home))
    monkeypatch.setenv("PATH", str(servers.bin), prepend=":")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield servers
    servers.pool.shut_down()
    servers.pool.answerer = None


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder for every user."""
    place = open_folder()
    yield place
    shutil.rmtree(place)
