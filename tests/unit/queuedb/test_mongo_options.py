"""Descriptions of MongoDB servers, as data: what the driver is told, and what people are not."""

from __future__ import annotations

from typing import Any

import pytest

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.config.redact import HIDDEN, redact
from jobflow_remote.errors import ConfigError
from jobflow_remote.queuedb.mongo.options import DEFAULTS, Server, parse_server, parse_spec
from jobflow_remote.queuedb.mongo.tunnel import parse_address

TUNNEL = {"tunnel_server_address": "gate:22", "remote_server_address": "db:27017", "password": "t-word-9"}


def server(**options: Any) -> Server:
    return parse_server({"database": "d", **options}, where="queue.store")


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({}, "localhost:27017"),
        ({"host": "h", "port": "27018"}, "h:27018"),
        ({"host": "a:1,b:2"}, "a:1,b:2"),
        ({"host": ["a", "b:2"]}, "a:27017,b:2"),
        ({"uri": "mongodb://u:p%40@h:1,g:2/x?tls=true"}, "h:1,g:2"),
        ({"host": "mongodb+srv://u:p/w@cluster.example.org/?w=1"}, "cluster.example.org"),
        ({"ssh_tunnel": TUNNEL}, "db:27017 through gate:22"),
    ],
)
def test_places_without_secrets(options: dict[str, Any], address: str) -> None:
    assert server(**options).address == address
    assert "p%40" not in repr(server(**options))
    assert "t-word-9" not in repr(server(**options))


def test_defaults_give_way_to_what_is_written_anywhere() -> None:
    assert server().client_options == DEFAULTS
    found = server(mongoclient_kwargs={"sockettimeoutms": 1}, uri="mongodb://h/?ConnectTimeoutMS=7")
    names = {name.lower() for name in found.client_options}
    assert "connecttimeoutms" not in names
    assert found.client_options["sockettimeoutms"] == 1
    assert "socketTimeoutMS" not in found.client_options
    assert found.option("connectTimeoutMS") == "7"


@pytest.mark.parametrize(
    ("options", "credentials"),
    [
        ({}, {}),
        ({"username": "u", "password": "p"}, {"username": "u", "password": "p", "authSource": "d"}),
        ({"username": "u", "auth_source": "a"}, {"username": "u", "password": "", "authSource": "a"}),
        (
            {"username": "CN=u", "auth_source": "d", "mongoclient_kwargs": {"authMechanism": "MONGODB-X509"}},
            {"username": "CN=u", "authSource": "$external"},
        ),
        ({"uri": "mongodb://a:b@h/d", "username": "u", "password": "p"}, {}),
    ],
)
def test_logins(options: dict[str, Any], credentials: dict[str, Any]) -> None:
    assert server(**options).credentials == credentials


def test_secrets_are_hidden_wherever_they_are_written() -> None:
    uri = "mongodb://u:p%40ss-1@h/d?tlsCertificateKeyFilePassword=key-word&authMechanismProperties=AWS_SESSION_TOKEN:tok-1"
    found = server(
        uri=uri, mongoclient_kwargs={"tlsCRLFile": "f", "authMechanismProperties": {"token": "tok-2"}}
    )
    text = found.hide_secrets("p%40ss-1 p@ss-1 key-word tok-1 tok-2 h")
    assert text == " ".join([HIDDEN] * 5) + " h"
    assert server(ssh_tunnel=TUNNEL).hide_secrets("no t-word-9") == f"no {HIDDEN}"
    assert server(username="u", password="pass word").hide_secrets("pass word!") == f"{HIDDEN}!"
    shown = redact(uri, "uri")
    assert not [secret for secret in ("p%40ss", "key-word", "tok-1") if secret in shown]
    assert shown.startswith(f"mongodb://{HIDDEN}@h/d?")


@pytest.mark.parametrize("uri", ["mongodb://h/d?tls=true", "https://example.org/a?b", "mongodb://h"])
def test_uris_without_secrets_stay(uri: str) -> None:
    assert redact(uri) == uri


def test_the_same_description_has_the_same_key() -> None:
    one = server(mongoclient_kwargs={"a": 1, "b": {"c": 1, "d": 2}}, username="u", password="p")
    two = server(mongoclient_kwargs={"b": {"d": 2, "c": 1}, "a": 1}, username="u", password="p")
    assert one.key() == two.key()
    assert parse_spec(QueueSpec("MongoStore", {"database": "e"})).key() == server().key(), (
        "names do not matter"
    )
    assert one.key() != server(mongoclient_kwargs={"a": 1}, username="u", password="q").key()


def test_files_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert server(mongoclient_kwargs={"tlsCAFile": "~/ca.pem"}).option("tlscafile") == "/home/somebody/ca.pem"


def test_addresses_of_tunnels() -> None:
    assert parse_address("h", 22) == ("h", 22)
    assert parse_address("h:2200", 22) == ("h", 2200)
    assert parse_address("[::1]:2200", 22) == ("::1", 2200)
    assert parse_address("::1", 22) == ("::1", 22)
    for wrong in ("", "h:port", ":22"):
        with pytest.raises(ConfigError, match="not an address"):
            parse_address(wrong, 22)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ssh_tunnel": {"tunnel_server_address": "g"}}, "remote_server_address is missing"),
        ({"ssh_tunnel": TUNNEL, "uri": "mongodb://h/d"}, "cannot be used with a URI"),
        ({"port": "many"}, "port is not a number"),
        ({"database": None}, "database is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        server(**options)
