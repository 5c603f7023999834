"""Workers that are broken on purpose, each in another way, and what ``jf project check --run`` says of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.cluster import Cluster
from tests.services.debian import free_ports
from tests.shows.farhome import far_home
from tests.shows.farstories import PRE_RUN, SLURM
from tests.shows.verdict import Verdict, is_true


@dataclass(frozen=True)
class Broken:
    """A worker, how it is broken, and the words that name the cause."""

    worker: Mapping[str, Any]
    cause: str
    """Words, or several that will do (the machine may have the other scheduler's commands): ``one|another``."""
    level: str = "error"


def judge(folder: Path) -> list[Verdict]:
    """Check all of them in one project, with healthy ones among them."""
    with Cluster(folder / "broken") as cluster:
        cluster.start_slurm(nodes=1)
        broken = _broken(cluster, folder)
        healthy = {
            "slurm": cluster.worker(**SLURM, pre_run=PRE_RUN),
            "shell": cluster.worker(pre_run=PRE_RUN),
        }
        _let_the_shell_talk(cluster)
        workers = {**healthy, **{name: each.worker for name, each in broken.items()}}
        with far_home(workers) as home:
            _write_known_hosts(home.folder / ".ssh", cluster, broken)
            done = home.jf("project", "check", "--run", "--timeout", "20", "--json", check=False)
        reports = {r["element"].removeprefix("Worker "): r for r in json.loads(done.stdout)}
    verdicts = [
        is_true("exit code of the check", done.returncode == 1, figure=str(done.returncode), bound="1"),
        *(_judge_healthy(name, reports[name]) for name in healthy),
        *(_judge_broken(name, each, reports[name]) for name, each in broken.items()),
    ]
    left = reports.keys() - workers.keys() - {"Queue store", "Jobstore"}
    return [
        *verdicts,
        is_true("other elements checked", not left, figure=str(sorted(left) or "none"), bound="none"),
    ]


def _broken(cluster: Cluster, folder: Path) -> dict[str, Broken]:
    stranger = folder / "stranger_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    (port,) = free_ports(1)
    other = cluster.add_sshd("other")

    def worker(**more: Any) -> dict[str, Any]:
        return cluster.worker(**{"pre_run": PRE_RUN, "connect_timeout": 5, **more})

    slurm = {**SLURM, "pre_run": PRE_RUN}
    return {
        "port closed": Broken(worker(port=port), "connection refused"),
        "key of a stranger": Broken(worker(key_filename=str(stranger)), "refused the login"),
        "no key file": Broken(worker(key_filename="/no/such/key"), "there is no key file /no/such/key"),
        "name unknown": Broken(worker(host="login.cluster.invalid"), "login.cluster.invalid is not known"),
        "host key changed": Broken(worker(port=other), "has changed"),
        "gateway closed": Broken(worker(gateway={"host": cluster.address, "port": port}), "no way to"),
        "work_dir unwritable": Broken(worker(work_dir="/proc/runs"), "work_dir /proc/runs cannot be written to"),
        "Python missing": Broken(worker(pre_run="export PATH=/usr/bin:/bin"), "'jf' is not found"),
        "jobflow missing": Broken(
            worker(execution_cmd="/usr/bin/python3 -m jobflow_remote.execution run {}"), "is not installed"
        ),
        "pre_run fails": Broken(worker(pre_run="source /no/such/activate"), "/no/such/activate"),
        "pre_run leaves": Broken(worker(pre_run="exit 3"), "ended the script before the job"),
        "another scheduler": Broken(
            worker(scheduler_type="sge"), "commands of the scheduler are not found|sge does not answer"
        ),
        "no such partition": Broken(
            worker(**{**slurm, "resources": {"partition": "nope"}}), "invalid partition specified: nope"
        ),
        "no such resource": Broken(worker(**{**slurm, "resources": {"nodez": 2}}), "nodez"),
        "job cannot start": Broken(
            worker(**{**slurm, "resources": {"mem": 500, "partition": "down"}}), "was cancelled"
        ),
        "shell talks": Broken(worker(shell_cmd="/scratch/talking-bash"), "Quota: 93 %", level="warning"),
    }  # fmt: skip


def _let_the_shell_talk(cluster: Cluster) -> None:
    text = r'printf "#!/bin/bash\necho Welcome! Quota: 93 %%\nexec bash \"\$@\"\n"'
    cluster.node.run("bash", "-c", f"{text} > /scratch/talking-bash; chmod 755 /scratch/talking-bash")


def _write_known_hosts(folder: Path, cluster: Cluster, broken: Mapping[str, Broken]) -> None:
    """The node as it is; under the port of one server, another key than it has."""
    folder.mkdir(mode=0o700, exist_ok=True)
    known = cluster.known_hosts.read_text()
    port = broken["host key changed"].worker["port"]
    wrong = known.replace(f":{cluster.port} ", f":{port} ")
    (folder / "known_hosts").write_text(known + wrong)


def _judge_healthy(name: str, report: Mapping[str, Any]) -> Verdict:
    ran = any(check["what"] == "run" and check["level"] == "ok" for check in report["checks"])
    figure = report["error"] or ("a job ran" if ran else "no job ran")
    return is_true(f"healthy: {name}", ran and not report["error"], figure=figure, bound="a job ran")


def _judge_broken(name: str, each: Broken, report: Mapping[str, Any]) -> Verdict:
    said = [check for check in report["checks"] if check["level"] == each.level]
    causes = each.cause.split("|")
    named = [check for check in said if check["fix"] and any(cause in check["text"] for cause in causes)]
    figure = "; ".join(check["text"] for check in named or said)[:200] or "all is well"
    print(f"{name}: {report[each.level]}", file=sys.stderr)
    return is_true(f"broken: {name}", bool(named), figure=figure, bound=f"{each.cause}, and what helps")
