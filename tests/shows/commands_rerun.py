"""Reruns: whatever was run again, the outputs are those of a fresh run.

Before each rerun the stored outputs of the jobs that will run again are spoiled, so that a job that did not, and one
that read a stale output, is found out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow import Flow, JobStore
from tests.services.mongod import Mongod
from tests.services.warmnode import WarmNode
from tests.shows.inprocess import Bench
from tests.shows.verdict import Verdict, is_true

from jobflow_remote.control import act
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.testing import scenario_jobs as jobs
from jobflow_remote.testing.jobs import add
from jobflow_remote.testing.scenarios import SCENARIOS, compare_stores, run_reference

DYNAMIC = (
    "replaced_by_job", "replaced_by_flow", "replaced_by_list", "replaced_again_and_again",
    "replaced_within_replacement", "detour", "addition", "replace_and_detour", "everything_at_once",
)  # fmt: skip
STATIC = ("linear", "diamond", "nested", "big_outputs", "reference_in_output")


@dataclass(frozen=True, slots=True)
class Story:
    """A job of a scenario that is run again."""

    scenario: str
    place: int
    """Which of the jobs, by their ids; from the end if negative."""
    descendants: bool

    def __str__(self) -> str:
        how = "with descendants" if self.descendants else "without descendants"
        return f"job {self.place} of {self.scenario}, {how}"


SMALL = (
    Story("replaced_by_flow", 0, True),
    Story("replaced_by_flow", 0, False),
    Story("everything_at_once", 0, True),
    Story("everything_at_once", 0, False),
    Story("linear", 1, True),
    Story("linear", 1, False),
)


def tell(bench: Bench, story: Story) -> list[str]:
    """Run the scenario, rerun the job; a line for each thing that is not as it would be after a fresh run."""
    flow = SCENARIOS[story.scenario]()
    reference = run_reference(flow)
    bench.submit(flow)
    bench.run_until_idle()
    before = bench.records(flow.uuid, all_of_them=True)
    chosen = before[story.place]
    again = act.run_again(force=True, descendants=story.descendants)
    foretold = bench.act(chosen, again, dry_run=True)
    if chosen.state is not JobState.COMPLETED or not foretold.done:
        return [f"{story}: cannot be told: {chosen.state}, {foretold.refusal}"]
    _spoil(bench, [job for job in before if job.db_id in foretold.changed], foretold)
    done = bench.act(chosen, again)
    wrong = [] if done.changed == foretold.changed else [f"--dry-run said {foretold.changed}: {done.changed}"]
    wrong += _check_effect(story, before, done)
    bench.run_until_idle()
    wrong += compare_stores(reference, bench.services.outputs().jobstore, flow)
    wrong += _check_end(bench, flow)
    return [f"{story}: {line}" for line in wrong]


def _spoil(bench: Bench, chosen: Sequence[JobRecord], foretold: act.JobOutcome) -> None:
    """Spoil the outputs of the jobs that will run again or are superseded."""
    kept = {effect.db_id for effect in foretold.effects if effect.event == "other parents"}
    store = bench.services.outputs().jobstore.docs_store
    for record in chosen:
        key = {"uuid": record.uuid, "index": record.index}
        document = store.query_one(key)
        if document is not None and record.db_id not in kept:
            document.pop("_id", None)
            store.update([{**document, "output": "stale"}], key=["uuid", "index"])


def _check_effect(story: Story, before: Sequence[JobRecord], done: act.JobOutcome) -> Iterator[str]:
    """All that hangs on the job is affected, or its children only; what it brought about is superseded."""
    by_id = {record.db_id: record for record in before}
    first = by_id[done.effects[0].db_id]
    wanted = {
        record.db_id for record in before if first.uuid in record.parents and record.generated_by is None
    }
    changed = {effect.db_id for effect in done.effects if effect.event != "superseded"}
    if not wanted <= changed:
        yield f"children that were left alone: {wanted - changed}"
    generated = {record.db_id for record in before if record.generated_by == first.db_id}
    superseded = {effect.db_id for effect in done.effects if effect.event == "superseded"}
    if not generated <= superseded:
        yield f"not superseded: {generated - superseded}"
    everything = _behind(first, before)
    behind = everything - changed - superseded
    if story.descendants and behind:
        yield f"descendants that were left alone: {behind}"
    if not story.descendants and story.scenario in STATIC and everything - wanted and not behind:
        yield "the jobs behind the children did not stay"


def _behind(first: JobRecord, records: Sequence[JobRecord]) -> set[str]:
    found: set[str] = set()
    frontier = {first.uuid}
    while frontier:
        new = [r for r in records if frontier & set(r.parents) and r.db_id not in found | {first.db_id}]
        found |= {record.db_id for record in new}
        frontier = {record.uuid for record in new}
    return found


def _check_end(bench: Bench, flow: Flow) -> Iterator[str]:
    yield from bench.queue.check_integrity()
    for record in bench.records(flow.uuid, all_of_them=True):
        if record.superseded and record.state not in (JobState.COMPLETED, JobState.USER_STOPPED):
            yield f"job {record.db_id} is superseded and {record.state.value}"
        if not record.superseded and record.state is not JobState.COMPLETED:
            yield f"job {record.db_id} is {record.state.value}: {record.error or record.remote['error']}"
    (found,) = bench.queue.find_flows({"uuid": flow.uuid})
    if found["state"] != "COMPLETED":
        yield f"the flow is {found['state']}"


# -- a failed job, with other inputs ---------------------------------------------------------------------------


def change_inputs(bench: Bench) -> list[str]:
    """Jobs that failed are rerun with other inputs: numbers, names, a reference, another worker."""
    wrong: list[str] = []
    broken = add("one", 2)
    flow = Flow([broken, jobs.describe(broken.output, whole=1)], name="broken inputs")
    wrong += _mended(bench, flow, broken.uuid, {"0": 40}, args=[40, 2])
    first, second = add(1, 1), add(10, 10)
    refers = add(first.output, "text")
    flow = Flow([first, second, refers, add(refers.output, 1)], name="another reference")
    other = second.output.as_dict()
    wrong += _mended(
        bench, flow, refers.uuid, {"0": other, "1": 5}, args=[second.output, 5], parents=[second.uuid]
    )
    return wrong


def _mended(
    bench: Bench,
    flow: Flow,
    uuid: str,
    inputs: Mapping[str, Any],
    *,
    args: list[Any],
    parents: list[str] | None = None,
) -> list[str]:
    fresh = copy.deepcopy(flow)
    next(job for job in fresh.jobs if job.uuid == uuid).function_args = tuple(args)
    reference: JobStore = run_reference(fresh)
    bench.submit(flow)
    bench.run_until_idle()
    record = next(job for job in bench.records(flow.uuid) if job.uuid == uuid)
    if record.state is not JobState.FAILED:
        return [f"{flow.name}: the job is {record.state.value}, and should have failed"]
    settings = act.RunSettings(worker="other", priority=3)
    outcome = bench.act(record, act.run_again(inputs=inputs, settings=settings))
    bench.run_until_idle()
    wrong = [outcome.refusal or ""] if not outcome.done else []
    after = next(job for job in bench.records(flow.uuid) if job.uuid == uuid)
    if (after.worker, after.priority) != ("other", 3) or "elsewhere" not in (after.run_dir or ""):
        wrong.append(f"it ran on {after.worker} with {after.priority} in {after.run_dir}")
    if parents is not None and list(after.parents) != parents:
        wrong.append(f"its parents are {after.parents}")
    wrong += compare_stores(reference, bench.services.outputs().jobstore, flow)
    return [f"{flow.name}: {line}" for line in [*wrong, *_check_end(bench, flow)]]


# -- at full size ----------------------------------------------------------------------------------------------


def all_stories() -> list[Story]:
    """Every job that was submitted with its flow, of every scenario, both ways."""
    found = []
    for scenario in (*DYNAMIC, *STATIC):
        for place in range(len(list(SCENARIOS[scenario]().iterflow()))):
            found += [Story(scenario, place, descendants) for descendants in (True, False)]
    return found


def _measure_on(name: str, bench: Bench) -> list[Verdict]:
    stories = all_stories()
    wrong = [line for story in stories for line in tell(bench, story)]
    mended = change_inputs(bench)
    for line in [*wrong, *mended]:
        print(line)
    done = [story for story in stories if story.scenario in DYNAMIC]
    return [
        is_true(
            f"{name}: reruns of jobs with dynamic children, outputs and states as after a fresh run",
            not any(line.startswith(str(story)) for line in wrong for story in done),
            figure=f"{len(wrong)} differences after {len(done)} reruns",
            bound="0",
        ),
        is_true(
            f"{name}: reruns in the middle of flows",
            not wrong,
            figure=f"{len(wrong)} differences after {len(stories)} reruns in all",
            bound="0",
        ),
        is_true(
            f"{name}: failed jobs with other inputs, worker and priority",
            not mended,
            figure=f"{len(mended)} differences",
            bound="0",
        ),
    ]


def measure(folder: Path, seed: int) -> list[Verdict]:
    """All stories, on both databases; nothing is random."""
    node = WarmNode(folder)
    server = Mongod(folder / "mongod").start()
    stores = {
        "SQLite": None,
        "MongoDB": {
            "type": "MongoURIStore",
            "uri": server.uri,
            "database": "rerun",
            "collection_name": "jobs",
        },
    }
    verdicts = []
    try:
        for name, store in stores.items():
            own = folder / name
            own.mkdir()
            bench = Bench(own, node, queue=store)
            try:
                verdicts += _measure_on(name, bench)
            finally:
                bench.close()
    finally:
        node.stop()
        server.stop()
    return verdicts
