# ruff: noqa: D102 - the name of a test says what it is about
"""Contract: flows in, ids, deletion, and what administrators do."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest

from jobflow_remote.errors import DuplicateError, RunnerActiveError
from jobflow_remote.model.records import NewFlow
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.testing.contracts.queuedb.documents import Opener, Stage, toy_document, toy_flow


class InsertionContract:
    """Inserting flows."""

    def test_ids_are_consecutive_texts_in_the_order_given(self, database: QueueDatabase) -> None:
        first = toy_flow({"a": [], "b": ["a"], "c": []})
        assert database.insert_flow(first.new) == ["1", "2", "3"]
        assert database.insert_flow(toy_flow({"d": []}).new) == ["4"]
        found = database.find_jobs(
            {"flow_uuid": first.uuid}, fields=["db_id", "db_number"], sort=[("db_number", 1)]
        )
        assert found == [{"db_id": str(n), "db_number": n} for n in (1, 2, 3)]

    def test_ids_carry_the_prefix(self, opener: Opener) -> None:
        database = opener(db_id_prefix="px")
        assert database.insert_flow(toy_flow({"a": [], "b": []}).new) == ["px1", "px2"]
        assert database.find_jobs({"db_id": "px2"})[0]["db_number"] == 2
        database.close()

    def test_ids_are_never_used_again(self, database: QueueDatabase) -> None:
        flow = toy_flow({"a": [], "b": []})
        database.insert_flow(flow.new)
        database.delete_flows([flow.uuid])
        assert database.insert_flow(toy_flow({"a": []}).new) == ["3"]

    def test_jobs_without_open_parents_are_ready(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"], "c": ["a", "b"], "lone": ["no-such-job"]})
        assert stage.states(flow) == {"a": "READY", "b": "WAITING", "c": "WAITING", "lone": "READY"}
        events = [entry["event"] for entry in stage.job(flow, "a")["history"]]
        assert events == ["submit_flow", "parents_done"]

    def test_parents_may_belong_to_another_flow(self, stage: Stage) -> None:
        first = stage.insert({"a": [], "done": []})
        stage.put(first, "done", JobState.COMPLETED)
        second = stage.insert({"b": [first["a"]], "c": [first["done"]]})
        assert stage.states(second) == {"b": "WAITING", "c": "READY"}
        assert stage.put(first, "a", JobState.COMPLETED).ready == 1
        assert stage.states(second) == {"b": "READY", "c": "READY"}
        assert stage.database.check_integrity() == []

    def test_jobs_that_are_inserted_stopped_stay_so(self, stage: Stage) -> None:
        flow = stage.insert({"a": []}, state=JobState.STOPPED)
        assert stage.states(flow) == {"a": "STOPPED"}
        assert stage.flow_state(flow) == "STOPPED"

    def test_a_flow_is_inserted_once(self, database: QueueDatabase) -> None:
        flow = toy_flow({"a": []})
        database.insert_flow(flow.new)
        again = NewFlow(flow.new.flow, toy_flow({"b": []}).new.jobs)
        with pytest.raises(DuplicateError, match=flow.uuid):
            database.insert_flow(again)
        assert database.count_jobs({}) == 1

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_job_is_inserted_once_and_nothing_with_a_duplicate(
        self, database: QueueDatabase, place: int
    ) -> None:
        flow = toy_flow({"a": []})
        database.insert_flow(flow.new)
        other = toy_flow({"b": [], "c": []})
        jobs = list(other.new.jobs)
        jobs.insert(place, {**flow.new.jobs[0], "flow_uuid": other.uuid})
        with pytest.raises(DuplicateError, match=flow["a"]):
            database.insert_flow(NewFlow(other.new.flow, jobs))
        assert (database.count_jobs({}), database.count_flows({})) == (1, 1)
        assert database.insert_flow(other.new)
        assert database.check_integrity() == []

    def test_a_job_twice_in_one_flow_is_refused(self, database: QueueDatabase) -> None:
        flow = toy_flow({"a": []})
        with pytest.raises(DuplicateError):
            database.insert_flow(NewFlow(flow.new.flow, [*flow.new.jobs, *flow.new.jobs]))
        assert (database.count_jobs({}), database.count_flows({})) == (0, 0)

    def test_documents_come_back_as_they_were(self, database: QueueDatabase) -> None:
        from bson import ObjectId

        flow = toy_flow({"a": []})
        job = flow.new.jobs[0]
        strange = {
            "date": datetime(2026, 1, 2, 3, 4, 5, 678000),
            "bytes": b"\x00\xff",
            "oid": ObjectId("64b000000000000000000001"),
            "infinite": float("-inf"),
            "text": "ü\u2028 \U0001f600 '\"\\",
            "nested": [{"x": None}, [True, 1, 1.0], {}],
            "looks_like_a_tag": {"$date": "tomorrow"},
            "long": 2**53 + 1,
            "empty": "",
        }
        job["job"]["metadata"] = strange
        job["job"]["function_kwargs"] = {"k": strange}
        database.insert_flow(flow.new)
        document = database.get_job(flow["a"], with_inputs=True)
        assert document is not None
        assert document["job"]["metadata"] == strange
        assert document["job"]["function_kwargs"] == {"k": strange}
        expected = {**job, "db_id": "1", "db_number": 1, "state": "READY"}
        assert {key: document[key] for key in expected if key != "history"} == {
            key: value for key, value in expected.items() if key != "history"
        }

    def test_inputs_come_on_request_only(self, stage: Stage) -> None:
        flow = stage.insert({"a": []})
        assert "function_args" not in stage.job(flow, "a")["job"]
        with_inputs = stage.database.get_job(flow["a"], 1, with_inputs=True)
        assert with_inputs is not None
        assert with_inputs["job"]["function_kwargs"] == {"text": "é", "number": 2.5}
        (record,) = stage.open().claim()
        assert "function_args" not in record.job

    def test_unknown_jobs_and_flows_are_none(self, database: QueueDatabase) -> None:
        assert database.get_job(str(uuid4())) is None
        assert database.get_flow(str(uuid4())) is None

    def test_a_flow_document_is_put_together_from_its_jobs(self, stage: Stage) -> None:
        stage.insert({"other": []})
        flow = stage.insert({"a": [], "b": ["a"], "c": ["b", "a"]})
        document = stage.database.get_flow(flow.uuid)
        assert document is not None
        a, b, c = (flow[name] for name in "abc")
        assert document["jobs"] == [a, b, c]
        assert document["ids"] == [["2", a, 1], ["3", b, 1], ["4", c, 1]]
        assert document["parents"] == {a: {"1": []}, b: {"1": [a]}, c: {"1": [b, a]}}
        assert document["counts"] == {"READY": 1, "WAITING": 2}
        assert (document["n_jobs"], document["leaves"], document["leaves_completed"]) == (3, 1, 0)
        assert (document["db_number"], document["state"], document["name"]) == (2, "READY", "toy flow")
        assert document["metadata"] == {"project": "toy flow"}

    def test_an_index_above_another_one_is_the_latest(self, stage: Stage) -> None:
        flow = stage.insert({"a": [], "b": ["a"]})
        stage.put(flow, "a", JobState.COMPLETED)
        second = toy_document(flow["a"], index=2, flow_uuid=flow.uuid)
        result = stage.apply(flow, new_jobs=(second,))
        assert result.applied
        assert stage.job(flow, "a")["index"] == 2
        assert stage.job(flow, "a", 1)["index"] == 1
        assert stage.database.check_integrity() == []


class AdministrationContract:
    """Deleting, auxiliary documents, copies, starting afresh."""

    def test_flows_are_deleted_with_their_jobs(self, stage: Stage) -> None:
        kept, gone = stage.insert({"a": []}), stage.insert({"a": [], "b": ["a"]})
        unknown = str(uuid4())
        assert stage.database.delete_flows([gone.uuid, unknown, gone.uuid]) == [gone.uuid]
        assert stage.database.delete_flows([gone.uuid]) == []
        assert stage.database.get_flow(gone.uuid) is None
        assert [job["uuid"] for job in stage.database.find_jobs({})] == [kept["a"]]
        assert stage.database.get_job(gone["b"], with_inputs=True) is None
        assert stage.database.check_integrity() == []

    def test_children_in_other_flows_do_not_wait_for_deleted_jobs(self, stage: Stage) -> None:
        first = stage.insert({"a": []})
        second = stage.insert({"b": [first["a"]]})
        assert stage.states(second) == {"b": "WAITING"}
        stage.database.delete_flows([first.uuid])
        assert stage.states(second) == {"b": "READY"}
        assert stage.database.check_integrity() == []

    def test_auxiliary_documents(self, database: QueueDatabase) -> None:
        assert database.get_auxiliary("versions") is None
        value = {"jobflow": "0.3", "when": datetime(2026, 1, 1), "list": [1, None]}
        database.set_auxiliary("versions", value)
        assert database.get_auxiliary("versions") == value
        database.set_auxiliary("versions", [1])
        assert database.get_auxiliary("versions") == [1]

    def test_reset_forgets_everything(self, stage: Stage) -> None:
        stage.insert({"a": [], "b": ["a"]})
        stage.database.set_auxiliary("versions", 1)
        stage.database.reset()
        assert stage.database.count_jobs({}) == stage.database.count_flows({}) == 0
        assert stage.database.insert_flow(toy_flow({"a": []}).new) == ["1"]
        assert stage.database.check_integrity() == []

    def test_reset_is_refused_while_a_runner_works(self, stage: Stage) -> None:
        stage.open().insert({"a": []})
        with pytest.raises(RunnerActiveError, match="node1"):
            stage.database.reset()
        assert stage.database.count_jobs({}) == 1
        stage.clock.advance(61)
        stage.database.reset()
        assert stage.database.count_jobs({}) == 0

    def test_compacting_changes_no_document(self, stage: Stage) -> None:
        kept, gone = stage.insert({"a": [], "b": ["a"]}), stage.insert({"c": []})
        stage.database.delete_flows([gone.uuid])
        before = stage.database.find_jobs({}, with_inputs=True)
        assert stage.database.compact() >= 0
        assert stage.database.find_jobs({}, with_inputs=True) == before
        assert stage.put(kept, "a", JobState.COMPLETED).ready == 1
        assert stage.database.check_integrity() == []

    def test_initialise_leaves_what_is_there(self, stage: Stage) -> None:
        stage.insert({"a": []})
        stage.database.initialise()
        assert stage.database.insert_flow(toy_flow({"a": []}).new) == ["2"]

    def test_backup(self, stage: Stage, tmp_path: Path) -> None:
        stage.insert({"a": [], "b": ["a"]})
        counts = stage.database.backup(tmp_path / "copy")
        assert (counts["jobs"], counts["flows"]) == (2, 1)
        assert (tmp_path / "copy").exists()

    def test_changes_of_others_are_noticed(self, opener: Opener, database: QueueDatabase) -> None:
        database.changed_by_others()
        other = opener()
        other.insert_flow(toy_flow({"a": []}).new)
        assert database.changed_by_others()
        other.close()

    def test_close_may_be_called_twice(self, opener: Opener) -> None:
        database = opener()
        database.count_jobs({})
        database.close()
        database.close()

    def test_a_database_says_where_it_is(self, database: QueueDatabase) -> None:
        assert database.describe()
