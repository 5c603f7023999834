"""Jobs of this machine, by script and as forks: the same result either way."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.services.localworld import LocalWorld

JOBS = Path(__file__).parents[1] / "acceptance" / "jobs"
sys.path.insert(0, str(JOBS))

import local_jobs as jobs  # noqa: E402
import trouble_jobs  # noqa: E402
from jobflow import Flow, Job  # noqa: E402

WAYS = ("script", "fork")
EXEC_CONFIG = {"coloured": {"export": {"COLOUR": "blue", "DEPTH": 2}}}
SCENARIOS: dict[str, Any] = {
    "surroundings": lambda: jobs.surroundings("COLOUR", "DEPTH", "OMP_NUM_THREADS"),
    "own_group": jobs.own_group,
    "prints": jobs.prints,
    "raises": trouble_jobs.raises,
    "calls_sys_exit": trouble_jobs.calls_sys_exit,
    "calls_os_exit": trouble_jobs.calls_os_exit,
    "kills_itself": trouble_jobs.kills_itself,
    "kills_its_group": trouble_jobs.kills_its_group,
    "exhausts_memory": jobs.exhausts_memory,
    "closes_descriptors": jobs.closes_descriptors,
    "changes_everything": jobs.changes_everything,
    "leaves_child": jobs.leaves_child,
    "leaves_daemon": jobs.leaves_daemon,
    "waits_for_thread": jobs.waits_for_thread,
    "comes_back_twice": jobs.comes_back_twice,
    "returns_more": jobs.returns_more,
    "multiplies": lambda: jobs.multiplies(300),
}
EXPECTED = {
    "raises": ("FAILED", "the basis set is too small"),
    "calls_sys_exit": ("FAILED", "SystemExit: 7"),
    "calls_os_exit": ("REMOTE_ERROR", "exit code 9"),
    "kills_itself": ("REMOTE_ERROR", "signal 9 (SIGKILL)"),
    "kills_its_group": ("REMOTE_ERROR", "signal 9 (SIGKILL)"),
    "exhausts_memory": ("FAILED", "MemoryError"),
}
"""State and cause of those that do not end well."""


class Outcomes:
    """What became of each scenario, by each way."""

    def __init__(self, world: LocalWorld, made: dict[tuple[str, str], Job]) -> None:
        self.world, self.made = world, made

    def document(self, name: str, way: str) -> dict[str, Any]:
        return self.world.job(self.made[name, way].uuid)

    def output(self, name: str, way: str) -> Any:
        return self.world.output(self.made[name, way].uuid)

    def folder(self, name: str, way: str) -> Path:
        return Path(self.document(name, way)["run_dir"])


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """All scenarios, both ways, through one runner; the umask is not the usual one."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(JOBS))
    patch.delenv("OMP_NUM_THREADS", raising=False)
    before = os.umask(0o027)
    world = LocalWorld(
        tmp_path_factory.mktemp("world"), {way: {"launch": way} for way in WAYS}, exec_config=EXEC_CONFIG
    )
    made = {(name, way): make() for name, make in SCENARIOS.items() for way in WAYS}
    try:
        for way in WAYS:
            flow = Flow([each for (_, its), each in made.items() if its == way])
            world.submit(flow, worker=way, exec_config="coloured")
        world.run()
        yield Outcomes(world, made)
    finally:
        os.umask(before)
        patch.undo()
        world.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_each_scenario_has_its_end(outcomes: Outcomes, name: str, way: str) -> None:
    found = outcomes.document(name, way)
    state, cause = EXPECTED.get(name, ("COMPLETED", ""))
    assert found["state"] == state, (found["error"], found["remote"])
    assert cause in str(found["error"]) + str(found["remote"].get("error"))
    assert found["remote"]["launch"] == way
    assert found["remote"]["process_id"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_document_is_the_same_either_way(outcomes: Outcomes, name: str) -> None:
    def comparable(way: str) -> dict[str, Any]:
        found = outcomes.document(name, way)
        remote = {
            key: value
            for key, value in found["remote"].items()
            if key not in ("process_id", "launch", "error")
        }
        told = {key: found[key] for key in ("state", "previous_state", "error", "stored_data")}
        lines = _plain(remote.pop("queue_out", None)), _plain(remote.pop("queue_err", None))
        last = str(found["remote"].get("error") or "").splitlines()[:1]
        return told | {"remote": remote, "lines": lines, "last": last, "error": _plain(found["error"])}

    assert comparable("fork") == comparable("script")


def _plain(text: str | None) -> str:
    """Without times, ids, pids and line numbers, and without what bash says of a command that was killed."""
    said = "".join(line for line in (text or "").splitlines(True) if not line.startswith("submit.sh: line"))
    return re.sub(r"[0-9a-f]{8,}(-[0-9a-f]+)*|\d+", "N", said).replace("runs/fork", "runs/script")


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_run_folder_is_the_same_either_way(outcomes: Outcomes, name: str) -> None:
    def files(way: str) -> dict[str, str]:
        folder = outcomes.folder(name, way)
        return {
            re.sub(r"\.[0-9a-f]{32}$", "", path.name): oct(path.stat().st_mode) for path in folder.iterdir()
        }

    def lines(way: str) -> list[str]:
        """Two processes of one job write in any order."""
        return sorted(_plain((outcomes.folder(name, way) / "queue.out").read_text()).splitlines())

    assert files("fork") == files("script")
    assert lines("fork") == lines("script")


def test_a_job_sees_the_same_either_way(outcomes: Outcomes) -> None:
    fork, script = (outcomes.output("surroundings", way) for way in ("fork", "script"))
    for what in fork:
        assert fork[what] == script[what], what
    assert fork["wanted"] == {"COLOUR": "blue", "DEPTH": "2", "OMP_NUM_THREADS": "1"}
    assert fork["descriptors"] == [0, 1, 2]
    assert fork["is in run folder"]
    assert fork["PWD"]
    assert fork["document"]
    assert fork["umask"] == 0o027


@pytest.mark.parametrize("way", WAYS)
def test_a_job_has_a_process_group_of_its_own(outcomes: Outcomes, way: str) -> None:
    group, session = outcomes.output("own_group", way)
    assert group != os.getpgrp()
    assert session != os.getsid(0)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_printed_is_in_its_file_in_its_order(outcomes: Outcomes, way: str) -> None:
    folder = outcomes.folder("prints", way)
    lines = [line for line in (folder / "queue.out").read_text().splitlines() if line[:2] != "20"]
    assert lines == ["by python", "by a child", "anew", "after it"]
    assert (folder / "queue.err").read_text() == "an error by python\nan error by a child\n"


@pytest.mark.parametrize("way", WAYS)
def test_last_words_belong_to_the_cause(outcomes: Outcomes, way: str) -> None:
    assert "about to leave" in outcomes.document("calls_os_exit", way)["remote"]["error"]


@pytest.mark.parametrize("way", WAYS)
def test_children_in_the_group_end_with_the_job_and_daemons_do_not(outcomes: Outcomes, way: str) -> None:
    child, daemon = outcomes.output("leaves_child", way), outcomes.output("leaves_daemon", way)
    outcomes.world.wait(lambda: not _runs(child), "the child of a job ends")
    assert _runs(daemon)
    os.kill(daemon, signal.SIGKILL)


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("way", WAYS)
def test_the_response_is_carried_out(outcomes: Outcomes, way: str) -> None:
    assert outcomes.document("returns_more", way)["stored_data"] == {"note": "kept"}
    assert (outcomes.folder("waits_for_thread", way) / "by-thread").exists()
    assert outcomes.output("multiplies", way) == outcomes.output("multiplies", "script")
