# ruff: noqa: D102 - the name of a test says what it is about
"""Contract: the runner session, claims, and the jobs that are due."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobflow_remote.errors import RunnerActiveError, SessionLostError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import Share
from jobflow_remote.testing.contracts.queuedb.documents import START, WORKER, Opener, Stage
from jobflow_remote.testing.contracts.queuedb.processes import append_lines, run_all

CHECKED_OUT = frozenset({JobState.CHECKED_OUT})


class SessionContract:
    """One runner at a time."""

    def test_a_session_is_shown(self, stage: Stage) -> None:
        assert stage.database.get_session() is None
        stage.open()
        session = stage.database.get_session()
        assert session is not None
        assert session.token == stage.token
        assert session.owner["hostname"] == "node1"
        assert (session.started_on, session.renewed_on) == (START, START)
        assert (session.expires_on - START).total_seconds() == 60
        assert session.stop_requested is None

    def test_a_second_runner_is_refused_while_the_first_is_live(self, stage: Stage) -> None:
        stage.open()
        with pytest.raises(RunnerActiveError, match=r"ada on node1.*2026-03-01 12:00:00"):
            stage.database.open_session({"hostname": "node2"}, lease_seconds=60)
        session = stage.database.get_session()
        assert session is not None
        assert session.token == stage.token

    def test_it_may_begin_when_the_lease_has_ended(self, stage: Stage) -> None:
        stage.open()
        stage.clock.advance(60)
        assert stage.database.open_session({}, lease_seconds=60).token != stage.token

    def test_renewal_prolongs_the_lease(self, stage: Stage) -> None:
        stage.open()
        stage.clock.advance(50)
        renewed = stage.database.renew_session(stage.token, lease_seconds=60)
        assert (renewed.expires_on - stage.clock()).total_seconds() == 60
        assert renewed.started_on == START
        stage.clock.advance(59)
        with pytest.raises(RunnerActiveError):
            stage.database.open_session({}, lease_seconds=60)

    def test_a_late_renewal_counts_if_nobody_came_between(self, stage: Stage) -> None:
        stage.open()
        stage.clock.advance(500)
        assert stage.database.renew_session(stage.token, lease_seconds=60).is_live(stage.clock())

    def test_an_override_supersedes_at_once(self, stage: Stage) -> None:
        former = stage.open().token
        stage.open(override=True)
        with pytest.raises(SessionLostError):
            stage.database.renew_session(former, lease_seconds=60)
        assert stage.database.renew_session(stage.token, lease_seconds=60).token == stage.token

    def test_a_closed_session_is_gone(self, stage: Stage) -> None:
        stage.open()
        stage.database.close_session("another token")
        assert stage.database.get_session() is not None
        stage.database.close_session(stage.token)
        stage.database.close_session(stage.token)
        assert stage.database.get_session() is None
        with pytest.raises(SessionLostError):
            stage.database.renew_session(stage.token, lease_seconds=60)

    def test_a_stop_can_be_asked_for(self, stage: Stage) -> None:
        assert stage.database.request_stop("shutdown") is False
        stage.open()
        assert stage.database.request_stop("shutdown") is True
        assert stage.database.renew_session(stage.token, lease_seconds=60).stop_requested == "shutdown"
        stage.open(override=True)
        assert stage.database.renew_session(stage.token, lease_seconds=60).stop_requested is None

    def test_a_session_can_be_forgotten(self, stage: Stage) -> None:
        stage.open()
        stage.database.clear_session()
        assert stage.database.get_session() is None
        with pytest.raises(SessionLostError):
            stage.claim()

    def test_processes_say_what_they_do(self, stage: Stage) -> None:
        assert stage.database.process_reports() == {}
        assert stage.database.report_process("nobody", "all", {}) is False
        stage.open()
        report = {
            "pid": 4711,
            "started_on": START,
            "lanes": [{"step": "upload", "why": None, "worker": "a.b/c"}],
        }
        assert stage.database.report_process(stage.token, "transfer-0", {"pid": 1}) is True
        assert stage.database.report_process(stage.token, "transfer-0", report) is True
        assert stage.database.report_process(stage.token, "checkout", {}) is True
        assert stage.database.process_reports() == {"checkout": {}, "transfer-0": report}
        assert "4711" not in str(list(stage.database.dump("jf_auxiliary"))), "it is no part of what is moved"

    def test_nothing_is_left_of_the_processes_of_former_sessions(self, stage: Stage) -> None:
        for end in ("override", "close", "clear"):
            stage.open(override=True)
            assert stage.database.process_reports() == {}, end
            former = stage.token
            assert stage.database.report_process(former, "all", {"pid": 1}) is True
            if end == "override":
                stage.open(override=True)
            elif end == "close":
                stage.database.close_session("another token")
                assert stage.database.process_reports() == {"all": {"pid": 1}}
                stage.database.close_session(former)
            else:
                stage.database.clear_session()
            assert stage.database.process_reports() == {}, end
            assert stage.database.report_process(former, "all", {"pid": 1}) is False

    def test_a_new_session_takes_the_jobs_in_hand(self, stage: Stage) -> None:
        flow = stage.open().insert({"held": [], "failed": [], "ready": []})
        stage.claim(limit=2)
        stage.put(flow, "failed", JobState.REMOTE_ERROR)
        former, later = stage.token, stage.clock.advance(1)
        stage.open(override=True)
        held = stage.job(flow, "held")
        assert (held["claim"], held["lock_id"], held["lock_time"]) == (stage.token, stage.token, later)
        assert stage.job(flow, "failed")["claim"] is None
        assert stage.job(flow, "ready")["claim"] is None
        assert [record.uuid for record in self._due(stage, former)] == []
        assert [record.uuid for record in self._due(stage, stage.token)] == [flow["held"]]
        assert stage.database.find_jobs({"claim": stage.token}, fields=["uuid"]) == [{"uuid": flow["held"]}]
        assert stage.database.check_integrity() == []

    def _due(self, stage: Stage, token: str) -> list[JobRecord]:
        return stage.database.due(token, states=CHECKED_OUT, worker=WORKER, limit=10)

    def test_a_superseded_session_can_change_nothing(self, stage: Stage) -> None:
        flow = stage.open().insert({"held": [], "ready": []})
        stage.claim(limit=1)
        former = stage.token
        stage.open(override=True)
        with pytest.raises(SessionLostError):
            stage.database.claim(former, worker=WORKER, limit=1)
        for name in flow.uuids:
            change = stage.change(flow, name, JobState.UPLOADED, holder=former)
            result = stage.apply(flow, change)
            assert not result.applied, name
            assert result.refusal
        assert stage.states(flow) == {"held": "CHECKED_OUT", "ready": "READY"}


class ClaimContract:
    """Taking READY jobs."""

    def test_order_is_priority_then_age_then_number(self, stage: Stage) -> None:
        stage.open()
        expected: list[tuple[int, int, int, str]] = []
        for priority, age in [(0, 5), (0, 9), (7, 1), (7, 3), (7, 3), (-1, 50)]:
            stage.clock.now = START.replace(minute=59 - age)
            flow = stage.insert({"a": []}, priority=priority)
            expected.append((-priority, -age, len(expected), flow["a"]))
        claimed = [record.uuid for _ in range(7) for record in stage.claim(limit=1)]
        assert claimed == [entry[-1] for entry in sorted(expected)]

    def test_a_claim_is_written_into_the_job(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": [], "b": ["a"]})
        now = stage.clock.advance(5)
        (record,) = stage.claim()
        document = stage.job(flow, "a")
        assert record.state is JobState.CHECKED_OUT
        assert record.claim == stage.token
        assert record.attempt
        assert document["state"] == "CHECKED_OUT"
        assert (document["claim"], document["lock_id"]) == (stage.token, stage.token)
        assert (document["lock_time"], document["updated_on"]) == (now, now)
        assert document["attempt"] == record.attempt
        entry = document["history"][-1]
        assert (entry["state"], entry["event"], entry["when"]) == ("CHECKED_OUT", "check_out", now)
        flow_document = stage.database.get_flow(flow.uuid)
        assert flow_document is not None
        assert flow_document["counts"] == {"CHECKED_OUT": 1, "WAITING": 1}
        assert (flow_document["state"], flow_document["updated_on"]) == ("RUNNING", now)

    def test_every_claim_is_a_new_attempt(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": []})
        (first,) = stage.claim()
        stage.put(flow, "a", JobState.READY)
        (second,) = stage.claim()
        assert first.attempt != second.attempt

    def test_limit_and_worker(self, stage: Stage) -> None:
        stage.open().insert({"a": [], "b": [], "c": []})
        stage.insert({"x": []}, worker="another")
        assert len(stage.claim(limit=2)) == 2
        assert len(stage.claim(limit=2)) == 1
        assert stage.claim() == []
        assert len(stage.claim(worker="another")) == 1

    def test_only_ready_jobs_are_claimed(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": [], "b": ["a"], "paused": []})
        stage.put(flow, "paused", JobState.PAUSED)
        assert [record.uuid for record in stage.claim()] == [flow["a"]]

    def test_shares_divide_the_jobs(self, stage: Stage) -> None:
        flow = stage.open().insert({f"j{number}": [] for number in range(40)})
        for part in range(3):
            expected = {uuid for uuid in flow.uuids.values() if int(uuid[:8], 16) % 3 == part}
            assert {record.uuid for record in stage.claim(share=Share(part, 3))} == expected
        assert stage.claim() == []

    def test_shares_divide_what_is_due(self, stage: Stage) -> None:
        flow = stage.open().insert({f"j{number}": [] for number in range(20)})
        stage.claim()
        for part in range(2):
            due = stage.database.due(
                stage.token, states=CHECKED_OUT, worker=None, limit=100, share=Share(part, 2)
            )
            assert {r.uuid for r in due} == {u for u in flow.uuids.values() if int(u[:8], 16) % 2 == part}

    def test_four_processes_never_claim_a_job_twice(
        self, opener: Opener, stage: Stage, tmp_path: Path
    ) -> None:
        stage.open()
        for _ in range(4):
            stage.insert({f"j{number}": [] for number in range(50)})
        stage.database.close()
        token = stage.token

        def claimer(path: Path) -> Callable[[], None]:
            def action() -> None:
                database = opener()
                while claimed := database.claim(token, worker=WORKER, limit=3):
                    append_lines(path, [record.uuid for record in claimed])

            return action

        paths = [tmp_path / f"claimed_{number}" for number in range(4)]
        assert run_all([claimer(path) for path in paths]) == [0] * 4
        claimed = [line for path in paths if path.exists() for line in path.read_text().split()]
        assert len(claimed) == len(set(claimed)) == 200
        database = opener()
        assert database.count_job_states() == {"CHECKED_OUT": 200}
        assert database.check_integrity() == []
        database.close()


class DueContract:
    """Jobs that wait for a step."""

    def test_states_and_worker(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": [], "b": [], "c": []})
        other = stage.insert({"x": []}, worker="another")
        stage.claim()
        stage.claim(worker="another")
        stage.put(flow, "b", JobState.UPLOADED, holder=stage.token)
        states = frozenset({JobState.CHECKED_OUT, JobState.UPLOADED})

        def due(worker: str | None, wanted: frozenset[JobState] = states, limit: int = 10) -> list[str]:
            found = stage.database.due(stage.token, states=wanted, worker=worker, limit=limit)
            return [record.uuid for record in found]

        assert due(WORKER) == [flow["a"], flow["b"], flow["c"]]
        assert due(WORKER, CHECKED_OUT) == [flow["a"], flow["c"]]
        assert due(None, CHECKED_OUT) == [flow["a"], flow["c"], other["x"]]
        assert due(None, CHECKED_OUT, 2) == [flow["a"], flow["c"]]
        assert due("nobody") == []

    def test_order_is_that_of_claims(self, stage: Stage) -> None:
        stage.open()
        low, high = stage.insert({"a": []}), stage.insert({"a": []}, priority=3)
        stage.claim()
        found = stage.database.due(stage.token, states=CHECKED_OUT, worker=WORKER, limit=1)
        assert [record.uuid for record in found] == [high["a"]]
        assert low["a"] not in {record.uuid for record in found}

    def test_jobs_of_nobody_are_due_to_the_session(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": []})
        stage.put(flow, "a", JobState.DOWNLOADED)
        assert stage.job(flow, "a")["claim"] is None
        found = stage.database.due(stage.token, states=frozenset({JobState.DOWNLOADED}), worker=None, limit=5)
        assert [record.uuid for record in found] == [flow["a"]]

    def test_retry_times_are_waited_for(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": [], "b": [], "c": []})
        stage.claim()
        for name, seconds in (("a", 30), ("b", 10)):
            at = START.replace(second=seconds)
            fields = {"remote.retry_time_limit": at, "remote.step_attempts": 1}
            stage.apply(flow, stage.change(flow, name, fields=fields, holder=stage.token))

        def due() -> list[str]:
            found = stage.database.due(stage.token, states=CHECKED_OUT, worker=WORKER, limit=10)
            return [flow.name_of(record.uuid) for record in found]

        def next_retry(states: frozenset[JobState] = CHECKED_OUT) -> int | None:
            moment = stage.database.next_retry(stage.token, states=states, worker=WORKER)
            return moment.second if moment else None

        assert (due(), next_retry()) == (["c"], 10)
        assert next_retry(frozenset({JobState.UPLOADED})) is None
        assert stage.database.next_retry("no session", states=CHECKED_OUT, worker=WORKER) is None
        stage.clock.advance(10)
        assert (due(), next_retry()) == (["b", "c"], 30)
        stage.clock.advance(20)
        assert (due(), next_retry()) == (["a", "b", "c"], None)

    def test_the_workload_is_counted_by_worker_and_state(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": [], "b": [], "c": ["a"], "done": []})
        stage.insert({"x": []}, worker="another")
        stage.put(flow, "done", JobState.COMPLETED)
        stage.claim(limit=1)
        assert stage.database.workload() == {
            (WORKER, JobState.READY): 1,
            (WORKER, JobState.CHECKED_OUT): 1,
            ("another", JobState.READY): 1,
        }
        claimed = frozenset({JobState.CHECKED_OUT})
        assert stage.database.workload(states=claimed) == {(WORKER, JobState.CHECKED_OUT): 1}

    def test_every_active_state_is_workload(self, stage: Stage) -> None:
        names = sorted(lifecycle.ACTIVE)
        flow = stage.insert({state.value: [] for state in names})
        for state in names:
            stage.put(flow, state.value, state)
        assert stage.database.workload() == {(WORKER, state): 1 for state in names}
