"""A real Slurm for tests: a controller and a few virtual nodes on this machine, on free loopback ports.

Everything is below one folder, so that several can run side by side; commands find theirs by ``SLURM_CONF``. There
is no accounting unless it is asked for (``accounting=True`` starts MariaDB and slurmdbd, which takes a while).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.services.debian import (
    Daemon,
    ServiceMissingError,
    descendants,
    free_ports,
    need_packages,
    run,
    start_time,
    wait_until,
)

_CONF = """# written by the tests of jobflow-remote
ClusterName=jftest
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=128
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,default_queue_depth=1000
EpilogMsgTime=0
CompleteWait=0
KillWait=2
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=10
MessageTimeout=5
BatchStartTimeout=10
UnkillableStepTimeout=20
InactiveLimit=0
JobRequeue=0
MinJobAge={min_job_age}
{accounting}
NodeName=n[1-{nodes}] NodeHostname=localhost NodeAddr=127.0.0.1 Port={node_ports} CPUs=16 RealMemory=4096 State=UNKNOWN
PartitionName=debug Nodes=n[1-{nodes}] Default=YES MaxTime=00:30:00 DefaultTime=00:10:00 State=UP
PartitionName=one Nodes=n1 MaxTime=00:30:00 State=UP
PartitionName=down Nodes=n[1-{nodes}] MaxTime=00:30:00 State=DOWN
"""

_NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none\nJobCompType=jobcomp/none"
_ACCOUNTING = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge/socket
AccountingStorageEnforce=associations,limits,qos
JobCompType=jobcomp/none"""
_DBD_CONF = """AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""
_ACCOUNTS = (
    "add cluster jftest", "add account group Cluster=jftest",
    "add qos limited MaxSubmitJobsPerUser=2", "add user root Account=group DefaultAccount=group",
    "modify user root set qos=normal,limited",
)  # fmt: skip


class Slurm:
    """One cluster. ``start`` may be called twice, and again after ``stop``."""

    def __init__(
        self, folder: Path, *, nodes: int = 2, accounting: bool = False, min_job_age: int = 300
    ) -> None:
        self.folder, self.nodes, self.accounting, self.min_job_age = folder, nodes, accounting, min_job_age
        self._daemons: dict[str, Daemon] = {}
        self._database: subprocess.Popen[bytes] | None = None
        self._before: str | None = None

    @property
    def env(self) -> dict[str, str]:
        """What commands need to find this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> Slurm:
        """Start it; its commands work in this process and its children from now on."""
        if os.geteuid() != 0:
            raise ServiceMissingError("Slurm for tests has to be started by root")
        need_packages("slurm-wlm", "munge")
        for name in ("state", "munge"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, *self.folder.parents[:3]):  # munge's user has to get in
            with contextlib.suppress(OSError):
                folder.chmod(folder.stat().st_mode | 0o011)
        self._before = self._before or os.environ.get("SLURM_CONF") or ""
        os.environ.update(self.env)
        ports = self._ports()
        self._write_conf(ports)
        self._start_munge()
        if self.accounting:
            need_packages("slurmdbd", "mariadb-server")
            self._start_accounting(ports[1], ports[2])
        self.start_controller()
        for number in range(1, self.nodes + 1):
            self.start_node(f"n{number}")
        wait_until(lambda: self._ready() == self.nodes, 30, f"the nodes of Slurm come up ({self.folder})")
        return self

    def _ports(self) -> list[int]:
        return free_ports(3 + self.nodes)

    def _write_conf(self, ports: list[int]) -> None:
        accounting = _NO_ACCOUNTING
        if self.accounting:
            accounting = _ACCOUNTING.format(folder=self.folder, port=ports[1])
        text = _CONF.format(
            folder=self.folder, controller=ports[0], min_job_age=self.min_job_age, nodes=self.nodes,
            accounting=accounting, node_ports="[" + ",".join(map(str, sorted(ports[3:]))) + "]",
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(text)

    def _start_munge(self) -> None:
        munge = self.folder / "munge"
        key = munge / "key"
        key.write_bytes(os.urandom(128))
        for path in (munge, key):
            shutil.chown(path, "munge", "munge")
        munge.chmod(0o755)
        key.chmod(0o400)
        run(
            ["runuser", "-u", "munge", "--", "munged", "-S", f"{munge}/socket", f"--key-file={key}",
             f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed", "--num-threads=2"]
        )  # fmt: skip
        self._daemons["munged"] = Daemon.from_pidfile(munge / "pid")

    def _start_accounting(self, port: int, database_port: int) -> None:
        database = self.folder / "db"
        database.mkdir(exist_ok=True)
        shutil.chown(database, "mysql", "mysql")
        if not (database / "data" / "mysql").is_dir():
            run(["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={database}/data",
                 "--auth-root-authentication-method=normal", "--skip-test-db"])  # fmt: skip
        with (self.folder / "mariadb.log").open("ab") as log:
            self._database = subprocess.Popen(
                ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={database}/data",
                 f"--socket={database}/sock", f"--port={database_port}", "--bind-address=127.0.0.1",
                 "--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0",
                 "--innodb-buffer-pool-size=64M", "--performance-schema=OFF"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        client = ["mariadb", "-uroot", "-S", f"{database}/sock", "-e"]
        wait_until(lambda: run([*client, "select 1"], check=False) != "", 30, "MariaDB answers")
        run([*client, "create database if not exists slurm_acct_db;"
             "create user if not exists 'slurm'@'%' identified by 'slurm';"
             "create user if not exists 'slurm'@'localhost' identified by 'slurm';"
             "grant all on slurm_acct_db.* to 'slurm'@'%';"
             "grant all on slurm_acct_db.* to 'slurm'@'localhost'"])  # fmt: skip
        conf = self.folder / "slurmdbd.conf"
        conf.write_text(_DBD_CONF.format(folder=self.folder, port=port, database=database_port))
        conf.chmod(0o600)
        run(["slurmdbd"])
        self._daemons["slurmdbd"] = Daemon.from_pidfile(self.folder / "slurmdbd.pid")
        wait_until(
            lambda: "jftest" in run(["sacctmgr", "-nP", "show", "cluster"], check=False) or self._add_cluster(),
            30, "slurmdbd answers",
        )  # fmt: skip
        for words in _ACCOUNTS[1:]:
            run(["sacctmgr", "-i", *words.split()], check=False)

    def _add_cluster(self) -> bool:
        run(["sacctmgr", "-i", *_ACCOUNTS[0].split()], check=False)
        return False

    def _ready(self) -> int:
        states = ["sinfo", "-h", "-N", "-p", "debug", "-t", "idle,mix,alloc,comp", "-o", "%N"]
        return len(run(states, check=False).split())

    # -- trouble ---------------------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        """Start the controller (again)."""
        if "slurmctld" not in self._daemons:
            (self.folder / "slurmctld.pid").unlink(missing_ok=True)
            run(["slurmctld"])
            self._daemons["slurmctld"] = Daemon.from_pidfile(self.folder / "slurmctld.pid")
        wait_until(lambda: "UP" in run(["scontrol", "ping"], check=False), 20, "slurmctld answers")

    def stop_controller(self) -> None:
        """Nobody answers; jobs go on."""
        self._daemons.pop("slurmctld").end()

    def freeze_controller(self, *, frozen: bool = True) -> None:
        """Requests time out, and are answered later."""
        self._daemons["slurmctld"].signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def start_node(self, name: str) -> None:
        """Start a node (again)."""
        if name in self._daemons:
            return
        pidfile = self.folder / f"slurmd.{name}.pid"
        pidfile.unlink(missing_ok=True)
        run(["slurmd", "-N", name])
        self._daemons[name] = Daemon.from_pidfile(pidfile)

    def crash_node(self, name: str) -> None:
        """The node dies, and its jobs with it."""
        self._daemons.pop(name).end(signal.SIGKILL)
        self._kill_steps(name)

    def _kill_steps(self, name: str) -> None:
        """End the processes that write to the log of a node, and what they started."""
        log = str(self.folder / f"slurmd.{name}.log")
        found = subprocess.run(["pgrep", "-x", "slurmstepd"], capture_output=True, text=True, check=False)
        for step in map(int, found.stdout.split()):
            with contextlib.suppress(OSError):
                files = [os.readlink(entry) for entry in Path(f"/proc/{step}/fd").iterdir()]
                if log in files:
                    for pid in (*descendants(step), step):
                        Daemon(pid, start_time(pid)).signal(signal.SIGKILL)

    def restart_all(self) -> None:
        """Have controller and nodes read a configuration that was changed."""
        for name in [f"n{number}" for number in range(1, self.nodes + 1)]:
            self._daemons.pop(name).end()
        self.stop_controller()
        self.start_controller()
        for number in range(1, self.nodes + 1):
            self.start_node(f"n{number}")
        wait_until(lambda: self._ready() == self.nodes, 60, f"the nodes of Slurm come up ({self.folder})")

    def expire(self, job_id: str) -> None:
        """Let the time of a job be over; Slurm looks at it every 30 s."""
        run(["scontrol", "update", f"JobId={job_id}", "EndTime=now"])

    # -- end -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Cancel the jobs, and end what ``start`` started."""
        controller = self._daemons.get("slurmctld")
        if controller and controller.alive:
            controller.signal(signal.SIGCONT)
            jobs = run(["squeue", "-h", "-o", "%A"], check=False).split()
            if jobs:
                run(["scancel", "--signal=KILL", "--full", *jobs], check=False)
                run(["scancel", *jobs], check=False)
        nodes = [name for name in self._daemons if name not in ("slurmctld", "slurmdbd", "munged")]
        for name in (*nodes, "slurmctld", "slurmdbd", "munged"):
            if name in self._daemons:
                self._daemons.pop(name).end()
        for number in range(1, self.nodes + 1):
            self._kill_steps(f"n{number}")
        if self._database is not None:
            self._database.terminate()
            self._database.wait(20)
            self._database = None
        if os.environ.get("SLURM_CONF") == self.env["SLURM_CONF"]:
            os.environ.pop("SLURM_CONF")
            if self._before:
                os.environ["SLURM_CONF"] = self._before
