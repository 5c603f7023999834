# ruff: noqa: D102 - the name of a test says what it is about
"""Contract: finding and counting."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from jobflow_remote.errors import FilterError
from jobflow_remote.model.selection import FlowSelection, JobSelection
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.testing.contracts.queuedb.documents import START, WORKER, Stage, ToyFlow

S = JobState


def populate(stage: Stage) -> Stage:
    """Two flows with jobs in several states."""
    flow = stage.insert({"relax": [], "static": ["relax"], "phonon": ["static"]}, flow_name="first")
    stage.clock.advance(60)
    stage.insert({"md 1": [], "md 2": [], "analyse": ["md 1", "md 2"]}, flow_name="second", priority=5)
    stage.clock.advance(60)
    stage.put(flow, "relax", S.TERMINATED, fields={"remote.process_id": "17", "remote.queue_state": "DONE"})
    return stage


def names(database: QueueDatabase, query: dict[str, Any], **options: Any) -> list[str]:
    """Names of the jobs that match."""
    found = database.find_jobs(query, **options)
    assert options or len(found) == database.count_jobs(query)
    return [job["job"]["name"] for job in found]


class ReadingContract:
    """Filters, order, pages, fields."""

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, ["analyse", "md 2", "md 1", "phonon", "static", "relax"]),
            ({"state": "READY"}, ["md 2", "md 1"]),
            ({"state": "TERMINATED"}, ["relax"]),
            ({"state": "RUN_FINISHED"}, ["relax"]),
            ({"state": {"$in": ["RUN_FINISHED", "READY"]}}, ["md 2", "md 1", "relax"]),
            ({"state": {"$ne": "RUN_FINISHED"}, "priority": 0}, ["phonon", "static"]),
            ({"state": {"$nin": ["WAITING", "RUN_FINISHED"]}}, ["md 2", "md 1"]),
            ({"$or": [{"state": "READY", "priority": {"$gt": 9}}, {"db_id": "2"}]}, ["static"]),
            ({"$nor": [{"priority": 5}, {"state": "WAITING"}]}, ["relax"]),
            ({"job.name": {"$regex": "^md"}}, ["md 2", "md 1"]),
            ({"job.name": {"$regex": "^MD", "$options": "i"}}, ["md 2", "md 1"]),
            ({"job.name": {"$not": {"$regex": "^md"}}, "priority": 5}, ["analyse"]),
            ({"job.metadata.tag": "md 1"}, ["md 1"]),
            ({"job.metadata.tag": {"$in": ["md 1", "relax"]}}, ["md 1", "relax"]),
            ({"job.metadata": {"tag": "relax"}}, ["relax"]),
            ({"job.metadata.tag": {"$exists": False}}, []),
            ({"remote.process_id": "17"}, ["relax"]),
            ({"remote.process_id": 17}, []),
            ({"remote.process_id": {"$ne": None}}, ["relax"]),
            ({"remote.queue_state": "DONE"}, ["relax"]),
            ({"created_on": {"$gt": START}}, ["analyse", "md 2", "md 1"]),
            ({"created_on": START}, ["phonon", "static", "relax"]),
            ({"updated_on": {"$gt": START.replace(minute=1)}}, ["relax"]),
            ({"priority": {"$gte": 5.0}}, ["analyse", "md 2", "md 1"]),
            ({"priority": "5"}, []),
            ({"priority": {"$lt": "5"}}, []),
            ({"lock_id": {"$ne": None}}, []),
            ({"claim": None, "priority": {"$exists": True}, "state": "READY"}, ["md 2", "md 1"]),
            ({"parents": {"$size": 2}}, ["analyse"]),
            ({"history.event": "parents_done"}, ["md 2", "md 1", "relax"]),
            ({"history": {"$elemMatch": {"event": "set_state", "who": "tester"}}}, ["relax"]),
            (
                {
                    "superseded": {"$ne": True},
                    "priority": {"$mod": [5, 0]},
                    "index": 1,
                    "db_number": {"$lt": 2},
                },
                ["relax"],
            ),
            ({"superseded": True}, []),
            ({"job.function_kwargs.number": 2.5, "db_number": {"$lte": 2}}, ["static", "relax"]),
            ({"$expr": {"$eq": ["$state", "READY"]}}, ["md 2", "md 1"]),
            ({"db_number": {"$in": []}}, []),
            ({"db_number": {"$in": [*range(1000), "x", None]}, "state": "READY"}, ["md 2", "md 1"]),
        ],
        ids=str,
    )
    def test_filters(self, populated: Stage, query: dict[str, Any], expected: list[str]) -> None:
        assert names(populated.database, query) == expected

    def test_filters_by_uuid(self, populated: Stage) -> None:
        flow = populated.flows[0]
        assert names(populated.database, {"flow_uuid": flow.uuid}) == ["phonon", "static", "relax"]
        assert names(populated.database, {"parents": flow["relax"]}) == ["static"]
        assert names(populated.database, {"uuid": {"$in": [flow["relax"], "x"]}, "index": 1}) == ["relax"]

    def test_selections(self, populated: Stage) -> None:
        flow = populated.flows[0]
        selection = JobSelection(
            flow_ids=[flow.uuid],
            states=[S.WAITING, S.READY],
            name="*a*",
            metadata={"tag": "static"},
            workers=[WORKER],
        )
        assert names(populated.database, selection.to_filter()) == ["static"]
        several = JobSelection(job_ids=[(flow["relax"], 1), (flow["static"], 1), (flow["phonon"], 2)])
        assert names(populated.database, several.to_filter()) == ["static", "relax"]
        assert names(populated.database, JobSelection(job_ids=[]).to_filter()) == []
        flows = FlowSelection(
            states=[FlowState.RUNNING], name="f?rst", metadata={"project": "first"}
        ).to_filter()
        assert [found["name"] for found in populated.database.find_flows(flows)] == ["first"]

    @pytest.mark.parametrize(
        "query",
        [
            {"state": {"$like": "R"}},
            {"$where": "1"},
            {"$text": {"$search": "x"}},
            {"$or": []},
            {"state": {"$in": "READY"}},
            {"state": {"$not": "READY"}},
            {"job.name": {"$regex": "("}},
            {"priority": {"$size": -1}},
            {"state": {"$eq": "READY", "other": 1}},
        ],
        ids=str,
    )
    def test_what_is_not_understood_is_refused(self, populated: Stage, query: dict[str, Any]) -> None:
        database = populated.database
        for verb in (database.find_jobs, database.count_jobs, database.find_flows, database.count_flows):
            with pytest.raises(FilterError):
                verb(query)

    def test_order_and_ties(self, populated: Stage) -> None:
        database = populated.database
        up = ["static", "relax", "phonon", "md 2", "md 1", "analyse"]
        assert names(database, {}, sort=[("job.name", -1)]) == up
        assert names(database, {}, sort=[("job.name", 1)]) == up[::-1]
        by_priority = ["phonon", "static", "relax", "analyse", "md 2", "md 1"]
        assert names(database, {}, sort=[("priority", 1)]) == by_priority
        assert names(database, {}, sort=[("priority", -1), ("db_number", 1)])[:4] == [
            "md 1",
            "md 2",
            "analyse",
            "relax",
        ]
        assert names(database, {}, sort=[("job.metadata.tag", -1)]) == up
        assert names(database, {}, sort=[("remote.queue_state", -1)])[:2] == ["relax", "analyse"]
        assert names(database, {"job.metadata.tag": {"$gt": "o"}}, sort=[("updated_on", -1)]) == [
            "relax", "phonon", "static",
        ]  # fmt: skip

    @pytest.mark.parametrize("sort", [[], [("db_number", -1)], [("job.metadata.tag", 1)]], ids=str)
    @pytest.mark.parametrize("query", [{}, {"job.metadata.tag": {"$exists": True}}], ids=str)
    @pytest.mark.parametrize("fields", [None, ["db_id"], ["job.metadata.tag", "db_id"]], ids=str)
    def test_pages(self, populated: Stage, sort: Any, query: dict[str, Any], fields: Any) -> None:
        database = populated.database
        everything = [job["db_id"] for job in database.find_jobs(query, sort=sort, fields=fields)]
        assert len(everything) == 6
        for skip in range(8):
            for limit in range(8):
                page = database.find_jobs(query, sort=sort, skip=skip, limit=limit, fields=fields)
                stop = skip + limit if limit else None
                assert [job["db_id"] for job in page] == everything[skip:stop]

    def test_only_some_fields(self, populated: Stage) -> None:
        database, query = populated.database, {"db_id": "1"}
        assert database.find_jobs(query, fields=["state", "remote.process_id", "job.name"]) == [
            {"state": "TERMINATED", "remote": {"process_id": "17"}, "job": {"name": "relax"}}
        ]
        assert database.find_jobs(
            query, fields=["job.metadata.tag", "remote.queue_state", "nothing.here"]
        ) == [{"job": {"metadata": {"tag": "relax"}}, "remote": {"queue_state": "DONE"}}]
        (document,) = database.find_jobs(query, fields=["history.event", "created_on", "superseded"])
        assert document["created_on"] == START
        assert document["superseded"] is False
        assert document["history"][-1] == {"event": "set_state"}
        assert database.find_jobs(query, fields=["job.function_kwargs"]) == [
            {"job": {"function_kwargs": {"text": "é", "number": 2.5}}}
        ]

    def test_inputs(self, populated: Stage) -> None:
        database = populated.database
        for query in ({"db_id": "1"}, {"job.function_kwargs.text": "é", "db_id": "1"}):
            (without,) = database.find_jobs(query)
            assert "function_kwargs" not in without["job"]
            (with_inputs,) = database.find_jobs(query, with_inputs=True)
            assert with_inputs["job"]["function_kwargs"]["number"] == 2.5

    def test_what_is_read_may_be_changed(self, populated: Stage) -> None:
        for document in populated.database.find_jobs({}):
            document["job"].clear()
            document.clear()
        assert len(names(populated.database, {})) == 6

    def test_children(self, populated: Stage) -> None:
        first, second = populated.flows

        def children(*uuids: str) -> set[str]:
            found = populated.database.find_children(uuids)
            assert all("function_args" not in job["job"] for job in found)
            return {job["job"]["name"] for job in found}

        assert children(first["relax"]) == {"static"}
        assert children(second["md 1"], second["md 2"], first["relax"]) == {"analyse", "static"}
        assert children(second["analyse"], str(uuid4())) == set()
        assert children() == set()

    def test_states_are_counted(self, populated: Stage) -> None:
        populated.insert({"x": []}, worker="another")
        assert populated.database.count_job_states() == {"READY": 3, "WAITING": 3, "TERMINATED": 1}
        assert populated.database.count_job_states(worker="another") == {"READY": 1}
        assert populated.database.count_flow_states() == {"RUNNING": 1, "READY": 2}

    def test_updates_are_counted_by_interval(self, populated: Stage) -> None:
        first, second = START, START.replace(minute=1)
        third = START.replace(minute=2)

        def jobs(*starts: datetime) -> list[dict[str, int]]:
            return populated.database.count_updates("jobs", ["READY", "WAITING", "TERMINATED"], starts)

        assert jobs(first, second, third) == [{"WAITING": 2}, {"READY": 2, "WAITING": 1}, {"TERMINATED": 1}]
        assert jobs(second) == [{"READY": 2, "WAITING": 1, "TERMINATED": 1}]
        assert jobs(first, third.replace(minute=3)) == [{"READY": 2, "WAITING": 3, "TERMINATED": 1}, {}]
        assert jobs() == []
        flows = populated.database.count_updates("flows", ["READY", "RUNNING"], [first, third])
        assert flows == [{"READY": 1}, {"RUNNING": 1}]
        assert populated.database.count_updates("flows", [], [first]) == [{}]


class FlowReadingContract:
    """Finding flows."""

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, ["second", "first"]),
            ({"state": "RUNNING"}, ["first"]),
            ({"name": {"$regex": "^s"}}, ["second"]),
            ({"metadata.project": "second"}, ["second"]),
            ({"counts.READY": {"$gte": 2}}, ["second"]),
            ({"counts": {"$exists": True}, "n_jobs": 3}, ["second", "first"]),
            ({"leaves_completed": {"$gt": 0}}, []),
            ({"jobs": {"$size": 3}, "db_number": {"$gt": 1}}, ["second"]),
            ({"ids": {"$elemMatch": {"$elemMatch": {"$eq": "1"}}}}, ["first"]),
            ({"lock_id": None}, ["second", "first"]),
        ],
        ids=str,
    )
    def test_filters(self, populated: Stage, query: dict[str, Any], expected: list[str]) -> None:
        found = populated.database.find_flows(query)
        assert [flow["name"] for flow in found] == expected
        assert populated.database.count_flows(query) == len(expected)
        assert all(not {"jobs", "ids", "parents"} & set(flow) for flow in found)

    def test_flows_of_a_job(self, populated: Stage) -> None:
        flow = populated.flows[1]
        assert [found["uuid"] for found in populated.database.find_flows({"jobs": flow["md 1"]})] == [
            flow.uuid
        ]

    def test_order_pages_and_fields(self, populated: Stage) -> None:
        database = populated.database
        assert database.find_flows({}, sort=[("name", 1)], limit=1, fields=["name"]) == [{"name": "first"}]
        assert database.find_flows({}, sort=[("name", 1)], skip=1, fields=["name"]) == [{"name": "second"}]
        assert database.find_flows({}, sort=[("metadata.project", -1)], fields=["metadata.project"]) == [
            {"metadata": {"project": "second"}}, {"metadata": {"project": "first"}},
        ]  # fmt: skip
        (flow,) = database.find_flows({"name": "first"}, fields=["jobs", "counts", "state"])
        assert flow == {
            "jobs": list(_uuids(populated.flows[0])), "state": "RUNNING", "counts": {"TERMINATED": 1, "WAITING": 2},
        }  # fmt: skip

    def test_a_summary_counts(self, populated: Stage) -> None:
        (flow,) = populated.database.find_flows({"name": "second"})
        assert {key: flow[key] for key in ("n_jobs", "leaves", "leaves_completed", "db_number", "counts")} == {
            "n_jobs": 3, "leaves": 1, "leaves_completed": 0, "db_number": 4, "counts": {"READY": 2, "WAITING": 1},
        }  # fmt: skip


def _uuids(flow: ToyFlow) -> list[str]:
    return list(flow.uuids.values())
