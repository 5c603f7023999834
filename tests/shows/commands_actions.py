"""Every action in every state on both databases, and random actions while a runner works."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from tests.services.mongod import Mongod
from tests.services.warmnode import WarmNode
from tests.shows import actiontable
from tests.shows.inprocess import Bench
from tests.shows.randomactions import ACTIONS, KINDS, Action, play_out
from tests.shows.verdict import Verdict, is_true

from jobflow_remote.queuedb.mongo import MongoQueueDatabase
from jobflow_remote.queuedb.mongo.options import Names, Server
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase

EXAMPLES = {"SQLite": 40, "MongoDB": 20}
"""Database → random histories on it."""


_STORE = {"type": "MongoURIStore", "collection_name": "jobs"}


def _walk(name: str, folder: Path, queue: QueueDatabase) -> list[Verdict]:
    services = actiontable.make_services(folder, queue)
    number, wrong = actiontable.walk(services, every_target=True)
    settings_number, settings_wrong = actiontable.walk_settings(services)
    queue.close()
    for line in [*wrong, *settings_wrong]:
        print(f"{name}: {line}")
    return [
        is_true(
            f"{name}: actions × states that differ from the lifecycle table",
            not wrong and not settings_wrong,
            figure=f"{len(wrong) + len(settings_wrong)} of {number + settings_number}",
            bound="0",
        )
    ]


def _on_servers(folder: Path) -> list[Verdict]:
    verdicts = []
    for name, replica_set in (("MongoDB, standalone", None), ("MongoDB, replica set", "actions")):
        own = folder / (replica_set or "standalone")
        own.mkdir()
        server = Mongod(own / "mongod", replica_set=replica_set).start()
        try:
            queue = MongoQueueDatabase(Server(Names("actions"), uri=server.uri))
            verdicts += _walk(name, own, queue)
        finally:
            server.stop()
    return verdicts


def play_at_random(
    folder: Path, *, examples: int, seed: int | None = None, server: Mongod | None = None
) -> tuple[Counter[str], list[str]]:
    """Histories of actions while a runner works; what was done how often, and what was wrong in the end.

    On SQLite, or on ``server``: each in a database of its own.
    """
    total: Counter[str] = Counter()
    wrong: list[str] = []
    node = WarmNode(folder)

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=seed is None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(ACTIONS)
    def history(actions: list[Action]) -> None:
        number = total["histories"]
        total["histories"] += 1
        own = folder / str(number)
        own.mkdir()
        store = None if server is None else {**_STORE, "uri": server.uri, "database": f"random{number}"}
        bench = Bench(own, node, queue=store)
        try:
            done, found = play_out(bench, actions, number)
        finally:
            bench.close()
        total.update(done)
        wrong.extend(f"history {number}, {actions}: {line}" for line in found)

    try:
        (history if seed is None else seeded(seed)(history))()
    finally:
        node.stop()
    return total, wrong


def _at_random(name: str, folder: Path, seed: int, server: Mongod | None) -> list[Verdict]:
    folder.mkdir()
    done, wrong = play_at_random(folder, examples=EXAMPLES[name], seed=seed, server=server)
    for line in wrong:
        print(line)
    carried_out = sum(done[kind] for kind in KINDS)
    return [
        is_true(
            f"{name}: random actions while a runner works: nothing stuck, invariants and outputs right",
            not wrong and done["histories"] >= EXAMPLES[name],
            figure=f"{len(wrong)} findings after {carried_out} actions in {done['histories']} histories (seed {seed})",
            bound=f"0 in {EXAMPLES[name]}",
        ),
        is_true(
            f"{name}: kinds of actions that were possible at some time",
            all(done[kind] for kind in KINDS),
            figure=str({kind: done[kind] for kind in KINDS}),
            bound="each",
        ),
    ]


def measure(folder: Path, seed: int) -> list[Verdict]:
    """The whole table on three databases; many random histories on two."""
    verdicts = _walk("SQLite", folder, SQLiteQueueDatabase(folder / "queue.sqlite"))
    verdicts += _on_servers(folder)
    verdicts += _at_random("SQLite", folder / "random", seed, None)
    server = Mongod(folder / "mongod").start()
    try:
        return verdicts + _at_random("MongoDB", folder / "random_mongodb", seed, server)
    finally:
        server.stop()
