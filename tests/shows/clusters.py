"""Clusters: workers over SSH with real schedulers, each line of what issue 4 promises, at full size.

PBS servers cannot be installed here: jobs of PBS run on a look-alike (the contract of the schedulers, line 6).
"""

from __future__ import annotations

import argparse
import random
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.home import Home
from tests.services.cluster import Cluster
from tests.services.mongod import Mongod
from tests.shows import brokenworkers, farstories, old_release, pace
from tests.shows.farhome import ROOT, answering_runner, drive, far_home
from tests.shows.farstories import PRE_RUN, SLURM
from tests.shows.verdict import Verdict, at_most, is_true, print_verdicts


class Shows:
    """The lines; each gives its verdicts."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder

    # -- 1: one flow, many ways --------------------------------------------------------------------------------

    def demo(self) -> list[Verdict]:
        """The demo flow through every way to a cluster, in a network of its own."""
        verdicts = []
        with Cluster(self.folder / "split") as cluster:
            cluster.start_slurm(nodes=2)
            cluster.start_sge()
            worker = cluster.worker
            workers = {
                "slurm": worker(**SLURM, pre_run=PRE_RUN),
                "sge": worker(scheduler_type="sge", pre_run=PRE_RUN),
                "shell": worker(pre_run=PRE_RUN, max_jobs=4),
                "openssh": worker(pre_run=PRE_RUN, max_jobs=4, transport="openssh"),
            }
            verdicts.append(_is_split(cluster))
            with far_home(workers) as home:
                expected = drive(home, "demo_here")["output"]
                home.start()
                farstories.open_session(home, cluster, "openssh")
                verdicts += [self._demo(home, name, name, expected) for name in workers]
                farstories.close_session(home, cluster, "openssh")
            server = Mongod(self.folder / "mongod").start()
            try:
                with far_home({"slurm": workers["slurm"]}, server=server) as home:
                    unseen = not any(
                        cluster.can_reach(address, server.port)
                        for address in ("127.0.0.1", cluster.workstation)
                    )
                    verdicts.append(is_true("the worker cannot reach the mongod", unseen))
                    home.start()
                    verdicts.append(self._demo(home, "slurm", "slurm, queue in MongoDB", expected))
            finally:
                server.stop()
        with Cluster(self.folder / "behind", gateway=True) as cluster:
            verdicts.append(_is_split(cluster, "behind the gateway"))
            with far_home({"jump": cluster.worker(pre_run=PRE_RUN, max_jobs=4)}) as home:
                home.start()
                verdicts.append(self._demo(home, "jump", "shell through a jump host", expected))
        return [*verdicts, self._questioned(expected)]

    def _questioned(self, expected: Any) -> Verdict:
        """A login that asks for a password and a one-time code; the runner puts the questions to somebody."""
        password = secrets.token_hex(12)
        with Cluster(self.folder / "asks") as cluster:
            port = cluster.add_questioning_sshd("otp", password=password)
            worker = cluster.worker(pre_run=PRE_RUN, max_jobs=4, port=port, interactive_login=True)
            worker.pop("key_filename")
            with far_home({"asks": worker}) as home, answering_runner(home, password):
                return self._demo(home, "asks", "keyboard-interactive login", expected)

    def _demo(self, home: Home, worker: str, name: str, expected: Any) -> Verdict:
        found = farstories.demo(home, worker, expected, points=7)
        figure = f"{found.state}, {'same' if found.same_numbers else 'OTHER'} numbers, {found.seconds:.0f} s"
        holds = found.state == "COMPLETED" and found.same_numbers
        return is_true(f"demo flow: {name}", holds, figure=figure, bound="COMPLETED, same numbers")

    # -- 2: pace over a slow link ------------------------------------------------------------------------------

    def pace(self) -> list[Verdict]:
        """500 jobs over a round trip of 50 ms."""
        jobs = 500
        with pace.slow_link(self.folder / "link", delay_ms=25) as link:
            there, back = pace.measure(link, jobs)
        verdicts = []
        for name, seen in (("READY to SUBMITTED", there), ("download and complete", back)):
            figure = f"{seen.per_second:.0f} jobs/s ({jobs} in {seen.seconds:.1f} s)"
            verdicts.append(is_true(name, seen.per_second >= 40, figure=figure, bound="≥ 40 jobs/s"))
            what = f"{name}: round trips, logins and polls included"
            verdicts.append(at_most(what, seen.turns / jobs, 0.1, "per job", note=f"{seen.turns}"))
        return [*verdicts, self._reference(there.per_second)]

    def _reference(self, ours: float) -> Verdict:
        jobs = 40
        reference = self.options.reference or old_release.install("1.0.1", self.folder / "reference")
        with pace.slow_link(self.folder / "link101", delay_ms=25) as link:
            seen = pace.measure_reference(
                link, jobs, bin_folder=Path(reference).resolve() / "bin", folder=self.folder / "db101"
            )
        figure = f"{seen.per_second:.2f} jobs/s, {seen.turns / jobs:.1f} round trips per job ({jobs} jobs)"
        return is_true("the reference, beside it", ours > seen.per_second, figure=figure, bound="slower")

    # -- 3: isolation ------------------------------------------------------------------------------------------

    def isolation(self) -> list[Verdict]:
        """A worker that is swallowed, one that is locked, one that works."""
        with Cluster(self.folder / "hole") as cluster:
            seen = farstories.isolation(cluster, self.folder, jobs=100, others=5)
        ratio = seen.beside_seconds / seen.alone_seconds
        note = f"{seen.beside_seconds:.1f} s, alone {seen.alone_seconds:.1f} s"
        verdicts = [at_most("100 jobs beside two dead workers / alone", ratio, 1.1, "×", note=note)]
        for name, words in {"locked": "refused the login", "swallowed": "answer|reach|route|time"}.items():
            why = seen.reasons.get(name, "").splitlines()[:1]
            right = bool(why) and re.search(words, why[0]) is not None
            verdicts.append(is_true(f"{name}: jobs wait", right, figure="".join(why), bound=f"says: {words}"))
            waited = set(seen.states[name]) <= {"READY", "CHECKED_OUT", "UPLOADED"}
            went_on = seen.afterwards[name] == {"COMPLETED": 5}
            figure = f"{seen.states[name]}, then {seen.afterwards[name]}"
            what = f"{name}: nothing fails, goes on by itself"
            verdicts.append(is_true(what, waited and went_on, figure=figure))
        return verdicts

    # -- 4: trouble --------------------------------------------------------------------------------------------

    def troubles(self) -> list[Verdict]:
        """200 jobs while everything fails from time to time."""
        events = ["slurmctld stopped"] + 4 * ["connection cut"] + 2 * ["sshd restarted"]
        events += ["network swallows"] + 6 * ["runner killed"]
        random.Random(self.options.seed).shuffle(events)  # not for secrets
        with Cluster(self.folder / "storm") as cluster:
            cluster.start_slurm(nodes=2)
            seen = farstories.troubles(
                cluster, jobs=200, seed=self.options.seed, events=events, away_seconds=60
            )
        for problem in seen.problems:
            print(problem, file=sys.stderr)
        told = ", ".join(f"{name} {number}" for name, number in sorted(seen.events.items()))
        return [
            is_true(
                "all COMPLETED",
                seen.states == {"COMPLETED": 200},
                figure=f"{seen.states}, {seen.seconds:.0f} s",
                bound="200",
            ),
            is_true("each ran once", not seen.not_once, figure=f"others: {seen.not_once or 'none'}", bound="all"),
            is_true(
                "trouble", len(seen.events) == 6 and all(seen.events.values()),
                figure=f"{told}; seed {self.options.seed}", bound="all kinds",
            ),
        ]  # fmt: skip

    # -- 5: how jobs are ended ---------------------------------------------------------------------------------

    def endings(self) -> list[Verdict]:
        """Killed by time limit, memory limit, a person, a node."""
        with Cluster(self.folder / "ends") as cluster:
            cluster.start_slurm(nodes=2, accounting=True)
            seen = farstories.endings(cluster, ("walltime", "memory", "scancel", "node"))
        verdicts = []
        for each in seen:
            right = each.state == "REMOTE_ERROR" and not each.missing
            figure = f"{each.state}, says: {', '.join(w for w in each.expected if w not in each.missing)}"
            bound = f"REMOTE_ERROR, {', '.join(each.expected)}"
            verdicts.append(is_true(f"Slurm: {each.how}", right, figure=figure, bound=bound))
        return verdicts

    # -- 6: contracts and checks -------------------------------------------------------------------------------

    def contracts(self) -> list[Verdict]:
        """Hosts and schedulers by their contracts, `jf project check --run` on broken workers."""
        verdicts = []
        for what, words in {
            "the contract of hosts": ["tests/contract/test_hosts.py"],
            "the contract of schedulers (PBS: a look-alike)": ["tests/contract/test_schedulers.py"],
        }.items():  # fmt: skip
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *words]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
            if done.returncode:
                print(done.stdout[-4000:], file=sys.stderr)
            verdicts.append(is_true(what, done.returncode == 0, figure=last, bound="all pass"))
        return [*verdicts, *brokenworkers.judge(self.folder)]


def _is_split(cluster: Cluster, where: str = "in the split network") -> Verdict:
    """Neither the workstation nor anything of it can be reached from the node, or seen there."""
    with socket.create_server((cluster.workstation, 0)) as listener:
        reached = cluster.can_reach(cluster.workstation, listener.getsockname()[1])
    with tempfile.NamedTemporaryFile() as file:
        seen = cluster.node.run("ls", file.name, check=False).strip()
    told = "no connection, no file" if not (reached or seen) else f"connection: {reached}, file: {bool(seen)}"
    return is_true(
        f"{where}, the worker cannot reach us", not (reached or seen), figure=told, bound="neither"
    )


def main(words: Sequence[str]) -> int:
    """Run the lines that are asked for; exit code 1 if one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows clusters", description=__doc__)
    parser.add_argument("--only", metavar="LINES", help="comma-separated numbers, as 2,4")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()) % 100_000, help="of the trouble in line 4"
    )
    parser.add_argument(
        "--reference", metavar="VENV", help="environment of 1.0.1, measured beside line 2 (default: made)"
    )
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="jfc-") as folder:
        shows = Shows(options, Path(folder))
        lines: dict[int, Callable[[], list[Verdict]]] = {
            1: shows.demo, 2: shows.pace, 3: shows.isolation, 4: shows.troubles, 5: shows.endings,
            6: shows.contracts,
        }  # fmt: skip
        wanted = [int(word) for word in options.only.split(",")] if options.only else list(lines)
        results = []
        for number in wanted:
            print(f"line {number}: {lines[number].__doc__}", file=sys.stderr, flush=True)
            results.append((number, _careful(lines[number])))
    return 0 if print_verdicts("Clusters", results) else 1


def _careful(line: Callable[[], list[Verdict]]) -> list[Verdict]:
    """A line that cannot be measured does not hold; the others are measured all the same."""
    try:
        return line()
    except Exception as error:  # noqa: BLE001  # whatever it is, the other lines are wanted too
        figure = f"{type(error).__name__}: {error}"
        return [is_true(str(line.__doc__).strip("."), False, figure=figure[:1500], bound="a figure")]
