"""All the ways in which a ``MongoStore`` can describe how its server is reached, for the queue and for outputs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import pytest
from tests.services.certificates import Authority
from tests.services.debian import wait_until
from tests.services.mongod import Mongod
from tests.services.sshd import Sshd

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.errors import (
    ConfigError,
    JobflowRemoteError,
    OutputStoreAwayError,
    QueueDatabaseAwayError,
    QueueDatabaseError,
)
from jobflow_remote.outputs.jobstore import OutputStore
from jobflow_remote.queuedb import open_queue_database

PASSWORD = "s3cret/@:word"


def opens(store: dict[str, Any]) -> None:
    """Whether a queue and an output store with this description can be written and read."""
    options = {key: value for key, value in store.items() if key != "type"}
    queue = open_queue_database(QueueSpec(kind=store["type"], options={**options, "collection_name": "jobs"}))
    try:
        queue.set_auxiliary("tests", 1)
        assert queue.get_auxiliary("tests") == 1
    finally:
        queue.close()
    outputs = output_store(store)
    try:
        uuid = str(uuid4())
        blob = {"blob_uuid": f"b-{uuid}", "job_uuid": uuid, "job_index": 1, "data": [1, 2]}
        outputs.store_output(
            {"uuid": uuid, "index": 1, "output": 3, "metadata": {}}, {"data": [blob]}, db_id="1"
        )
        assert outputs.get_output(uuid) == 3
        assert outputs.read_blobs("data", [f"b-{uuid}"]) == {f"b-{uuid}": [1, 2]}
    finally:
        outputs.close()


def output_store(store: dict[str, Any]) -> OutputStore:
    gridfs = {**store, "type": store["type"].replace("Mongo", "GridFS"), "collection_name": "blobs"}
    docs = {**store, "collection_name": "outputs"}
    return OutputStore.from_spec({"docs_store": docs, "additional_stores": {"data": gridfs}})


def refused(store: dict[str, Any], kind: type[JobflowRemoteError]) -> JobflowRemoteError:
    """How the queue refuses a description."""
    options = {key: value for key, value in store.items() if key != "type"}
    options["mongoclient_kwargs"] = {"serverSelectionTimeoutMS": 1500, **store.get("mongoclient_kwargs", {})}
    with pytest.raises(kind) as caught:
        open_queue_database(QueueSpec(kind=store["type"], options=options))
    return caught.value


def login(server: Mongod, **more: Any) -> dict[str, Any]:
    return {
        "type": "MongoStore", "host": "127.0.0.1", "port": server.port, "database": "queue",
        "username": "keeper", "password": PASSWORD, "auth_source": "admin", **more,
    }  # fmt: skip


# -- users ---------------------------------------------------------------------------------------------------


def test_users_with_passwords(mongod_with_users: Mongod) -> None:
    server = mongod_with_users
    opens(login(server))
    options = {"authSource": "admin", "authMechanism": "SCRAM-SHA-1"}
    opens(login(server, auth_source=None, mongoclient_kwargs=options))
    uri = f"mongodb://keeper:{quote_plus(PASSWORD)}@{server.address}"
    opens({"type": "MongoURIStore", "uri": f"{uri}/queue?authSource=admin&appName=mine"})
    opens({"type": "MongoStore", "uri": f"{uri}/?authSource=admin", "database": "queue"})
    opens({"type": "MongoStore", "host": f"{uri}/?authSource=admin", "database": "queue"})


def test_refused_logins_show_no_password(mongod_with_users: Mongod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server, wrong = mongod_with_users, "wr0ng-w/ord"
    uri = f"mongodb://keeper:{quote_plus(wrong)}@{server.address}/queue?authSource=admin"
    descriptions = [
        login(server, password=wrong),
        login(server, username="nobody"),
        login(server, auth_source=None),
        {"type": "MongoURIStore", "uri": uri},
        {"type": "MongoStore", "host": "127.0.0.1", "port": server.port, "database": "queue"},
        login(server, database="elsewhere"),
    ]
    for description in descriptions:
        error = refused(description, QueueDatabaseError)
        assert "refused the login or what was asked" in error.message
        assert f"127.0.0.1:{server.port}" in error.message
        assert "queue.store" in str(error.hint)
        with pytest.raises(OutputStoreAwayError) as caught:
            output_store(description).get_output("u")
        for said in (error.message, str(error.hint), caught.value.message, caplog.text):
            assert wrong not in said
            assert PASSWORD not in said
            assert quote_plus(wrong) not in said


# -- TLS -----------------------------------------------------------------------------------------------------


def secured(server: Mongod, **options: Any) -> dict[str, Any]:
    given = {key: value for key, value in {**server.client_options, **options}.items() if value is not None}
    return {
        "type": "MongoStore", "host": "127.0.0.1", "port": server.port, "database": "queue",
        "mongoclient_kwargs": given,
    }  # fmt: skip


def test_tls_with_certificates_on_both_sides(mongod_with_tls: Mongod) -> None:
    opens(secured(mongod_with_tls))
    given = mongod_with_tls.client_options
    options = (
        f"tls=true&tlsCAFile={given['tlsCAFile']}&tlsCertificateKeyFile={given['tlsCertificateKeyFile']}"
    )
    opens({"type": "MongoURIStore", "uri": f"mongodb://{mongod_with_tls.address}/queue?{options}"})


def test_a_login_by_certificate(mongod_with_tls: Mongod) -> None:
    options = {**mongod_with_tls.client_options, "authMechanism": "MONGODB-X509"}
    from pymongo import MongoClient

    client: MongoClient[Any] = MongoClient(
        "127.0.0.1", mongod_with_tls.port, **mongod_with_tls.client_options
    )
    subject = "CN=client,OU=client,O=tests"
    client["$external"].command("createUser", subject, roles=[{"role": "readWrite", "db": "queue"}])
    client.close()
    opens({**secured(mongod_with_tls), "mongoclient_kwargs": options})
    opens({**secured(mongod_with_tls), "username": subject, "mongoclient_kwargs": options})


def test_wrong_certificates_are_named(mongod_with_tls: Mongod, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "somebody else").certificate
    error = refused(secured(mongod_with_tls, tlsCAFile=str(stranger)), QueueDatabaseAwayError)
    assert str(stranger) in str(error.hint)
    assert "not signed by tlsCAFile" in str(error.hint)

    missing = tmp_path / "missing.pem"
    error = refused(secured(mongod_with_tls, tlsCAFile=str(missing)), ConfigError)
    assert f"tlsCAFile of queue.store: {missing} does not exist" in error.message

    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    for name in ("tlsCAFile", "tlsCertificateKeyFile"):
        error = refused(secured(mongod_with_tls, **{name: str(garbage)}), ConfigError)
        assert str(garbage) in error.message, name

    error = refused(secured(mongod_with_tls, tlsCertificateKeyFile=None), QueueDatabaseAwayError)
    assert "TLS" in str(error.hint)
    assert "tlsCertificateKeyFile not given" in str(error.hint)


def test_one_side_speaks_tls(mongod_with_tls: Mongod, mongod_behind: Mongod) -> None:
    plain = {"type": "MongoStore", "host": "127.0.0.1", "port": mongod_with_tls.port, "database": "queue"}
    assert "tls: true" in str(refused(plain, QueueDatabaseAwayError).hint)
    given = mongod_with_tls.client_options
    error = refused(
        {**plain, "port": mongod_behind.port, "mongoclient_kwargs": given}, QueueDatabaseAwayError
    )
    assert "do not agree on TLS" in str(error.hint)


# -- SSH -----------------------------------------------------------------------------------------------------


def tunnelled(server: Mongod, sshd: Sshd, **more: Any) -> dict[str, Any]:
    tunnel = {
        "tunnel_server_address": f"127.0.0.1:{sshd.port}",
        "remote_server_address": server.address,
        "username": sshd.user,
        "private_key": str(sshd.user_key),
        **more,
    }
    return {"type": "MongoStore", "host": "unreachable", "database": "queue", "ssh_tunnel": tunnel}


@pytest.mark.parametrize(
    "form", [{}, {"type": "SSHTunnel"}, {"@module": "maggma.stores.ssh_tunnel", "@class": "SSHTunnel"}]
)
def test_an_ssh_tunnel(mongod_behind: Mongod, sshd: Sshd, form: dict[str, str]) -> None:
    opens(tunnelled(mongod_behind, sshd, **form))
    assert sshd.log.count("Accepted publickey") == 2, "one login for the queue, then one for the outputs"


def test_a_tunnel_that_was_lost_opens_again(mongod_behind: Mongod, sshd: Sshd) -> None:
    store = tunnelled(mongod_behind, sshd)
    queue = open_queue_database(QueueSpec("MongoStore", {k: v for k, v in store.items() if k != "type"}))
    outputs = output_store(store)
    try:
        for restarts in (False, True):
            sshd.drop()
            if restarts:
                sshd.stop()
                sshd.start()
            assert answers(queue), "the tunnel opens again"
            queue.set_auxiliary("tests", 2)
            outputs.store_output({"uuid": "u", "index": 1, "output": 4}, {}, db_id="1")
    finally:
        outputs.close()
        queue.close()
    wait_until(lambda: not sshd.sessions(), 10, "nobody is logged in any more")


def answers(queue: Any) -> bool:
    """Whether the database answers within a few tries: a broken connection costs one."""
    for _ in range(4):
        try:
            queue.get_auxiliary("tests")
        except QueueDatabaseAwayError:
            continue
        return True
    return False


def test_tunnels_that_do_not_open(mongod_behind: Mongod, sshd: Sshd, tmp_path: Path) -> None:
    error = refused(tunnelled(mongod_behind, sshd, username="nobody-here"), QueueDatabaseAwayError)
    assert f"127.0.0.1:{sshd.port}" in error.message
    assert "ssh_tunnel" in str(error.hint)
    key = tmp_path / "none"
    assert str(key) in refused(tunnelled(mongod_behind, sshd, private_key=str(key)), ConfigError).message
    both = {**tunnelled(mongod_behind, sshd), "uri": "mongodb://h/d"}
    assert "cannot be used with a URI" in refused(both, ConfigError).message
    closed = tunnelled(mongod_behind, sshd, remote_server_address="127.0.0.1:9")
    assert "does the SSH login" in str(refused(closed, QueueDatabaseAwayError).hint)


def test_a_changed_host_key_is_refused(
    mongod_behind: Mongod, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(sshd.known_hosts.read_text())
    opens(tunnelled(mongod_behind, sshd))
    sshd.stop()
    sshd.renew_host_key()
    sshd.start()
    error = refused(tunnelled(mongod_behind, sshd), QueueDatabaseAwayError)
    assert "host key has changed" in error.message
