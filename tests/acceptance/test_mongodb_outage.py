"""A MongoDB that goes away while jobs run, in each way that it can: small and seeded; ``make shows`` has it large."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trouble_jobs
from jobflow import Flow
from tests.services.missing import or_skip
from tests.services.mongod import Mongod, ReplicaSet
from tests.services.proxy import Proxy
from tests.shows.outage import Outage, Report, interrupt
from tests_home import Home, Wait

from jobflow_remote import submit_flow
from jobflow_remote.bootstrap import open_queue, open_services
from jobflow_remote.control.submit import submit_with
from jobflow_remote.errors import QueueDatabaseAwayError
from jobflow_remote.model.states import FlowState
from jobflow_remote.testing import add

PROJECT = """\
queue:
  store:
    type: MongoURIStore
    uri: {uri}
    database: outage
    collection_name: jobs
jobstore:
  docs_store:
    type: MongoURIStore
    uri: {uri}
    database: outage
    collection_name: outputs
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mongod]:
    """A server that may go away."""
    server = or_skip(Mongod(tmp_path / "mongod").start)
    yield server
    server.stop()


def use(home: Home, uri: str) -> None:
    """Keep queue and outputs there."""
    home.write_project(more=PROJECT.format(uri=uri))


def assert_nothing_happened(report: Report, home: Home) -> None:
    assert report.all_completed_once, f"{report}\n{home.logs()}"
    assert report.tracebacks == report.restarts == 0, f"{report}\n{home.logs()}"
    in_vain = [seen.name for seen in report.seen if not seen.in_flight]
    assert len(in_vain) <= len(report.seen) // 3, "the outages came too late to mean anything"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_stopped_cut_swallowed_and_killed(home: Home, server: Mongod) -> None:
    """Four processes of a runner, and a network between them and the server."""
    network = Proxy(("127.0.0.1", server.port))
    use(home, f"mongodb://127.0.0.1:{network.port}/?serverSelectionTimeoutMS=2000")
    noticed = 4.0  # seconds: the driver looks for a server for two before it says that there is none
    report = interrupt(
        make_job=trouble_jobs.appends_line,
        folder=home.folder,
        outages=[
            Outage("stopped", server.stop, server.start, noticed),
            Outage("cut off", network.cut, network.mend, noticed),
            Outage("swallowed", network.swallow, network.mend, 1.0),
            Outage("killed", server.kill, server.start, 0.0),
        ],
        jobs=10,
        seed=11,
        job_seconds=0.3,
    )
    home.jf("runner", "shutdown", "--wait")
    network.close()
    assert_nothing_happened(report, home)
    stopped, cut, _, _ = report.seen
    for seen in (stopped, cut):
        assert "the queue database is away since" in seen.said_by_status
        assert "does not answer" in seen.said_by_list
        assert "Traceback" not in seen.said_by_list
    assert report.away_lines >= 2
    assert report.away_lines == report.back_lines


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_another_primary(home: Home, tmp_path: Path) -> None:
    """A replica set whose primary hands over, and whose next primary is killed."""
    servers = or_skip(ReplicaSet(tmp_path / "mongod").start)
    try:
        use(home, servers.uri)
        report = interrupt(
            make_job=trouble_jobs.appends_line,
            folder=home.folder,
            outages=[
                Outage("handed over", servers.step_down, lambda: None, 0.0),
                Outage("killed", lambda: servers.primary.kill(), lambda: servers.primary, 0.0),
            ],
            jobs=6,
            seed=12,
            job_seconds=0.5,
            options=("--single",),
        )
        home.jf("runner", "shutdown", "--wait")
        assert_nothing_happened(report, home)
    finally:
        servers.stop()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_without_a_database_everybody_says_so(home: Home, server: Mongod) -> None:
    use(home, server.uri.rstrip("/") + "/?serverSelectionTimeoutMS=500")
    home.jf("runner", "start", "--single")
    server.kill()
    home.jf("runner", "shutdown", "--wait")
    for words in (("job", "list"), ("flow", "list"), ("runner", "start"), ("runner", "info")):
        done = home.jf(*words, check=False)
        assert done.returncode == 1, words
        assert f"MongoDB 127.0.0.1:{server.port}, database outage does not answer: Connection refused" in (
            " ".join(done.stderr.split())
        )
        assert "queue.store" in done.stderr
        assert "Traceback" not in done.stderr + done.stdout
    with pytest.raises(QueueDatabaseAwayError, match="does not answer"):
        submit_flow(Flow([add(1, 2), add(3, 4)]))
    server.start()
    assert home.json("job", "list") == []
    assert home.json("flow", "list") == []


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_nothing_is_half_inserted_when_it_goes_away_under_way(home: Home, server: Mongod) -> None:
    network = Proxy(("127.0.0.1", server.port))
    use(home, f"mongodb://127.0.0.1:{network.port}/?serverSelectionTimeoutMS=500")
    submitted = 0
    for delay_seconds in (0.0, 0.002, 0.005, 0.01, 0.02):
        flow = Flow([add(number, 1) for number in range(30)])
        submitted += _submit_while_cut(flow, network, delay_seconds)
    _, queue = open_queue()
    assert queue.check_integrity() == []
    assert queue.count_jobs({}) == 30 * queue.count_flows({})
    assert queue.count_flows({}) >= submitted
    queue.close()
    network.close()


def _submit_while_cut(flow: Flow, network: Proxy, delay_seconds: float) -> bool:
    """Submit, and cut the network some moments after the first write; whether it was said to have worked."""
    with open_services() as services:
        timer = threading.Timer(0.05 + delay_seconds, network.cut)
        timer.start()
        try:
            submit_with(services, flow)
            return True
        except QueueDatabaseAwayError:
            return False
        finally:
            timer.join()
            network.mend()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_lease_that_ran_out_meanwhile_is_taken_again(home: Home, server: Mongod, wait_for: Wait) -> None:
    """Processes that begin while the database is away wait for it, too."""
    home.write_project(
        more=PROJECT.format(uri=server.uri), runner="lease_seconds: 2\n  heartbeat_seconds: 0.5"
    )
    home.jf("runner", "start", "--single")
    before = home.json("runner", "info")
    server.stop()
    wait_for(lambda: "away since" in home.jf("runner", "status").stdout)
    _kill(before["processes"])
    time.sleep(2.5)  # until the lease has run out
    server.start()
    assert submit_flow(add(1, 2)).wait(60, progress=False) is FlowState.COMPLETED, home.logs()
    after = home.json("runner", "info")
    assert after["session"]["live"]
    assert after["session"]["start_time"] == before["session"]["start_time"], "it is the same session"
    assert "superseded" not in home.logs()
    home.jf("runner", "shutdown", "--wait")


def _kill(processes: dict[str, dict[str, int]]) -> None:
    for name, process in processes.items():
        if name != "supervisord":
            os.kill(process["pid"], signal.SIGKILL)
