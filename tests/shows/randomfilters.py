"""Random documents of jobs and flows, and random filters on them, from a seed.

The documents have the shape of real ones; what users may put into them (metadata, resources, stored data, errors of
any type) is as odd as BSON allows. Fields that the embedded database has as columns are asked about as often as those
that it has in a text. One filter in twenty has something in it that MongoDB refuses.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from bson import Decimal128, ObjectId, Regex

from jobflow_remote.model.records import Document, NewFlow, new_flow_document, new_job_document
from jobflow_remote.model.states import FlowState, JobState

Filter = dict[str, Any]
Pairs = list[tuple[str, int]]

START = datetime(2026, 3, 1, 12)
NAN, INF = float("nan"), float("inf")
OBJECTS = [ObjectId("64b000000000000000000001"), ObjectId("64b000000000000000000002")]

NUMBERS: list[Any] = [
    0, 1, 2, 3, 5, 7, -1, -2, 1.0, 2.5, 3.0, -0.0, 1e15, -1e300, 0.1, 2**31, 2**31 - 1, -(2**31) - 1, 2**40, 2**53,
    2**53 + 1, float(2**53), 2**63 - 1, -(2**63), float(2**63), NAN, INF, -INF, Decimal128("2.5"), Decimal128("NaN"),
]  # fmt: skip
TEXTS = [
    "", "a", "b", "A", "ab", "relax", "Relax 1", "static", "5", "5.0", "007", "1e3", "NaN", "null", "true", "None",
    "2026-03-01", "é", "É", "e\u0301", "日本", "a\nb", "a\n", "a\0b", "%", "a_b", "[x]", "'; --", '"q"', "a.b", "$a",
    " ", "COMPLETED", "\U0001f600",
]  # fmt: skip
STATES = [state.value for state in JobState]
MOMENTS = [START + timedelta(hours=number, milliseconds=number % 3) for number in range(-3, 6)]
OTHERS: list[Any] = [
    None,
    None,
    True,
    False,
    *OBJECTS,
    b"",
    b"ab",
    b"b",
    datetime(1, 1, 1),
    datetime(1969, 12, 31),
]
NAMES = ["x", "y", "tag", "k", "0", "1", "a b", "é", "$date", "a.b", "A", "-", "00"]
PATTERNS = [
    "a", "^a", "a$", "^$", ".", "^.$", "relax", "^Re", r"\d", r"^\w$", r"\w$", r"\bb", r"a\z", r"b\Z", r"^\s$", "é",
    "[a-c]", "[^a]", "a|5", "(a)(b)?", "a.b", r"a\.b", "(?i)RELAX", "^.{2,3}$", r"^\D+$", r"^\W", "x*", r"\[",
    r"[\w.]$", r"^[^\s\d]+$", r"\B.", "[]x]", "(?<!a)b", "(?P<n>a)",
    "(?<n>b)", r"^\S+$", "A(?=b)", "日", "%", "(?:re)?lax", r"\x41", "a{2}", "^b", r"\Aa", r"\n",
    "(?s)a.b", "x{,2}", r"[\[\]]",
]  # fmt: skip
TYPES: list[Any] = [
    "string", "number", "array", "object", "null", "bool", "date", "int", "long", "double", "objectId", "binData",
    "decimal", "regex", 1, 2, 3, 4, 8, 9, 10, 16, 18, 18.0, -1, 127,
]  # fmt: skip

JOB_PATHS = [
    "db_number", "uuid", "index", "db_id", "flow_uuid", "state", "worker", "job.name", "priority", "created_on",
    "updated_on", "start_time", "end_time", "previous_state", "claim", "lock_id", "lock_time",
    "remote.retry_time_limit", "remote.process_id", "superseded",
]  # fmt: skip
"""Columns of the embedded database."""
JOB_COLD = [
    "job.metadata", "job.metadata.x", "job.metadata.y", "job.metadata.x.y", "job.metadata.x.0", "job.metadata.x.0.y",
    "job.metadata.tag", "job.metadata.0", "job.metadata.$date", "job.metadata.é", "job.metadata.a b", "job.metadata.-",
    "job.metadata.x.1", "job.metadata.x.x.x", "job.metadata.y.00", "error", "error.x", "resources", "resources.x",
    "resources.k", "resources.x.y", "resources.0.x", "stored_data", "stored_data.x", "stored_data.0", "stored_data.k",
    "exec_config", "parents", "parents.0", "history", "history.state", "history.0.state", "history.1.who",
    "history.when", "remote", "remote.step_attempts", "remote.error", "remote.queue_state", "attempt", "run_dir",
    "generated_by", "job.hosts",
    "job.hosts.0", "job.function_kwargs.number", "job.function_args.0", "job.function_args", "job.function", "missing",
    "missing.x", "state.x", "job.name.x", "priority.0", "start_time.x", "job.missing", "extra", "extra.x", "extra.y.x",
]  # fmt: skip
FLOW_PATHS = [
    "uuid", "name", "state", "created_on", "updated_on", "db_number", "n_jobs", "leaves", "leaves_completed",
]  # fmt: skip
FLOW_COLD = [
    "metadata", "metadata.x", "metadata.y", "metadata.x.y", "metadata.0", "metadata.x.0", "metadata.tag", "lock_id",
    "lock_time", "jobstore", "counts", "counts.READY", "counts.FAILED", "counts.COMPLETED", "jobs", "jobs.0", "ids",
    "ids.0", "ids.0.2", "ids.1.0", "parents", "missing", "missing.x", "name.x", "extra", "extra.x", "extra.x.0",
    "state.0",
]  # fmt: skip


class Source:
    """Random documents and filters; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seen: dict[str, list[Any]] = {}
        """Values that documents have at a path: filters that find something ask for these."""

    # -- values ------------------------------------------------------------------------------------------------

    def scalar(self) -> Any:
        """Something that is neither array nor document."""
        pool: Sequence[Any] = self.random.choice((NUMBERS, NUMBERS, TEXTS, TEXTS, MOMENTS, OTHERS))
        return self.random.choice(pool)

    def value(self, depth: int = 0) -> Any:
        """Anything, with little below it."""
        dice = self.random.random()
        if depth > 2 or dice < 0.55:
            return self.scalar()
        if dice < 0.78:
            return [self.value(depth + 1) for _ in range(self.random.choice((0, 1, 1, 2, 3)))]
        return self.document(depth + 1)

    def document(self, depth: int = 0) -> Document:
        """A document with a few fields."""
        names = self.random.sample(NAMES, self.random.choice((0, 1, 1, 2, 3)))
        return {name: self.value(depth + 1) for name in names}

    # -- documents ---------------------------------------------------------------------------------------------

    def flow(self, jobs: int) -> NewFlow:
        """A flow with jobs in any state."""
        uuid = self._uuid()
        flow = new_flow_document(uuid=uuid, name=self._text(), now=self.random.choice(MOMENTS))
        flow["metadata"] = self.random.choice((flow["metadata"], self.document(), self.document()))
        flow["jobstore"] = self.random.choice((None, "other"))
        flow["lock_id"] = self.random.choice((None, self._text()))
        if self.random.random() < 0.5:
            flow["extra"] = self.value()
        uuids = [self._uuid() for _ in range(jobs)]
        linked = self.random.random() < 0.6
        made = []
        for place, job_uuid in enumerate(uuids):
            parents = (
                self.random.sample(uuids[:place], min(place, self.random.choice((0, 1, 2)))) if linked else []
            )
            made.append(self._job(job_uuid, uuid, parents))
            # what is inserted is never superseded; with edges its flow's leaves would have to be counted anew
            made[-1]["superseded"] = not linked and self.random.random() < 0.4
        return NewFlow(flow, made)

    def _uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def _text(self) -> str:
        return self.random.choice(TEXTS)

    def _maybe(self, choices: Sequence[Any]) -> Any:
        return self.random.choice(choices) if self.random.random() < 0.6 else None

    def _job(self, uuid: str, flow_uuid: str, parents: list[str]) -> Document:
        job = {
            "@class": "Job",
            "uuid": uuid,
            "index": self.random.choice((1, 1, 1, 2, 3)),
            "name": self._text(),
            "function": {"@callable": "add"},
            "metadata": self.random.choice(({}, self.document(), self.document())),
            "hosts": [flow_uuid],
            "function_args": [self.value(), {"x": self.value()}],
            "function_kwargs": {"number": self.value()},
        }
        document = new_job_document(
            job, flow_uuid=flow_uuid, worker=self.random.choice(("a", "b", "é")), parents=parents,
            now=self.random.choice(MOMENTS), who="somebody", priority=self.random.choice((0, 0, 1, -3, 10**12)),
            state=self.random.choice(list(JobState)),
        )  # fmt: skip
        document |= {
            "previous_state": self._maybe(STATES),
            "start_time": self._maybe(MOMENTS),
            "end_time": self._maybe(MOMENTS),
            "lock_id": self._maybe(TEXTS),
            "lock_time": self._maybe(MOMENTS),
            "error": self.random.choice((None, self.value())),
            "resources": self.random.choice((None, self.document())),
            "stored_data": self.random.choice((None, self.value())),
            "exec_config": self._maybe(TEXTS),
            "run_dir": self._maybe(["/work/a", "/work/é"]),
        }
        if document["state"] != JobState.WAITING:  # these are changed when they are inserted
            document["updated_on"] = self.random.choice(MOMENTS)
        document["remote"] |= {
            "retry_time_limit": self._maybe(MOMENTS),
            "process_id": self._maybe([*TEXTS, 5, 5.0, 7, 0, 2**40]),
            "error": self._maybe(TEXTS),
            "step_attempts": self.random.choice((0, 1, 2)),
        }
        if self.random.random() < 0.4:
            document["extra"] = self.value()
        for name in (
            "lock_time",
            "end_time",
            "previous_state",
            "stored_data",
            "exec_config",
            "error",
            "run_dir",
        ):
            if self.random.random() < 0.15:
                del document[name]
        return document

    def learn(self, documents: Sequence[Document], paths: Sequence[str]) -> None:
        """Remember what is at these paths."""
        self.seen = {
            path: [value for document in documents for value in _at(document, path)] for path in paths
        }

    # -- filters -----------------------------------------------------------------------------------------------

    def filter(self, paths: Sequence[str], cold: Sequence[str], depth: int = 0) -> Filter:
        """A filter on these paths."""
        dice = self.random.random()
        if depth < 2 and dice < 0.2:
            parts = [self.filter(paths, cold, depth + 1) for _ in range(self.random.randint(1, 3))]
            return {self.random.choice(("$and", "$or", "$nor")): parts}
        if depth < 2 and dice < 0.25:
            return {"$expr": self._expression([*paths, *cold])}
        wanted = [
            self.random.choice(paths if self.random.random() < 0.5 else cold)
            for _ in range(self.random.choice((1, 1, 1, 1, 2, 3)))
        ]
        made: Filter = {path: self._condition(path) for path in wanted}
        if self.random.random() < 0.02:
            made["$comment"] = "why"
        if self.random.random() < 0.015:
            made.update(self._refused_at_top())
        return made

    def _operand(self, path: str) -> Any:
        seen = self.seen.get(path)
        if seen and self.random.random() < 0.8:
            return self._nearly(self.random.choice(seen))
        return self.value(1)

    def _nearly(self, value: Any) -> Any:
        """The value, or one that is easily taken for it."""
        if self.random.random() < 0.75:
            return value
        if isinstance(value, datetime):
            return self.random.choice((value.replace(tzinfo=UTC), value + timedelta(microseconds=700)))
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, int):
            return self.random.choice((float(value), str(value), bool(value)))
        if isinstance(value, Mapping):
            return dict(list(value.items())[::-1])
        if isinstance(value, list):
            return self.random.choice((value[0] if value else [], [value], value[::-1]))
        return [value]

    def _condition(self, path: str, depth: int = 0) -> Any:
        if self.random.random() < 0.25:
            plain = self._operand(path)
            # a document that begins with a dollar is understood as operators
            return plain if not _begins_with_dollar(plain) else {"$eq": plain}
        made: Filter = {}
        for _ in range(self.random.choice((1, 1, 1, 2))):
            made.update(self._operator(path, depth))
        return made

    def _operator(self, path: str, depth: int) -> Filter:
        if self.random.random() < 0.03:
            return self._refused(path)
        name = self.random.choice((
            "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$type", "$size", "$all", "$regex",
            "$not", "$elemMatch", "$mod", "$gt", "$lt", "$in", "$ne",
        ))  # fmt: skip
        special: dict[str, Callable[[str, int], Filter]] = {
            "$in": self._list, "$nin": self._list, "$all": self._all, "$not": self._not, "$elemMatch": self._elements,
        }  # fmt: skip
        if name in special:
            found = special[name](path, depth)
            return found if name != "$nin" else {"$nin": found["$in"]}
        if name == "$regex":
            return self._regex()
        simple: dict[str, Any] = {
            "$exists": self.random.choice((True, False, 1, 0, None, "")),
            "$type": self.random.choice((self.random.choice(TYPES), self.random.sample(TYPES, 2))),
            "$size": self.random.choice((0, 1, 2, 3, 2.0)),
            "$mod": [self.random.choice((2, 3, 2.7, -3, 10)), self.random.choice((0, 1, 1.2, -1))],
        }
        return {name: simple[name] if name in simple else self._operand(path)}

    def _list(self, path: str, _: int) -> Filter:
        items = [self._operand(path) for _ in range(self.random.choice((0, 1, 2, 3)))]
        items = [item for item in items if not _begins_with_dollar(item)]
        if self.random.random() < 0.1:
            items.append(self._pattern())
        if self.random.random() < 0.03:  # beyond what is written into the statement
            items += [f"{number}" if number % 2 else number for number in range(300)]
        return {"$in": items}

    def _all(self, path: str, depth: int) -> Filter:
        if depth < 2 and self.random.random() < 0.25:
            return {"$all": [self._elements(path, depth + 1) for _ in range(self.random.randint(1, 2))]}
        return {"$all": self._list(path, depth)["$in"][:3]}

    def _not(self, path: str, depth: int) -> Filter:
        if depth < 2 and self.random.random() < 0.9:
            found = self._condition(path, depth + 1)
            return {"$not": found if _begins_with_dollar(found) else {"$eq": found}}
        return {"$not": self._pattern()}

    def _elements(self, path: str, depth: int) -> Filter:
        if depth >= 2:
            return {"$elemMatch": {"$eq": self._operand(path)}}
        if self.random.random() < 0.5:
            below = self.random.choice(("x", "y", "k", "0", "x.y", "state", "who", "0.x"))
            return {"$elemMatch": {below: self._condition(f"{path}.{below}", depth + 1)}}
        found = self._condition(path, depth + 1)
        return {"$elemMatch": found if _begins_with_dollar(found) else {"$eq": found}}

    def _regex(self) -> Filter:
        made: Filter = {"$regex": self.random.choice(PATTERNS)}
        if self.random.random() < 0.4:
            made["$options"] = self.random.choice(("i", "m", "s", "x", "im", "si", ""))
        return made

    def _pattern(self) -> Any:
        if self.random.random() < 0.5:
            return re.compile(
                self.random.choice(
                    [pattern for pattern in PATTERNS if "?<" not in pattern and "\\z" not in pattern]
                ),
                self.random.choice((0, re.IGNORECASE)),
            )
        return Regex(self.random.choice(PATTERNS), self.random.choice(("", "i")))

    def _expression(self, paths: Sequence[str], depth: int = 0) -> Any:
        """An expression whose operators do not fail, whatever the document."""
        name = self.random.choice(
            ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$and", "$or", "$not", "$in", "$size", "")
        )
        if name in ("$and", "$or", "$not") and depth < 2:
            number = 1 if name == "$not" else self.random.randint(0, 3)
            return {name: [self._expression(paths, depth + 1) for _ in range(number)]}
        if name == "$in":
            return {"$in": [self._term(paths), {"$literal": [self.scalar() for _ in range(3)]}]}
        if name == "$size":
            return {"$gt": [{"$size": {"$literal": [1, 2]}}, self._term(paths)]}
        if name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
            return {name: [self._term(paths), self._term(paths)]}
        return self._term(paths)

    def _term(self, paths: Sequence[str]) -> Any:
        path = self.random.choice([path for path in paths if "$" not in path])
        if self.random.random() < 0.6:
            return f"${path}"
        return {"$literal": self._operand(path)}

    # -- what MongoDB refuses ----------------------------------------------------------------------------------

    def _refused(self, path: str) -> Filter:
        return self.random.choice((
            {"$like": 1}, {"$in": 1}, {"$nin": "x"}, {"$in": [{"$gt": 1}]}, {"$all": 1}, {"$all": [{"$gt": 1}]},
            {"$all": [{"$elemMatch": {"b": 1}}, 1]}, {"$not": 1}, {"$not": {}}, {"$not": {"b": 1}}, {"$size": "x"},
            {"$size": -1}, {"$size": 1.5}, {"$mod": 2}, {"$mod": [2]}, {"$mod": [0, 1]}, {"$mod": ["x", 1]},
            {"$mod": [NAN, 1]}, {"$mod": [2, INF]}, {"$mod": [2, 1, 0]}, {"$mod": [0.5, 1]}, {"$type": "text"},
            {"$mod": [2.0**63, 1]},
            {"$type": 99}, {"$type": []}, {"$type": 2.5}, {"$type": None}, {"$type": True}, {"$elemMatch": 1},
            {"$elemMatch": {"$like": 1}}, {"$regex": 1}, {"$regex": "("}, {"$options": "i"}, {"$size": None},
            {"$size": True}, {"$elemMatch": []}, {"$regex": "(?u)a"}, {"$regex": r"\u0061"},
            {"$regex": "a", "$options": "q"}, {"$regex": "a", "$options": 1}, {"$ne": re.compile("x")},
            {"$gt": re.compile("x")}, {"$gt": 1, "b": 2}, {"$eq": 1, "$near": 2}, {"$regex": None}, {"$regex": "a\0"},
            {"$not": {"$regex": "a", "$options": "q"}}, {"$elemMatch": {"$and": 1}}, {"$elemMatch": {"$gt": 1, "a": 1}},
            {"$lt": 5, "$gt": re.compile("x")}, {"$all": [{"$elemMatch": 5}]}, {"$in": [[{"$gt": 1}]]},
            {"$exists": NAN},
            {"$not": {"$not": 1}}, {"$not": {"$exists": True, "x": 1}}, {"$eq": {"$gt": 1}}, {"$ne": {"$x": 1}},
        ))  # fmt: skip

    def _refused_at_top(self) -> Filter:
        return self.random.choice((
            {"$or": []}, {"$and": {}}, {"$nor": 1}, {"$or": [1]}, {"$or": [{"a": {"$like": 1}}]}, {"$gt": 1},
            {"$not": {"a": 1}}, {"$expr": {"$like": 1}}, {"$expr": {"$eq": [1]}}, {"$expr": "$"},
            {"$expr": {"$not": []}},
            {"$expr": {"$eq": ["$a", 1], "$gt": ["$a", 1]}}, {"$like": 1}, {"$and": [None]}, {"$expr": "$a..b"},
            {"$expr": "$a."}, {"$expr": {"a.b": 1}}, {"$expr": {"$not": [1, 2]}}, {"$expr": {"$in": [1, 2]}},
            {"$expr": {"$size": 5}}, {"": 1}, {"$comment": 5}, {"$and": [{"$comment": 1}]},
        ))  # fmt: skip

    # -- orders and fields -------------------------------------------------------------------------------------

    def sort(self, paths: Sequence[str], cold: Sequence[str]) -> Pairs:
        """An order; at most one field that may be an array, as MongoDB wants it."""
        wanted = self.random.sample(paths, self.random.choice((0, 1, 1, 2)))
        if self.random.random() < 0.5:
            wanted.insert(self.random.randint(0, len(wanted)), self.random.choice(cold))
        return [(path, self.random.choice((1, -1))) for path in wanted]

    def fields(self, paths: Sequence[str], cold: Sequence[str]) -> list[str] | None:
        """Fields to be shown."""
        if self.random.random() < 0.5:
            return None
        pool = paths if self.random.random() < 0.4 else [*paths, *cold]
        return self.random.sample(pool, self.random.randint(1, 4))


FLOW_STATES = [state.value for state in FlowState]


def _begins_with_dollar(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and str(next(iter(value))).startswith("$")


def _at(value: Any, path: str) -> list[Any]:
    """What is at a path, roughly: arrays are entered."""
    if not path:
        return [value, *(value if isinstance(value, list) else ())]
    if isinstance(value, list):
        return [found for item in value for found in _at(item, path)]
    name, _, rest = path.partition(".")
    if isinstance(value, Mapping) and name in value:
        return _at(value[name], rest)
    return []
