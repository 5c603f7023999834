"""``jf admin reset`` and the commands of ``jf runner`` that need no daemon."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.processes import Doing, LaneReport, ProcessReport
from jobflow_remote.model.records import health_key
from jobflow_remote.model.states import JobState
from jobflow_remote.services.pings import add_ping


def test_reset_asks_first(world: Any, jf: Any) -> None:
    world.add_flow()
    jf("admin reset", cli_input="n\n", required_out=["1 flows of project tutorial", "[y/n] (n)"])
    assert world.queue.count_flows({}) == 1
    jf("admin reset", cli_input="\n")
    jf("admin reset")
    assert world.queue.count_flows({}) == 1
    jf("admin reset", cli_input="y\n", required_out="The database was reset")
    assert world.queue.count_flows({}) == 0
    world.add_flow()
    assert world.queue.find_jobs({}, fields=["db_id"]) == [{"db_id": "1"}]


def test_many_flows_want_the_date(world: Any, jf: Any) -> None:
    for _ in range(25):
        world.add_flow()
    for words in ("admin reset -y", "admin reset -y 2001-01-01"):
        jf(words, required_out=["NOT reset", date.today().isoformat()])
    assert world.queue.count_flows({}) == 25
    jf(f"admin reset -y {date.today().isoformat()}", required_out="was reset")
    assert world.queue.count_flows({}) == 0


def test_reset_refused_while_a_runner_is_active(world: Any, jf: Any) -> None:
    world.add_flow()
    assert world.session.is_live(world.session.renewed_on)
    result = jf("admin reset -y", error=True, required_out=["guido on elsewhere is active", "jf runner stop"])
    assert result.exit_code == 1
    assert world.queue.count_flows({}) == 1
    world.close_session()
    jf("admin reset -y", required_out="was reset")


def test_session_of_a_killed_runner_is_in_nobodys_way(world: Any, jf: Any) -> None:
    from jobflow_remote.services.session import describe_owner

    daemon_dir = world.folder / "tutorial" / "daemon"
    world.queue.open_session(describe_owner("tutorial", daemon_dir), lease_seconds=3600)
    jf("admin reset -y", required_out="was reset")
    assert world.queue.get_session() is None


def test_reset_with_outputs_removes_only_its_own(world: Any, jf: Any) -> None:
    from jobflow_remote.bootstrap import open_services
    from jobflow_remote.errors import NotFoundError

    _, (uuid,) = world.add_flow()
    other = "11111111-0000-4000-8000-000000000001"
    with open_services() as services:
        for each in (uuid, other):
            document: dict[str, Any] = {
                "uuid": each,
                "index": 1,
                "output": 5,
                "metadata": {},
                "hosts": [],
                "name": "add",
            }
            services.outputs().store_output(document, {}, db_id="1")
    jf("admin reset -y -o", required_out="was reset")
    with open_services() as services:
        assert services.outputs().get_output(other) == 5
        with pytest.raises(NotFoundError):
            services.outputs().get_output(uuid)


def test_force_points_to_yes(world: Any, jf: Any) -> None:
    assert jf("admin reset --force", error=True, required_out="--yes").exit_code == 2


# -- runner ----------------------------------------------------------------------------------------


def test_status_when_nothing_runs(world: Any, jf: Any) -> None:
    jf("runner status", required_out=["The selected project is tutorial", "Daemon status: shut_down"])
    result = jf("runner status --json")
    assert json.loads(result.stdout) == {"status": "shut_down"}


@pytest.mark.parametrize("command", ["stop", "shutdown", "kill"])
def test_stopping_nothing_is_a_warning(world: Any, jf: Any, command: str) -> None:
    result = jf(f"runner {command}")
    assert "The runner is not running" in result.stderr


@pytest.mark.parametrize("command", ["stop", "shutdown"])
def test_a_runner_elsewhere_is_asked_to_stop(world: Any, jf: Any, command: str) -> None:
    assert world.session.stop_requested is None
    jf(f"runner {command}", required_out="guido on elsewhere was asked to stop")
    session = world.queue.get_session()
    assert session is not None
    assert session.stop_requested == "stop"


def test_start_beside_a_runner_elsewhere(world: Any, jf: Any) -> None:
    assert world.session
    assert jf("runner start", error=True, required_out="elsewhere").exit_code == 1
    jf("runner status", required_out="shut_down")


def test_info_shows_the_session_without_its_token(world: Any, jf: Any) -> None:
    jf("runner info", required_out=["not running", "No runner is registered"])
    token = world.session.token
    result = jf("runner info", required_out=["hostname = 'elsewhere'", "user = 'guido'", "last_pinged"])
    assert token not in result.stdout
    found = json.loads(jf("runner info --json").stdout)
    assert found["processes"] is None
    assert found["session"]["hostname"] == "elsewhere"
    assert found["session"]["live"] is True
    assert token not in json.dumps(found)


def test_reset_of_the_runner(world: Any, jf: Any) -> None:
    jf("runner reset", required_out="No runner is registered")
    assert world.session
    jf("runner reset", cli_input="n\n", required_out=["guido", "elsewhere", "tutorial", "/nowhere"])
    assert world.queue.get_session() is not None
    jf("runner reset", cli_input="y\n", required_out="The runner is forgotten")
    assert world.queue.get_session() is None


def test_jobs_keep_their_states_when_the_runner_is_forgotten(world: Any, jf: Any) -> None:
    _, (uuid,) = world.add_flow()
    world.run_job(uuid, JobState.RUNNING)
    jf("runner reset -y")
    assert world.job(uuid)["state"] == "RUNNING"


class TestInfo:
    """What the processes say, as people read it."""

    @pytest.fixture
    def reported(self, world: Any) -> Any:
        lanes = (
            LaneReport("upload", "local_shell", Doing.WORKING, utcnow(), jobs=12, done=100),
            LaneReport("download", "local_shell", Doing.IDLE, utcnow()),
            LaneReport(
                "upload", "cluster", Doing.WAITING, utcnow(), until=utcnow(), why="no route to host\nwait"
            ),
        )
        report = ProcessReport(
            "transfer-0", "elsewhere", 4711, ("transfer",), utcnow(), utcnow(), "3.11.7 (/usr/bin/python)",
            {"jobflow_remote": "2.0.0"}, lanes,
        )  # fmt: skip
        assert world.queue.report_process(world.session.token, report.name, report.to_document())
        trouble = {"since": utcnow(), "why": "no route to host\nwait", "next_try": utcnow()}
        world.queue.set_auxiliary(health_key("local_shell", "upload"), trouble)
        return world

    def test_for_people(self, reported: Any, jf: Any) -> None:
        shown = jf("runner info", required_out=[
            "transfer-0", "elsewhere", "4711", "3.11.7", "jobflow_remote 2.0.0", "works on 12 jobs since",
            "waits since", "no route to host", "1 other lane is idle", "Worker local_shell is down since",
        ]).stdout  # fmt: skip
        assert "download" not in shown
        jf("runner info -v", required_out=["download", "idle since"])

    def test_for_programs(self, reported: Any, jf: Any) -> None:
        told = json.loads(jf("runner info --json").stdout)
        (report,) = told["reports"]
        assert [(lane["step"], lane["doing"], lane["jobs"]) for lane in report["lanes"]] == [
            ("upload", "working", 12), ("download", "idle", 0), ("upload", "waiting", 0),
        ]  # fmt: skip
        assert told["workers_down"][0]["name"] == "local_shell"

    def test_pings(self, world: Any, jf: Any) -> None:
        jf("runner info -p", required_out="No pings of runners are known")
        add_ping(world.queue, {"hostname": "node7", "user": "ada", "runner_id": "4711"})
        jf("runner info -p", required_out=["node7", "ada", "4711"])
        assert json.loads(jf("runner info --json --pings").stdout)["pings"][0]["hostname"] == "node7"


class TestUpdatingTheStatus:
    """Without a runner."""

    def test_jobs_that_ended(self, world: Any, jf: Any) -> None:
        _, (uuid,) = world.add_flow()
        world.run_job(uuid, JobState.RUNNING)
        jf("runner update-status", error=True, required_out="guido on elsewhere")
        assert world.job(uuid)["state"] == "RUNNING"
        world.close_session()
        jf("runner update-status", required_out="1 job is in another state now")
        assert world.job(uuid)["state"] == "DOWNLOADED"
        assert world.queue.get_session() is None
        jf("runner update-status", required_out="0 jobs are in another state now")

    def test_a_worker_that_cannot_be_asked(self, world: Any, jf: Any) -> None:
        _, (uuid,) = world.add_flow()
        world.run_job(uuid, JobState.RUNNING)
        world.close_session()
        text = world.file.read_text()
        away = "type: remote\n    host: cluster.invalid\n    scheduler_type: slurm"
        world.file.write_text(text.replace("type: local\n    scheduler_type: shell", away))
        jf("runner update-status", error=True, required_out="worker local_shell: cluster.invalid")


@pytest.mark.parametrize("command", ["stop", "shutdown", "kill", "stop-processes"])
def test_all_projects_without_a_runner(world: Any, jf: Any, command: str) -> None:
    names = world.folder / "names.json"
    jf(
        f"runner {command} --all --wait --max-wait 1 --json {names}",
        required_out="No project has a runner at work",
    )
    assert json.loads(names.read_text()) == []


def test_taking_over_asks_first(world: Any, jf: Any) -> None:
    assert world.session
    jf("runner takeover", cli_input="n\n", required_out=["guido", "elsewhere", "Take its place?"])
    session = world.queue.get_session()
    assert session is not None
    assert session.token == world.session.token


def test_restarting_nothing(world: Any, jf: Any) -> None:
    jf("runner restart", error=True, required_out=["shut_down", "jf runner start"])
    jf("runner foreground", error=True, required_out="the daemon is not running")
