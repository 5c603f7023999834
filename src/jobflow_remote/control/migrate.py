"""Moving: everything of one project's queue database and output stores into those of another project.

Outputs come first, then the queue, then both are read again and compared. While the target is being filled an auxiliary
document says so, and no runner starts on it; repeating a move that was interrupted ends as if it had not been. The
source is only read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from jobflow_remote.control.admin import check_runner_stopped
from jobflow_remote.errors import ConfigError, NotAllowedError, QueueDatabaseError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import Document
from jobflow_remote.outputs.copying import Copied, StorePair, copy_store, pair_stores, verify_store
from jobflow_remote.queuedb.moving import KEYS, NEXT_ID, Digest, canonical, in_batches
from jobflow_remote.queuedb.port import INCOMING, QueueDatabase
from jobflow_remote.services.opened import Services
from jobflow_remote.services.session import no_runner_alive

_AT_ONCE = 200
_HIDDEN_KEYS = (INCOMING, NEXT_ID)
"""Auxiliary documents that need not be the same in the end (ids go on from the higher number)."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many documents of it are done, and how many there are."""


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Plan:
    """What a move would do."""

    source: str
    target: str
    counts: dict[str, int]
    """Documents to copy, by collection."""
    present: dict[str, int]
    """Those that are in the target already."""
    stores: list[tuple[StorePair, int]] = field(default_factory=list)
    """Output stores to copy, with the number of their documents."""
    shared: list[str] = field(default_factory=list)
    """Output stores that both projects use: nothing to copy."""
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False
    """Whether it goes on with a move that did not come to its end."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was moved, and found to be the same on both sides."""

    queue: dict[str, Digest]
    written: dict[str, int]
    outputs: list[Copied]


# -- looking -------------------------------------------------------------------------------------------------


def plan_migration(source: Services, target: Services, *, outputs: bool = True) -> Plan:
    """Look at both projects and say what would be done. Nothing is written.

    Raises
    ------
    ConfigError
        If both are the same queue database, or a store of outputs has no counterpart.
    NotAllowedError
        If the target holds something that is not in the source.
    RunnerActiveError
        If a runner of either project is active.
    """
    if source.project.queue_spec() == target.project.queue_spec():
        raise ConfigError(
            f"projects {source.project.name} and {target.project.name} have the same queue database",
            hint="name a project whose `queue.store` is the one to move to",
        )
    for services in (source, target):
        check_runner_stopped(services.daemon_dir, services.queue)
    interrupted = _is_interrupted(source.queue, target.queue)
    plan = Plan(
        source=source.queue.describe(),
        target=target.queue.describe(),
        counts=_count(source.queue),
        present=_count(target.queue),
        warnings=_compare_projects(source, target),
        interrupted=interrupted,
    )
    if any(plan.present[name] for name in ("jobs", "flows", "batches")):
        _refuse_others(source.queue, target.queue, may_differ=interrupted)
    if outputs:
        _plan_outputs(source, target, plan)
    return plan


def _count(queue: QueueDatabase) -> dict[str, int]:
    return {
        "jobs": queue.count_jobs({}),
        "flows": queue.count_flows({}),
        "batches": sum(1 for _ in queue.dump("batches")),
        "jf_auxiliary": sum(each["key"] not in _HIDDEN_KEYS for each in queue.dump("jf_auxiliary")),
    }


def _is_interrupted(source: QueueDatabase, target: QueueDatabase) -> bool:
    """Whether the target is half filled, from this source.

    Raises
    ------
    NotAllowedError
        If it is half filled from another one.
    """
    if source.get_auxiliary(INCOMING):
        raise NotAllowedError(
            f"{source.describe()} is itself the target of a move or a restore that did not come to its end",
            hint="repeat that first",
        )
    mark = target.get_auxiliary(INCOMING)
    if mark and mark.get("from") != source.describe():
        raise NotAllowedError(
            f"{target.describe()} is half filled, from {mark.get('from')}",
            hint="repeat that, or empty it with `jf admin reset`",
        )
    return bool(mark)


def _refuse_others(source: QueueDatabase, target: QueueDatabase, *, may_differ: bool) -> None:
    """Refuse a target with documents that the source has not, or has with other content."""
    for name in ("jobs", "flows", "batches"):
        key = KEYS[name]
        ours = source.dump(name)
        one: Document | None = next(ours, None)
        for other in target.dump(name):
            while one is not None and one[key] < other[key]:
                one = next(ours, None)
            known = one is not None and one[key] == other[key]
            if known and (may_differ or canonical(one) == canonical(other)):
                continue
            which = other.get("db_id") or other[key]
            what = "differs from that of the source" if known else "is not in the source"
            raise NotAllowedError(
                f"{target.describe()} holds something else: {which} of {name} {what}",
                hint="choose an empty queue database, or empty it with `jf admin reset`",
            )


def _compare_projects(source: Services, target: Services) -> list[str]:
    """What jobs refer to by name and the target project does not have."""
    used: dict[str, dict[str, int]] = {"worker": {}, "exec_config": {}}
    for job in source.queue.find_jobs({}, fields=["worker", "exec_config"]):
        for kind, names in used.items():
            name = job.get(kind)
            if isinstance(name, str):
                names[name] = names.get(name, 0) + 1
    defined = {"worker": set(target.project.workers), "exec_config": set(target.project.exec_config)}
    return [
        f"project {target.project.name} has no {kind} {name!r}, which {number} jobs use"
        for kind, names in used.items()
        for name, number in sorted(names.items())
        if name not in defined[kind]
    ]


def _plan_outputs(source: Services, target: Services, plan: Plan) -> None:
    used = {flow.get("jobstore") for flow in source.queue.find_flows({}, fields=["jobstore"])}
    defined = set(target.project.optional_jobstores or ())
    names: list[str | None] = [None] if source.project.jobstore else []
    for name in source.project.optional_jobstores or ():
        if name in defined:
            names.append(name)
        elif name in used:
            raise ConfigError(
                f"project {target.project.name} has no optional job store {name!r}, which flows use",
                hint="add it under `optional_jobstores`, or leave the outputs where they are: --no-outputs",
            )
    for each in names:
        for pair in pair_stores(source.outputs(each), target.outputs(each), name=each):
            if pair.is_same_place:
                plan.shared.append(pair.label)
            else:
                plan.stores.append((pair, pair.count()))


# -- doing ---------------------------------------------------------------------------------------------------


def migrate(source: Services, target: Services, plan: Plan, *, progress: Progress = silent) -> Report:
    """Carry out a plan; may be repeated.

    Raises
    ------
    QueueDatabaseError, OutputStoreError
        If something could not be stored, or is not the same in the end.
    """
    queue, aim = source.queue, target.queue
    with _held(source, target):
        if not plan.interrupted:
            aim.set_auxiliary(INCOMING, {"from": queue.describe(), "since": utcnow()})
        for pair, total in plan.stores:
            copy_store(
                pair, replace=plan.interrupted, tick=_ticker(progress, f"copy {pair.label}", total=total)
            )
        written = {name: _copy(queue, aim, name, plan, progress) for name in KEYS}
        progress("put together", 0, 1)
        aim.finish_load()
        progress("put together", 1, 1)
        outputs = [
            verify_store(pair, tick=_ticker(progress, f"compare {pair.label}", total=total))
            for pair, total in plan.stores
        ]
        digests = _verify(queue, aim, plan, progress)
        aim.set_auxiliary(INCOMING, None)
    return Report(digests, written, outputs)


@contextmanager
def _held(source: Services, target: Services) -> Iterator[None]:
    """No runner of either project starts on this machine meanwhile."""
    with ExitStack() as stack:
        for folder in sorted({source.daemon_dir, target.daemon_dir}):
            stack.enter_context(no_runner_alive(folder))
        yield


def _ticker(progress: Progress, what: str, *, total: int) -> Callable[[int], None]:
    done = 0

    def tick(number: int) -> None:
        nonlocal done
        done += number
        progress(what, done, max(done, total))

    progress(what, 0, total)
    return tick


def _copy(queue: QueueDatabase, aim: QueueDatabase, name: str, plan: Plan, progress: Progress) -> int:
    tick = _ticker(progress, f"copy {name}", total=plan.counts[name])
    written = 0
    documents = (each for each in queue.dump(name) if each.get("key") != INCOMING)
    for batch in in_batches(documents, _AT_ONCE):
        written += aim.load(name, batch)
        tick(len(batch))
    return written


def summarise(queue: QueueDatabase, tick: Callable[[int], None] = lambda _: None) -> dict[str, Digest]:
    """Number and digest of the documents of each collection; the same whatever database they are in."""
    found = {}
    for name in KEYS:
        digest = found[name] = Digest()
        for number, document in enumerate(queue.dump(name), 1):
            if document.get("key") not in _HIDDEN_KEYS:
                digest.add(document)
            if number % _AT_ONCE == 0:
                tick(_AT_ONCE)
    return found


def _verify(queue: QueueDatabase, aim: QueueDatabase, plan: Plan, progress: Progress) -> dict[str, Digest]:
    tick = _ticker(progress, "compare the queue", total=2 * sum(plan.counts.values()))
    expected = summarise(queue, tick)
    found = summarise(aim, tick)
    _add_missing_keys(aim, queue, expected)
    for name, digest in expected.items():
        if found[name] != digest:
            raise QueueDatabaseError(
                f"{name} are not the same in the end: {digest.count} documents with digest {digest.hex} in "
                f"{queue.describe()}, {found[name].count} with {found[name].hex} in {aim.describe()}",
                hint="was something submitted or changed meanwhile? repeat the command",
            )
    ids: list[Any] = [each.get_auxiliary(NEXT_ID) for each in (queue, aim)]
    if ids[1] < ids[0]:
        raise QueueDatabaseError(f"the next id is {ids[1]} in {aim.describe()}, and {ids[0]} in the source")
    return expected


def _add_missing_keys(aim: QueueDatabase, queue: QueueDatabase, expected: dict[str, Digest]) -> None:
    """Auxiliary documents of the target alone are no difference."""
    ours = {each["key"] for each in queue.dump("jf_auxiliary")}
    for document in aim.dump("jf_auxiliary"):
        if document["key"] not in ours and document["key"] not in _HIDDEN_KEYS:
            expected["jf_auxiliary"].add(document)
