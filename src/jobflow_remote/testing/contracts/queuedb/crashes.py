# ruff: noqa: D102 - the name of a test says what it is about
"""Contract: a process that is killed between any two writes leaves a verb done or not begun."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import uuid4

from jobflow_remote.model.changes import ChangeSet, ExtraParents, Halt, HaltScope
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.testing.contracts.queuedb.documents import (
    WORKER,
    Opener,
    SetClock,
    Stage,
    ToyFlow,
    toy_document,
    toy_flow,
)
from jobflow_remote.testing.contracts.queuedb.processes import run_and_kill

Verb = Callable[[QueueDatabase], object]


def snapshot(database: QueueDatabase) -> dict[str, Any]:
    """Everything that readers can see."""
    session = database.get_session()
    return {
        "jobs": database.find_jobs({}, sort=[("db_number", 1)], with_inputs=True),
        "flows": [
            database.get_flow(flow["uuid"]) for flow in database.find_flows({}, sort=[("db_number", 1)])
        ],
        "session": session.token if session else None,
    }


class CrashContract:
    """``kill -9`` before each write of a verb in turn."""

    def _kill_at_each_write(
        self, opener: Opener, stage: Stage, prepare: Callable[[], Verb], *, repeatable: bool = True
    ) -> int:
        """Kill ``prepare()``'s verb at its first, second, … write until it survives; returns how often it died."""
        for victim in count(1):
            verb = prepare()
            before = snapshot(stage.database)
            stage.database.close()
            survived = run_and_kill(opener, verb, victim=victim)
            stage.database = opener(clock=stage.clock)
            after = snapshot(stage.database)
            assert stage.database.check_integrity() == []
            if survived:
                assert after != before
                return victim - 1
            if repeatable and after != before:  # it was done, and died before it could say so
                self._check_complete(stage, verb, after)
        raise AssertionError

    def _check_complete(self, stage: Stage, verb: Verb, after: dict[str, Any]) -> None:
        """What a killed verb left is what it leaves when it is not killed: repeating it finds nothing to do."""
        try:
            verb(stage.database)
        except ValueError:  # DuplicateError
            pass
        jobs = [(job["uuid"], job["index"], job["state"]) for job in snapshot(stage.database)["jobs"]]
        assert jobs == [(job["uuid"], job["index"], job["state"]) for job in after["jobs"]]

    def test_apply(self, opener: Opener, stage: Stage) -> None:
        stage.open()
        prepared: list[tuple[ToyFlow, str]] = []

        def prepare() -> Verb:
            jobs = {"a": [], "b": ["a"], "c": ["b"], "other": [], "after": ["other"]}
            flow = stage.insert(jobs, priority=len(prepared))  # before what the flows so far left READY
            (record,) = stage.claim(limit=1)
            assert record.uuid == flow["a"]
            stage.put(flow, "other", JobState.PAUSED)
            detour = str(uuid4())
            prepared.append((flow, detour))
            new = (
                toy_document(detour, flow_uuid=flow.uuid, parents=[flow["a"]]),
                toy_document(flow["a"], index=2, flow_uuid=flow.uuid),
            )
            change_set = ChangeSet(
                flow.uuid,
                changes=(
                    stage.change(
                        flow,
                        "a",
                        JobState.COMPLETED,
                        expect=frozenset({JobState.CHECKED_OUT}),
                        holder=stage.token,
                    ),
                    stage.change(flow, "other", JobState.COMPLETED, expect=frozenset({JobState.PAUSED})),
                ),
                extra_parents=(ExtraParents(flow["a"], (detour,)),),
                new_jobs=new,
                halts=(Halt(HaltScope.DESCENDANTS, flow["b"]),),
            )
            return lambda database: database.apply([change_set])

        assert self._kill_at_each_write(opener, stage, prepare) > 1
        outcomes = set()
        for flow, detour in prepared:
            states = tuple(stage.states(flow).items())
            outcomes.add(
                (states, stage.job(flow, "a", 1)["state"], stage.database.get_job(detour) is not None)
            )
        done = {"a": "READY", "b": "WAITING", "c": "STOPPED", "other": "COMPLETED", "after": "READY"}
        not_begun = {
            "a": "CHECKED_OUT",
            "b": "WAITING",
            "c": "WAITING",
            "other": "PAUSED",
            "after": "WAITING",
        }
        assert outcomes == {
            (tuple(done.items()), "COMPLETED", True),
            (tuple(not_begun.items()), "CHECKED_OUT", False),
        }

    def test_insert_flow(self, opener: Opener, stage: Stage) -> None:
        def prepare() -> Verb:
            flow = toy_flow({"a": [], "b": ["a"]})
            return lambda database: database.insert_flow(flow.new)

        assert self._kill_at_each_write(opener, stage, prepare) > 1
        numbers = [job["db_number"] for job in stage.database.find_jobs({})]
        assert len(numbers) == len(set(numbers)) == stage.database.count_jobs({})

    def test_delete_flows(self, opener: Opener, stage: Stage) -> None:
        def prepare() -> Verb:
            flow, other = stage.insert({"a": [], "b": ["a"]}), stage.insert({"x": []})
            stage.insert({"child": [flow["b"], other["x"]]})
            return lambda database: database.delete_flows([flow.uuid])

        assert self._kill_at_each_write(opener, stage, prepare) > 1

    def test_claim(self, opener: Opener, stage: Stage) -> None:
        token = stage.open().token

        def prepare() -> Verb:
            stage.insert({"a": [], "b": []}, priority=1)
            return lambda database: database.claim(token, worker=WORKER, limit=1)

        assert self._kill_at_each_write(opener, stage, prepare, repeatable=False) > 1
        held = stage.database.find_jobs({"claim": token})
        assert len(held) == len({job["attempt"] for job in held})

    def test_open_session(self, opener: Opener, stage: Stage) -> None:
        stage.open().insert({"a": [], "b": []})
        stage.claim()

        def prepare() -> Verb:
            return lambda database: database.open_session(
                {"hostname": "node2"}, lease_seconds=60, override=True
            )

        assert self._kill_at_each_write(opener, stage, prepare) > 1
        session = stage.database.get_session()
        assert session is not None
        assert {job["claim"] for job in stage.database.find_jobs({})} == {session.token}

    def test_acknowledged_writes_survive(self, opener: Opener, clock: SetClock) -> None:
        """A process that is killed right after a verb has returned has lost nothing."""
        for number in range(1, 4):
            flow = toy_flow({"a": [], "b": ["a"]})

            def verb(database: QueueDatabase, flow: ToyFlow = flow) -> None:
                database.insert_flow(flow.new)

            assert run_and_kill(opener, verb, victim=-1)
            database = opener(clock=clock)
            assert database.count_jobs({}) == 2 * number
            assert database.check_integrity() == []
            database.close()
