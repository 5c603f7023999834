"""The contract of hosts, on every way to get to one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.logins import Site, open_folder
from tests.services.missing import or_skip

from jobflow_remote.hosts.local import LocalHost
from jobflow_remote.hosts.port import Host
from jobflow_remote.testing.contracts.hosts import HostContract


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Servers of many kinds; one of each. Names of sockets must be short."""
    with tempfile.TemporaryDirectory(prefix="jf") as folder:
        site = or_skip(lambda: Site(Path(folder)))
        yield site
        site.close()


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
    def host(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> Host:
        monkeypatch.setenv("HOME", str(site.home))
        monkeypatch.setenv("PATH", str(site.bin), prepend=":")
        return or_skip(lambda: site.host(self.kind))


class TestSsh(_OverSsh):
    """A key."""

    kind = "key"


class TestGateway(_OverSsh):
    """Through a host that forwards connections, and does nothing else."""

    kind = "gateway"


class TestWithoutSftp(_OverSsh):
    """The server has SFTP switched off."""

    kind = "nosftp"


class TestNoisy(_OverSsh):
    """The server prints text around the output of every command."""

    kind = "noisy"


class TestOneSession(_OverSsh):
    """The server takes one session per connection."""

    kind = "strict"
    simultaneous = False


class TestSplit(_OverSsh):
    """Files through a host that runs no commands."""

    kind = "split"


class TestPassword(_OverSsh):
    """A password."""

    kind = "password"


class TestKeyboardInteractive(_OverSsh):
    """A password and a one-time code, asked for."""

    kind = "otp"


class TestOpenssh(_OverSsh):
    """The system's ``ssh``, over a session that was opened beforehand."""

    kind = "openssh"
