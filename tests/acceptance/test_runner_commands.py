"""``jf runner`` and ``DaemonManager`` with real daemons; each test starts as few as it can."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import psutil
from tests_home import Home, Wait

from jobflow_remote import submit_flow
from jobflow_remote.jobs.daemon import DaemonManager, DaemonStatus
from jobflow_remote.testing import add

QUICK = "heartbeat_seconds: 0.5\n  max_step_attempts: 0"


def pids(home: Home) -> dict[str, int]:
    """Name of each process → its pid."""
    return {name: each["pid"] for name, each in home.json("runner", "info")["processes"].items()}


def test_a_runner_with_several_processes(home: Home, wait_for: Wait) -> None:
    home.write_project(runner=QUICK, more="log_level: debug")
    home.jf("runner", "start", "-t", "2")
    manager = DaemonManager.from_project_name("test")

    # who they are, and what they do
    everybody = {"checkout", "complete", "queue", "transfer-0", "transfer-1"}
    told: dict[str, Any] = {}
    reports: dict[str, Any] = {}

    def all_have_told() -> bool:
        told.update(home.json("runner", "info"))
        reports.update({each["name"]: each for each in told["reports"]})
        return all(each in reports and reports[each]["lanes"] for each in everybody)

    wait_for(all_have_told)
    assert set(reports) == everybody
    started = {name: each["pid"] for name, each in told["processes"].items()}
    assert {each["pid"] for each in reports.values()} == set(started.values()) - {started["supervisord"]}
    assert all(each["versions"]["jobflow_remote"] for each in reports.values())
    assert {(lane["step"], lane["doing"]) for lane in reports["queue"]["lanes"]} == {
        ("submit", "idle"),
        ("poll", "idle"),
    }
    submit_flow(add(1, 2)).wait(60, progress=False)

    def done() -> dict[str, int]:
        lanes = [lane for each in home.json("runner", "info")["reports"] for lane in each["lanes"]]
        return {
            lane["step"]: sum(each["done"] for each in lanes if each["step"] == lane["step"])
            for lane in lanes
        }

    wait_for(lambda: {"upload": 1, "submit": 1, "complete": 1}.items() <= done().items())

    # a log for each process, and what went wrong in it
    logs = home.folder / "test" / "log"
    lines: list[str] = []
    name = "runner_daemon_queue:run_jobflow_queue"
    watching = threading.Thread(target=manager.foreground_process, args=(name, lines.append), daemon=True)
    watching.start()
    failing = [submit_flow(add(1, 2), resources={"nodes": 2})[0] for _ in range(2)]
    wait_for(lambda: all(home.json("job", "info", each)["state"] == "REMOTE_ERROR" for each in failing))

    def is_logged(db_id: str) -> bool:
        log = (logs / "runner_queue.log").read_text()
        return any(f"job {db_id} " in line and "ERROR" in line for line in log.splitlines())

    wait_for(lambda: all(map(is_logged, failing)))
    assert {each.name for each in logs.glob("runner*.log")} == {
        "runner_checkout.log", "runner_complete.log", "runner_queue.log", "runner_transfer-0.log",
        "runner_transfer-1.log",
    }  # fmt: skip
    wait_for(lambda: "DEBUG" in (logs / "runner_queue.log").read_text())  # as the project says
    shown = home.jf("runner", "info").stdout
    assert "the shell scheduler knows no resource 'nodes'" in shown

    # one process is missing
    manager.get_interface().stopProcess(name)
    assert manager.check_status() is DaemonStatus.PARTIALLY_RUNNING
    before = pids(home)
    home.jf("runner", "start")
    assert manager.check_status() is DaemonStatus.RUNNING
    after = pids(home)
    assert {each for each in after if after[each] != before[each]} == {name}

    # again, with the same options
    home.jf("runner", "restart")
    assert set(pids(home)) == set(before)
    assert not set(pids(home).values()) & set(after.values())
    assert manager.parse_config_file() == {
        "num_procs_transfer": 2, "num_procs_complete": 1, "single": False, "log_level": None,
        "connect_interactive": False,
    }  # fmt: skip
    assert manager.check_matching_runner(raise_on_error=True) is None

    # and to an end
    assert manager.stop(wait=True)
    assert manager.check_status() is DaemonStatus.STOPPED
    assert not manager.stop()
    names = home.folder / "names.json"
    home.jf("runner", "shutdown", "--all", "--wait", "--json", str(names))
    assert json.loads(names.read_text()) == ["test"]
    assert manager.check_status() is DaemonStatus.SHUT_DOWN
    watching.join(20)
    assert not watching.is_alive()
    assert any("ended: stop" in line for line in lines)
    assert manager.restart() is False
    refused = home.jf("runner", "restart", check=False)
    assert refused.returncode == 1
    assert "shut_down" in refused.stderr
    manager.clean_files()
    assert not manager.conf_filepath.exists()


def test_taking_the_queue_over(home: Home, wait_for: Wait) -> None:
    """Two projects with one queue stand for two machines."""
    home.write_project(runner=QUICK)
    here = home.folder / "test.yaml"
    queue = f"queue:\n  store:\n    type: SQLiteStore\n    path: {home.folder}/queue.sqlite"
    here.write_text(f"{here.read_text()}\n{queue}\n")
    (home.folder / "other.yaml").write_text(here.read_text().replace("name: test", "name: other"))
    home.jf("-p", "test", "runner", "start", "--single")
    asked = home.jf("-p", "other", "runner", "takeover", "--single", check=False)
    assert "started by" in asked.stdout + asked.stderr, "nobody answered"
    assert home.json("-p", "test", "runner", "status")["status"] == "running"
    refused = home.jf("-p", "test", "runner", "takeover", "-y", check=False)
    assert refused.returncode == 1
    assert "runner restart" in refused.stderr

    home.jf("-p", "other", "runner", "takeover", "--single", "--yes")
    wait_for(lambda: home.json("-p", "test", "runner", "status")["status"] == "stopped")
    assert home.json("-p", "other", "runner", "status")["status"] == "running"
    manager = DaemonManager.from_project_name("test")
    assert "project_name other instead of test" in (manager.check_matching_runner() or "")

    home.jf("-p", "test", "runner", "stop")
    wait_for(lambda: home.json("-p", "other", "runner", "status")["status"] == "shut_down")
    home.jf("-p", "test", "runner", "shutdown", "--wait")


def test_a_runner_that_takes_its_time_to_shut_down(home: Home, wait_for: Wait) -> None:
    home.write_project(runner=QUICK)
    home.jf("runner", "start", "--single")
    manager = DaemonManager.from_project_name("test")
    (runner,) = (pid for name, pid in pids(home).items() if name != "supervisord")
    os.kill(runner, signal.SIGSTOP)
    home.jf("runner", "stop")
    wait_for(lambda: home.json("runner", "status")["status"] == "stopping")
    home.jf("runner", "shutdown")
    wait_for(lambda: home.json("runner", "status")["status"] == "shutting_down")
    assert "SHUTDOWN" in home.jf("runner", "info").stdout
    late = home.jf("runner", "shutdown", "--all", "--wait", "--max-wait", "0", check=False)
    assert late.returncode == 1
    assert "not at rest after 0 s: test" in late.stderr
    assert home.jf("runner", "restart", check=False).returncode == 1
    home.jf("runner", "kill", "--wait")
    wait_for(lambda: manager.check_status(False) is DaemonStatus.SHUT_DOWN)
    assert not psutil.pid_exists(runner)
