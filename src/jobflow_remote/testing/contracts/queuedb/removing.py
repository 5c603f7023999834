# ruff: noqa: D102 - the name of a test says what it is about
"""Contract: jobs that are removed from their flow, new inputs, fields of flows."""

from __future__ import annotations

from uuid import uuid4

import pytest

from jobflow_remote.model.changes import ChangeSet, JobRemoval
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.testing.contracts.queuedb.documents import ANY_STATE, Stage, ToyFlow, toy_document

S = JobState


def _remove(stage: Stage, flow: ToyFlow, name: str, index: int = 1) -> None:
    removal = JobRemoval(flow[name], index, ANY_STATE)
    (result,) = stage.database.apply([ChangeSet(flow.uuid, removals=(removal,))])
    assert result.applied, result.refusal
    assert stage.database.check_integrity() == []


class RemovalContract:
    """A job goes, its flow stays."""

    def test_a_removed_job_leaves_no_trace(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"], "c": ["b"]})
        now = stage.clock.advance(5)
        _remove(stage, flow, "c")
        assert stage.database.get_job(flow["c"], with_inputs=True) is None
        document = stage.database.get_flow(flow.uuid)
        assert document is not None
        assert document["jobs"] == [flow["a"], flow["b"]]
        assert document["ids"] == [["1", flow["a"], 1], ["2", flow["b"], 1]]
        assert set(document["parents"]) == {flow["a"], flow["b"]}
        assert (document["n_jobs"], document["leaves"], document["counts"]) == (
            2,
            1,
            {"READY": 1, "WAITING": 1},
        )
        assert document["updated_on"] == now

    def test_the_flow_follows(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"]})
        stage.put(flow, "a", S.COMPLETED)
        stage.put(flow, "b", S.FAILED)
        assert stage.flow_state(flow) == "FAILED"
        _remove(stage, flow, "b")
        assert stage.flow_state(flow) == "COMPLETED"

    def test_the_flow_is_known_by_its_first_job(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": [], "c": []})
        _remove(stage, flow, "a")
        assert stage.database.find_flows({"uuid": flow.uuid})[0]["db_number"] == 2
        _remove(stage, flow, "c")
        assert stage.database.find_flows({"db_number": 2})[0]["n_jobs"] == 1

    def test_nobody_waits_for_a_removed_job(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"], "c": ["a", "b"]})
        other = stage.insert({"x": [flow["a"]]})
        _remove(stage, flow, "a")
        assert stage.job(flow, "b")["state"] == "READY"
        assert stage.job(flow, "c")["state"] == "WAITING"
        assert stage.states(other) == {"x": "READY"}

    def test_a_lower_index_takes_its_place_again(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"]})
        again = toy_document(flow["a"], flow_uuid=flow.uuid, index=2)
        stage.apply(flow, stage.change(flow, "a", S.COMPLETED), new_jobs=(again,))
        assert stage.job(flow, "b")["state"] == "WAITING"
        _remove(stage, flow, "a", 2)
        assert stage.job(flow, "a")["index"] == 1
        assert stage.job(flow, "b")["state"] == "READY"
        document = stage.database.get_flow(flow.uuid)
        assert document is not None
        assert document["parents"] == {flow["a"]: {"1": []}, flow["b"]: {"1": [flow["a"]]}}

    def test_what_is_not_as_expected_is_not_removed(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": [], "b": []})
        stage.claim()
        wrong = [
            JobRemoval(flow["a"], 1, frozenset({S.READY})),
            JobRemoval(flow["a"], 1, ANY_STATE, attempt="another"),
            JobRemoval(flow["a"], 2, ANY_STATE),
            JobRemoval(str(uuid4()), 1, ANY_STATE),
        ]
        for removal in wrong:
            result = stage.apply(flow, stage.change(flow, "b", S.PAUSED), removals=(removal,))
            assert not result.applied
            assert result.refusal
        assert stage.states(flow) == {"a": "CHECKED_OUT", "b": "CHECKED_OUT"}

    def test_a_job_may_be_removed_under_the_runner(self, stage: Stage) -> None:
        flow = stage.open().insert({"a": [], "b": []})
        stage.claim(limit=1)
        _remove(stage, flow, "a")
        late = stage.change(flow, "a", S.UPLOADED, holder=stage.token)
        result = stage.apply(flow, late)
        assert not result.applied
        assert "exist" in (result.refusal or "")

    def test_change_sets_see_removals_before_them(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"], "c": []})
        sets = [
            ChangeSet(
                flow.uuid,
                (stage.change(flow, "b", S.USER_STOPPED),),
                removals=(JobRemoval(flow["a"], 1, ANY_STATE),),
            ),
            ChangeSet(flow.uuid, (stage.change(flow, "a", S.PAUSED),)),
            ChangeSet(flow.uuid, removals=(JobRemoval(flow["c"], 1, ANY_STATE),)),
        ]
        assert [result.applied for result in stage.database.apply(sets)] == [True, False, True]
        assert stage.job(flow, "b")["state"] == "USER_STOPPED"
        assert stage.database.count_jobs({}) == 1
        assert stage.database.check_integrity() == []


class WritingContract:
    """Inputs of jobs and fields of flows."""

    def test_inputs_are_written_as_a_whole(self, stage: Stage) -> None:
        flow = stage.insert({"a": []})
        fields = {"job.function_kwargs": {"text": "new", "deep": {"x": [1, None]}}, "priority": 3}
        assert stage.apply(flow, stage.change(flow, "a", fields=fields)).applied
        document = stage.database.get_job(flow["a"], with_inputs=True)
        assert document is not None
        assert document["job"]["function_kwargs"] == fields["job.function_kwargs"]
        assert document["job"]["function_args"] == [1, {"@class": "OutputReference", "uuid": "x"}]
        assert document["priority"] == 3
        assert "function_kwargs" not in stage.job(flow, "a")["job"]

    def test_inputs_are_not_written_in_parts(self, stage: Stage) -> None:
        flow = stage.insert({"a": []})
        change = stage.change(flow, "a", fields={"job.function_kwargs.text": "x"})
        with pytest.raises(ValueError, match="as a whole"):
            stage.apply(flow, change)

    def test_fields_of_a_flow(self, stage: Stage) -> None:
        flow = stage.insert({"a": []})
        assert stage.database.change_flow(flow.uuid, {"jobstore": "other", "name": "new name"})
        (found,) = stage.database.find_flows({"name": "new name"})
        assert (found["jobstore"], found["metadata"]) == ("other", {"project": "toy flow"})
        assert not stage.database.change_flow(str(uuid4()), {"jobstore": "other"})
        with pytest.raises(ValueError, match="state"):
            stage.database.change_flow(flow.uuid, {"state": "COMPLETED"})
        assert stage.database.check_integrity() == []

    def test_a_flow_in_another_state_is_left_alone(self, stage: Stage) -> None:
        flow = stage.insert({"a": []})
        ready = frozenset({FlowState.READY})
        assert stage.database.change_flow(flow.uuid, {"jobstore": "x"}, expect=ready)
        stage.put(flow, "a", S.RUNNING)
        assert not stage.database.change_flow(flow.uuid, {"jobstore": "y"}, expect=ready)
        assert stage.database.find_flows({})[0]["jobstore"] == "x"
