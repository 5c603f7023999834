"""What the configuration of a worker says about its connection, in asyncssh's words."""

from __future__ import annotations

from typing import Any

import pytest

from jobflow_remote.config.workers import RemoteWorker, SeparatedTransferWorker
from jobflow_remote.errors import ConfigError
from jobflow_remote.hosts.login import Login, login_of, transfer_login_of
from jobflow_remote.hosts.pool import HostPool
from jobflow_remote.hosts.ssh.options import connect_options, jumps, proxy_command, translate_options


def worker(**fields: Any) -> RemoteWorker:
    return RemoteWorker(**{"host": "cluster", "scheduler_type": "slurm", "work_dir": "/scratch", **fields})


@pytest.mark.parametrize(
    "name",
    ["pkey", "sock", "auth_strategy", "transport_factory", "hostname", "port", "username", "gss_trust_dns"],
)
def test_what_only_paramiko_has_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        HostPool().host(worker(connect_kwargs={name: "x"}))
    assert caught.value.hint


def test_unknown_options_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'compres'") as caught:
        HostPool().host(worker(connect_kwargs={"compres": True}))
    assert "compress" in (caught.value.hint or "")


def test_options_of_a_gateway_are_looked_at_too() -> None:
    with pytest.raises(ConfigError, match="pkey"):
        HostPool().host(worker(gateway={"host": "g", "connect_kwargs": {"pkey": "x"}}))


@pytest.mark.parametrize(
    "given, wanted",
    [
        ({"timeout": 7}, {"connect_timeout": 7}),
        ({"allow_agent": False}, {"agent_path": None}),
        ({"allow_agent": True, "look_for_keys": True, "compress": False}, {}),
        ({"compress": True}, {"compression_algs": ["zlib@openssh.com", "none"]}),
        ({"gss_auth": True, "gss_deleg_creds": True}, {"gss_auth": True, "gss_delegate_creds": True}),
        ({"gss_kex": False, "gss_host": "h"}, {"gss_kex": False, "gss_host": "h"}),
        (
            {"disabled_algorithms": {"kex": ["a", "b"], "pubkeys": ["ssh-rsa"], "keys": []}},
            {"kex_algs": "-a,b", "signature_algs": "-ssh-rsa"},
        ),
        ({"timeout": None, "sock": None}, {}),
    ],
)
def test_paramiko_s_names(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert translate_options(given) == wanted


def test_times_to_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect_options(login_of(worker()))["login_timeout"] == 30
    assert connect_options(login_of(worker(interactive_login=True)))["login_timeout"] == 120
    patient = worker(connect_kwargs={"auth_timeout": 50, "banner_timeout": 70}, connect_timeout=9)
    options = connect_options(login_of(patient))
    assert (options["login_timeout"], options["connect_timeout"]) == (70, 9)


def test_keys_and_passwords_by_field_and_by_connect_kwargs() -> None:
    by_field = worker(user="me", password="pw", key_filename="/k", passphrase="pp")
    by_kwargs = worker(
        user="me", connect_kwargs={"password": "pw", "key_filename": ["/k"], "passphrase": "pp"}
    )
    assert login_of(by_field) == login_of(by_kwargs)
    options = connect_options(login_of(by_field))
    assert (options["password"], options["client_keys"], options["passphrase"]) == ("pw", ["/k"], "pp")


def test_without_looking_for_keys_there_are_none() -> None:
    options = connect_options(login_of(worker(connect_kwargs={"look_for_keys": False})))
    assert options["client_keys"] is None


def test_secrets_are_not_shown() -> None:
    login = login_of(
        worker(
            password="s3cret1",
            passphrase="s3cret2",
            gateway={"host": "g", "password": "s3cret3", "connect_kwargs": {"gss_host": "s3cret4"}},
        )
    )
    assert "s3cret" not in repr(login) + login.name


def test_a_login_has_a_name() -> None:
    assert login_of(worker()).name == "cluster"
    assert login_of(worker(user="me", port=2222)).name == "me@cluster:2222"
    assert login_of(worker(port=22)).name == "cluster"


def test_workers_with_equal_logins_share() -> None:
    one = worker(user="me", connect_kwargs={"compress": True}, gateway={"host": "g"}, max_jobs=3)
    two = worker(user="me", connect_kwargs={"compress": True}, gateway={"host": "g"}, timeout_execute=7)
    assert login_of(one) == login_of(two)
    assert hash(login_of(one)) == hash(login_of(two))
    assert login_of(one) != login_of(worker(user="you"))


def test_gateways_inherit_patience_not_credentials() -> None:
    login = login_of(
        worker(
            password="pw",
            keepalive=5,
            connect_timeout=6,
            gateway={"host": "a", "gateway": {"host": "b", "user": "x"}},
        )
    )
    first = login.gateway
    assert isinstance(first, Login)
    second = first.gateway
    assert isinstance(second, Login)
    assert (first.host, second.host, second.user) == ("a", "b", "x")
    assert (second.keepalive_seconds, second.connect_timeout_seconds, second.password) == (5, 6, None)


def test_a_host_for_files_borrows_what_it_is_not_given() -> None:
    def split(**transfer: Any) -> Login:
        fields = {"host": "cluster", "user": "me", "port": 5, "password": "pw", "key_filename": "/k"}
        return transfer_login_of(
            SeparatedTransferWorker(
                **fields,
                scheduler_type="slurm",
                work_dir="/scratch",
                transfer={"host": "data", **transfer},
            )
        )

    assert (split().host, split().user, split().port, split().password) == ("data", "me", 5, "pw")
    own = split(user="you", password="other")
    assert (own.user, own.port, own.password, own.key_files) == ("you", 5, "other", ())


def test_proxy_commands_are_filled_in() -> None:
    words = proxy_command("nc -x p %h %p # %r %% %z", host="h", port=22, user="me")
    assert words == ["sh", "-c", "exec nc -x p h 22 # me % %z"]


def test_jumps_are_read() -> None:
    login = jumps(Login("target", passphrase="pp"), "me@first:2022,second")
    assert (login.host, login.user, login.port) == ("second", None, None)
    first = login.gateway
    assert isinstance(first, Login)
    assert (first.host, first.user, first.port, first.passphrase) == ("first", "me", 2022, "pp")
