"""Random filters on random documents: the embedded queue database against a real mongod.

    python -m tests.shows.fuzz MONGODB-URI [FILTERS] [SEED]

Each filter is asked three times: the server itself (``collection.find``), our adapter for MongoDB, and our embedded
database. The two adapters are also asked for an order, a page and some fields of the same documents. A difference is
reported with the smallest filter that still shows it, a document about which they disagree, and both answers.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from bson import Decimal128
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from tests.shows.randomfilters import FLOW_COLD, FLOW_PATHS, JOB_COLD, JOB_PATHS, START, Filter, Pairs, Source

from jobflow_remote.errors import FilterError
from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.mongo import MongoQueueDatabase
from jobflow_remote.queuedb.mongo.options import Names, Server
from jobflow_remote.queuedb.port import QueueDatabase
from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase

_REFUSED = "refused"
_PER_POPULATION = 400
"""So many filters are asked about the same documents."""
_FLOWS, _JOBS_OF_FLOW = 14, 4


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of both databases."""

    flows: bool
    query: Filter
    sort: Pairs = field(default_factory=list)
    fields: list[str] | None = None
    skip: int = 0
    limit: int = 0
    with_inputs: bool = False

    def ask(self, database: QueueDatabase) -> Any:
        """Documents, or that the filter is refused."""
        page: dict[str, Any] = {
            "fields": self.fields,
            "sort": self.sort,
            "skip": self.skip,
            "limit": self.limit,
        }
        try:
            if self.flows:
                return database.find_flows(self.query, **page)
            return database.find_jobs(self.query, **page, with_inputs=self.with_inputs)
        except FilterError:
            return _REFUSED
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a difference
            return f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A question to which the answers differ."""

    seed: int
    population: int
    question: Question
    who: str
    embedded: Any
    server: Any
    document: Document | None

    def __str__(self) -> str:
        asked = self.question
        kind = "flows" if asked.flows else "jobs"
        lines = [
            f"{kind}, {self.who} (seed {self.seed}, population {self.population})",
            f"  filter   {asked.query!r}",
        ]
        if asked.sort or asked.skip or asked.limit:
            lines.append(f"  sort     {asked.sort}, skip {asked.skip}, limit {asked.limit}")
        if asked.fields is not None:
            lines.append(f"  fields   {asked.fields}")
        lines += [f"  document {_short(self.document)}", f"  embedded {_short(self.embedded)}"]
        return "\n".join([*lines, f"  mongod   {_short(self.server)}"])


@dataclass(slots=True)
class Report:
    """What a fuzz came to."""

    seed: int
    filters: int = 0
    matched: int = 0
    """Filters that some but not all documents match."""
    refused: int = 0
    seconds: float = 0.0
    operators: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.filters} filters with seed {self.seed} in {self.seconds:.0f} s: {self.matched} select some "
            f"documents, {self.refused} refused by both, {len(self.differences)} differences"
        )


class Pair:
    """The same documents in both databases."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.name = f"fuzz_{uuid4().hex[:12]}"
        self.client: MongoClient[Any] = MongoClient(uri)
        self.found: Any = None
        """What the server said last."""
        self.mongo = MongoQueueDatabase(Server(Names(self.name), uri=uri), clock=lambda: START)
        self.embedded = SQLiteQueueDatabase(folder / "fuzz.db", clock=lambda: START)

    def fill(self, source: Source) -> None:
        """New random documents instead of those that are there."""
        self.mongo.reset()
        self.embedded.reset()
        for _ in range(_FLOWS):
            flow = source.flow(jobs=source.random.randint(1, _JOBS_OF_FLOW * 2 - 1))
            self.mongo.insert_flow(flow)
            self.embedded.insert_flow(flow)

    def raw(self, asked: Question) -> Any:
        """Numbers of the documents that the server finds, or that it refuses the filter."""
        collection = self.mongo.flows if asked.flows else self.mongo.jobs
        try:
            return sorted(found["db_number"] for found in collection.find(asked.query, {"db_number": 1}))
        except OperationFailure:
            return _REFUSED

    def compare(self, asked: Question) -> tuple[str, Any, Any] | None:
        """Who differs, what the embedded database says, and what the server says; None if they agree."""
        embedded = asked.ask(self.embedded)
        plain = Question(asked.flows, asked.query, fields=["db_number"])
        numbers = _numbers(plain.ask(self.embedded))
        raw = self.found = self.raw(asked)
        if numbers != raw:
            return "which documents", numbers, raw
        mongo = asked.ask(self.mongo)
        if mongo == _REFUSED != raw:  # the order: numbers that are names of fields too, or two arrays at once
            mongo = embedded
        if not _equal(embedded, mongo):
            return "what of the documents, in which order", *_first_difference(embedded, mongo)
        count = self.embedded.count_flows if asked.flows else self.embedded.count_jobs
        if raw != _REFUSED and count(asked.query) != len(raw):
            return "how many", count(asked.query), len(raw)
        return None

    def document_of(self, asked: Question, embedded: Any, server: Any) -> Document | None:
        """One document about which the two disagree."""
        if not all(
            isinstance(said, list) and all(isinstance(n, int) for n in said) for said in (embedded, server)
        ):
            return None
        for number in sorted(set(embedded) ^ set(server)):
            which = Question(asked.flows, {"db_number": number}, with_inputs=True)
            found: list[Document] = which.ask(self.mongo)
            return found[0]
        return None

    def close(self) -> None:
        """Drop what was made."""
        self.client.drop_database(self.name)
        self.client.close()
        self.mongo.close()
        self.embedded.close()


def fuzz(filters: int, seed: int, *, uri: str, most: int = 5, say: Callable[[str], None] = print) -> Report:
    """Ask so many random filters; stops after ``most`` differences.

    The report is printed, seeds included, whatever comes out.
    """
    report = Report(seed)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="jff-") as folder:
        pair = Pair(uri, Path(folder))
        try:
            for population in range(-(-filters // _PER_POPULATION)):
                source = Source(seed * 1_000_003 + population)
                pair.fill(source)
                number = min(_PER_POPULATION, filters - population * _PER_POPULATION)
                _ask_many(pair, source, report, population=population, number=number, most=most, say=say)
                if len(report.differences) >= most:
                    break
        finally:
            pair.close()
    report.seconds = time.perf_counter() - began
    say(str(report))
    return report


def _ask_many(
    pair: Pair,
    source: Source,
    report: Report,
    *,
    population: int,
    number: int,
    most: int,
    say: Callable[[str], None],
) -> None:
    totals = {flows: len(Question(flows, {}).ask(pair.mongo)) for flows in (False, True)}
    for flows, share in ((False, number - number // 4), (True, number // 4)):
        paths, cold = (FLOW_PATHS, FLOW_COLD) if flows else (JOB_PATHS, JOB_COLD)
        everything = Question(flows, {}, with_inputs=True).ask(pair.mongo)
        source.learn(everything, [*paths, *cold])
        for _ in range(share):
            asked = _question(source, flows, paths, cold)
            report.filters += 1
            report.operators.update(_operators(asked.query))
            found = pair.compare(asked)
            if found is None:
                report.refused += pair.found == _REFUSED
                report.matched += pair.found != _REFUSED and 0 < len(pair.found) < totals[flows]
                continue
            smallest = _shrink(pair, asked, found[0])
            who, embedded, server = pair.compare(smallest) or found
            document = pair.document_of(smallest, embedded, server)
            difference = Difference(report.seed, population, smallest, who, embedded, server, document)
            report.differences.append(difference)
            say(str(difference))
            if len(report.differences) >= most:
                return


def _question(source: Source, flows: bool, paths: list[str], cold: list[str]) -> Question:
    shown, plain = [*paths], [path for path in cold if "$" not in path]
    return Question(
        flows,
        source.filter(paths, cold),
        sort=source.sort(shown, plain),
        fields=source.fields(shown, plain),
        skip=source.random.choice((0, 0, 0, 1, 3)),
        limit=source.random.choice((0, 0, 0, 1, 5)),
        with_inputs=source.random.random() < 0.2,
    )


# -- the smallest question ---------------------------------------------------------------------------------------


def _shrink(pair: Pair, asked: Question, who: str) -> Question:
    """The smallest question found that is answered differently in the same respect."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _simpler(asked):
            found = pair.compare(candidate)
            if found is not None and found[0] == who:
                asked, smaller = candidate, True
                break
    return asked


def _simpler(asked: Question) -> Iterator[Question]:
    plain = {"with_inputs": False, "skip": 0, "limit": 0, "sort": [], "fields": None}
    present = {name: getattr(asked, name) for name in plain}
    for name, value in plain.items():
        if present[name] != value:
            yield Question(asked.flows, asked.query, **(present | {name: value}))
    if asked.fields is not None and len(asked.fields) > 1:
        for path in asked.fields:
            yield Question(asked.flows, asked.query, **(present | {"fields": [path]}))
    for pair in asked.sort:
        yield Question(asked.flows, asked.query, **(present | {"sort": [p for p in asked.sort if p != pair]}))
    for query in _parts(asked.query):
        if isinstance(query, Mapping):
            yield Question(asked.flows, dict(query), **present)


def _parts(value: Any) -> Iterator[Any]:
    """The value with one thing less."""
    if isinstance(value, Mapping):
        for key in value:
            yield {other: item for other, item in value.items() if other != key}
            if key in ("$and", "$or", "$nor") and isinstance(value[key], list):
                yield from value[key]
            if key == "$not" and isinstance(value[key], Mapping):
                yield value[key]
        for key, item in value.items():
            for part in _parts(item):
                yield {**value, key: part}
    elif isinstance(value, list):
        for place in range(len(value)):
            yield value[:place] + value[place + 1 :]
        for place, item in enumerate(value):
            for part in _parts(item):
                yield [*value[:place], part, *value[place + 1 :]]


# -- comparing ---------------------------------------------------------------------------------------------------


def _numbers(found: Any) -> Any:
    return found if isinstance(found, str) else sorted(document["db_number"] for document in found)


def _equal(embedded: Any, mongo: Any) -> bool:
    if isinstance(embedded, str) or isinstance(mongo, str):
        return bool(embedded == mongo)
    return len(embedded) == len(mongo) and all(
        _plain(one) == _plain(other) for one, other in zip(embedded, mongo, strict=True)
    )


def _first_difference(embedded: Any, mongo: Any) -> tuple[Any, Any]:
    """The order where it differs, else the fields that differ of the first documents that do."""
    if isinstance(embedded, str) or isinstance(mongo, str):
        return embedded, mongo
    order = [[document.get("db_number") for document in found] for found in (embedded, mongo)]
    if order[0] != order[1]:
        return order[0], order[1]
    one, other = next(
        pair for pair in zip(embedded, mongo, strict=True) if _plain(pair[0]) != _plain(pair[1])
    )
    keys = [key for key in {**one, **other} if not _equal([{key: one.get(key)}], [{key: other.get(key)}])]
    return {key: one.get(key) for key in keys}, {key: other.get(key) for key in keys}


def _plain(value: Any, depth: int = 0) -> Any:
    """The value such that ``==`` is what is meant: types count, and what is null may be missing in the first levels.

    (A listing from columns says None where a document has nothing.)
    """
    if isinstance(value, Mapping):
        items = [(key, _plain(item, depth + 1)) for key, item in value.items()]
        if depth < 2:  # the order of a job's or flow's own fields is nobody's business
            return sorted((key, item) for key, item in items if item not in (("null",), ("object", ())))
        return ("object", tuple(items))
    if isinstance(value, (list, tuple)):
        return ("array", tuple(_plain(item, depth + 2) for item in value))
    if value is None:
        return ("null",)
    if isinstance(value, (float, Decimal128)):
        return (type(value).__name__, repr(value))
    return ("int" if type(value).__name__ == "Int64" else type(value).__name__, value)


def _operators(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if str(key).startswith("$"):
                yield str(key)
            yield from _operators(item)
    elif isinstance(value, list):
        for item in value:
            yield from _operators(item)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 3000 else f"{text[:3000]} …"


if __name__ == "__main__":
    words = sys.argv[2:]
    number = int(words[0]) if words else 2000
    first = int(words[1]) if len(words) > 1 else int(time.time()) % 100_000
    sys.exit(1 if fuzz(number, first, uri=sys.argv[1]).differences else 0)
