"""SSH connections of all sorts against real servers: how they are made, shared, broken, and what is said about it."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.services.logins import Site
from tests.services.missing import or_skip
from tests.services.proxy import Proxy
from tests.services.sites import folder, servers, site
from tests.services.slowproxy import SlowProxy

from jobflow_remote.config.workers import RemoteWorker
from jobflow_remote.errors import ConfigError, HostKeyError, HostUnreachableError, LoginNeededError
from jobflow_remote.hosts import openssh
from jobflow_remote.hosts.login import login_of
from jobflow_remote.hosts.pool import HostPool
from jobflow_remote.hosts.port import CommandResult, Host
from jobflow_remote.hosts.questions import Questions

__all__ = ["folder", "servers", "site"]


def run(host: Host, command: str = "echo hello", **options: Any) -> CommandResult:
    return asyncio.run(host.run(command, **options))


def refusal(host: Host) -> HostUnreachableError:
    with pytest.raises(HostUnreachableError) as caught:
        run(host)
    return caught.value


def known_hosts(site: Site) -> Path:
    return site.home / ".ssh" / "known_hosts"


# -- the key of the host -------------------------------------------------------------------------------------------


def test_a_new_host_is_recorded_once(site: Site) -> None:
    worker = site.worker("key")
    assert run(site.pool.host(worker)).stdout == "hello\n"
    recorded = known_hosts(site).read_text()
    assert recorded == site.server("key").known_hosts.read_text()
    assert known_hosts(site).stat().st_mode & 0o777 == 0o600
    site.pool.shut_down()
    assert run(HostPool().host(site.worker("key", host_keys="strict"))).stdout == "hello\n"
    assert known_hosts(site).read_text() == recorded


def test_a_strict_worker_meets_nobody_new(site: Site) -> None:
    error = refusal(site.pool.host(site.worker("key", host_keys="strict")))
    assert isinstance(error, HostKeyError)
    assert "not known" in error.message
    assert "accept-new" in (error.hint or "")
    assert not known_hosts(site).exists()


@pytest.mark.parametrize("host_keys", ["accept-new", "strict"])
def test_a_changed_key_stops_the_worker(site: Site, host_keys: str) -> None:
    other = site.folder / "another_key"
    if not other.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    port = site.server("key").port
    line = f"[127.0.0.1]:{port} {other.with_suffix('.pub').read_text()}"
    known_hosts(site).write_text(line)
    error = refusal(site.pool.host(site.worker("key", host_keys=host_keys)))
    assert isinstance(error, HostKeyError)
    assert "has changed" in error.message
    assert f"ssh-keygen -R '[127.0.0.1]:{port}'" in (error.hint or "")
    assert known_hosts(site).read_text() == line


def test_a_key_of_another_kind_is_a_changed_key(site: Site) -> None:
    other = site.folder / "ecdsa_key"
    if not other.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(other)], check=True)
    text = other.with_suffix(".pub").read_text()
    known_hosts(site).write_text(f"[127.0.0.1]:{site.server('key').port} {text}")
    assert isinstance(refusal(site.pool.host(site.worker("key"))), HostKeyError)


def test_lines_that_nobody_understands_do_no_harm(site: Site) -> None:
    good = site.server("key").known_hosts.read_text()
    known_hosts(site).write_text(f"# a remark\n\nbroken\nhost ssh-unknown AAAA\n{good}")
    assert run(site.pool.host(site.worker("key", host_keys="strict"))).stdout == "hello\n"


# -- who gets in ---------------------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused_and_not_tried_again_at_once(site: Site) -> None:
    key = site.folder / "nobody_s_key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    proxy = SlowProxy(("127.0.0.1", site.server("key").port), delay_ms=0)
    host = site.pool.host(site.worker("key", key_filename=str(key), port=proxy.port))
    for _ in range(3):
        error = refusal(host)
        assert "refused the login" in error.message
        assert "publickey" in error.message
        assert str(key) in error.message
    assert proxy.counts()["connections"] == 1
    proxy.close()


def test_a_wrong_password_is_refused(site: Site) -> None:
    worker = or_skip(lambda: site.worker("password", password="wrong"))
    message = refusal(site.pool.host(worker)).message
    assert "password" in message
    assert "wrong" not in message


def test_keys_with_a_passphrase(site: Site) -> None:
    key = site.folder / "locked_key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", str(key)], check=True)
        site.server("key").add_user_key(key.with_suffix(".pub").read_text())
    worker = site.worker("key", key_filename=str(key), passphrase="open sesame")
    assert run(site.pool.host(worker)).stdout == "hello\n"
    for wrong in ("something else", None):
        with pytest.raises(ConfigError) as caught:
            run(site.pool.host(site.worker("key", key_filename=str(key), passphrase=wrong)))
        assert "passphrase" in str(caught.value) + str(caught.value.hint)
    with pytest.raises(ConfigError, match="no_such_key"):
        run(site.pool.host(site.worker("key", key_filename="/no_such_key")))


def test_keys_of_the_agent_and_forwarding_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    server = site.server("key")
    socket = site.folder / "agent.sock"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert agent.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", str(server.user_key)], check=True, capture_output=True)
        by_agent = site.worker("key", key_filename=None)
        assert run(site.pool.host(by_agent)).stdout == "hello\n"
        without = site.worker("key", key_filename=None, connect_kwargs={"allow_agent": False})
        assert "refused the login" in refusal(site.pool.host(without)).message
        forwarding = site.pool.host(site.worker("key", forward_agent=True))
        assert "user_key" in run(forwarding, "ssh-add -l").stdout
        assert "user_key" not in run(site.pool.host(site.worker("key")), "ssh-add -l").stdout
    finally:
        agent.terminate()
        agent.wait()


def test_questions_are_asked_once_for_all(site: Site) -> None:
    host = or_skip(lambda: site.host("otp"))
    before = site.answers_given

    async def together() -> list[CommandResult]:
        return await asyncio.gather(*(host.run("echo hello") for _ in range(5)))

    assert {answer.stdout for answer in asyncio.run(together())} == {"hello\n"}
    assert site.answers_given - before == 2  # a password, a code


def test_nobody_there_to_answer(site: Site) -> None:
    host = or_skip(lambda: site.host("otp"))
    site.pool.answerer = None
    error = refusal(host)
    assert isinstance(error, LoginNeededError)
    assert "jf worker login" in (error.hint or "")

    async def shrug(questions: Questions) -> None:
        assert "Password" in questions.prompts[0].text

    site.pool.shut_down()
    site.pool.answerer = shrug
    assert isinstance(refusal(host), LoginNeededError)


# -- where it goes -------------------------------------------------------------------------------------------------


def test_causes_have_names(site: Site) -> None:
    proxy = Proxy(("127.0.0.1", site.server("key").port))
    proxy.swallow()
    causes: dict[str, dict[str, Any]] = {
        "connection refused": {"port": 1},
        "name no-such-host.invalid is not known": {"host": "no-such-host.invalid"},
        "no answer in time": {"port": proxy.port, "connect_kwargs": {"auth_timeout": 1}},
    }
    for words, fields in causes.items():
        assert words in refusal(site.pool.host(site.worker("key", **fields))).message
    proxy.cut()
    broken = site.worker("key", port=proxy.port, connect_timeout=3)
    assert "closed before the login" in refusal(site.pool.host(broken)).message
    proxy.close()


def test_names_of_the_ssh_configuration(site: Site) -> None:
    server, gateway = site.server("key"), site.server("gateway")
    (site.home / ".ssh" / "config").write_text(
        f"Host cluster\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {server.user_key}\n  SetEnv LC_JF=from-config\n"
        f"Host inside\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyJump door\n  IdentityFile {server.user_key}\n"
        f"Host door\n  HostName 127.0.0.1\n  Port {gateway.port}\n  IdentityFile {gateway.user_key}\n"
        f"Host *\n  User {server.user}\n"
    )

    def worker(host: str, **more: Any) -> RemoteWorker:
        return RemoteWorker(host=host, scheduler_type="shell", work_dir="/tmp", **more)

    assert run(site.pool.host(worker("cluster"))).stdout == "hello\n"
    assert run(site.pool.host(worker("inside"))).stdout == "hello\n"
    recorded = known_hosts(site).read_text()
    assert f":{gateway.port} " in recorded  # a host on the way is looked at as closely as the last one
    inline = site.pool.host(worker("cluster", inline_ssh_env=True))
    assert run(inline, "echo $LC_JF").stdout == "from-config\n"
    (site.home / ".ssh" / "config").write_text("Host cluster\n  Port many\n")
    with pytest.raises(ConfigError, match="config"):
        run(HostPool().host(worker("cluster")))


def test_through_hosts_and_through_a_command(site: Site) -> None:
    first, second = site.by_key("gateway"), site.by_key("key")
    nested = site.worker("key", gateway={**second, "gateway": first})
    assert run(site.pool.host(nested)).stdout == "hello\n"
    command = (
        f"ssh -p {first['port']} -l {first['user']} -i {first['key_filename']} "
        "-o StrictHostKeyChecking=accept-new -W %h:%p 127.0.0.1"
    )
    assert run(site.pool.host(site.worker("key", gateway=command))).stdout == "hello\n"
    words = refusal(site.pool.host(site.worker("key", gateway={**first, "port": 1}))).message
    assert "no way to" in words
    assert "connection refused" in words
    beyond = refusal(site.pool.host(site.worker("key", gateway=first, port=1))).message
    assert "gateway cannot reach it" in beyond


def test_a_gateway_runs_no_commands(site: Site) -> None:
    with pytest.raises(Exception, match="only forwards connections"):
        run(site.pool.host(site.worker("gateway", **{**site.by_key("gateway"), "gateway": None})))


# -- the shell -----------------------------------------------------------------------------------------------------


def test_which_shell_and_what_it_has_read(site: Site) -> None:
    or_skip(site.need_user)
    profile = Path(f"~{site.user}").expanduser() / ".bash_profile"
    profile.write_text(
        "echo Welcome; echo Quota >&2; export JF_PROFILE=read; read -r answer; cat >/dev/null\n"
    )
    try:
        say = "echo $JF_PROFILE/$answer"
        assert run(site.pool.host(site.worker("password")), say) == CommandResult("read/\n", "", 0)
        for fields in ({"login_shell": False}, {"shell_cmd": None}):
            assert run(site.pool.host(site.worker("password", **fields)), say).stdout == "/\n"
    finally:
        profile.unlink()


# -- sharing -------------------------------------------------------------------------------------------------------


def test_everybody_shares_one_connection(site: Site) -> None:
    proxy = SlowProxy(("127.0.0.1", site.server("key").port), delay_ms=0)
    said: list[str] = []

    def visit(number: int) -> None:
        host = site.pool.host(site.worker("key", port=proxy.port, max_jobs=number + 1))

        async def several() -> None:
            answers = await asyncio.gather(*(host.run(f"echo {number}") for _ in range(3)))
            said.extend(answer.stdout for answer in answers)
            await host.close()

        asyncio.run(several())

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == sorted(f"{number}\n" for number in range(6) for _ in range(3))
    assert proxy.counts()["connections"] == 1
    proxy.close()


def test_round_trips_of_500_jobs(site: Site, folder: Path) -> None:
    proxy = SlowProxy(("127.0.0.1", site.server("key").port), delay_ms=5)
    host = site.pool.host(site.worker("key", port=proxy.port))
    names = [f"{number:03d}" for number in range(500)]

    async def submit_all() -> None:
        for start in range(0, 500, 50):
            part = names[start : start + 50]
            inputs = {
                str(folder / name / "input.json"): f'{{"name": "{name}"}}'.encode() * 100 for name in part
            }
            await host.put_many(inputs, replace_in=[str(folder / name / "output.json") for name in part])
            scripts = {str(folder / name / "submit.sh"): b"#!/bin/bash\necho\n" * 30 for name in part}
            words = " ".join(shlex.quote(str(folder / name)) for name in part)
            count = f'n=0; for f in {words}; do [ -s "$f/submit.sh" ] && ((n++)); done; echo $n'
            answer = await host.put_and_run(scripts, count)
            assert answer.stdout == "50\n"

    asyncio.run(submit_all())
    turns = proxy.counts()["turns"]
    assert turns <= 35, f"{turns} round trips, login included"

    async def fetch_all() -> None:
        for start in range(0, 500, 50):
            part = names[start : start + 50]
            wanted = {
                str(folder / name / file): folder / "here" / name / file
                for name in part
                for file in ("input.json", "output.json")
            }
            assert len(await host.get_many(wanted)) == 50

    asyncio.run(fetch_all())
    assert proxy.counts()["turns"] - turns <= 20
    proxy.close()


# -- trouble -------------------------------------------------------------------------------------------------------


def test_a_connection_that_is_cut_during_a_transfer(site: Site, folder: Path) -> None:
    proxy = Proxy(("127.0.0.1", site.server("key").port))
    host = site.pool.host(site.worker("key", port=proxy.port))
    source, target, back = folder / "source", folder / "far" / "target", folder / "near" / "back"
    source.write_bytes(os.urandom(16_000_000))
    assert run(host).stdout == "hello\n"

    async def cut_while(work: Any, moving: Path) -> None:
        transfer = asyncio.ensure_future(work)
        while not any(path.stat().st_size for path in moving.glob("*.part*")) and not transfer.done():
            await asyncio.sleep(0.01)
        proxy.cut()
        with pytest.raises(HostUnreachableError):
            await transfer
        proxy.mend()

    asyncio.run(cut_while(host.put_many({str(target): source}), target.parent))
    assert not target.exists()
    asyncio.run(host.put_many({str(target): source}))
    assert target.stat().st_size == 16_000_000
    asyncio.run(cut_while(host.get_many({str(target): back}), back.parent))
    assert not list(back.parent.iterdir())
    assert asyncio.run(host.get_many({str(target): back})) == frozenset()
    assert back.read_bytes() == source.read_bytes()
    wait = (
        "for i in {1..200}; do ls "
        + shlex.quote(str(target.parent))
        + " | grep -q part || exit 0; sleep 0.05; done; exit 1"
    )
    assert run(host, wait).exit_code == 0
    proxy.close()


def test_it_goes_on_by_itself_after_the_server_was_restarted(site: Site) -> None:
    server = site.server("nosftp")
    host = site.pool.host(site.worker("nosftp"))
    assert run(host).stdout == "hello\n"
    server.drop()

    async def until_it_works() -> int:
        for failures in range(100):
            try:
                assert (await host.run("echo hello")).stdout == "hello\n"
            except HostUnreachableError:
                await asyncio.sleep(0.1)
            else:
                return failures
        raise AssertionError("it does not go on")

    assert asyncio.run(until_it_works()) <= 1
    server.stop()
    assert "nosftp" not in refusal(host).message
    server.start()
    asyncio.run(until_it_works())


def test_signs_of_life_find_a_dead_connection(site: Site) -> None:
    proxy = Proxy(("127.0.0.1", site.server("key").port))
    host = site.pool.host(site.worker("key", port=proxy.port, keepalive=1))
    assert run(host).stdout == "hello\n"

    async def wait_for_ever() -> None:
        waiting = asyncio.ensure_future(host.run("sleep 1000"))
        await asyncio.sleep(0.2)
        proxy.swallow()
        with pytest.raises(HostUnreachableError):
            await waiting
        proxy.mend()

    asyncio.run(wait_for_ever())
    assert run(host).stdout == "hello\n"
    proxy.close()


def test_a_dead_host_disturbs_no_other(site: Site) -> None:
    proxy = Proxy(("127.0.0.1", site.server("key").port))
    proxy.swallow()
    dead = site.pool.host(site.worker("key", port=proxy.port))
    healthy = site.pool.host(site.worker("nosftp"))

    async def both() -> None:
        hanging = [asyncio.ensure_future(dead.run("echo")) for _ in range(20)]
        assert (await healthy.run("echo hello")).stdout == "hello\n"
        assert not any(each.done() for each in hanging)
        for each in hanging:
            each.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    asyncio.run(both())
    proxy.close()


# -- sessions of the system's ssh ----------------------------------------------------------------------------------


def test_a_session_that_ends_is_waited_for(site: Site) -> None:
    worker = site.worker("openssh")
    host = site.pool.host(worker)
    before = site.server("key").log.count("Connection from")
    error = refusal(host)
    assert isinstance(error, LoginNeededError)
    assert "needs login since" in error.message
    assert "jf worker login" in (error.hint or "")
    assert site.server("key").log.count("Connection from") == before  # no login of its own
    site.open_session(worker)
    assert run(host).stdout == "hello\n"
    subprocess.run(openssh.logout_command(login_of(worker)), check=True, capture_output=True)
    assert not openssh.is_open(login_of(worker))
    assert isinstance(refusal(host), LoginNeededError)
    site.open_session(worker)
    assert run(host).stdout == "hello\n"
    subprocess.run(openssh.logout_command(login_of(worker)), check=True, capture_output=True)


def test_a_session_that_the_user_opened(site: Site) -> None:
    server = site.server("key")
    (site.home / ".ssh" / "config").write_text(
        f"Host mine\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {server.user_key}\n  StrictHostKeyChecking accept-new\n"
        f"  ControlMaster auto\n  ControlPath {site.home}/.ssh/%r-%p\n  ControlPersist 60\n"
    )
    worker = RemoteWorker(host="mine", transport="openssh", scheduler_type="shell", work_dir="/tmp")
    host = site.pool.host(worker)
    assert isinstance(refusal(host), LoginNeededError)
    subprocess.run(["ssh", "mine", "true"], check=True, capture_output=True)
    assert run(host).stdout == "hello\n"
    subprocess.run(["ssh", "-O", "exit", "mine"], check=True, capture_output=True)
