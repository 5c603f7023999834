"""A real Grid Engine for tests: master and one execution host on this machine, on free loopback ports.

It has an ``SGE_ROOT`` of its own below one folder, so that several can run side by side; commands find theirs by the
environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
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

_DEBIAN_ROOT = Path("/var/lib/gridengine")
_BIN, _SHARE = "/usr/lib/gridengine", "/usr/share/gridengine"
_BOOTSTRAP = """Version: 6.2
admin_user              sgeadmin
default_domain          none
ignore_fqdn             false
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         {folder}/spooldb
binary_path             /usr/sbin
qmaster_spool_dir       {folder}/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""
_CHANGES = {
    "load_report_time": "00:00:01", "max_unheard": "00:00:20", "shell_start_mode": "unix_behavior",
    "min_uid": "0", "min_gid": "0", "execd_params": "ENABLE_ADDGRP_KILL=true", "mailer": "/bin/true",
}  # fmt: skip
_SCHEDULE = {
    "schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1", "job_load_adjustments": "NONE",
}  # fmt: skip
_QUEUE = {
    "hostlist": "@allhosts", "load_thresholds": "NONE", "shell": "/bin/bash", "shell_start_mode": "unix_behavior",
    "slots": "32", "pe_list": "NONE", "notify": "00:00:02",
}  # fmt: skip
_PARALLEL = """slots 64
user_lists NONE
xuser_lists NONE
start_proc_args /bin/true
stop_proc_args /bin/true
allocation_rule $fill_up
control_slaves TRUE
job_is_first_task FALSE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""


class GridEngine:
    """One cell, with the queues ``all.q`` and ``short.q`` (10 s)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = socket.gethostname()
        self._daemons: dict[str, Daemon] = {}
        self._ports: list[int] = []
        self._before: dict[str, str | None] = {}

    @property
    def env(self) -> dict[str, str]:
        """What commands need to find this cell."""
        return {
            "SGE_ROOT": str(self.folder / "root"),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": str(self._ports[0]),
            "SGE_EXECD_PORT": str(self._ports[1]),
        }

    def start(self) -> GridEngine:
        """Start it; its commands work in this process and its children from now on."""
        if os.geteuid() != 0:
            raise ServiceMissingError("Grid Engine for tests has to be started by root")
        need_packages("gridengine-master", "gridengine-exec", "gridengine-client")
        self._ports = free_ports(2)
        self._before = {name: os.environ.get(name) for name in self.env}
        os.environ.update(self.env)
        self._prepare()
        self._spool_defaults()
        self.start_master()
        self._configure()
        run(["sge_execd"])
        # its folder is called as the host calls itself, "localhost" or the name
        wait_until(lambda: any(self._execd_pidfiles()), 10, "sge_execd begins")
        self._daemons["execd"] = Daemon.from_pidfile(self._execd_pidfiles()[0])
        wait_until(self._is_ready, 30, f"the execution host comes up ({self.folder})")
        return self

    def _execd_pidfiles(self) -> list[Path]:
        return list(self.folder.glob("execd/*/execd.pid"))

    def _prepare(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        common = self.folder / "root" / "default" / "common"
        common.mkdir(parents=True)
        for name in ("bin", "lib", "util", "utilbin"):
            (self.folder / "root" / name).symlink_to(_DEBIAN_ROOT / name)
        for name in ("qmaster/job_scripts", "spooldb", "execd"):
            (self.folder / name).mkdir(parents=True)
        with contextlib.suppress(OSError):
            socket.gethostbyname(self.host)
        (common / "act_qmaster").write_text(f"{self.host}\n")
        (common / "host_aliases").write_text(f"{self.host} localhost localhost.localdomain\n")
        (common / "bootstrap").write_text(_BOOTSTRAP.format(folder=self.folder))
        run(["chown", "-R", "sgeadmin:", str(self.folder)])
        for folder in (self.folder, *self.folder.parents[:3]):
            with contextlib.suppress(OSError):
                folder.chmod(folder.stat().st_mode | 0o011)

    def _spool_defaults(self) -> None:
        """Fill the database, as Debian's ``init_cluster`` does."""
        conf = self.folder / "global"
        text = Path(_SHARE, "default-configuration").read_text()
        conf.write_text(_set(text, {"execd_spool_dir": str(self.folder / "execd")}))
        as_admin = ["runuser", "-u", "sgeadmin", "--", "env", f"SGE_ROOT={self.folder}/root"]
        run([*as_admin, f"{_BIN}/spoolinit", "berkeleydb", "libspoolb", f"{self.folder}/spooldb", "init"])
        for words in (
            ["configuration", str(conf)],
            ["complexes", f"{_SHARE}/util/resources/centry"],
            ["usersets", f"{_SHARE}/util/resources/usersets"],
            ["managers", "root", "sgeadmin"],
            ["adminhosts", self.host],
        ):
            run([*as_admin, f"{_BIN}/spooldefaults", *words])

    def _configure(self) -> None:
        run(["qconf", "-as", self.host])
        conf = _set(run(["qconf", "-sconf"]).partition("\n")[2], _CHANGES)
        self._qconf("-Mconf", "global", conf.replace("flush_time=00:00:15", "flush_time=00:00:01 accounting_flush_time=00:00:00"))  # fmt: skip # noqa: E501
        self._qconf("-Msconf", "sched", _set(run(["qconf", "-ssconf"]), _SCHEDULE))
        self._qconf(
            "-Ae", "exechost",
            f"hostname {self.host}\nload_scaling NONE\ncomplex_values NONE\nuser_lists NONE\nxuser_lists NONE\n"
            "projects NONE\nxprojects NONE\nusage_scaling NONE\nreport_variables NONE\n",
        )  # fmt: skip
        self._qconf("-Ahgrp", "hostgroup", f"group_name @allhosts\nhostlist {self.host}\n")
        for name, limit in (("all.q", "INFINITY"), ("short.q", "00:00:10")):
            template = run(["qconf", "-aq", name], env={"EDITOR": "cat"}, check=False)
            self._qconf("-Aq", "queue", _set(template, {**_QUEUE, "h_rt": limit}))

    def _qconf(self, option: str, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        run(["qconf", option, str(path)])

    def add_parallel_environment(self, name: str) -> None:
        """For jobs of several slots in ``all.q``, which may start processes where these are."""
        self._qconf("-Ap", "pe", f"pe_name {name}\n{_PARALLEL}")
        run(["qconf", "-aattr", "queue", "pe_list", name, "all.q"])

    def _is_ready(self) -> bool:
        lines = run(["qstat", "-f"], check=False).splitlines()
        return any(line.startswith("all.q@") and "-NA-" not in line and line.split()[-1] != "au" for line in lines)  # fmt: skip # noqa: E501

    # -- trouble ---------------------------------------------------------------------------------------------------

    def start_master(self) -> None:
        """Start the master (again)."""
        pidfile = self.folder / "qmaster" / "qmaster.pid"
        pidfile.unlink(missing_ok=True)
        run(["sge_qmaster"])
        self._daemons["qmaster"] = Daemon.from_pidfile(pidfile)
        wait_until(lambda: bool(run(["qconf", "-sh"], check=False)), 20, "sge_qmaster answers")

    def stop_master(self) -> None:
        """Nobody answers; jobs go on."""
        self._daemons.pop("qmaster").end(signal.SIGKILL)  # on SIGTERM it takes its time

    def freeze_master(self, *, frozen: bool = True) -> None:
        """Requests are not answered."""
        self._daemons["qmaster"].signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    # -- end -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Delete the jobs, and end what ``start`` started."""
        master = self._daemons.get("qmaster")
        if master and master.alive:
            master.signal(signal.SIGCONT)
            run(["qdel", "-f", "-u", "*"], check=False)
        if "execd" in self._daemons:
            self._kill_jobs()
            self._daemons.pop("execd").end(seconds=3)
        if "qmaster" in self._daemons:
            self._daemons.pop("qmaster").end(signal.SIGKILL)
        for name, value in self._before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    def _kill_jobs(self) -> None:
        """What runs below shepherds whose folder is in our spool."""
        found = subprocess.run(["pgrep", "-x", "sge_shepherd"], capture_output=True, text=True, check=False)
        for shepherd in map(int, found.stdout.split()):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{shepherd}/cwd").startswith(str(self.folder)):
                    for pid in (*descendants(shepherd), shepherd):
                        Daemon(pid, start_time(pid)).signal(signal.SIGKILL)


def _set(text: str, values: dict[str, str]) -> str:
    """A configuration of Grid Engine with some of its values changed."""
    lines = []
    for line in text.replace("\\\n", " ").splitlines():
        key = line.split()[0] if line.strip() else ""
        lines.append(f"{key} {values[key]}" if key in values else line)
    return "\n".join(lines) + "\n"
