"""Real services, one of each per run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services.certificates import Authority
from tests.services.missing import or_skip
from tests.services.mongod import Mongod
from tests.services.sshd import Sshd


@pytest.fixture(scope="session")
def mongod_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A server that lets in only ``keeper`` (password ``s3cret/@:word``), who may do everything in ``queue``."""
    server = or_skip(Mongod(tmp_path_factory.mktemp("auth"), arguments=["--auth"]).start)
    root = {"user": "root", "pwd": "r00t-word", "roles": ["root"]}
    server.command("createUser", root["user"], pwd=root["pwd"], roles=root["roles"])
    server.client_options = {"username": "root", "password": "r00t-word"}
    roles = [{"role": "readWrite", "db": "queue"}]
    server.command("createUser", "keeper", pwd="s3cret/@:word", roles=roles)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of servers and clients."""
    return or_skip(lambda: Authority(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="session")
def mongod_with_tls(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Mongod]:
    """A server that speaks TLS only, and wants a certificate of its clients."""
    own, client = authority.issue("server"), authority.issue("client")
    arguments = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(own)]
    arguments += ["--tlsCAFile", str(authority.certificate)]
    options = {
        "tls": True, "tlsCAFile": str(authority.certificate), "tlsCertificateKeyFile": str(client),
    }  # fmt: skip
    server = Mongod(tmp_path_factory.mktemp("tls"), arguments=arguments, client_options=options)
    or_skip(server.start)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mongod_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A plain server."""
    server = or_skip(Mongod(tmp_path_factory.mktemp("plain")).start)
    yield server
    server.stop()


@pytest.fixture
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An SSH login of this machine."""
    server = or_skip(Sshd(tmp_path_factory.mktemp("sshd")).start)
    yield server
    server.stop()
