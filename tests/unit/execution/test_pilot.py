"""Pilots at work on a real folder: bundles in, reports out, whatever happens to a pilot."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobflow_remote.execution.pilot.agents import Agents
from jobflow_remote.execution.pilot.allocation import Allocation, here, own_cores
from jobflow_remote.execution.pilot.handledir import HandleDir
from jobflow_remote.execution.pilot.options import PilotOptions
from jobflow_remote.execution.pilot.pilot import EXIT_FENCED, Pilot
from jobflow_remote.execution.pilot.placement import NodeShare, Placement
from jobflow_remote.execution.pilot.relay import shake_hands
from jobflow_remote.execution.pilot.ticket import Needs, Ticket, bundle_name, parse_bundle, render_bundle
from jobflow_remote.execution.pilot.timing import TimeBook
from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.outputs.jobfiles import read_result, render_input
from jobflow_remote.schedulers.handover import Errands, Look, parse_look, render_look, render_withdraw
from jobflow_remote.schedulers.port import HostJob

MODULE = """
import os, pathlib, signal, time
def add(a, b): return a + b
def sleeps(seconds):
    pathlib.Path("part").write_text(str(os.getpid()))
    os.rename("part", "begun")
    time.sleep(seconds)
    return "slept"
def place():
    from dataclasses import asdict
    from jobflow_remote.execution.current import CURRENT_JOBDOC
    told = {key: value for key, value in os.environ.items() if key.startswith(("JFREMOTE_", "OMP_"))}
    nodes = os.environ.get("PBS_NODEFILE")
    return {**told, "place": asdict(CURRENT_JOBDOC.place), "nodes": nodes and pathlib.Path(nodes).read_text()}
def kills_group(): os.killpg(os.getpgrp(), signal.SIGKILL)
"""


class Yard:
    """A handle directory, jobs, and pilots."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.handle = folder, folder / "handle"
        (self.handle / "new").mkdir(parents=True)
        (folder / "pilot_jobs.py").write_text(MODULE)
        self.tickets: dict[str, Ticket] = {}
        self.pilots: list[subprocess.Popen[bytes]] = []
        self.events: list[dict[str, Any]] = []

    def bundle(self, *jobs: tuple[Any, ...], priority: int = 0, **ticket: Any) -> list[Ticket]:
        """Jobs that any pilot may take."""
        made = self.make(*jobs, **ticket)
        self.put(made, priority=priority)
        return made

    def put(self, tickets: list[Ticket], *, priority: int = 0) -> None:
        name = bundle_name(priority, len(self.tickets), f"b{len(self.tickets)}")
        (self.handle / "new" / name).write_text(render_bundle(tickets))

    def make(self, *jobs: tuple[Any, ...], **ticket: Any) -> list[Ticket]:
        made = []
        for function, *args in jobs:
            attempt = f"a{len(self.tickets)}"
            folder = self.folder / "runs" / attempt
            folder.mkdir(parents=True)
            job = {
                "@module": "jobflow.core.job", "@class": "Job", "uuid": attempt, "index": 1, "name": function,
                "function": {"@module": "pilot_jobs", "@callable": function, "@bound": None},
                "function_args": args, "function_kwargs": {}, "hosts": [], "metadata": {},
            }  # fmt: skip
            (folder / "jfremote_in.json").write_bytes(
                render_input({"db_id": attempt}, job=job, store_names=[], attempt=attempt)
            )
            made.append(Ticket(attempt, str(folder), attempt, 1, name=function, **ticket))
            self.tickets[attempt] = made[-1]
        return made

    def pilot(self, uid: str = "p1", *options: str) -> subprocess.Popen[bytes]:
        words = [str(self.folder / "runs"), str(self.handle), uid, "-mw", "0.5", *options]
        process = subprocess.Popen(
            [sys.executable, "-m", "jobflow_remote.execution", "run-batch", *words],
            env={**os.environ, "PYTHONPATH": str(self.folder)},
        )
        self.pilots.append(process)
        return process

    def look(self, *dead: str, buried: tuple[str, ...] = ()) -> Look:
        script = render_look(str(self.handle), "project/worker", Errands((), buried, dead))
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        look = parse_look(CommandResult(done.stdout, done.stderr, done.returncode))
        assert look.whole, (look, done.stderr)
        self.events = look.events
        return look

    def kinds(self) -> Counter[tuple[str, Any]]:
        self.look()
        return Counter(
            (event["kind"], event.get("code")) for event in self.events if event["kind"] != "begin"
        )

    def begun(self, ticket: Ticket) -> Callable[[], bool]:
        return (Path(ticket.run_dir) / "begun").exists


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    for pilot in made.pilots:
        pilot.kill()
        pilot.wait()


def wait_until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_bundles_are_run_the_urgent_ones_first(yard: Yard) -> None:
    yard.bundle(*(("add", number, 1) for number in range(5)))
    urgent = yard.bundle(("add", 0, 0), ("kills_group",), priority=5)
    assert yard.pilot().wait(60) == 0
    assert yard.kinds() == {("end", 0): 6, ("end", 137): 1}
    ends = [event for event in yard.events if event["kind"] == "end"]
    ends.sort(key=lambda event: float(event["begun"]))
    assert {event["attempt"] for event in ends[:2]} == {ticket.attempt for ticket in urgent}
    look = yard.look()
    assert (look.new_bundles, look.holders) == (0, set())
    assert look.pilots["p1"]["ended"]
    assert look.pilots["p1"]["done"] == 7


def test_two_pilots_share_a_bundle_and_run_each_job_once(yard: Yard) -> None:
    tickets = yard.bundle(*(("sleeps", 0.02) for _ in range(60)))
    pilots = [yard.pilot("p1"), yard.pilot("p2", "--reuse")]
    assert [pilot.wait(90) for pilot in pilots] == [0, 0]
    assert yard.kinds() == {("end", 0): 60}
    by = Counter(event["pilot"] for event in yard.events if event["kind"] == "end")
    assert set(by) == {"p1", "p2"}
    assert {event["attempt"] for event in yard.events} == {ticket.attempt for ticket in tickets}


def test_work_of_a_killed_pilot_comes_back_once(yard: Yard) -> None:
    (quick,) = yard.bundle(("add", 1, 1), priority=1)
    slow, *waiting = yard.bundle(("sleeps", 600), ("add", 1, 1), ("add", 2, 2))
    pilot = yard.pilot()
    wait_until(yard.begun(slow))
    job = int((Path(slow.run_dir) / "begun").read_text())
    pilot.send_signal(signal.SIGKILL)
    pilot.wait()
    wait_until(lambda: not Path(f"/proc/{job}").exists())
    look = yard.look("p1")
    kinds = {lost["attempt"]: lost["kind"] for lost in look.lost}
    assert kinds.pop(slow.attempt) == "interrupted"
    assert kinds.pop(quick.attempt, "ended") == "ended"
    assert kinds == {ticket.attempt: "unbegun" for ticket in waiting}
    assert {lost["attempt"]: lost["kind"] for lost in yard.look("p1").lost} == {
        lost["attempt"]: lost["kind"] for lost in look.lost
    }
    assert yard.look(buried=tuple(look.dead)).lost == []
    assert read_result(Path(slow.run_dir)) is None
    # the same attempts once more: they were withdrawn, and do nothing
    (yard.handle / "new" / bundle_name(0, 0, "again")).write_text(render_bundle([slow, *waiting]))
    assert yard.pilot("p2").wait(60) == 0
    told = {
        e["attempt"]: e["kind"] for e in yard.look().events if e["pilot"] == "p2" and e["kind"] != "begin"
    }
    assert told == {ticket.attempt: "unbegun" for ticket in (slow, *waiting)}


def test_a_pilot_that_counts_as_dead_ends_itself_and_its_jobs(yard: Yard) -> None:
    (slow,) = yard.bundle(("sleeps", 600))
    pilot = yard.pilot()
    wait_until(yard.begun(slow))
    job = int((Path(slow.run_dir) / "begun").read_text())
    yard.look("p1")
    assert pilot.wait(60) == EXIT_FENCED
    wait_until(lambda: not Path(f"/proc/{job}").exists())


def test_a_terminated_pilot_returns_what_it_has_not_begun(yard: Yard) -> None:
    slow, *waiting = yard.bundle(("sleeps", 600), ("add", 1, 1), ("add", 2, 2))
    pilot = yard.pilot()
    wait_until(yard.begun(slow))
    pilot.terminate()
    assert pilot.wait(60) == 0
    look = yard.look()
    assert [event["attempt"] for event in look.events if event["kind"] == "back"] == [slow.attempt]
    assert (look.lost, look.holders, look.new_bundles) == ([], set(), 1)
    (name,) = (yard.handle / "new").glob("*.jobs")
    assert parse_bundle(name.read_text()) == waiting


def test_a_job_that_is_signalled_before_its_pilot_is_not_to_blame(yard: Yard) -> None:
    (slow,) = yard.bundle(("sleeps", 600))
    pilot = yard.pilot()
    wait_until(yard.begun(slow))
    job = int((Path(slow.run_dir) / "begun").read_text())
    os.kill(job, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{job}").exists())
    pilot.terminate()
    assert pilot.wait(60) == 0
    assert [event["kind"] for event in yard.look().events if event["kind"] != "begin"] == ["back"]


def test_a_pilot_ends_after_its_number_of_jobs(yard: Yard) -> None:
    yard.bundle(*(("add", number, 1) for number in range(30)))
    assert yard.pilot("p1", "-mj", "3", "-pj", "2").wait(60) == 0
    assert yard.kinds() == {("end", 0): 3}
    assert yard.pilot("p2").wait(60) == 0
    assert yard.kinds() == {("end", 0): 30}


def test_a_job_is_stopped_and_one_that_waits_never_begins(yard: Yard) -> None:
    slow, waiting, last = yard.bundle(("sleeps", 600), ("add", 1, 1), ("add", 2, 2))
    pilot = yard.pilot()
    wait_until(yard.begun(slow))
    jobs = [HostJob(ticket.run_dir, ticket.attempt) for ticket in (slow, waiting)]
    subprocess.run(["bash", "-c", render_withdraw(str(yard.handle), jobs)], check=True)
    assert pilot.wait(60) == 0
    yard.look()
    ends = {event["attempt"]: event["code"] for event in yard.events if event["kind"] == "end"}
    assert ends == {slow.attempt: 128 + signal.SIGTERM, last.attempt: 0}


def test_cores_are_given_out_and_told(yard: Yard) -> None:
    most = len(os.sched_getaffinity(0))
    (fitting,) = yard.bundle(("place",), needs=Needs(cores=most))
    (too_large,) = yard.bundle(("place",), needs=Needs(cores=most + 1))
    assert yard.pilot("p1", "--pack").wait(60) == 0
    yard.look()
    told = {event["attempt"]: event for event in yard.events if event["kind"] != "begin"}
    assert told[too_large.attempt]["kind"] == "unfit"
    assert f"{most + 1} cores" in told[too_large.attempt]["why"]
    document = json.loads((Path(fitting.run_dir) / "remote_job_data.json").read_text())[0]
    output = document["output"]
    assert output["JFREMOTE_CORES"] == ",".join(map(str, sorted(os.sched_getaffinity(0))))
    assert output["OMP_NUM_THREADS"] == str(most)
    assert output["JFREMOTE_PILOT"] == "p1"
    assert output["place"] == {
        "pilot": "p1", "nodes": [here()], "cores": sorted(os.sched_getaffinity(0)), "gpus": [], "gpu_share": 0,
        "memory_mb": None,
    }  # fmt: skip


def test_what_there_is_no_time_for_is_left_to_others(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(yard.folder))
    long, never, quick = yard.make(("add", 1, 1), ("add", 1, 1), ("add", 2, 2))
    long, never = replace(long, needs=Needs(seconds=3600)), replace(never, needs=Needs(seconds=99999))
    yard.put([long, never, quick])
    times = TimeBook(time.time() + 600, began=time.time() - 36000)  # ten hours are over
    pilot = run_here(yard, Placement((NodeShare(here(), own_cores()),)), times)
    look = yard.look()
    told = {event["attempt"]: event["kind"] for event in look.events if event["kind"] != "begin"}
    assert told == {quick.attempt: "end", never.attempt: "unfit"}
    assert look.new_bundles == 1
    assert "too little time" in (pilot.ending or "")


def run_here(yard: Yard, placement: Placement, times: TimeBook, scheduler: str | None = None) -> Pilot:
    """Be a pilot in this process until nothing is left to do."""
    options = PilotOptions(str(yard.folder / "runs"), str(yard.handle), "p1", max_wait=0.5)
    allocation = Allocation(tuple(placement.nodes), scheduler=scheduler)
    handle = HandleDir(str(yard.handle), "p1")
    handle.enter()
    agents = Agents(allocation, options, selectors.DefaultSelector())
    agents.open()
    pilot = Pilot(options, allocation, handle, placement, agents, times)
    pilot.run()
    agents.close()
    handle.leave()
    return pilot


def test_a_pilot_tells_how_many_jobs_of_the_present_kind_it_runs_at_a_time(yard: Yard) -> None:
    options = PilotOptions(str(yard.folder / "runs"), str(yard.handle), "p1", pack=True)
    nodes = (NodeShare(here(), tuple(range(8))),)
    agents = Agents(Allocation(nodes), options, selectors.DefaultSelector())
    pilot = Pilot(
        options, Allocation(nodes), HandleDir(str(yard.handle), "p1"), Placement(nodes, None, packs=True),
        agents, TimeBook(),
    )  # fmt: skip
    assert pilot.facts()["capacity"] == 8
    for needs, capacity in ((Needs(cores=4), 2), (Needs(whole_nodes=True), 1), (Needs(), 8)):
        pilot.queue = deque(Ticket("a", "/", "u", 1, needs=needs) for _ in range(20))
        assert pilot.facts()["capacity"] == capacity


def test_a_job_that_has_waited_for_long_holds_up_those_only_that_take_what_it_needs(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(yard.folder))
    monkeypatch.setattr("jobflow_remote.execution.pilot.pilot._PATIENCE_SECONDS", -1)
    first, late = yard.make(("sleeps", 1.5), ("add", 1, 1), needs=Needs(cores=1, gpus=1))
    large = yard.make(("add", 1, 1), needs=Needs(cores=2))
    small = yard.make(*[("add", each, 1) for each in range(3)], needs=Needs(cores=1))
    yard.put([first, late, *large, *small])
    run_here(yard, Placement((NodeShare(here(), (0, 1, 2), ("0",)),), None, packs=True), TimeBook())
    yard.look()
    ends = [event["attempt"] for event in yard.events if event["kind"] == "end"]
    assert sorted(ends) == sorted(yard.tickets)
    assert {each.attempt for each in [*large, *small]} <= set(ends[: ends.index(first.attempt)])
    assert ends.index(first.attempt) < ends.index(late.attempt)


_TMRSH = """#!/bin/sh
# as pbs_tmrsh: starts a command with nothing of ours, and waits for it
[ "$1" = localhost ] || { echo "pbs_tmrsh: host \\"$1\\" is not a node in job <1>" >&2; exit 255; }
shift
exec env -i "$@" < /dev/null > /dev/null
"""


@pytest.fixture
def pbs_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What starts processes on nodes does, and what it does not."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    command = tmp_path / "bin" / "pbs_tmrsh"
    command.parent.mkdir()
    command.write_text(_TMRSH)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")


@pytest.mark.usefixtures("pbs_launcher")
def test_an_agent_calls_when_its_launcher_passes_on_nothing(yard: Yard) -> None:
    jobs = yard.make(("place",), ("place",), needs=Needs(cores=4)) + yard.make(("place",))
    yard.put(jobs)
    nodes = (NodeShare(here(), (0,)), NodeShare("localhost", (0, 1, 2, 3), pins=False))
    run_here(yard, Placement(nodes, None, packs=True), TimeBook(), "pbs")
    assert yard.kinds() == {("end", 0): 3}
    told = [json.loads((Path(job.run_dir) / "remote_job_data.json").read_text())[0]["output"] for job in jobs]
    assert [each["JFREMOTE_NODES"] for each in told] == ["localhost", "localhost", here()]
    assert [each["nodes"] for each in told] == ["localhost\n" * 4, "localhost\n" * 4, f"{here()}\n"]
    assert not any("AGENT" in name for each in told for name in each)
    assert not list(yard.folder.glob(".agent*"))


@pytest.mark.usefixtures("pbs_launcher")
def test_a_node_that_cannot_be_had_is_done_without(yard: Yard, capfd: pytest.CaptureFixture[str]) -> None:
    yard.bundle(("add", 1, 1), ("add", 2, 2), needs=Needs(cores=1))
    nodes = (NodeShare(here(), (0, 1)), NodeShare("nowhere", (0, 1), pins=False))
    run_here(yard, Placement(nodes, None, packs=True), TimeBook(), "pbs")
    assert yard.kinds() == {("end", 0): 2}
    said = capfd.readouterr()
    assert "no agent on nowhere" in said.err
    assert 'host "nowhere" is not a node' in said.err


@pytest.mark.parametrize("known", [True, False])
def test_ends_that_do_not_know_the_secret_part(known: bool) -> None:
    pilot, agent = socket.socketpair()
    with pilot, agent, ThreadPoolExecutor() as pool:
        called = pool.submit(shake_hands, agent, "secret" if known else "guess", calls=True)
        answered = shake_hands(pilot, "secret", calls=False)
        if not answered:
            pilot.close()
        assert (answered, called.result()) == (known, known)


def test_a_preload_that_fails_is_told(yard: Yard) -> None:
    assert yard.pilot("p1", "--preload", "absent_module").wait(60) == 1
    told = yard.look().pilots["p1"]
    assert told["failed"]
    assert "absent_module" in told["ending"]


def test_a_folder_belongs_to_one_worker(yard: Yard) -> None:
    yard.look()
    script = render_look(str(yard.handle), "project/other", Errands())
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    look = parse_look(CommandResult(done.stdout, done.stderr, 0))
    assert (look.owner, look.whole) == ("project/worker", False)


class Stopped(Exception):
    """Instead of a kill."""


class Mortal(HandleDir):
    """Stops before its n-th change of the file system."""

    left = 10**6

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopped

    def _write(self, name: str, text: str) -> None:
        self._count()
        super()._write(name, text)

    def _drop(self, name: str) -> None:
        self._count()
        super()._drop(name)


@pytest.mark.parametrize("changes", range(6))
def test_giving_back_can_be_cut_short_anywhere(yard: Yard, changes: int) -> None:
    tickets = yard.bundle(*(("add", number, 1) for number in range(4)))
    tickets += yard.bundle(*(("add", number, 1) for number in range(3)))
    handle = Mortal(str(yard.handle), "p1")
    handle.enter()
    claimed = handle.claim() + handle.claim()
    assert claimed == tickets
    handle.left = changes
    try:
        handle.give_back(tickets[:3], tickets[3:])
    except Stopped:
        pass
    held = {
        t.attempt for f in (yard.handle / "taken" / "p1").glob("*.jobs") for t in parse_bundle(f.read_text())
    }
    new = [t.attempt for f in (yard.handle / "new").glob("*.jobs") for t in parse_bundle(f.read_text())]
    assert len(new) == len(set(new))
    assert not held & set(new)
    assert held | set(new) == {ticket.attempt for ticket in tickets}
