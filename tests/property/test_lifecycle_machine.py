"""Random flows, runners and people against a real queue database file.

Whatever happens in whatever order, what the adapter keeps up to date step by step (who may start, leaves, counters,
states of flows) must agree with what the model says about all jobs together, and nothing may get stuck.

The same few histories are replayed each time. ``SHRINK=1`` looks for the shortest one that fails in the same way, and
``EXPLORE=1000`` looks at that many drawn anew (and takes minutes).
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobflow_remote.errors import JobKilledError, NotAllowedError, SchedulerError, SessionLostError
from jobflow_remote.model import lifecycle
from jobflow_remote.model.changes import ApplyResult, ChangeSet, JobChange
from jobflow_remote.model.decide.completion import JobResponse, JobResult, decide_completion
from jobflow_remote.model.decide.failure import decide_failure
from jobflow_remote.model.decide.hold import decide_pause, decide_play, decide_stop
from jobflow_remote.model.decide.rerun import decide_rerun, decide_retry
from jobflow_remote.model.decide.submission import GeneratedJob, RunProperties, decide_submission
from jobflow_remote.model.graph import (
    Settlement,
    edge_is_settled,
    find_leaves,
    flow_state_of_jobs,
    settlement,
)
from jobflow_remote.model.lifecycle import ACTIVE, TABLE
from jobflow_remote.model.records import JobRecord, tolerates_missing
from jobflow_remote.model.retry import RetryPolicy
from jobflow_remote.model.states import FlowState, JobState
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase

EXPLORE = int(os.environ.get("EXPLORE", "0"))
SHRINK = bool(os.environ.get("SHRINK"))
WORKERS = ("w", "v")
MAX_JOBS = 40
POLICY = RetryPolicy(max_attempts=1, delays_seconds=(5,))
RESPONSES = ("replace", "detour", "addition", "stop_children", "stop_jobflow")
NOT_BEGUN = frozenset({JobState.WAITING, JobState.READY})
BATCH = frozenset({JobState.BATCH_SUBMITTED, JobState.BATCH_RUNNING})

Shape = tuple[tuple[int, ...], ...]
"""For each job the places of its parents, which come before it."""


def _chain(length: int) -> Shape:
    return tuple((place - 1,) if place else () for place in range(length))


def _fan(width: int) -> Shape:
    return ((), *[(0,)] * width, tuple(range(1, width + 1)))


@st.composite
def _any_shape(draw: st.DrawFn) -> Shape:
    size = draw(st.integers(1, 5))
    parents = [
        draw(st.sets(st.integers(0, place - 1), max_size=2)) if place else set() for place in range(size)
    ]
    return tuple(tuple(sorted(places)) for places in parents)


SHAPES = st.one_of(
    st.integers(1, 4).map(_chain),
    st.integers(2, 3).map(_fan),
    st.just(((), (0,), (0,), (1, 2))),
    _any_shape(),
)


class QueueMachine(RuleBasedStateMachine):
    """A queue database, its runners and its people."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.now = datetime(2026, 1, 1)
        self.queue = SQLiteQueueDatabase(Path(self._folder.name) / "queue.sqlite", clock=lambda: self.now)
        self.token: str | None = None
        self.former: list[str] = []
        self.late: list[ChangeSet] = []
        """Decided, not yet applied: the step or the person is slow."""
        self.lines_seen: dict[tuple[str, int], int] = {}
        self._uuids = 0

    # -- what the machine knows ------------------------------------------------------------------------------------

    def records(self) -> list[JobRecord]:
        return [
            JobRecord.from_document(document)
            for document in self.queue.find_jobs({}, sort=[("db_number", 1)])
        ]

    def in_states(self, states: Iterable[JobState]) -> list[JobRecord]:
        chosen = frozenset(states)
        return [record for record in self.records() if record.state in chosen and not record.superseded]

    def held(self, states: frozenset[JobState]) -> list[JobRecord]:
        assert self.token is not None
        return self.queue.due(self.token, states=states, worker=None, limit=1000)

    def generated(
        self, shape: Shape, *, tolerant: bool, last: tuple[str, int] | None = None
    ) -> list[GeneratedJob]:
        """Serialised jobs, parents first; ``last`` is the key of the last one, if it must have a certain one."""
        keys = []
        for _ in shape:
            self._uuids += 1
            keys.append((f"{self._uuids:08x}-0000-4000-8000-000000000000", 1))
        if last is not None:
            keys[-1] = last
        config = {"on_missing_references": "none" if tolerant else "error"}
        return [
            GeneratedJob(
                {
                    "uuid": uuid,
                    "index": index,
                    "name": "j",
                    "hosts": [],
                    "config": config,
                    "function_args": [1],
                },
                tuple(keys[parent][0] for parent in parents),
            )
            for (uuid, index), parents in zip(keys, shape, strict=True)
        ]

    def pick(self, data: st.DataObject, records: list[JobRecord]) -> JobRecord:
        record = records[data.draw(st.integers(0, len(records) - 1), label="which of the jobs")]
        note(f"# job {record.db_id} ({record.state.value})")
        return record

    def apply(self, *change_sets: ChangeSet) -> list[ApplyResult]:
        self.now += timedelta(seconds=1)
        return self.queue.apply(change_sets)

    # -- flows in and runners --------------------------------------------------------------------------------------

    @initialize(shape=SHAPES, tolerant=st.booleans())
    def start(self, shape: Shape, tolerant: bool) -> None:
        self.open_session()
        self.submit_flow(shape, tolerant, WORKERS[0], None)

    def submit_flow(self, shape: Shape, tolerant: bool, worker: str, after: int | None) -> None:
        """``after``: its first job refers to the output of a job of another flow."""
        jobs = self.generated(shape, tolerant=tolerant)
        if after is not None:
            others = self.records()
            jobs[0] = GeneratedJob(jobs[0].job, (others[after % len(others)].uuid,))
        new = decide_submission(
            jobs,
            flow_uuid=f"flow {self._uuids}",
            flow_name="f",
            defaults=RunProperties(worker),
            now=self.now,
            who="ada",
        )
        ids = self.queue.insert_flow(new)
        assert [int(db_id) for db_id in ids] == list(range(int(ids[0]), int(ids[0]) + len(jobs)))

    @precondition(lambda self: self._uuids < MAX_JOBS)
    @rule(
        shape=SHAPES,
        tolerant=st.booleans(),
        worker=st.sampled_from(WORKERS),
        after=st.none() | st.integers(0, 20),
    )
    def submit(self, shape: Shape, tolerant: bool, worker: str, after: int | None) -> None:
        self.submit_flow(shape, tolerant, worker, after)

    @rule(end=st.booleans())
    def runners_come_and_go(self, end: bool) -> None:
        if self.token and end:
            self.close_session()
        else:
            self.open_session()
        if self.former:
            self.check_former_runners()

    def open_session(self) -> None:
        """Also takes over from a runner that did not end."""
        if self.token:
            self.former.append(self.token)
        self.token = self.queue.open_session({"user": "ada"}, lease_seconds=60, override=True).token
        assert {record.claim for record in self.in_states(ACTIVE)} <= {self.token}

    def close_session(self) -> None:
        assert self.token is not None
        self.queue.close_session(self.token)
        self.former.append(self.token)
        self.token = None

    def check_former_runners(self) -> None:
        """They can change nothing."""
        for token in self.former[-2:]:
            with pytest.raises(SessionLostError):
                self.queue.claim(token, worker=WORKERS[0], limit=1)
            moves = [self.advance_change(record, token) for record in self.in_states(ACTIVE)]
            if self.token is not None:  # without a successor the jobs still belong to the last one
                assert not any(result.applied for result in self.apply(*moves))

    def claim(self, worker: str, limit: int) -> None:
        assert self.token is not None
        oldest_first = sorted(self.in_states({JobState.READY}), key=lambda r: (r.created_on, r.db_number))
        ready = [record.key for record in oldest_first if record.worker == worker]
        claimed = self.queue.claim(self.token, worker=worker, limit=limit)
        assert [record.key for record in claimed] == ready[:limit]
        assert all(record.state is JobState.CHECKED_OUT and record.attempt for record in claimed)

    # -- steps -----------------------------------------------------------------------------------------------------

    def advance_change(self, record: JobRecord, token: str, *, batch: bool = False) -> ChangeSet:
        """The next row of the table, short of completion."""
        rows = [row for row in TABLE if row.step and record.state in row.sources]
        row = rows[0]
        targets = [to for to in row.targets if isinstance(to, JobState) and to is not JobState.FAILED]
        wants_batch = record.state in BATCH or (batch and record.state is JobState.UPLOADED)
        to = next((to for to in targets if (to in BATCH) == wants_batch), targets[0])
        change = JobChange(
            record.uuid, record.index, row.sources, to, {"run_dir": "/r"}, token, record.attempt, row.event
        )
        return ChangeSet(record.flow_uuid, (change,))

    def completion(self, record: JobRecord, kind: str, shape: Shape, *, tolerant: bool) -> ChangeSet:
        assert self.token is not None
        if kind == "raise":
            return decide_completion(record, JobResult(None, "boom"), holder=self.token, now=self.now)
        response = JobResponse()
        if kind == "replace":
            response = JobResponse(
                replace=tuple(self.generated(shape, tolerant=tolerant, last=(record.uuid, record.index + 1)))
            )
        elif kind in ("detour", "addition"):
            extra: dict[str, Any] = {kind: tuple(self.generated(shape, tolerant=tolerant))}
            response = replace(response, **extra)
        elif kind.startswith("stop"):
            flag: dict[str, Any] = {kind: True}
            response = replace(response, **flag)
        return decide_completion(record, JobResult(response, None), holder=self.token, now=self.now)

    @rule(
        data=st.data(),
        kind=st.sampled_from(("step", "fail", "kill", "plain", "raise", *RESPONSES)),
        shape=SHAPES,
        tolerant=st.booleans(),
        batch=st.booleans(),
        late=st.integers(0, 4).map(lambda drawn: drawn == 4),
    )
    def work(
        self, data: st.DataObject, kind: str, shape: Shape, tolerant: bool, batch: bool, late: bool
    ) -> None:
        """The runner moves one job; to its end if that is what shall come of it."""
        if self.token is None:
            self.open_session()
        for number, worker in enumerate(WORKERS, 1):
            self.claim(worker, number)
        if not (records := self.held(ACTIVE)):
            self.now += timedelta(seconds=10)
            return
        record = self.pick(data, records)
        if self._uuids > 2 * MAX_JOBS and kind in RESPONSES:
            kind = "plain"
        decided = self._work(record, kind, shape, tolerant=tolerant, batch=batch)
        if late:
            self.late.append(decided)
            return
        (result,) = self.apply(decided)
        assert result.applied, result.refusal
        assert len(result.db_ids) == len(decided.new_jobs)
        self._check_that_it_stops(record, kind)
        if kind == "fail" and decided.changes[0].to is None:
            self._check_that_it_pauses(record)

    def _work(self, record: JobRecord, kind: str, shape: Shape, *, tolerant: bool, batch: bool) -> ChangeSet:
        assert self.token is not None
        if kind in ("fail", "kill"):
            error = SchedulerError("no") if kind == "fail" else JobKilledError("killed")
            return decide_failure(record, error, message="no", policy=POLICY, holder=self.token, now=self.now)
        if kind == "step" and record.state is not JobState.DOWNLOADED:
            return self.advance_change(record, self.token, batch=batch)
        while record.state is not JobState.DOWNLOADED:
            assert self.apply(self.advance_change(record, self.token, batch=batch))[0].applied
            record = next(found for found in self.held(ACTIVE) if found.key == record.key)
        return self.completion(record, kind, shape, tolerant=tolerant)

    def _check_that_it_stops(self, record: JobRecord, kind: str) -> None:
        halted = [job for job in self.in_states(NOT_BEGUN) if job.flow_uuid == record.flow_uuid]
        if kind == "stop_jobflow":
            assert not halted
        if kind == "stop_children":
            assert not any(record.uuid in job.parents for job in halted)

    def _check_that_it_pauses(self, record: JobRecord) -> None:
        assert self.token is not None
        assert record.key not in {found.key for found in self.held(ACTIVE)}
        again = self.queue.next_retry(self.token, states=ACTIVE, worker=None)
        assert again is not None
        assert again > self.now

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def a_slow_one_writes(self, data: st.DataObject) -> None:
        """It is refused if the job was changed in a way that matters, and never half carried out."""
        change_set = self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))
        (change,) = change_set.changes
        record = next((r for r in self.records() if r.key == (change.uuid, change.index)), None)
        (result,) = self.apply(change_set)
        expected = (
            record is not None
            and record.state in change.expect
            and record.attempt == change.attempt
            and (change.holder is None or change.holder == (record.claim or self.token))
        )
        assert result.applied is expected, result.refusal

    # -- people ----------------------------------------------------------------------------------------------------

    def _decide(self, name: str, record: JobRecord, *, force: bool = False) -> ChangeSet:
        if name == "rerun":
            return decide_rerun(record, self.records(), who="ada", force=force)
        if name == "play":
            children = [JobRecord.from_document(child) for child in self.queue.find_children([record.uuid])]
            return decide_play(record, who="ada", children=children)
        simple: dict[str, Callable[..., ChangeSet]] = {
            "pause": decide_pause,
            "stop": decide_stop,
            "retry": decide_retry,
        }
        return simple[name](record, who="ada")

    @rule(
        data=st.data(),
        name=st.sampled_from(["pause", "play", "stop", "retry", "rerun", "rerun"]),
        force=st.booleans(),
        late=st.integers(0, 4).map(lambda drawn: drawn == 4),
    )
    def act(self, data: st.DataObject, name: str, force: bool, late: bool) -> None:
        records = [r for r in self.records() if not r.superseded]
        allowed = [r for r in records if lifecycle.allows(name, r.state, force=force)]
        if not (allowed or records):
            return
        record = self.pick(data, allowed or records)
        try:
            decided = self._decide(name, record, force=force)
        except NotAllowedError as error:
            assert name == "rerun" or record not in allowed
            note(str(error))
            return
        assert record in allowed
        if late and name in ("pause", "stop", "retry"):
            self.late.append(decided)
            return
        (result,) = self.apply(decided)
        assert result.applied, result.refusal

    # -- what must always hold ---------------------------------------------------------------------------------------

    @invariant()
    def every_transition_is_in_the_table(self) -> None:
        for record in self.records():
            states = [JobState(line["state"]) for line in record.history]
            assert states[-1] is record.state
            for (before, line), after in zip(
                zip(states, record.history[1:], strict=False), states[1:], strict=True
            ):
                event = line["event"]
                assert before is after or lifecycle.allows(event, before, after, force=True), (
                    before,
                    event,
                    after,
                )
            known = self.lines_seen.get(record.key, 0)
            assert len(record.history) >= min(known, 50)
            self.lines_seen[record.key] = len(record.history)

    @invariant()
    def jobs_wait_for_their_parents_and_for_nothing_else(self) -> None:
        records = [record for record in self.records() if not record.superseded]
        latest: dict[str, JobRecord] = {}
        for record in sorted(records, key=lambda record: record.index):
            latest[record.uuid] = record
        settlements = {uuid: settlement(record.state) for uuid, record in latest.items()}
        for record in records:
            tolerant = tolerates_missing(record.job)
            outstanding = [
                parent
                for parent in record.parents
                if not edge_is_settled(settlements.get(parent, Settlement.DONE), tolerant=tolerant)
            ]
            if record.state is JobState.WAITING:
                assert outstanding, f"job {record.db_id} waits for nothing"
            if record.state is JobState.READY:
                # a job of another flow that was let go does not wait again when its parent is run again
                here = [parent for parent in outstanding if latest[parent].flow_uuid == record.flow_uuid]
                assert not here, f"job {record.db_id} is READY before its parents {here}"
        for uuid, record in latest.items():
            found = self.queue.get_job(uuid)
            assert found is not None
            assert found["index"] == record.index

    @invariant()
    def flows_are_what_their_jobs_say(self) -> None:
        of_flow: dict[str, list[JobRecord]] = defaultdict(list)
        for record in self.records():
            if not record.superseded:
                of_flow[record.flow_uuid].append(record)
        flows = {flow["uuid"]: flow for flow in self.queue.find_flows({})}
        assert set(flows) == set(of_flow)
        for uuid, jobs in of_flow.items():
            parents: dict[str, set[str]] = defaultdict(set)
            latest: dict[str, JobRecord] = {}
            for job in sorted(jobs, key=lambda job: job.index):
                parents[job.uuid] |= set(job.parents)
                latest[job.uuid] = job
            leaves = [latest[leaf].state for leaf in find_leaves(parents)]
            assert flows[uuid]["state"] == flow_state_of_jobs([job.state for job in jobs], leaves).value
            assert flows[uuid]["counts"] == Counter(job.state.value for job in jobs)
            assert flows[uuid]["n_jobs"] == len(jobs)

    @invariant()
    def claims_are_held_in_active_states_only(self) -> None:
        for record in self.records():
            assert record.claim is None or record.state in ACTIVE
            assert record.claim is None or record.claim in {self.token, *self.former}

    @invariant()
    def nothing_is_damaged(self) -> None:
        assert self.queue.check_integrity() == []
        assert self.queue.count_job_states() == Counter(record.state.value for record in self.records())

    # -- and in the end ------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self._finish_everything()
        finally:
            self.queue.close()
            self._folder.cleanup()

    def _finish_everything(self) -> None:
        """Nothing is stuck: once people let all jobs go and the runner works, every flow comes to its end."""
        self.open_session()
        assert self.token is not None
        for _ in range(200):
            self.now += timedelta(seconds=60)
            for worker in WORKERS:
                self.queue.claim(self.token, worker=worker, limit=1000)
            held = self.held(ACTIVE)
            if held:
                results = self.apply(*[self._next_change(record) for record in held])
                assert all(result.applied for result in results)
            elif not self._let_all_go():
                break
        stuck = [r for r in self.records() if not (r.superseded or r.state is JobState.COMPLETED)]
        assert not stuck, [(record.db_id, record.state.value) for record in stuck]
        assert {flow["state"] for flow in self.queue.find_flows({})} <= {FlowState.COMPLETED.value}
        self.nothing_is_damaged()
        self.every_transition_is_in_the_table()

    def _next_change(self, record: JobRecord) -> ChangeSet:
        assert self.token is not None
        if record.state is JobState.DOWNLOADED:
            return self.completion(record, "plain", (), tolerant=False)
        return self.advance_change(record, self.token)

    def _let_all_go(self) -> bool:
        """Play, retry and rerun whatever waits for a person; returns whether anything did."""
        somebody = False
        for name, states in (
            ("play", lifecycle.RESUMABLE),
            ("retry", frozenset({JobState.REMOTE_ERROR})),
            ("rerun", frozenset({JobState.FAILED})),
        ):
            while found := self.in_states(states):
                (result,) = self.apply(self._decide(name, found[0], force=True))
                assert result.applied, result.refusal
                somebody = True
        return somebody


@pytest.mark.timeout(0 if EXPLORE or SHRINK else 300)
def test_random_histories() -> None:
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=EXPLORE or 25,
            stateful_step_count=40,
            derandomize=not EXPLORE,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink) if EXPLORE or SHRINK else (Phase.generate,),
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
