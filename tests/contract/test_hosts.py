"""The contract of hosts, on every way to get to one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from tests.services.logins import Site, open_folder
from tests.services.missing import or_skip
from tests.services.sites import servers

from jobflow_remote.hosts.local import LocalHost
from jobflow_remote.hosts.port import Host
from jobflow_remote.testing.contracts.hosts import HostContract

__all__ = ["servers"]


class _OnThisMachine(HostContract):
    @pytest.fixture
    def folder(self) -> Iterator[str]:
        place = open_folder()
        yield str(place)
        shutil.rmtree(place)


class TestLocal(_OnThisMachine):
    """The machine itself."""

    @pytest.fixture
    def host(self) -> Host:
        return LocalHost()


class _OverSsh(_OnThisMachine):
    kind: str

    @pytest.fixture
    def host(self, servers: Site, monkeypatch: pytest.MonkeyPatch) -> Host:
        monkeypatch.setenv("HOME", str(servers.home))
        monkeypatch.setenv("PATH", str(servers.bin), prepend=":")
        return or_skip(lambda: servers.host(self.kind))


class TestSsh(_OverSsh):
    """A key."""

    kind = "key"


class _AnotherLogin(_OverSsh):
    """What comes after the login is the same as elsewhere: fewer and smaller files do."""

    many_files = 60
    big_bytes = 6_000_000


class TestGateway(_AnotherLogin):
    """Through a host that forwards connections, and does nothing else."""

    kind = "gateway"


class TestWithoutSftp(_AnotherLogin):
    """The server has SFTP switched off."""

    kind = "nosftp"


class TestNoisy(_AnotherLogin):
    """The server prints text around the output of every command."""

    kind = "noisy"


class TestOneSession(_AnotherLogin):
    """The server takes one session per connection."""

    kind = "strict"
    simultaneous = False


class TestSplit(_OverSsh):
    """Files through a host that runs no commands."""

    kind = "split"


class TestPassword(_AnotherLogin):
    """A password."""

    kind = "password"


class TestKeyboardInteractive(_AnotherLogin):
    """A password and a one-time code, asked for."""

    kind = "otp"


class TestOpenssh(_OverSsh):
    """The system's ``ssh``, over a session that was opened beforehand."""

    kind = "openssh"
