"""``jf worker list``, and what ``jf job info`` says of a job whose worker is down."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import health_key
from jobflow_remote.model.states import JobState

CLUSTER = """\
  cluster:
    type: remote
    host: login.cluster.invalid
    user: guido
    scheduler_type: slurm
    work_dir: /scratch/guido
    max_jobs: 50
"""


@pytest.fixture
def cluster(world: Any) -> Any:
    """A second worker, which is down."""
    world.file.write_text(world.file.read_text().replace("workers:\n", "workers:\n" + CLUSTER))
    why = "guido@login.cluster.invalid: connection refused: no SSH server listens there\nask the site"
    for step, minutes in (("upload", 90), ("poll", 80)):
        told = {
            "since": utcnow() - timedelta(minutes=minutes),
            "why": why,
            "next_try": utcnow() + timedelta(seconds=30),
        }
        world.queue.set_auxiliary(health_key("cluster", step), told)
    return world


def test_what_is_configured(cluster: Any, jf: Any) -> None:
    words = [
        "cluster",
        "remote",
        "guido@login.cluster.invalid",
        "slurm",
        "/scratch/guido",
        "50",
        "local_shell",
    ]
    jf("worker list", required_out=words, excluded_out="down since")
    told = json.loads(jf("worker list --json").stdout)
    assert [row["name"] for row in told] == ["cluster", "local_shell"]
    assert told[0]["host"] == "guido@login.cluster.invalid"
    assert "state" not in told[0]


def test_how_they_are(cluster: Any, jf: Any) -> None:
    cluster.add_flow("a b c", worker="cluster")
    cluster.add_flow("d", worker="cluster")
    _, (running,) = cluster.add_flow("e")
    cluster.run_job(running, JobState.RUNNING)
    result = jf(
        "worker list -v --no-connect",
        required_out=["down since", "(upload, poll)", "next try", "connection refused", "ask the site", "up"],
        excluded_out=["No runner is active", "no answer"],
    )
    assert result.stdout.count("connection refused") == 1, "the same cause is told once"
    told = {row["name"]: row for row in json.loads(jf("worker list -v --no-connect --json").stdout)}
    assert (told["cluster"]["state"], told["local_shell"]["state"]) == ("down", "up")
    assert told["cluster"]["ready"] == 2
    assert (told["local_shell"]["in_scheduler"], told["local_shell"]["running"]) == (1, 1)
    assert told["local_shell"]["round_trip_seconds"] is None
    cluster.close_session()
    jf("worker list -v --no-connect", required_out="No runner is active")


def test_the_round_trip_is_measured(world: Any, jf: Any) -> None:
    (told,) = json.loads(jf("worker list -v --json").stdout)
    assert told["round_trip_seconds"] > 0
    assert told["connection_error"] is None
    jf("worker list -v", required_out=" ms", excluded_out="no answer")


def test_a_worker_that_does_not_answer_now(cluster: Any, jf: Any) -> None:
    told = {row["name"]: row for row in json.loads(jf("worker list -v --json").stdout)}
    assert "login.cluster.invalid" in told["cluster"]["connection_error"]
    assert told["local_shell"]["connection_error"] is None
    jf("worker list -v", required_out=["no answer", "cluster: does not answer now"])


def test_a_job_says_why_it_waits(cluster: Any, jf: Any) -> None:
    cluster.add_flow("a", worker="cluster")
    jf("job info 1", excluded_out="waits_for")  # checking out needs no host
    cluster.queue.claim(cluster.session.token, worker="cluster", limit=1)
    jf(
        "job info 1",
        required_out=["waits_for", "worker cluster, down since", "connection refused", "next try"],
    )
    told = json.loads(jf("job info 1 --json").stdout)["waits_for"]
    assert (told["worker"], told["step"]) == ("cluster", "upload")
    cluster.queue.set_auxiliary(health_key("cluster", "upload"), None)
    jf("job info 1", excluded_out="waits_for")


def test_the_words_of_the_scheduler(world: Any, jf: Any) -> None:
    _, (uuid,) = world.add_flow("a")
    words = {"remote__queue_state": "TIMEOUT", "remote__reason": "time limit of 01:00:00 reached"}
    world.run_job(uuid, JobState.REMOTE_ERROR, **words)
    jf("job info 1", required_out="TIMEOUT: time limit of 01:00:00 reached")
