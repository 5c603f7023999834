"""The warm process of a local worker: it may die, be stopped, or become stale, and no job is lost or run twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest
from benchmarks.home import Home, default_project
from benchmarks.measure import wait_until
from tests.services.localworld import LocalWorld

JOBS = Path(__file__).parents[1] / "acceptance" / "jobs"
sys.path.insert(0, str(JOBS))

import local_jobs as jobs  # noqa: E402
from jobflow import Flow  # noqa: E402

from jobflow_remote.control import act  # noqa: E402
from jobflow_remote.control.workers import list_workers  # noqa: E402
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase  # noqa: E402

CORES = len(os.sched_getaffinity(0))
Make = Callable[..., LocalWorld]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """A world with one worker, ``here``, and what is told of it; modules of ``tmp_path`` are found by its jobs."""
    monkeypatch.setenv("PYTHONPATH", f"{JOBS}{os.pathsep}{tmp_path}")
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[LocalWorld] = []

    def make_world(**worker: Any) -> LocalWorld:
        made.append(LocalWorld(tmp_path / "world", {"here": worker}, runner={"delay_checkout": 2}))
        return made[-1]

    yield make_world
    for world in made:
        world.close()


class Ledger:
    """A file in which jobs leave a line each time that they run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def flow(self, number: int) -> list[Any]:
        return [jobs.appends(str(self.path)) for _ in range(number)]

    @property
    def lines(self) -> Counter[str]:
        return Counter(self.path.read_text().split()) if self.path.exists() else Counter()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file; jobs that wait for it end when it is there."""
    return tmp_path / "gate"


def sleepers(gate: Path, number: int = CORES) -> list[Any]:
    return [jobs.sleeps(str(gate)) for _ in range(number)]


def all_begun(world: LocalWorld, some: list[Any]) -> bool:
    folders = [world.job(each.uuid)["run_dir"] for each in some]
    return all(folder and (Path(folder) / "begun").exists() for folder in folders)


# -- its death -------------------------------------------------------------------------------------------------


def test_jobs_that_run_and_jobs_that_wait_outlive_a_server_that_is_killed(
    make: Make, ledger: Ledger, gate: Path
) -> None:
    world, long, short = make(launch="fork"), sleepers(gate), ledger.flow(10)
    world.submit(Flow([*long, *short]), "here")
    with world.running():
        world.wait(lambda: all_begun(world, long) and world.states().count("SUBMITTED") >= 10)
        server = world.server_pid("here")
        assert server is not None
        pids = [int((world.job(each.uuid)["run_dir"] and _pid(world, each)) or 0) for each in long]
        os.kill(server, signal.SIGKILL)
        world.wait(lambda: world.server_pid("here") not in (None, server), "another server")
        assert all(psutil.pid_exists(pid) for pid in pids)
        gate.touch()
        world.wait(lambda: set(world.states()) == {"COMPLETED"})
    assert [_pid(world, each) for each in long] == pids, "they were not started again"
    assert ledger.lines == Counter(each.uuid for each in short)


def _pid(world: LocalWorld, job: Any) -> int:
    (started,) = Path(world.job(job.uuid)["run_dir"]).glob(".jfremote_started.*")
    return int(started.read_text().split()[0])


def test_orders_that_a_server_never_read_are_given_to_the_next(make: Make, ledger: Ledger) -> None:
    world = make(launch="fork")
    first, rest = jobs.appends(str(ledger.path)), ledger.flow(6)
    world.submit(Flow([first]), "here")
    with world.running():
        world.wait(lambda: world.states() == ["COMPLETED"])
        server = world.server_pid("here")
        assert server is not None
        os.kill(server, signal.SIGSTOP)
        world.submit(Flow(rest), "here")
        world.services.ring()
        world.wait(lambda: world.states().count("SUBMITTED") == 6)
        os.kill(server, signal.SIGKILL)
        world.wait(lambda: set(world.states()) == {"COMPLETED"})
    assert ledger.lines == Counter(each.uuid for each in (first, *rest))


def _has_come(world: LocalWorld, ledger: Ledger, done: int) -> bool:
    return len(ledger.lines) > done and world.server_pid("here") is not None


def test_a_server_that_is_killed_again_and_again_loses_nothing(make: Make, ledger: Ledger) -> None:
    world, some = make(launch="fork", max_jobs=0), ledger.flow(40)
    world.submit(Flow(some), "here")
    with world.running():
        for done in (0, 15):
            world.wait(partial(_has_come, world, ledger, done))
            server = world.server_pid("here")
            if server is not None:
                os.kill(server, signal.SIGKILL)
        world.wait(lambda: set(world.states()) == {"COMPLETED"})
    assert ledger.lines == Counter(each.uuid for each in some)


def test_a_job_that_is_killed_after_its_server_has_a_state(make: Make, gate: Path) -> None:
    world, (long,) = make(launch="fork"), sleepers(gate, 1)
    world.submit(Flow([long]), "here")
    with world.running():
        world.wait(lambda: all_begun(world, [long]))
        server, pid = world.server_pid("here"), _pid(world, long)
        assert server is not None
        os.kill(server, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        world.wait(lambda: world.states() == ["REMOTE_ERROR"])
    assert "killed together with the process that started it" in world.job(long.uuid)["remote"]["error"]


# -- the end of its runner -------------------------------------------------------------------------------------


def test_the_next_runner_finds_what_ran_and_starts_what_waited(
    make: Make, ledger: Ledger, gate: Path
) -> None:
    world, long, short = make(launch="fork"), sleepers(gate), ledger.flow(8)
    world.submit(Flow([*long, *short]), "here")
    with world.running():
        world.wait(lambda: all_begun(world, long) and world.states().count("SUBMITTED") >= 8)
        server = world.server_pid("here")
    assert server is not None
    pids = [_pid(world, each) for each in long]
    assert all(psutil.pid_exists(pid) for pid in pids)
    assert not ledger.lines
    with world.running():
        gate.touch()
        world.wait(lambda: set(world.states()) == {"COMPLETED"})
    assert [_pid(world, each) for each in long] == pids
    assert ledger.lines == Counter(each.uuid for each in short)
    world.wait(
        lambda: not psutil.pid_exists(server) or psutil.Process(server).status() == psutil.STATUS_ZOMBIE
    )


SUBMIT = """
import sys
from jobflow import Flow
from jobflow_remote import submit_flow
import local_jobs
submit_flow(Flow([local_jobs.appends(sys.argv[1]) for _ in range(int(sys.argv[2]))]))
"""


def test_a_runner_that_is_killed_again_and_again_runs_each_job_once(ledger: Ledger) -> None:
    number = 60
    with Home(project_file=default_project(), pythonpath=str(JOBS)) as home:
        home.start("--single")
        words = [home.python, "-c", SUBMIT, str(ledger.path), str(number)]
        subprocess.run(words, env=home.env, cwd=home.folder, check=True, capture_output=True)
        for done in (0, 15, 30):
            wait_until(partial(_has_run, ledger, done), timeout_seconds=120, what="jobs run")
            daemon = int((home.base_dir / "daemon" / "supervisord.pid").read_text())
            for process in psutil.Process(daemon).children():
                process.kill()
        with closing(SQLiteQueueDatabase(home.base_dir / "queue.db")) as queue:
            wait_until(
                lambda: queue.count_job_states() == {"COMPLETED": number},
                timeout_seconds=180,
                what="all jobs are COMPLETED",
            )
    assert len(ledger.lines) == number
    assert set(ledger.lines.values()) == {1}


def _has_run(ledger: Ledger, number: int) -> bool:
    return len(ledger.lines) > number


# -- people ----------------------------------------------------------------------------------------------------


def test_a_job_that_waits_in_the_server_can_be_stopped_and_run_again(
    make: Make, ledger: Ledger, gate: Path
) -> None:
    world, long, (stopped, again, other) = make(launch="fork"), sleepers(gate), ledger.flow(3)
    world.submit(Flow([*long, stopped, again, other]), "here")
    with world.running():
        world.wait(lambda: all_begun(world, long) and world.states()[CORES:] == ["SUBMITTED"] * 3)
        world.act(stopped.uuid, act.stop())
        world.act(again.uuid, act.run_again())
        gate.touch()
        world.wait(lambda: world.states().count("COMPLETED") == CORES + 2)
    assert world.job(stopped.uuid)["state"] == "USER_STOPPED"
    assert ledger.lines == Counter([again.uuid, other.uuid])


def test_a_job_that_runs_ends_when_it_is_stopped_and_so_do_its_children(make: Make, gate: Path) -> None:
    world, (long,) = make(launch="fork"), sleepers(gate, 1)
    world.submit(Flow([long]), "here")
    with world.running():
        world.wait(lambda: world.states() == ["RUNNING"])
        pid = _pid(world, long)
        assert world.job(long.uuid)["remote"]["process_id"] == str(pid)
        world.act(long.uuid, act.stop())
        world.wait(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        assert world.states() == ["USER_STOPPED"]


# -- limits ----------------------------------------------------------------------------------------------------


def test_no_more_run_than_there_are_cores_and_no_more_are_submitted_than_max_jobs(
    make: Make, gate: Path
) -> None:
    world, some = make(launch="fork", max_jobs=1), sleepers(gate, 4)
    world.submit(Flow(some), "here")
    with world.running():
        world.wait(lambda: "RUNNING" in world.states())
        assert sum(state in ("SUBMITTED", "RUNNING") for state in world.states()) == 1
        gate.touch()
        world.wait(lambda: set(world.states()) == {"COMPLETED"})


def test_jobs_by_script_and_forks_share_the_cores(make: Make, gate: Path) -> None:
    world = make()
    by_script, forked = sleepers(gate, 1), sleepers(gate, CORES)
    world.submit(Flow(by_script), "here", exec_config={"pre_run": "true"}, priority=1)
    world.submit(Flow(forked), "here")
    with world.running():
        world.wait(lambda: world.states().count("RUNNING") == max(CORES, 2))
        world.wait(lambda: all_begun(world, by_script))
        begun = [all_begun(world, [each]) for each in forked]
        assert sum(begun) == max(1, CORES - 1)
        gate.touch()
        world.wait(lambda: set(world.states()) == {"COMPLETED"})
    launched = [world.job(each.uuid)["remote"]["launch"] for each in (*by_script, *forked)]
    assert launched == ["script", *["fork"] * CORES]


def test_cores_may_be_pinned(make: Make) -> None:
    world, one = make(pin_cores=True), jobs.surroundings()
    world.submit(Flow([one]), "here")
    world.run()
    assert world.output(one.uuid)["cores"] == 1


def test_random_numbers_differ_from_job_to_job(make: Make) -> None:
    world, some = make(preload=["numpy.random", "random"]), [jobs.random_numbers() for _ in range(3)]
    world.submit(Flow(some), "here")
    world.run()
    numbers = [tuple(world.output(each.uuid)) for each in some]
    assert len({first for first, _ in numbers}) == len({second for _, second in numbers}) == 3


# -- what cannot be forked -------------------------------------------------------------------------------------


def broken(folder: Path, text: str) -> str:
    name = f"preloaded_{abs(hash(text)) % 10**6}"
    (folder / f"{name}.py").write_text(text)
    return name


BROKEN = {
    "it fails": ("raise ValueError('broken here')", "ValueError: broken here"),
    "it leaves a thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True, name='lurker').start()\n",
        "leaves threads behind (lurker)",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_with_a_bad_preload_jobs_go_by_script_and_the_worker_says_why(
    make: Make, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    text, reason = BROKEN[what]
    name = broken(tmp_path, text)
    world, one = make(preload=[name]), jobs.add(1, 2)
    world.submit(Flow([one]), "here")
    world.run()
    assert world.output(one.uuid) == 3
    assert world.job(one.uuid)["remote"]["launch"] == "script"
    assert name in caplog.text
    assert reason in caplog.text
    (state,) = list_workers(world.services.queue, ["here"])
    assert state.is_up
    assert reason in (state.by_script or "")


def test_with_launch_fork_a_bad_preload_is_the_jobs_error(make: Make, tmp_path: Path) -> None:
    name = broken(tmp_path, BROKEN["it fails"][0])
    world, one = make(preload=[name], launch="fork"), jobs.add(1, 2)
    world.submit(Flow([one]), "here")
    world.run()
    error = world.job(one.uuid)["remote"]["error"]
    assert "cannot be forked" in error
    assert "ValueError: broken here" in error


def test_with_launch_fork_a_job_that_needs_a_shell_is_refused_with_the_reason(make: Make) -> None:
    world, one = make(launch="fork"), jobs.add(1, 2)
    world.submit(Flow([one]), "here", exec_config={"pre_run": "true"})
    world.run()
    assert world.job(one.uuid)["state"] == "REMOTE_ERROR"
    assert "its exec_config has `pre_run`" in world.job(one.uuid)["remote"]["error"]


# -- never stale -----------------------------------------------------------------------------------------------


def test_an_edited_module_counts_from_the_next_job_on(make: Make, tmp_path: Path) -> None:
    module = "from jobflow import job\n@job\ndef version(): return {}\n"
    for name in ("edited_module", "preloaded_module"):
        (tmp_path / f"{name}.py").write_text(module.format(1))
    edited, preloaded = (import_module(name) for name in ("edited_module", "preloaded_module"))
    world = make(preload=["preloaded_module"], launch="fork")
    with world.running():
        for number in (1, 222, 3):  # another size each time, for file systems with coarse clocks
            for name in ("edited_module", "preloaded_module"):
                (tmp_path / f"{name}.py").write_text(module.format(number))
            some = [edited.version(), preloaded.version()]
            world.submit(Flow(some), "here")
            world.services.ring()
            world.wait(lambda: set(world.states()) == {"COMPLETED"})
            assert [world.output(each.uuid) for each in some] == [number, number]


# -- disks and processes ---------------------------------------------------------------------------------------


def test_a_job_that_fills_the_disk_has_a_state_and_the_next_one_runs(
    make: Make, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted")
    request.addfinalizer(lambda: subprocess.run(["umount", "--lazy", str(disk)], check=True))
    world, full = make(launch="fork", work_dir=str(disk / "runs")), jobs.fills_disk()
    world.submit(Flow([full]), "here")
    with world.running():
        world.wait(lambda: world.states() == ["REMOTE_ERROR"])
        assert "left no result" in world.job(full.uuid)["remote"]["error"]
        (Path(world.job(full.uuid)["run_dir"]) / "ballast").unlink()
        after = jobs.add(1, 2)
        world.submit(Flow([after]), "here")
        world.services.ring()
        world.wait(lambda: world.states()[-1] == "COMPLETED")
