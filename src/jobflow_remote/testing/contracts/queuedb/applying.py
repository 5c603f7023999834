# ruff: noqa: D102 - the name of a test says what it is about
"""Contract: change sets, what refuses them, and what follows from them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ChangeSet, ExtraParents, Halt, HaltScope, JobChange
from jobflow_remote.model.graph import find_leaves, flow_state_of_jobs
from jobflow_remote.model.records import HISTORY_LENGTH
from jobflow_remote.model.states import JobState
from jobflow_remote.testing.contracts.queuedb.documents import START, Stage, ToyFlow, toy_document

S = JobState
CHECKED_OUT = frozenset({S.CHECKED_OUT})


class RefusalContract:
    """A change set is carried out as a whole or not at all."""

    def test_a_change_is_written(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": []})
        (record,) = stage.claim()
        now = stage.clock.advance(3)
        fields = {
            "remote.process_id": "42",
            "run_dir": "/scratch/a",
            "resources": {"nodes": 2},
            "new.deep.field": [1],
        }
        change = stage.change(
            flow, "a", S.UPLOADED, expect=CHECKED_OUT, fields=fields, holder=stage.token, attempt=record.attempt,
            event="upload", who="runner", why="because",
        )  # fmt: skip
        result = stage.apply(flow, change)
        assert (result.applied, result.refusal, result.db_ids, result.ready) == (True, None, (), 0)
        document = stage.job(flow, "a")
        assert document["state"] == "UPLOADED"
        assert document["remote"]["process_id"] == "42"
        assert document["remote"]["step_attempts"] == 0
        assert (document["run_dir"], document["resources"]) == ("/scratch/a", {"nodes": 2})
        assert document["new"] == {"deep": {"field": [1]}}
        assert document["updated_on"] == now
        assert document["history"][-1] == {
            "state": "UPLOADED", "when": now, "event": "upload", "who": "runner", "why": "because",
        }  # fmt: skip
        assert stage.database.find_jobs({"remote.process_id": "42"}, fields=["uuid"]) == [{"uuid": flow["a"]}]

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"expect": frozenset({S.UPLOADED})}, "CHECKED_OUT"),
            ({"holder": "another token"}, "session"),
            ({"attempt": "another attempt"}, "attempt"),
            ({"index": 2}, "exist"),
            ({"uuid": "unknown"}, "exist"),
        ],
    )
    def test_what_is_not_as_expected_refuses_everything(
        self, stage: Stage, wrong: dict[str, Any], words: str
    ) -> None:
        flow = stage.open().insert({"a": [], "b": []})
        stage.claim()
        before = [stage.job(flow, name) for name in flow.uuids]
        options: dict[str, Any] = {
            "uuid": flow["b"],
            "index": 1,
            "expect": frozenset({S.CHECKED_OUT}),
            **wrong,
        }
        changes = (
            stage.change(flow, "a", S.UPLOADED, holder=stage.token),
            JobChange(to=S.UPLOADED, **options),
        )
        extra = toy_document(str(uuid4()), flow_uuid=flow.uuid)
        result = stage.apply(flow, *changes, new_jobs=(extra,), halts=(Halt(HaltScope.FLOW, flow["a"]),))
        assert not result.applied
        assert words in (result.refusal or "")
        assert [stage.job(flow, name) for name in flow.uuids] == before
        assert stage.database.count_jobs({}) == 2
        assert stage.database.check_integrity() == []

    def test_change_sets_do_not_depend_on_each_other(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": [], "c": []})
        wrong = frozenset({S.RUNNING})
        results = stage.database.apply(
            [
                ChangeSet(flow.uuid, (stage.change(flow, "a", S.COMPLETED),)),
                ChangeSet(flow.uuid, (stage.change(flow, "b", S.COMPLETED, expect=wrong),)),
                ChangeSet(flow.uuid, (stage.change(flow, "c", S.COMPLETED),)),
            ]
        )
        assert [result.applied for result in results] == [True, False, True]
        assert stage.states(flow) == {"a": "COMPLETED", "b": "READY", "c": "COMPLETED"}

    def test_change_sets_see_those_before_them(self, stage: Stage) -> None:
        flow = stage.insert({"a": []})
        ready = frozenset({S.READY})
        changes = [
            stage.change(flow, "a", S.PAUSED, expect=ready),
            stage.change(flow, "a", S.STOPPED, expect=ready),
        ]
        results = stage.database.apply([ChangeSet(flow.uuid, (change,)) for change in changes])
        assert [result.applied for result in results] == [True, False]

    def test_no_change_sets_are_no_results(self, stage: Stage) -> None:
        assert stage.database.apply([]) == []

    def test_a_person_wins_over_the_runner(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": []})
        (record,) = stage.claim()
        stage.put(flow, "a", S.USER_STOPPED)
        step = stage.change(
            flow, "a", S.UPLOADED, expect=CHECKED_OUT, holder=stage.token, attempt=record.attempt
        )
        assert not stage.apply(flow, step).applied
        assert stage.states(flow) == {"a": "USER_STOPPED"}

    def test_a_job_of_nobody_obeys_the_present_session_only(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": []})
        stage.put(flow, "a", S.DOWNLOADED)
        assert not stage.apply(flow, stage.change(flow, "a", S.COMPLETED, holder="old token")).applied
        assert stage.apply(flow, stage.change(flow, "a", S.COMPLETED, holder=stage.token)).applied

    def test_claims_are_kept_in_active_states_and_given_back_outside(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": []})
        stage.claim()
        for state in [s for s in S if s in lifecycle.ACTIVE]:
            stage.put(flow, "a", state, holder=stage.token)
            assert stage.job(flow, "a")["claim"] == stage.token, state
        for state in [s for s in S if s not in lifecycle.ACTIVE]:
            stage.put(flow, "a", S.RUNNING, holder=stage.token)
            stage.put(flow, "a", state, holder=stage.token)
            job = stage.job(flow, "a")
            assert (job["claim"], job["lock_id"], job["lock_time"]) == (None, None, None), state

    def test_only_fields_may_change(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": []})
        stage.claim()
        length = len(stage.job(flow, "a")["history"])
        change = stage.change(
            flow, "a", fields={"remote.queue_state": "QUEUED"}, event="", holder=stage.token
        )
        assert stage.apply(flow, change).applied
        job = stage.job(flow, "a")
        assert (job["state"], job["claim"], job["remote"]["queue_state"]) == (
            "CHECKED_OUT",
            stage.token,
            "QUEUED",
        )
        assert len(job["history"]) == length

    def test_history_keeps_the_newest(self, stage: Stage) -> None:
        flow = stage.insert({"a": []})
        for number in range(HISTORY_LENGTH + 5):
            stage.put(flow, "a", S.PAUSED, why=str(number))
        history = stage.job(flow, "a")["history"]
        assert [entry["why"] for entry in history] == [str(number) for number in range(5, HISTORY_LENGTH + 5)]


class ConsequenceContract:
    """Who becomes READY, who stops, and what becomes of the flow."""

    def test_a_child_starts_when_its_last_parent_is_settled(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": [], "c": ["a", "b"], "d": ["c"]})
        assert stage.put(flow, "a", S.COMPLETED).ready == 0
        assert stage.put(flow, "b", S.COMPLETED).ready == 1
        assert stage.states(flow) == {"a": "COMPLETED", "b": "COMPLETED", "c": "READY", "d": "WAITING"}
        entry = stage.job(flow, "c")["history"][-1]
        assert (entry["state"], entry["event"]) == ("READY", "parents_done")
        assert stage.job(flow, "c")["updated_on"] == stage.clock()

    def test_two_parents_in_one_call(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": [], "c": ["a", "b"]})
        changes = [stage.change(flow, name, S.COMPLETED) for name in "ab"]
        results = stage.database.apply([ChangeSet(flow.uuid, (change,)) for change in changes])
        assert [result.ready for result in results] == [0, 1]
        assert stage.states(flow)["c"] == "READY"

    @pytest.mark.parametrize("state", [s for s in S if s is not S.COMPLETED])
    def test_what_parents_without_output_mean(self, stage: Stage, state: JobState) -> None:
        flow = stage.insert({"a": [], "strict": ["a"], "lenient": ["a"]}, tolerant=["lenient"])
        stage.put(flow, "a", state)
        expected = "READY" if state in (S.FAILED, S.USER_STOPPED) else "WAITING"
        assert stage.states(flow)["lenient"] == expected
        assert stage.states(flow)["strict"] == "WAITING"
        assert stage.database.check_integrity() == []

    def test_jobs_put_to_waiting_without_open_parents_become_ready(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"], "c": ["b"]})
        stage.put(flow, "a", S.COMPLETED)
        stage.put(flow, "b", S.PAUSED)
        assert stage.put(flow, "b", S.WAITING).ready == 1
        assert stage.states(flow) == {"a": "COMPLETED", "b": "READY", "c": "WAITING"}
        assert stage.put(flow, "c", S.WAITING).ready == 0

    def test_a_parent_that_runs_again_is_waited_for_again(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"], "c": ["b"]})
        for name in "ab":
            stage.put(flow, name, S.COMPLETED)
        changes = [stage.change(flow, "a", S.READY), *(stage.change(flow, name, S.WAITING) for name in "bc")]
        assert stage.apply(flow, *changes).ready == 0
        assert stage.states(flow) == {"a": "READY", "b": "WAITING", "c": "WAITING"}
        assert stage.database.check_integrity() == []
        stage.put(flow, "a", S.COMPLETED)
        assert stage.states(flow) == {"a": "COMPLETED", "b": "READY", "c": "WAITING"}

    def test_paused_and_running_children_are_left_alone(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "paused": ["a"], "running": ["a"]})
        stage.put(flow, "paused", S.PAUSED)
        stage.put(flow, "running", S.RUNNING)
        stage.put(flow, "a", S.COMPLETED)
        assert stage.states(flow) == {"a": "COMPLETED", "paused": "PAUSED", "running": "RUNNING"}

    def test_an_addition_comes_after_its_job(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"]})
        new = toy_document(str(uuid4()), flow_uuid=flow.uuid, parents=[flow["a"]])
        result = stage.apply(flow, stage.change(flow, "a", S.COMPLETED), new_jobs=(new,))
        assert (result.db_ids, result.ready) == (("3",), 2)
        added = stage.database.get_job(new["uuid"])
        assert added is not None
        assert (added["state"], added["db_id"], added["db_number"]) == ("READY", "3", 3)
        document = stage.database.get_flow(flow.uuid)
        assert document is not None
        assert (document["n_jobs"], document["leaves"]) == (3, 2)
        assert document["ids"][-1] == ["3", new["uuid"], 1]

    def test_children_wait_for_the_leaves_of_a_detour(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"], "c": ["b"]})
        first, last = (str(uuid4()) for _ in range(2))
        new = (
            toy_document(first, flow_uuid=flow.uuid, parents=[flow["a"]]),
            toy_document(last, flow_uuid=flow.uuid, parents=[first]),
        )
        done = stage.change(flow, "a", S.COMPLETED)
        result = stage.apply(flow, done, new_jobs=new, extra_parents=(ExtraParents(flow["a"], (last,)),))
        assert result.ready == 1
        assert stage.states(flow)["b"] == "WAITING"
        assert stage.job(flow, "b")["parents"] == [flow["a"], last]
        detour = ToyFlow(flow.new, {"first": first, "last": last}, flow.uuid)
        assert stage.states(detour) == {"first": "READY", "last": "WAITING"}
        stage.put(detour, "first", S.COMPLETED)
        assert stage.states(flow)["b"] == "WAITING"
        stage.put(detour, "last", S.COMPLETED)
        assert stage.states(flow) == {"a": "COMPLETED", "b": "READY", "c": "WAITING"}
        document = stage.database.get_flow(flow.uuid)
        assert document is not None
        assert document["leaves"] == 1
        assert document["parents"][flow["b"]] == {"1": [flow["a"], last]}
        assert stage.database.check_integrity() == []

    def test_children_wait_for_a_replacement(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"]})
        again = toy_document(flow["a"], index=2, flow_uuid=flow.uuid)
        result = stage.apply(flow, stage.change(flow, "a", S.COMPLETED), new_jobs=(again,))
        assert (result.db_ids, result.ready) == (("3",), 1)
        assert stage.states(flow) == {"a": "READY", "b": "WAITING"}
        assert stage.database.check_integrity() == []
        assert stage.put(flow, "a", S.COMPLETED, index=2).ready == 1
        assert stage.states(flow) == {"a": "COMPLETED", "b": "READY"}
        stage.put(flow, "b", S.COMPLETED)
        assert stage.flow_state(flow) == "COMPLETED"

    def test_a_new_job_that_exists_refuses_the_change_set(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": []})
        again = toy_document(flow["b"], flow_uuid=flow.uuid)
        result = stage.apply(flow, stage.change(flow, "a", S.COMPLETED), new_jobs=(again,))
        assert not result.applied
        assert flow["b"] in (result.refusal or "")
        assert stage.states(flow) == {"a": "READY", "b": "READY"}

    def test_stop_children_reaches_all_descendants(self, stage: Stage) -> None:
        flow = stage.insert(
            {"a": [], "b": ["a"], "c": ["b"], "paused": ["a"], "below": ["paused"], "other": []}
        )
        stage.put(flow, "paused", S.PAUSED)
        stage.apply(
            flow, stage.change(flow, "a", S.COMPLETED), halts=(Halt(HaltScope.DESCENDANTS, flow["a"]),)
        )
        assert stage.states(flow) == {
            "a": "COMPLETED", "b": "STOPPED", "c": "STOPPED", "paused": "PAUSED", "below": "STOPPED", "other": "READY",
        }  # fmt: skip
        entry = stage.job(flow, "c")["history"][-1]
        assert (entry["state"], entry["event"]) == ("STOPPED", "halt")
        assert stage.flow_state(flow) == "STOPPED"

    def test_stop_jobflow_reaches_the_flow(self, stage: Stage) -> None:
        stage.open()
        outside = stage.insert({"x": []})
        flow = stage.insert({"a": [], "running": [], "b": ["a"], "other": []})
        stage.put(flow, "running", S.RUNNING)
        stage.apply(flow, stage.change(flow, "a", S.COMPLETED), halts=(Halt(HaltScope.FLOW, flow["a"]),))
        assert stage.states(flow) == {
            "a": "COMPLETED",
            "running": "RUNNING",
            "b": "STOPPED",
            "other": "STOPPED",
        }
        assert stage.states(outside) == {"x": "READY"}

    def test_superseded_jobs_count_for_nothing(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"]})
        added, after = str(uuid4()), str(uuid4())
        new = (
            toy_document(added, flow_uuid=flow.uuid, parents=[flow["a"]]),
            toy_document(flow["a"], index=2, flow_uuid=flow.uuid),
            toy_document(after, flow_uuid=flow.uuid, parents=[added]),
        )
        stage.apply(flow, stage.change(flow, "a", S.COMPLETED), new_jobs=new)
        gone = {"superseded": True}
        rerun = [stage.change(flow, "a", S.READY), stage.change(flow, "a", index=2, fields=gone)]
        rerun += [JobChange(uuid, 1, frozenset(S), fields=gone, event="rerun") for uuid in (added, after)]
        assert stage.apply(flow, *rerun).applied
        document = stage.database.get_flow(flow.uuid)
        assert document is not None
        assert (document["n_jobs"], document["counts"], document["leaves"]) == (
            2,
            {"READY": 1, "WAITING": 1},
            1,
        )
        assert stage.job(flow, "a")["index"] == 1
        assert stage.database.check_integrity() == []
        stage.put(flow, "a", S.COMPLETED)
        assert stage.states(flow) == {"a": "COMPLETED", "b": "READY"}
        stage.open()
        assert [record.uuid for record in stage.claim()] == [flow["b"]]
        stage.put(flow, "b", S.COMPLETED)
        assert stage.flow_state(flow) == "COMPLETED"

    def test_a_job_that_runs_again_may_be_replaced_again(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"]})
        replacement = toy_document(flow["a"], index=2, flow_uuid=flow.uuid)
        done = stage.change(flow, "a", S.COMPLETED)
        stage.apply(flow, done, new_jobs=(replacement,))
        rerun = (
            stage.change(flow, "a", S.READY),
            stage.change(flow, "a", index=2, fields={"superseded": True}),
        )
        assert stage.apply(flow, *rerun).applied
        result = stage.apply(flow, done, new_jobs=(replacement,))
        assert (result.refusal, result.db_ids) == (None, ("4",))
        assert (stage.job(flow, "a")["db_id"], stage.job(flow, "a")["index"]) == ("4", 2)
        assert stage.database.count_jobs({}) == 3
        assert stage.states(flow) == {"a": "READY", "b": "WAITING"}
        assert stage.database.check_integrity() == []

    def test_parents_may_be_rewritten(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": [], "c": ["a", "b"]})
        result = stage.apply(flow, stage.change(flow, "c", fields={"parents": [flow["b"]]}, event=""))
        assert result.applied
        assert stage.database.check_integrity() == []
        stage.put(flow, "b", S.COMPLETED)
        assert stage.states(flow) == {"a": "READY", "b": "COMPLETED", "c": "READY"}

    def test_the_flow_changes_its_date_with_its_state_only(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": []})

        def updated_on() -> object:
            return stage.database.find_flows({"uuid": flow.uuid})[0]["updated_on"]

        running = stage.clock.advance(1)
        stage.put(flow, "a", S.RUNNING)
        assert updated_on() == running
        stage.clock.advance(1)
        stage.put(flow, "a", S.DOWNLOADED)
        assert updated_on() == running
        grown = stage.clock.advance(1)
        stage.apply(flow, new_jobs=(toy_document(str(uuid4()), flow_uuid=flow.uuid),))
        assert updated_on() == grown

    @pytest.mark.parametrize("seed", range(6))
    def test_whatever_happens_counters_agree_with_the_jobs(self, stage: Stage, seed: int) -> None:
        walk = _RandomWalk(stage.open(), random.Random(seed))
        for _ in range(40):
            walk.step()
        assert stage.database.check_integrity() == []
        for flow in stage.flows:
            walk.check_flow(flow)


class _RandomWalk:
    """Random submissions, changes of state and dynamic jobs."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self.stage = stage
        self.chance = chance
        self._insert()

    def _insert(self) -> None:
        names = [f"j{number}" for number in range(self.chance.randint(1, 6))]
        parents = {
            name: [n for n in names[:place] if self.chance.random() < 0.4] for place, name in enumerate(names)
        }
        self.stage.insert(parents, tolerant=[name for name in names if self.chance.random() < 0.4])

    def _some_job(self, flow: ToyFlow) -> tuple[str, int]:
        found = self.stage.database.find_jobs({"flow_uuid": flow.uuid}, fields=["uuid", "index"])
        job = self.chance.choice(found)
        return job["uuid"], job["index"]

    def step(self) -> None:
        """Do something."""
        self.stage.clock.advance(self.chance.random())
        if self.chance.random() < 0.1:
            self._insert()
        flow = self.chance.choice(self.stage.flows)
        uuid, index = self._some_job(flow)
        acts: list[Callable[[ToyFlow, str, int], None]]
        acts = [self._claim, self._set_state, self._set_state, self._complete, self._supersede]
        self.chance.choice(acts)(flow, uuid, index)

    def _claim(self, flow: ToyFlow, uuid: str, index: int) -> None:
        self.stage.claim(limit=2)

    def _set_state(self, flow: ToyFlow, uuid: str, index: int) -> None:
        to = self.chance.choice(list(S))
        self.stage.database.apply([ChangeSet(flow.uuid, (JobChange(uuid, index, frozenset(S), to),))])

    def _supersede(self, flow: ToyFlow, uuid: str, index: int) -> None:
        fields = {"superseded": self.chance.random() < 0.6}
        self.stage.database.apply(
            [ChangeSet(flow.uuid, (JobChange(uuid, index, frozenset(S), fields=fields),))]
        )

    def _complete(self, flow: ToyFlow, uuid: str, index: int) -> None:
        new = [toy_document(str(uuid4()), flow_uuid=flow.uuid, parents=[uuid])]
        new += [toy_document(str(uuid4()), flow_uuid=flow.uuid, parents=[new[0]["uuid"]])]
        extra = (ExtraParents(uuid, (new[-1]["uuid"],)),) if self.chance.random() < 0.5 else ()
        if self.chance.random() < 0.5:
            new.append(toy_document(uuid, index=index + 1, flow_uuid=flow.uuid))
        halts = (Halt(self.chance.choice(list(HaltScope)), uuid),) if self.chance.random() < 0.2 else ()
        change = JobChange(uuid, index, frozenset(S), S.COMPLETED)
        self.stage.database.apply(
            [ChangeSet(flow.uuid, (change,), extra_parents=extra, new_jobs=tuple(new), halts=halts)]
        )

    def check_flow(self, flow: ToyFlow) -> None:
        """Compare the flow with what its jobs say, worked out from nothing but documents."""
        jobs = [
            job for job in self.stage.database.find_jobs({"flow_uuid": flow.uuid}) if not job["superseded"]
        ]
        latest: dict[str, dict[str, Any]] = {}
        for job in sorted(jobs, key=lambda job: job["index"]):
            latest[job["uuid"]] = job
        parents: dict[str, list[str]] = {uuid: [] for uuid in latest}
        for job in jobs:
            parents[job["uuid"]] = [*parents[job["uuid"]], *job["parents"]]
        expected = flow_state_of_jobs(
            [S(job["state"]) for job in jobs], [S(latest[uuid]["state"]) for uuid in find_leaves(parents)]
        )
        assert self.stage.flow_state(flow) == expected
        for job in jobs:
            entries = [entry["when"] for entry in job["history"]]
            assert entries == sorted(entries)
            assert job["updated_on"] >= START
