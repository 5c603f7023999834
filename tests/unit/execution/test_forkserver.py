"""Jobs as forks of a warm process: the same as by a script, and no harm to others whatever they do."""

from __future__ import annotations

import json
import os
import selectors
import signal
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobflow_remote.errors import JobflowRemoteError
from jobflow_remote.execution.forkserver.client import ForkServerProcess
from jobflow_remote.execution.forkserver.order import EXIT_NO_FOLDER, Message, Order
from jobflow_remote.execution.run import EXIT_TAKEN
from jobflow_remote.outputs.jobfiles import read_output_documents, read_result, render_input

MODULE = """
    import json, os, pathlib, random, signal, subprocess, sys, threading, time

    def add(a, b): return a + b
    def fails(): raise RuntimeError("no")
    def pid(): return os.getpid()
    def surroundings():
        import numpy
        return {
            "cwd": os.getcwd(), "group": os.getpgrp() == os.getpid(), "variable": os.environ.get("OF_THE_JOB"),
            "random": random.random(), "numpy": float(numpy.random.random()), "umask": os.umask(0o022),
            "handlers": [signal.getsignal(n) == signal.SIG_DFL for n in (signal.SIGTERM, signal.SIGCHLD)],
            "descriptors": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1],
            "cores": sorted(os.sched_getaffinity(0)), "main": threading.current_thread() is threading.main_thread(),
        }
    def prints(): print("to stdout"); print("to stderr", file=sys.stderr); os.system("echo by a child")
    def logs(): import logging; logging.getLogger("of.the.job").info("to the log"); logging.basicConfig(level=0)
    def leaves(code): os._exit(code)
    def kills_group(): os.killpg(os.getpgrp(), signal.SIGKILL)
    def closes(): os.closerange(3, 500); return "closed"
    def wanders(): os.chdir("/"); os.environ.clear(); os.umask(0o777); sys.path.clear(); return "wandered"
    def leaks(): globals()["kept"] = bytearray(400 << 20); return "leaked"
    def handles(): signal.signal(signal.SIGTERM, signal.SIG_IGN); return "handled"
    def threads(): threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); return "threads"
    def forks():
        child = subprocess.Popen(["sleep", "600"]); return child.pid
    def daemon():
        child = subprocess.Popen(["sleep", "600"], start_new_session=True); return child.pid
    def sleeps(): pathlib.Path("begun").touch(); time.sleep(600)
    def forked_child_returns():
        os.fork(); return "both"
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "forked_jobs.py").write_text(textwrap.dedent(MODULE))
    (folder / "with_threads.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True, name='lurker').start()\n"
    )
    (folder / "broken.py").write_text("raise ValueError('broken here')\n")
    return folder


def environment(module: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(module)}


class Servant:
    """A fork server, and folders for its jobs."""

    def __init__(self, server: ForkServerProcess, folder: Path, *, reuse: bool) -> None:
        self.server, self.folder, self.reuse = server, folder, reuse
        self.selector = selectors.DefaultSelector()
        self.selector.register(server, selectors.EVENT_READ)
        self.ends: dict[str, Message] = {}
        self.number = 0

    def start(self, function: str, *args: Any, **more: Any) -> Order:
        self.number += 1
        name = f"{self.number}-{function}"
        folder = self.folder / name
        folder.mkdir()
        job = {
            "@module": "jobflow.core.job", "@class": "Job", "uuid": name, "index": 1, "name": function,
            "function": {"@module": "forked_jobs", "@callable": function, "@bound": None},
            "function_args": list(args), "function_kwargs": {}, "hosts": [], "metadata": {},
        }  # fmt: skip
        content = render_input({"db_id": name}, job=job, store_names=[], attempt="a")
        (folder / "jfremote_in.json").write_bytes(content)
        order = Order(name, str(folder), "a", reuse=self.reuse, **more)
        self.server.start(order)
        return order

    def wait(self, *orders: Order) -> list[int]:
        """Exit codes, as soon as all have ended."""
        self.until(lambda: all(order.id in self.ends for order in orders))
        return [int(self.ends[order.id]["code"]) for order in orders]

    def until(self, holds: Any) -> None:
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end
            self.selector.select(0.05)
            for message in self.server.receive():
                if message["event"] == "ended":
                    self.ends[message["id"]] = message

    def run(self, function: str, *args: Any, **more: Any) -> Any:
        """Output of a job that ends well."""
        order = self.start(function, *args, **more)
        assert self.wait(order) == [0]
        return output(order)


def output(order: Order) -> Any:
    result = read_result(Path(order.folder), attempt="a")
    assert result is not None
    assert result.error is None
    return read_output_documents(Path(order.folder))[0]["output"]


@pytest.fixture(scope="module", params=[False, True], ids=["forked", "reused"])
def server(request: pytest.FixtureRequest, module: Path) -> Iterator[tuple[ForkServerProcess, bool]]:
    with ForkServerProcess(environment=environment(module)) as process:
        yield process, request.param


@pytest.fixture
def servant(server: tuple[ForkServerProcess, bool], tmp_path: Path) -> Servant:
    return Servant(server[0], tmp_path, reuse=server[1])


def test_jobs_give_their_results(servant: Servant) -> None:
    orders = [servant.start("add", number, 1) for number in range(6)]
    assert servant.wait(*orders) == [0] * 6
    assert [output(order) for order in orders] == [1, 2, 3, 4, 5, 6]


def test_what_jobs_log_is_in_their_own_output(servant: Servant) -> None:
    orders = [servant.start("logs"), servant.start("logs")]
    assert servant.wait(*orders) == [0, 0]
    for order in orders:
        assert (Path(order.folder) / "queue.out").read_text().count("to the log") == 1


def test_a_job_that_raises_leaves_its_traceback(servant: Servant) -> None:
    order = servant.start("fails")
    assert servant.wait(order) == [0]
    result = read_result(Path(order.folder), attempt="a")
    assert result is not None
    assert "RuntimeError: no" in (result.error or "")


def test_surroundings_are_those_of_a_process_of_its_own(servant: Servant) -> None:
    core = min(os.sched_getaffinity(0))
    first = servant.run("surroundings", environment={"OF_THE_JOB": "1"}, cores=(core,))
    second = servant.run("surroundings")
    assert first["cwd"].endswith("surroundings")
    assert first["cwd"] != second["cwd"]
    assert first["group"]
    assert first["main"]
    assert (first["variable"], second["variable"]) == ("1", None)
    assert first["cores"] == [core]
    assert second["cores"] == sorted(os.sched_getaffinity(0))
    assert first["random"] != second["random"]
    assert first["numpy"] != second["numpy"]
    assert first["umask"] == os.umask(0o022)
    os.umask(first["umask"])
    assert first["handlers"] == [True, True]
    assert len(first["descriptors"]) <= (4 if servant.reuse else 3)


def test_what_is_printed_goes_to_the_files_of_the_job(servant: Servant) -> None:
    order = servant.start("prints")
    servant.wait(order)
    folder = Path(order.folder)
    out = (folder / "queue.out").read_text()
    assert "to stdout" in out
    assert "by a child" in out
    assert "to stderr" in (folder / "queue.err").read_text()


@pytest.mark.parametrize(
    ("function", "code"), [("leaves", 7), ("kills_group", 128 + signal.SIGKILL), ("closes", 0)]
)
def test_a_violent_end_is_told_and_harms_nobody(servant: Servant, function: str, code: int) -> None:
    neighbour = servant.start("sleeps")
    servant.until((Path(neighbour.folder) / "begun").exists)
    arguments = [7] if function == "leaves" else []
    assert servant.wait(servant.start(function, *arguments)) == [code]
    assert neighbour.id not in servant.ends
    assert servant.run("add", 1, 1) == 2
    servant.server.signal(neighbour.id, signal.SIGTERM)
    assert servant.wait(neighbour) == [128 + signal.SIGTERM]


@pytest.mark.parametrize("function", ["wanders", "leaks", "handles", "threads"])
def test_what_a_job_changes_is_not_seen_by_the_next(servant: Servant, function: str) -> None:
    servant.run(function)
    seen = servant.run("surroundings")
    assert seen["cwd"].endswith("surroundings")
    assert seen["umask"] != 0o777
    assert seen["handlers"] == [True, True]


def test_a_reused_process_is_given_up_when_a_job_left_something(servant: Servant) -> None:
    before = servant.run("pid")
    assert (servant.run("pid") == before) is servant.reuse
    for function in ("leaks", "handles", "threads"):
        servant.run(function)
    assert servant.run("pid") != before


def test_a_process_that_ends_between_two_jobs_takes_none_along(servant: Servant) -> None:
    for _ in range(2):
        pid = servant.run("pid")
        if servant.reuse:
            os.kill(pid, signal.SIGSTOP)
        order = servant.start("add", 1, 2)
        if servant.reuse:
            os.kill(pid, signal.SIGKILL)
        assert servant.wait(order) == [0]
        assert output(order) == 3


def test_processes_left_in_the_group_end_with_the_job(servant: Servant) -> None:
    pid = servant.run("forks")
    servant.until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_daemon_of_a_job_holds_nobody_up(servant: Servant) -> None:
    pid = servant.run("daemon")
    assert psutil.pid_exists(pid)
    assert servant.run("add", 2, 2) == 4
    os.kill(pid, signal.SIGKILL)


def test_a_child_that_comes_back_from_the_function_writes_nothing(servant: Servant) -> None:
    assert servant.run("forked_child_returns") == "both"


def test_an_attempt_that_is_over_does_nothing_in_the_folder_of_a_later_one(servant: Servant) -> None:
    order = servant.start("add", 1, 2)
    servant.wait(order)
    late = replace(order, id="late", attempt="b")
    again = replace(order, id="again", attempt="ar1")
    for each in (late, again):
        servant.server.start(each)
    assert servant.wait(late, again) == [EXIT_TAKEN, 0]
    assert not (Path(order.folder) / ".jfremote_taken.b").exists()


def test_a_missing_folder_is_told(servant: Servant) -> None:
    order = Order("nowhere", "/nonexistent/folder", "a", reuse=servant.reuse)
    servant.server.start(order)
    assert servant.wait(order) == [EXIT_NO_FOLDER]


def test_a_script_is_run_by_bash(servant: Servant, tmp_path: Path) -> None:
    (tmp_path / "submit.sh").write_text('echo "$OF_THE_JOB"; exit 5\n')
    order = Order("script", str(tmp_path), script="submit.sh", environment={"OF_THE_JOB": "x"})
    servant.server.start(order)
    assert servant.wait(order) == [5]
    assert (tmp_path / "queue.out").read_text() == "x\n"


def test_jobs_end_with_the_server_even_if_it_is_killed(module: Path, tmp_path: Path) -> None:
    with ForkServerProcess(environment=environment(module)) as server:
        servant = Servant(server, tmp_path, reuse=False)
        order = servant.start("sleeps")
        servant.until((Path(order.folder) / "begun").exists)
        job = psutil.Process(server.jobs[order.id])
        os.kill(server.pid, signal.SIGKILL)
        psutil.wait_procs([job], timeout=20)
        assert not job.is_running() or job.status() == psutil.STATUS_ZOMBIE
        servant.until(lambda: server.gone)


def test_the_server_ends_when_whoever_it_works_for_is_gone(module: Path, tmp_path: Path) -> None:
    server = ForkServerProcess(environment=environment(module))
    servant = Servant(server, tmp_path, reuse=False)
    order = servant.start("sleeps")
    servant.until((Path(order.folder) / "begun").exists)
    job, process = psutil.Process(server.jobs[order.id]), psutil.Process(server.pid)
    server.channel.close()
    psutil.wait_procs([process, job], timeout=20)
    assert not job.is_running()
    server.close()


def receive_until_ready(server: ForkServerProcess, selector: selectors.BaseSelector) -> None:
    while not server.ready:
        selector.select(60)
        server.receive()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("with_threads", "with_threads.*lurker"),
        ("broken", "broken.*ValueError: broken here"),
        ("absent", "absent"),
    ],
)
def test_a_preload_that_cannot_be_had_is_named(module: Path, name: str, words: str) -> None:
    with ForkServerProcess(preload=[name], environment=environment(module)) as server:
        selector = selectors.DefaultSelector()
        selector.register(server, selectors.EVENT_READ)
        with pytest.raises(JobflowRemoteError, match=words):
            receive_until_ready(server, selector)


def test_a_preloaded_module_is_not_imported_again(module: Path, tmp_path: Path) -> None:
    with ForkServerProcess(preload=["forked_jobs"], environment=environment(module)) as server:
        servant = Servant(server, tmp_path, reuse=False)
        servant.until(lambda: server.ready)
        (module / "forked_jobs.py").rename(module / "elsewhere.py")
        try:
            assert servant.run("add", 1, 2) == 3
        finally:
            (module / "elsewhere.py").rename(module / "forked_jobs.py")


def test_orders_travel_as_they_are() -> None:
    order = Order("1", "/f", "a", environment={"A": "b"}, cores=(1, 2), script="s", reuse=True)
    assert Order.from_message(json.loads(json.dumps(order.as_message()))) == order
