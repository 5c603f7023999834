"""Warm local jobs: each line of what issue 9 promises, at full size.

The worker is that of ``jf quickstart``: ``type: local``, ``scheduler_type: shell``, nothing else set, a runner in one
process, the embedded database.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
from benchmarks.home import Home, default_project
from benchmarks.latency import chain_of
from benchmarks.measure import Figure, cpu_seconds, pss_bytes
from tests.shows.main_job import careful
from tests.shows.verdict import Verdict, at_most, is_true, print_verdicts

from jobflow_remote.model.clock import utcnow
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase

ROOT = Path(__file__).parents[2]
_JOBS = str(ROOT / "tests" / "acceptance" / "jobs")
_SUITE = ("tests/integration/test_local_jobs.py",)
_FAULTS = ("tests/integration/test_warm_process.py", "tests/unit/execution/test_forkserver.py")


@contextlib.contextmanager
def _home(worker: str = "") -> Iterator[Home]:
    """A home with a runner in one process."""
    with Home(project_file=default_project(worker)) as home:
        home.start("--single")
        yield home


def _value(figures: Sequence[Figure]) -> float:
    value = figures[0].value
    if value is None:
        raise TimeoutError(f"{figures[0].name}: {figures[0].note}")
    return value


class Shows:
    """The lines; each gives its verdicts."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    # -- 1: latency --------------------------------------------------------------------------------------------

    def latency(self) -> list[Verdict]:
        """From submit_flow of one add to COMPLETED, and a chain of ten; the same by script beside it."""
        verdicts = []
        with _home() as home:
            one, chain = self._times(home, 30)
            verdicts += [
                at_most("one add, submit_flow to COMPLETED", one, 0.1, "s", note="median of 30"),
                at_most("a chain of ten", chain, 0.8, "s"),
            ]
        with _home("launch: script") as home:
            by_script = self._times(home, 5)
        for what, fast, slow in zip(("one add", "a chain of ten"), (one, chain), by_script, strict=True):
            figure = f"{slow:.3g} s: {slow / fast:.0f} times as long"
            verdicts.append(is_true(f"{what} by script", fast < slow, figure=figure, bound="slower"))
        return verdicts

    def _times(self, home: Home, times: int) -> tuple[float, float]:
        home.drive("run", "wide", "1")  # imports on first use
        return statistics.median(home.drive("latency", str(times))["through"]), _value(chain_of(home, 10))

    # -- 2: throughput -----------------------------------------------------------------------------------------

    def throughput(self) -> list[Verdict]:
        """1,000 independent adds, a fork each."""
        number = self.options.jobs or 1000
        with _home() as home:
            home.drive("run", "wide", "5")
            before, ours = cpu_seconds(home.runner_processes()), _cpu_of_children()
            seen = home.drive("run", "wide", str(number))
            runner, submitting = cpu_seconds(home.runner_processes()) - before, _cpu_of_children() - ours
            forked = json.loads(home.jf("job", "list", "--json", "-m", "1").stdout)[0]
            launched = home.json("job", "info", forked["db_id"])["remote"]["launch"]
        pace, each = number / seen["seconds"], 1000 * (runner + submitting) / number
        note = f"{1000 * runner / number:.1f} of them in the runner, its warm process and the jobs"
        return [
            is_true(
                "all are COMPLETED, as forks", (seen["done"], launched) == (number, "fork"), figure=launched
            ),
            is_true(f"{number} adds", pace >= 50, figure=f"{pace:.0f} jobs/s", bound="≥ 50 jobs/s"),
            at_most("CPU per job, all processes together", each, 35, "ms", note=note),
        ]

    # -- 3: the demo -------------------------------------------------------------------------------------------

    def demo(self) -> list[Verdict]:
        """The flow of `jf quickstart`, by script and as forks."""
        with Home() as home:
            try:
                first = self._quickstart(home)
                path = home.projects_folder / "local.yaml"
                text = path.read_text()
                path.write_text(
                    re.sub(r"^( *)type: local$", r"\1type: local\n\1launch: script", text, flags=re.M)
                )
                time.sleep(2)  # the runner looks at the file once a second
                before = self._quickstart(home)
                path.write_text(text)
                time.sleep(2)
                after = self._quickstart(home)
            finally:
                self._jf(home, "runner", "shutdown", "--wait")
        figure = f"{before:.1f} s by script, {after:.1f} s as forks (on a fresh home {first:.1f} s)"
        return [
            is_true(
                "the flow of `jf quickstart`, before and after",
                after < before,
                figure=figure,
                bound="shorter",
            )
        ]

    def _quickstart(self, home: Home) -> float:
        began = utcnow()
        self._jf(home, "quickstart")
        with contextlib.closing(SQLiteQueueDatabase(home.projects_folder / "local" / "queue.db")) as queue:
            jobs = queue.find_jobs({"created_on": {"$gte": began}}, fields=["created_on", "updated_on"])
        moments = [[job[key] for job in jobs] for key in ("created_on", "updated_on")]
        seconds: float = (max(moments[1]) - min(moments[0])).total_seconds()
        return seconds

    def _jf(self, home: Home, *words: str) -> str:
        env = {**home.env, "JFREMOTE_PROJECT": "local"}
        done = subprocess.run(
            home.command(*words), env=env, cwd=home.folder, capture_output=True, text=True, check=True
        )
        return done.stdout

    # -- 4 and 5: the same, and never stale --------------------------------------------------------------------

    def suite(self) -> list[Verdict]:
        """The scenarios both ways, and the faults."""
        with _home("max_jobs: 0") as home:
            seen = home.drive("run", "wide", "1000", timeout=900)
            folders = list((home.folder / "runs").rglob("jfremote_in.json"))
            taken = list((home.folder / "runs").rglob(".jfremote_taken.*"))
        figure = f"{seen['done']} COMPLETED, begun {len(taken)} times"
        once = (seen["done"], len(folders), len(taken)) == (1000, 1000, 1000)
        return [
            _pytest("scenarios both ways: no difference", *_SUITE),
            _pytest("faults: each a clear state, neighbours unharmed", *_FAULTS),
            is_true("a thousand forks, no limit: each once", once, figure=figure),
            self._product(),
        ]

    def _product(self) -> Verdict:
        """A product of matrices by the thread pool of OpenBLAS, in a fork and in an interpreter of its own."""
        worker = "max_jobs: 1\nlaunch: "
        seconds = {}
        for way in ("script", "fork"):
            with Home(project_file=default_project(worker + way), pythonpath=_JOBS) as home:
                home.start("--single")
                seconds[way] = min(float(self._output(home, "timed_product(1500)")) for _ in range(3))
        note = f"{seconds['fork']:.3f} s, by script {seconds['script']:.3f} s"
        what = "a product of matrices in a fork, to that by script"
        return at_most(what, seconds["fork"] / seconds["script"], 1.5, "×", note=note)

    def stale(self) -> list[Verdict]:
        """An edited module, an edited preloaded module, a changed environment: seen by the next job."""
        verdicts = [_pytest("edited module, edited preloaded module", *_FAULTS[:1], "-k", "edited")]
        seen = []
        with Home(project_file=default_project(), pythonpath=_JOBS) as home:
            home.start("--single")
            path = home.projects_folder / "bench.yaml"
            plain = path.read_text()
            for colour in ("red", "green"):
                path.write_text(plain.replace("work_dir:", f"pre_run: export COLOUR={colour}\n    work_dir:"))
                seen.append(self._output(home, "colour()"))
        verdicts.append(
            is_true("changed environment of the worker", seen == ["red", "green"], figure=", ".join(seen))
        )
        return verdicts

    def _output(self, home: Home, call: str) -> str:
        """What one job returns."""
        code = (
            "import sys, local_jobs; from jobflow_remote import submit_flow\n"
            f"s = submit_flow(local_jobs.{call}); s.wait(60, progress=False); print(s.output())"
        )
        words = [home.python, "-c", code]
        done = subprocess.run(
            words, env=home.env, cwd=home.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()[-1]

    # -- 6: one server, many jobs ------------------------------------------------------------------------------

    def long_life(self) -> list[Verdict]:
        """5,000 jobs through one server: its memory and descriptors do not grow."""
        number = self.options.jobs or 5000
        with _home() as home:
            home.drive("run", "wide", "200")
            first = self._server(home)
            before = (pss_bytes([first]) / 2**20, first.num_fds())
            seen = home.drive("run", "wide", str(number), timeout=900)
            last = self._server(home)
            after = (pss_bytes([last]) / 2**20, last.num_fds())
        return [
            is_true("all through the same process", first.pid == last.pid and seen["done"] == number),
            at_most(
                "memory (PSS) of the server after them",
                after[0],
                1.05 * before[0] + 1,
                "MB",
                note=f"{before[0]:.1f} before",
            ),
            at_most("its descriptors", after[1], before[1], "", note=f"{before[1]} before"),
        ]

    def _server(self, home: Home) -> psutil.Process:
        """The warm process: the only child of the runner that has lasted."""
        (found,) = [p for p in home.runner_processes() if p.ppid() != os.getpid() and _is_station(p)]
        return found


def _is_station(process: psutil.Process) -> bool:
    """Whether it is a warm process: in a session of its own, below a process of the runner."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        parent = process.parent()
        words = parent.cmdline() if parent is not None else []
        return "jobflow_remote.engine" in words and os.getsid(process.pid) == process.pid
    return False


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _pytest(what: str, *words: str) -> Verdict:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-300:]
    return is_true(what, done.returncode == 0, figure=said, bound="all pass")


def main(words: Sequence[str]) -> int:
    """Run the lines that are asked for; exit code 1 if one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows local", description=__doc__)
    parser.add_argument("--only", metavar="LINES", help="comma-separated numbers, as 1,2")
    parser.add_argument("--jobs", type=int, help="another number of jobs, for a quick look")
    options = parser.parse_args(words)
    shows = Shows(options)
    lines: dict[int, Callable[[], list[Verdict]]] = {
        1: shows.latency, 2: shows.throughput, 3: shows.demo, 4: shows.suite, 5: shows.stale, 6: shows.long_life,
    }  # fmt: skip
    results = []
    for number in [int(word) for word in options.only.split(",")] if options.only else list(lines):
        print(f"line {number}: {lines[number].__doc__}", file=sys.stderr, flush=True)
        results.append((number, careful(lines[number])))
    return 0 if print_verdicts("Warm local jobs", results) else 1
