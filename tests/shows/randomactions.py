"""People do this and that to jobs while a runner works; in the end everything is done, and done right."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hypothesis import strategies as st
from tests.shows.inprocess import Bench, wait_until

from jobflow_remote.control import act, removing
from jobflow_remote.control.flows import Deletion, delete_flows
from jobflow_remote.model import lifecycle
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.testing.scenarios import SCENARIOS, compare_stores, run_reference

FLOWS = ("diamond", "detour", "replaced_by_flow", "addition", "linear", "replace_and_detour")
KINDS = (
    "pause",
    "play",
    "stop",
    "retry",
    "rerun",
    "rerun --force",
    "children only",
    "priority",
    "unlock",
    "delete",
)

Action = tuple[str, int, int]
"""What, to which job, and after how many hundredths of a second."""

ACTIONS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 1000), st.integers(0, 12)), min_size=8, max_size=30
)


def _decide(kind: str) -> act.Decide:
    made: dict[str, Callable[[], act.Decide]] = {
        "pause": act.pause,
        "play": act.play,
        "stop": act.stop,
        "retry": act.retry,
        "rerun": act.run_again,
        "rerun --force": lambda: act.run_again(force=True),
        "children only": lambda: act.run_again(force=True, descendants=False),
        "priority": lambda: act.set_properties(act.RunSettings(priority=5)),
        "unlock": act.unlock,
    }
    return made[kind]()


def play_out(bench: Bench, actions: Sequence[Action], seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Submit three flows, act, let everything go; returns what was done how often, and what is wrong in the end."""
    names = [FLOWS[(seed + number) % len(FLOWS)] for number in range(2)]
    flows = [SCENARIOS[name]() for name in names]
    references = [run_reference(flow) for flow in flows]
    victim = SCENARIOS["fan"]()
    done: Counter[str] = Counter()
    with bench.running():
        for flow in [*flows, victim]:
            bench.submit(flow)
        for kind, which, pause in actions:
            time.sleep(pause / 100)  # the pace of somebody at a keyboard; nothing is waited for
            done[kind] += _act(bench, kind, which, victim.uuid)
        delete_flows(bench.services, [victim.uuid], Deletion(outputs=True, files=True))
        uuids = [flow.uuid for flow in flows]
        wait_until(lambda: _let_all_go(bench, uuids), f"all of {names} is COMPLETED: {bench.states()}")
    wrong = [*bench.queue.check_integrity(), *_look_at(bench, uuids)]
    store = bench.services.outputs().jobstore
    for flow, reference in zip(flows, references, strict=True):
        wrong += compare_stores(reference, store, flow)
    return done, [f"{names}: {line}" for line in wrong]


def _act(bench: Bench, kind: str, which: int, victim: str) -> int:
    """Do something to one of the jobs; whether it was possible."""
    records = bench.records(victim if kind == "delete" else None)
    if not records:
        return 0
    if which % 2:  # as somebody would who looks before
        records = [record for record in records if _is_possible(kind, record)] or records
    record = records[which % len(records)]
    if kind == "delete":
        return len(removing.delete_jobs(bench.services, [record.key], Deletion(files=True)).deleted)
    return int(bench.act(record, _decide(kind)).done)


def _is_possible(kind: str, record: JobRecord) -> bool:
    event = {"rerun --force": "rerun", "children only": "rerun"}.get(kind, kind)
    if event == "unlock":
        return record.claim is not None
    return event == "priority" or lifecycle.allows(event, record.state, force=kind != "rerun")


def _let_all_go(bench: Bench, uuids: Sequence[str]) -> bool:
    """Play and rerun whatever waits for a person; whether everything is COMPLETED."""
    records = [record for uuid in uuids for record in bench.records(uuid)]
    for record in records:
        if record.state in lifecycle.RESUMABLE:
            bench.act(record, act.play())
        elif record.state in lifecycle.ERRORS:
            bench.act(record, act.run_again(force=True))
    return all(record.state is JobState.COMPLETED for record in records)


def _look_at(bench: Bench, uuids: Sequence[str]) -> Iterator[str]:
    flows = {flow["uuid"]: flow for flow in bench.queue.find_flows({})}
    if set(flows) != set(uuids):
        yield f"there are {len(flows)} flows"
    for uuid, flow in flows.items():
        if flow["state"] != "COMPLETED":
            yield f"flow {uuid} is {flow['state']}"
    for record in bench.records(all_of_them=True):
        if record.claim is not None:
            yield f"job {record.db_id} is {record.state.value}, and a runner holds it"
        if record.superseded and record.state in lifecycle.UNFINISHED:
            yield f"job {record.db_id} is superseded, and {record.state.value}"
        if _is_alive(record):
            yield f"job {record.db_id} is {record.state.value}, and its process {record.process_id} lives"


def _is_alive(record: JobRecord) -> bool:
    """Whether the process of a job of this project is still there."""
    if record.process_id is None or record.run_dir is None:
        return False
    try:
        where = os.readlink(f"/proc/{record.process_id}/cwd")
    except OSError:
        return False
    return Path(where) == Path(record.run_dir)
