"""The network of the slides, for tests: a cluster far away, on this machine.

::

    workstation             gateway (if asked for)       node: login and compute
    NET.1  ---- cable ----  NET.2 | NET.17  -----------  NET.18, or NET.2 without gateway

The node is made of namespaces: it has its own network, pids and host name, and its own ``/home``, ``/root``,
``/scratch`` and ``/tmp``: a file written there does not exist here. It gets in touch with nobody outside: connections
are opened from the workstation only, through SSH, and there is no route from the node beyond the gateway. The cable
(:mod:`.cable`) delays, or swallows, what passes. Python environments and the checkout are visible there, read-only.

Everything ends with the process that started it: by :meth:`Cluster.stop`, or because its input ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.services.cable import switch_offloads_off
from tests.services.debian import ServiceMissingError, need_packages, run
from tests.services.inside import Inside
from tests.services.logins import OTP_SECRET

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = ("/home", "/root", "/scratch", "/tmp")
"""Folders that the node has for itself."""
HOSTNAME = "hpc-login"

_INIT = """#!/bin/bash
# process 1 of the node; written by the tests of jobflow-remote
set -e
hostname {hostname}
mount -t tmpfs -o mode=755 tmpfs /run
keep=/run/keep
mkdir -p $keep
i=0
for d in {shared}; do
    mkdir -p $keep/$i; mount --bind "$d" $keep/$i; i=$((i + 1))
done
mkdir $keep/own; mount --bind {folder} $keep/own
for d in {private}; do
    mkdir -p $d; mount -t tmpfs -o mode=1777 tmpfs $d
done
chmod 700 /root
i=0
for d in {shared}; do
    mkdir -p "$d"; mount --bind $keep/$i "$d"; mount -o remount,bind,ro "$d"; i=$((i + 1))
done
mkdir -p {folder}; mount --bind $keep/own {folder}
printf '127.0.0.1 localhost\\n127.0.1.1 {hostname}\\n' > {folder}/hosts
mount --bind {folder}/hosts /etc/hosts
ip link set lo up
export HOME=/root
cd /
PYTHONPATH={root} {python} -m tests.services.inside <&0 &
wait $!
"""


@dataclass
class Cluster:
    """One cluster. Root only: others get :class:`ServiceMissingError`."""

    folder: Path
    """For keys, logs and configuration; visible on the node under the same name."""
    gateway: bool = False
    delay_ms: float = 0
    """One way: a round trip takes twice as long."""
    network: str = ""
    """First three numbers of the addresses."""
    node: Inside = field(init=False)
    """Somebody on the node who starts services there."""
    gate: Inside = field(init=False)
    """Somebody on the gateway, if there is one."""
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _cable: subprocess.Popen[str] = field(init=False)

    # -- addresses ---------------------------------------------------------------------------------------------

    @property
    def workstation(self) -> str:
        """Address of this machine, as seen from the far end of the cable."""
        return f"{self.network}.1"

    @property
    def gateway_address(self) -> str:
        """Where the gateway listens; reached from here."""
        return f"{self.network}.2"

    @property
    def address(self) -> str:
        """Where the node listens; reached from here, or from the gateway only if there is one."""
        return f"{self.network}.18" if self.gateway else f"{self.network}.2"

    @property
    def key(self) -> Path:
        """Private key that may log in, on the gateway and on the node."""
        return self.folder / "user_key"

    @property
    def known_hosts(self) -> Path:
        """Host keys of both."""
        return self.folder / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """For ``ssh -F``: the node is ``hpc``, the gateway ``hpc-gate``."""
        return self.folder / "ssh_config"

    @property
    def port(self) -> int:
        """Of the node's SSH server."""
        return self.port_of("login")

    def port_of(self, name: str) -> int:
        """Of an SSH server on the node, by its name; ``gate``: that of the gateway."""
        who = self.gate if name == "gate" else self.node
        number: int = who.get(name, "port")
        return number

    # -- life --------------------------------------------------------------------------------------------------

    def start(self) -> Cluster:
        """Build it, with an SSH server on the node (and on the gateway)."""
        if os.geteuid() != 0 or not sys.platform.startswith("linux"):
            raise ServiceMissingError("a cluster for tests is made of namespaces, which takes root on Linux")
        need_packages("iproute2", "openssh-server", "openssh-client", "procps", "util-linux")
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._stack)
            self._build()
            self._stack = undo.pop_all()
        return self

    def stop(self) -> None:
        """End it, whatever runs in it."""
        self._stack.close()

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _build(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network = self._stack.enter_context(_free_network())
        if not self.key.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "user", "-f", str(self.key)])
        self.node = self._start_node()
        self._stack.callback(self.node.end)
        if self.gateway:
            self.gate = self._start_gate()
            self._stack.callback(self.gate.end)
        self._connect()
        self.add_sshd("login")
        if self.gateway:
            self._start_sshd(self.gate, "gate", self.gateway_address, {"PermitTTY": "no"})
        self._write_client_files()

    def _start_node(self) -> Inside:
        shared = _installations()
        text = _INIT.format(
            hostname=HOSTNAME, folder=shlex.quote(str(self.folder)), root=shlex.quote(str(ROOT)),
            python=shlex.quote(sys.executable), private=" ".join(PRIVATE),
            shared=" ".join(shlex.quote(str(path)) for path in shared),
        )  # fmt: skip
        init = self.folder / "init.sh"
        init.write_text(text)
        return _hello(Inside(["unshare", *_ALONE, "bash", str(init)], self.folder / "node.log"))

    def _start_gate(self) -> Inside:
        start = f"ip link set lo up; exec env PYTHONPATH={ROOT} {sys.executable} -m tests.services.inside"
        command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c"]
        return _hello(Inside([*command, start + " <&0 & wait $!"], self.folder / "gate.log"))

    def _connect(self) -> None:
        """Lay the cable, and the link behind the gateway."""
        tag = "jf" + self.network.split(".")[2]
        near, near_plug, far_plug, far = (f"{tag}{letter}" for letter in "abcd")
        first = self.gate if self.gateway else self.node
        with (self.folder / "cable.log").open("ab") as log:
            self._cable = subprocess.Popen(
                ["unshare", "--net", sys.executable, str(ROOT / "tests/services/cable.py"), near_plug, far_plug],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        self._stack.callback(self._pull_out)
        assert self._cable.stdout is not None
        if self._cable.stdout.readline().strip() != "here":
            raise ServiceMissingError((self.folder / "cable.log").read_text()[-500:])
        middle, end = str(self._cable.pid), str(first.process.pid)
        run(["ip", "link", "add", near, "type", "veth", "peer", "name", near_plug, "netns", middle])
        self._stack.callback(lambda: run(["ip", "link", "del", near], check=False))
        run(["ip", "addr", "add", f"{self.workstation}/28", "dev", near])
        run(["ip", "link", "set", near, "up"])
        switch_offloads_off(near)
        run(
            [
                *_in_net(middle),
                "ip",
                "link",
                "add",
                far_plug,
                "type",
                "veth",
                "peer",
                "name",
                far,
                "netns",
                end,
            ]
        )
        for plug in (near_plug, far_plug):
            run([*_in_net(middle), "ip", "link", "set", plug, "up"])
        _set_up(end, far, f"{self.network}.2/28")
        run([*_in_net(end), sys.executable, "-c",
             f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.services.cable import "
             f"switch_offloads_off as off; off({far!r})"])  # fmt: skip
        if self.gateway:
            inner, innermost = f"{tag}e", f"{tag}f"
            node = str(self.node.process.pid)
            add = ["ip", "link", "add", inner, "type", "veth", "peer", "name", innermost, "netns", node]
            run([*_in_net(end), *add])
            _set_up(end, inner, f"{self.network}.17/28")
            _set_up(node, innermost, f"{self.network}.18/28")
        assert self._cable.stdin is not None
        self._cable.stdin.write("\n")
        self.set_cable(delay_ms=self.delay_ms, one_way=1)

    def _pull_out(self) -> None:
        with contextlib.suppress(OSError):
            assert self._cable.stdin is not None
            self._cable.stdin.close()
        try:
            self._cable.wait(10)
        except subprocess.TimeoutExpired:
            self._cable.kill()
            self._cable.wait(10)

    # -- SSH ---------------------------------------------------------------------------------------------------

    def add_sshd(self, name: str, options: Mapping[str, str] | None = None) -> int:
        """Start one more SSH server on the node; its port."""
        return self._start_sshd(self.node, name, self.address, dict(options or {}))

    def add_questioning_sshd(self, name: str, *, password: str) -> int:
        """Start one that asks for a password, then for a one-time code of ``logins.OTP_SECRET``; its port."""
        need_packages("libpam-google-authenticator", "openssl")
        secret, service, shadow = (self.folder / f"{name}.{end}" for end in ("otp", "pam", "shadow"))
        secret.write_text(f'{OTP_SECRET}\n" TOTP_AUTH\n" WINDOW_SIZE 3\n')
        service.write_text(
            f"auth required pam_unix.so\nauth required pam_google_authenticator.so secret={secret} user=root "
            "no_strict_owner allowed_perm=0600\naccount required pam_permit.so\nsession required pam_permit.so\n"
        )
        lines = Path("/etc/shadow").read_text().splitlines()
        hashed = run(["openssl", "passwd", "-6", password]).strip()
        kept = [line for line in lines if not line.startswith("root:")]
        shadow.write_text("\n".join([f"root:{hashed}:19000:0:99999:7:::", *kept]) + "\n")
        for path in (secret, shadow):
            path.chmod(0o600)
        self.node.run("mount", "--bind", str(shadow), "/etc/shadow")
        self.node.run("mount", "--bind", str(service), "/etc/pam.d/sshd")
        options = {
            "UsePAM": "yes", "PermitRootLogin": "yes", "PubkeyAuthentication": "no",
            "KbdInteractiveAuthentication": "yes", "AuthenticationMethods": "keyboard-interactive",
        }  # fmt: skip
        return self.add_sshd(name, options)

    def _start_sshd(self, where: Inside, name: str, address: str, options: Mapping[str, str]) -> int:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        shutil.copy(self.key.with_suffix(".pub"), folder / "authorized_keys")
        slurm = f"SLURM_CONF={self.folder}/slurm/slurm.conf"
        more = {"ListenAddress": address, "SetEnv": slurm, **options}
        where.make(name, "tests.services.sshd:Sshd", str(folder), options=more)
        where.call(name, "start")
        return self.port_of(name)

    def _write_client_files(self) -> None:
        lines = [_known_host(self.address, self.port, self.folder / "login")]
        jump = ""
        text = ""
        if self.gateway:
            port = self.port_of("gate")
            lines.append(_known_host(self.gateway_address, port, self.folder / "gate"))
            jump = "    ProxyJump hpc-gate\n"
            text = f"Host hpc-gate\n    HostName {self.gateway_address}\n    Port {port}\n"
        text += f"Host hpc\n    HostName {self.address}\n    Port {self.port}\n{jump}"
        text += f"Host hpc hpc-gate\n    User root\n    IdentityFile {self.key}\n    IdentitiesOnly yes\n"
        text += f"    UserKnownHostsFile {self.known_hosts}\n    GlobalKnownHostsFile /dev/null\n"
        text += "    StrictHostKeyChecking yes\n    ConnectTimeout 15\n    LogLevel ERROR\n"
        self.known_hosts.write_text("".join(lines))
        self.ssh_config.write_text(text)

    def ssh(self, command: str) -> str:
        """What a command prints that is run as a user would, by ``ssh``."""
        return run(["ssh", "-F", str(self.ssh_config), "hpc", command])

    # -- batch systems -----------------------------------------------------------------------------------------

    def start_slurm(self, **options: Any) -> None:
        """Start Slurm on the node: ``node.call("slurm", …)`` speaks with it."""
        need_packages("slurm-wlm", "munge")
        if options.get("accounting"):
            need_packages("slurmdbd", "mariadb-server")
        self.node.make("slurm", "tests.services.slurm:Slurm", str(self.folder / "slurm"), **options)
        self.node.call("slurm", "start")
        self._stack.callback(self._stop_quietly, "slurm")

    def start_sge(self) -> None:
        """Start Grid Engine on the node: ``node.call("sge", …)`` speaks with it."""
        need_packages("gridengine-master", "gridengine-exec", "gridengine-client")
        self.node.make("sge", "tests.services.sge:GridEngine", str(self.folder / "sge"))
        self.node.call("sge", "start")
        self._stack.callback(self._stop_quietly, "sge")
        for name, value in self.node.get("sge", "env").items():
            self.add_to_profile(f"export {name}={shlex.quote(value)}")

    def add_to_profile(self, line: str) -> None:
        """A line for the login shells of the user on the node."""
        self.node.run("bash", "-c", f"echo {shlex.quote(line)} >> /root/.profile")

    def _stop_quietly(self, name: str) -> None:
        with contextlib.suppress(ServiceMissingError, RuntimeError):
            self.node.call(name, "stop")

    # -- the cable ---------------------------------------------------------------------------------------------

    def set_cable(self, **settings: float) -> dict[str, float]:
        """Change what the cable does; its counters."""
        assert self._cable.stdin is not None
        assert self._cable.stdout is not None
        self._cable.stdin.write(json.dumps(settings) + "\n")
        self._cable.stdin.flush()
        answer: dict[str, float] = json.loads(self._cable.stdout.readline())
        return answer

    def black_hole(self, *, on: bool = True) -> None:
        """Let everything vanish on the way, without a word; or no longer."""
        self.set_cable(cut=int(on))

    # -- for people --------------------------------------------------------------------------------------------

    def can_reach(self, address: str, port: int, *, seconds: float = 2) -> bool:
        """Whether somebody on the node can open a connection."""
        code = f"import socket; socket.create_connection(({address!r}, {port}), {seconds}); print('yes')"
        return self.node.run(sys.executable, "-c", code, check=False).strip() == "yes"

    def worker(self, **more: Any) -> dict[str, Any]:
        """Configuration of a worker that logs in to the node by key, directly or through the gateway."""
        return {
            "type": "remote",
            "scheduler_type": "shell",
            "host": self.address,
            "port": self.port,
            "user": "root",
            "key_filename": str(self.key),
            "work_dir": "/scratch/jobs",
            "pre_run": f"export PATH={Path(sys.executable).parent}:$PATH",
            **({"gateway": self.gateway_login()} if self.gateway else {}),
            **more,
        }

    def gateway_login(self) -> dict[str, Any]:
        """Configuration of the gateway, as a nested connection."""
        login = {"host": self.gateway_address, "port": self.port_of("gate"), "user": "root"}
        return {**login, "key_filename": str(self.key)}


_ALONE = (
    "--net", "--mount", "--propagation", "private", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
    "--mount-proc",
)  # fmt: skip


def _installations() -> list[Path]:
    """Folders below the private ones that Python and this checkout need."""
    wanted = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
    private = [path for path in wanted if any(path.is_relative_to(folder) for folder in PRIVATE)]
    return sorted(path for path in private if not any(path != o and path.is_relative_to(o) for o in private))


def _in_net(pid: str) -> list[str]:
    return ["nsenter", "-t", pid, "--net", "--"]


def _set_up(pid: str, interface: str, address: str) -> None:
    run([*_in_net(pid), "ip", "addr", "add", address, "dev", interface])
    run([*_in_net(pid), "ip", "link", "set", interface, "up"])


def _hello(somebody: Inside) -> Inside:
    try:
        somebody.run("true")
    except ServiceMissingError:
        somebody.end()
        raise
    return somebody


def _known_host(address: str, port: int, folder: Path) -> str:
    kind, text = (folder / "host_key.pub").read_text().split()[:2]
    return f"[{address}]:{port} {kind} {text}\n"


@contextlib.contextmanager
def _free_network() -> Iterator[str]:
    """First three numbers of addresses that no other cluster uses."""
    for number in range(1, 255):
        with open(f"/tmp/.jobflow-remote-tests-net-{number}.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield f"10.231.{number}"
            return
    raise ServiceMissingError("all networks for clusters are in use")
