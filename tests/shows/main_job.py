"""The main job, end to end, with no server: each line of what issue 2 promises, at full size."""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import completing, idle, latency, listing, startup, submitting
from benchmarks.filling import fill
from benchmarks.home import Home, default_project
from benchmarks.measure import Figure
from tests.shows.cleanclone import ROOT, CleanClone, Told, counts_of_tests, table_numbers
from tests.shows.verdict import Verdict, at_most, is_true, not_run, print_verdicts

JOBS_FOLDER = ROOT / "tests" / "acceptance" / "jobs"
FORBIDDEN = ("jobflow", "maggma", "numpy", "pymongo", "asyncssh", "supervisor")


class Shows:
    """The lines; each gives its verdicts."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self._folder = tempfile.TemporaryDirectory(prefix="jfs-")
        self._clone: CleanClone | None = None

    def close(self) -> None:
        """Remove the clone."""
        self._folder.cleanup()

    def clone(self) -> CleanClone:
        """The clean clone, made when a line wants it first."""
        if self._clone is None:
            self._clone = CleanClone.make(Path(self._folder.name))
        return self._clone

    # -- 1, 2: a clean clone -----------------------------------------------------------------------------------

    def demo(self) -> list[Verdict]:
        """``make demo``, and whether everybody agrees with it."""
        clone = self.clone()
        first = clone.run("make", "demo", timeout=900)
        verdicts = [
            is_true("make demo ends with exit code 0", first.code == 0, figure=f"{first.code}", bound="0")
        ]
        if first.code:
            print(first.text[-4000:], file=sys.stderr)
            return verdicts
        try:
            verdicts += _demo_time(first)
            verdicts += _agreement(clone, first)
            again = clone.run("make", "demo", timeout=900)
            projects = clone.json("project", "list")["projects"]
            verdicts.append(
                is_true(
                    "again: exit code 0, one project",
                    again.code == 0 and len(projects) == 1,
                    figure=f"{again.code}",
                )
            )
        finally:
            clone.jf("runner", "shutdown", "--wait")
        return verdicts

    def suite(self) -> list[Verdict]:
        """``make test`` and ``.ci/run`` in the clone."""
        verdicts = []
        for command in (("make", "test"), ("bash", ".ci/run")):
            what = f"{' '.join(command)} on the clone is green"
            if self.options.skip_suite:
                verdicts.append(not_run(what, "exit code 0"))
                continue
            told = self.clone().run(*command, timeout=3600)
            if told.code:
                print(told.text[-6000:], file=sys.stderr)
            figure = f"exit code {told.code}, {told.seconds:.0f} s: {counts_of_tests(told.text)}"
            verdicts.append(is_true(what, told.code == 0, figure=figure, bound="exit code 0"))
        return verdicts

    # -- 3: the same outputs -----------------------------------------------------------------------------------

    def differential(self) -> list[Verdict]:
        """Every scenario through ``run_locally`` and through the runner."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-s",
            "-p",
            "no:randomly",
            "tests/acceptance/test_differential.py",
        ]
        with Home() as home:
            done = subprocess.run(
                command, cwd=ROOT, env=home.env, capture_output=True, text=True, check=False
            )
        found = re.search(r"(\d+) scenarios", done.stdout)
        number = int(found.group(1)) if found else 0
        if done.returncode:
            print(done.stdout[-4000:], file=sys.stderr)
        what = "every scenario gives the outputs of run_locally"
        return [is_true(what, done.returncode == 0 and number > 0, figure=f"{number} scenarios", bound="all")]

    # -- 4: latency --------------------------------------------------------------------------------------------

    def latency(self) -> list[Verdict]:
        """One job and a chain of ten, with default settings."""
        with Home() as home:
            figures = by_name(latency.measure(home, times=10, chain=10))
        by_hand = figures["its script by hand"]
        through = figures["one add, submit to COMPLETED"]
        bound = by_hand + 0.5
        chain_bound = figures["its 10 scripts by hand"] + 10 * 0.5
        return [
            at_most("one add: submit_flow to COMPLETED", through, round(bound, 3), "s", note="median of 10"),
            at_most("chain of ten", figures["chain of 10, submit to COMPLETED"], round(chain_bound, 3), "s"),
        ]

    # -- 5: kill -9 --------------------------------------------------------------------------------------------

    def killing(self) -> list[Verdict]:
        """50 jobs, 30 kills."""
        worker = f"max_jobs: 5\npre_run: export PYTHONPATH={JOBS_FOLDER}"
        with Home(project_file=default_project(worker), pythonpath=f"{ROOT}:{JOBS_FOLDER}") as home:
            command = [sys.executable, "-m", "tests.shows.killing", "--folder", str(home.folder)]
            command += ["--seed", str(self.options.seed), "--job-seconds", "14"]
            done = subprocess.run(
                command, cwd=ROOT, env=home.env, stdout=subprocess.PIPE, text=True, check=False
            )
        if not done.stdout:
            return [is_true("50 jobs, 30 kills", False, figure="the experiment failed", bound="a report")]
        report = json.loads(done.stdout.splitlines()[-1])
        for problem in report["problems"]:
            print(problem, file=sys.stderr)
        rounds = report["rounds"]
        back = [r["back_at_work_seconds"] for r in rounds if r["back_at_work_seconds"] is not None]
        in_flight = [r["in_flight"] for r in rounds[:-1]]
        once = report["states"] == {"COMPLETED": report["jobs"]} and not report["not_once"]
        figure = f"{report['states']}, not once: {report['not_once'] or 'none'}, problems: {len(report['problems'])}"
        return [
            is_true(
                "all COMPLETED, each exactly once",
                once and not report["problems"],
                figure=figure,
                bound="50, none",
            ),
            is_true(
                "kills that met jobs in flight",
                sum(map(bool, in_flight)) >= 30,
                figure=f"{sum(map(bool, in_flight))} (jobs: {in_flight[0]} to {in_flight[-1]}; seed {self.options.seed})",  # noqa: E501
                bound="≥ 30",
            ),
            at_most(
                "back at work after the restart, slowest",
                max(back),
                10,
                "s",
                note=f"{len(back)} restarts timed",
            ),
        ]

    # -- 6: start-up -------------------------------------------------------------------------------------------

    def start_up(self) -> list[Verdict]:
        """What is imported, what it costs, what a long queue costs."""
        with Home() as home:
            verdicts = [_hygiene(home, words) for words in (("--help",), ("job", "list"))]
            figures = by_name(startup.measure(home, times=15))
            for name in ("jf --help", "jf job list"):
                verdicts.append(at_most(f"{name}: CPU", figures[name], 0.2, "s"))
            verdicts.append(
                at_most("one trivial job / import jobflow", figures["one add / import jobflow"], 1.15, "×")
            )
        with Home() as home:
            fill(home, 100_000)
            wall = listing.listing(home, 100_000, ("job", "list"), times=7)[0]
        verdicts.append(at_most("jf job list with 100,000 jobs", wall.value or 0.0, 0.5, "s", note="wall"))
        return verdicts

    # -- 7: large flows ----------------------------------------------------------------------------------------

    def large_flows(self) -> list[Verdict]:
        """Submitting 10,000 jobs; completing one of them."""
        verdicts = []
        for shape in ("wide", "chain"):
            with Home() as home:
                seconds = submitting.submit(home, shape, 10_000).value
            verdicts.append(at_most(f"submit_flow of 10,000 jobs, {shape}", seconds or 0.0, 6, "s"))
        with Home() as home:
            for shape in ("wide", "chain"):
                seen = completing.by_size(home, shape, completions=300)
                verdicts += _compare(shape, seen[completing.SMALL], seen[completing.LARGE])
        costs = {}
        for size in (completing.SMALL, completing.LARGE):
            with Home() as home:
                costs[size] = completing.runner_cpu_per_job(home, size, jobs=40)
        ratio = costs[completing.LARGE] / costs[completing.SMALL]
        note = f"{costs[completing.LARGE]:.3f} s against {costs[completing.SMALL]:.3f} s"
        verdicts.append(at_most("runner's CPU per job, flow of 10,000 / of 10", ratio, 1.25, "×", note=note))
        return verdicts

    # -- 8: idle -----------------------------------------------------------------------------------------------

    def idle(self) -> list[Verdict]:
        """CPU and memory of a runner that has worked and waits."""
        verdicts = []
        for mode, memory in (("split", 300), ("single", 150)):
            with Home() as home:
                figures = by_name(idle.idle(home, mode, seconds=30))
            verdicts.append(at_most(f"idle CPU, {mode}", figures[f"CPU, {mode}"], 1, "%"))
            verdicts.append(at_most(f"memory (PSS), {mode}", figures[f"memory (PSS), {mode}"], memory, "MB"))
        return verdicts

    # -- 9: checks ---------------------------------------------------------------------------------------------

    def check(self) -> list[Verdict]:
        """``make check``."""
        done = subprocess.run(["make", "check"], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-1000:], file=sys.stderr)
        return [is_true("make check", done.returncode == 0, figure=f"exit code {done.returncode}", bound="0")]


def by_name(figures: Sequence[Figure]) -> dict[str, float]:
    """Values of figures that were measured; one that was given up is infinite."""
    return {figure.name: float("inf") if figure.value is None else figure.value for figure in figures}


def _demo_time(told: Told) -> list[Verdict]:
    """From the clone to the result, without the time that pip took, which is told beside it."""
    begin = told.when("project") or 0.0
    quickstart = re.search(r"Done in (\d+) s", told.text)
    note = f"{told.seconds:.0f} s with pip; jf quickstart says {quickstart.group(1) if quickstart else '?'} s"
    return [at_most("from the clone to the result, pip aside", told.seconds - begin, 60, "s", note=note)]


def _agreement(clone: CleanClone, told: Told) -> list[Verdict]:
    """The listings, the outputs by ``jf`` and by Python, and the printed table tell the same."""
    printed = table_numbers(told.text)
    flows, jobs = clone.json("flow", "list"), clone.json("job", "list")
    first = clone.json("job", "info", "1")
    states = {job["state"] for job in jobs}
    named = re.search(r"jf .*job output (\S+)", told.text)
    db_id = named.group(1) if named else "?"
    output = clone.json("job", "output", db_id) or {}
    job = clone.json("job", "info", db_id)
    by_python = clone.output_by_python(job["uuid"])
    plot = re.search(r"plot\s+(\S+\.png)", told.text)
    same = bool(printed) and all(
        abs(float(output.get(key, "nan")) - printed.get(name, float("inf"))) < 6e-4
        for name, key in (
            ("volume", "volume"),
            ("bulk modulus", "bulk_modulus"),
            ("lattice constant", "lattice_constant"),
        )
    )
    return [
        is_true(
            "table printed, plot saved", bool(printed) and plot is not None and Path(plot.group(1)).is_file()
        ),
        is_true(
            "jf flow list, job list, job info 1: COMPLETED",
            len(flows) == 1
            and flows[0]["state"] == "COMPLETED"
            and states == {"COMPLETED"}
            and len(jobs) == flows[0]["n_jobs"]
            and first["state"] == "COMPLETED",
            figure=f"{len(flows)} flow, {len(jobs)} jobs: {', '.join(sorted(states))}",
            bound="all",
        ),
        is_true(
            "jf job output agrees with the table",
            same,
            figure=f"job {db_id}: {_short(output)}",
            bound="equal",
        ),
        is_true("get_jobstore in Python agrees", by_python == output and bool(output), bound="equal"),
    ]


def _short(output: object) -> str:
    if not isinstance(output, dict):
        return str(output)
    return ", ".join(f"{key} {value:.3f}" for key, value in output.items() if isinstance(value, float))


def _hygiene(home: Home, words: tuple[str, ...]) -> Verdict:
    """Which modules a command has loaded when it ends."""
    code = (
        "import sys\nfrom jobflow_remote.cli.main import main\n"
        f"sys.argv = ['jf', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', *sorted(set({FORBIDDEN!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [home.python, "-c", code], env=home.env, capture_output=True, text=True, check=False
    )
    found = re.search(r"^LOADED(.*)$", done.stdout, re.MULTILINE)
    loaded = found.group(1).split() if found else ["?", done.stderr[-300:]]
    what = f"jf {' '.join(words)} imports none of {', '.join(FORBIDDEN)}"
    return is_true(what, not loaded, figure=", ".join(loaded) or "none", bound="none")


def _compare(shape: str, small: completing.Completions, large: completing.Completions) -> list[Verdict]:
    """Cost of one completion: statements must be equal, and the time within what repeating it varies by."""
    times = [1000 * statistics.median(seen.seconds) for seen in (small, large)]
    counts = [statistics.median(seen.statements) for seen in (small, large)]
    return [
        at_most(
            f"one completion, {shape}: flow of 10,000 / of 10",
            times[1] / times[0],
            1.1,
            "×",
            note=f"{times[1]:.2f} ms against {times[0]:.2f} ms",
        ),
        at_most(f"statements for it, {shape}", counts[1], counts[0], ""),
    ]


def main(words: Sequence[str]) -> int:
    """Run the lines that are asked for; exit code 1 if one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows main-job", description=__doc__)
    parser.add_argument("--only", metavar="LINES", help="comma-separated numbers, as 4,5")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()) % 100_000, help="of the random moments of line 5"
    )
    parser.add_argument(
        "--skip-suite", action="store_true", help="leave line 2 out (it then counts as not held)"
    )
    options = parser.parse_args(words)
    shows = Shows(options)
    lines: dict[int, Callable[[], list[Verdict]]] = {
        1: shows.demo, 2: shows.suite, 3: shows.differential, 4: shows.latency, 5: shows.killing,
        6: shows.start_up, 7: shows.large_flows, 8: shows.idle, 9: shows.check,
    }  # fmt: skip
    wanted = [int(word) for word in options.only.split(",")] if options.only else list(lines)
    results = []
    try:
        for number in wanted:
            print(f"line {number}: {lines[number].__doc__}", file=sys.stderr, flush=True)
            results.append((number, careful(lines[number])))
    finally:
        shows.close()
    return 0 if print_verdicts("The main job, end to end, with no server", results) else 1


def careful(line: Callable[[], list[Verdict]]) -> list[Verdict]:
    """A line that cannot be measured does not hold; the others are measured all the same."""
    try:
        return line()
    except Exception as error:  # noqa: BLE001  # whatever it is, the other lines are wanted too
        return [
            is_true(
                str(line.__doc__).strip("."),
                False,
                figure=f"{type(error).__name__}: {error}",
                bound="a figure",
            )
        ]
