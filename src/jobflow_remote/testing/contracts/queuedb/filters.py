"""Documents, filters and orders on which everything that reads Mongo filters must agree with a real mongod.

What mongod answered is kept in a file, which is written anew with::

    python -m jobflow_remote.testing.contracts.queuedb.filters mongodb://127.0.0.1:27017 FILE
"""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bson import Decimal128, ObjectId, Regex

Filter = dict[str, Any]

T = datetime(2026, 1, 1)
LATER = T + timedelta(days=1)
FIRST, SECOND = ObjectId("64b000000000000000000001"), ObjectId("64b000000000000000000002")
NAN, INF = float("nan"), float("inf")

DOCUMENTS: list[dict[str, Any]] = [
    {"n": 1, "state": "READY", "p": 3, "f": 2.5, "tags": ["a", "b"], "t": T, "e": None, "o": FIRST, "ok": True,
     "job": {"metadata": {"x": 7, "tag": "t1"}, "name": "relax 1"}, "grid": [[1, 2], [3]],
     "log": [{"k": 1, "v": "one"}, {"k": 2, "v": "two"}], "blob": b"ab"},
    {"n": 2, "state": "RUNNING", "p": 0, "f": 3, "tags": [], "t": LATER, "log": [],
     "job": {"metadata": {}, "name": "static 2"}, "blob": b"b"},
    {"n": 3, "state": "FAILED", "p": "5", "tags": ["b", "c", "b"], "t": None, "e": "boom", "ok": False,
     "job": {"metadata": {"x": [1, 7], "tag": "T1"}, "name": "Relax\n3"}, "log": [{"k": 3, "v": None}]},
    {"n": 4, "state": "READY", "p": -2, "f": 2, "tags": ["c"], "t": T + timedelta(hours=5),
     "job": {"metadata": {"x": {"y": 1}}, "name": "phonon"},
     "log": [{"k": 2}, {"k": 5, "sub": [{"z": 1}, {"z": 9}]}]},
    {"n": 5, "state": "WAITING", "p": 3.0, "tags": None, "job": None, "log": "text", "grid": [[5]], "o": SECOND},
    {"n": 6, "state": "", "p": 10**12, "tags": [["a", "b"]], "t": T - timedelta(days=3),
     "job": {"metadata": {"x": 7.0}, "name": ""}, "log": [5, {"k": 1}]},
    {"n": 7, "p": True, "job": {"metadata": {"x": "7"}}, "log": [{"k": [2, 9]}], "f": -INF},
    {"n": 8, "state": "READY", "p": None, "f": NAN, "tags": [1, None],
     "job": {"name": "relax", "metadata": {"x": None}}},
    {"n": 9, "state": "relaxé ü", "p": {"y": 1, "z": 2}, "f": INF, "tags": [{"a": 1}], "grid": [[[7]], []],
     "job": {"name": "line\n", "metadata": {"x": [], "0": "zero"}}, "log": [[{"k": 1}], {"k": None}]},
]  # fmt: skip

_SCALARS: list[Filter] = [
    {}, {"state": "READY"}, {"state": {"$eq": "READY"}}, {"state": {"$ne": "READY"}}, {"state": None},
    {"state": {"$in": ["READY", "FAILED"]}}, {"state": {"$nin": ["READY"]}}, {"state": {"$gt": ""}},
    {"state": {"$gt": "READY"}}, {"state": {"$exists": True, "$ne": ""}}, {"state": {"$in": [None, ""]}},
    {"p": 3}, {"p": {"$gt": 0}}, {"p": {"$gte": 3, "$lt": 100}}, {"p": {"$lte": 0}}, {"p": {"$gt": "4"}}, {"p": True},
    {"p": 1}, {"p": None}, {"p": {"$ne": None}}, {"p": {"$gte": None}}, {"p": {"$gt": None}}, {"p": {"$gt": False}},
    {"p": {"$lt": {"y": 2}}}, {"p": {"y": 1, "z": 2}}, {"p": {"z": 2, "y": 1}}, {"p": {"$mod": [5, 0]}},
    {"p": {"$mod": [2, 1]}}, {"p": {"$mod": [2.7, 1.2]}}, {"p": {"$mod": [-3, -2]}}, {"p": 10**12},
    {"p": {"$type": "number"}}, {"p": {"$type": "string"}}, {"p": {"$type": ["string", "bool"]}},
    {"p": {"$type": "long"}}, {"p": {"$type": [1, 16.0]}}, {"p": {"$not": {"$type": "number"}}},
    {"f": {"$gt": 2}}, {"f": 2}, {"f": {"$not": {"$gt": 2}}}, {"f": NAN}, {"f": {"$gte": NAN}}, {"f": {"$lt": 0}},
    {"f": {"$lt": NAN}}, {"f": INF}, {"f": {"$gt": 10**15}}, {"f": {"$in": [NAN, 2]}}, {"f": {"$ne": NAN}},
    {"t": {"$gte": T}}, {"t": {"$lt": T + timedelta(hours=6)}}, {"t": T}, {"t": None}, {"t": {"$type": "date"}},
    {"t": {"$in": [T, LATER]}}, {"t": T + timedelta(microseconds=999)}, {"t": {"$gt": 5}},
    {"o": FIRST}, {"o": {"$exists": True}}, {"o": {"$gt": FIRST}}, {"o": {"$in": [SECOND, "x"]}}, {"o": str(FIRST)},
    {"ok": True}, {"ok": False}, {"ok": {"$ne": True}}, {"ok": 1}, {"ok": {"$gte": False}},
    {"e": None}, {"e": {"$exists": True}}, {"e": {"$type": 10}}, {"e": {"$exists": 0}}, {"e": {"$exists": ""}},
    {"blob": b"ab"}, {"blob": {"$gt": b"ab"}}, {"blob": {"$gte": b"b"}}, {"blob": {"$type": "binData"}},
    {"n": {"$in": []}}, {"n": {"$nin": []}}, {"n": {"$gt": 2**40}},
    {"f": Decimal128("2.5")}, {"f": {"$gt": Decimal128("2.5")}}, {"n": {"$in": [Decimal128("2.0"), 5]}},
    {"f": Decimal128("NaN")}, {"p": {"$mod": [10**12, 0]}}, {"p": {"$mod": [2**53, 10**12]}},
]  # fmt: skip
_ARRAYS: list[Filter] = [
    {"tags": "b"}, {"tags": ["a", "b"]}, {"tags": {"$all": ["b"]}}, {"tags": {"$all": ["b", "c"]}},
    {"tags": {"$all": []}}, {"tags": {"$all": [None]}}, {"tags": {"$all": [["a", "b"]]}},
    {"tags": {"$all": [re.compile("^a"), "b"]}}, {"tags": {"$size": 1}}, {"tags": {"$size": 0}},
    {"tags": {"$size": 2.0}}, {"tags": {"$in": ["c", None]}}, {"tags": {"$in": [["c"], 1]}}, {"tags": {"$ne": "b"}},
    {"tags": {"$nin": ["b"]}}, {"tags": []}, {"tags": None}, {"tags": {"$ne": None}}, {"tags.0": "b"},
    {"tags.0": ["a", "b"]}, {"tags.0.1": "b"}, {"tags.1": {"$exists": True}}, {"tags": {"$exists": False}},
    {"tags": {"$type": "array"}}, {"tags": {"$type": "string"}}, {"tags": {"$elemMatch": {"$gt": "b"}}},
    {"tags": {"$elemMatch": {"$in": ["a"]}}}, {"tags": {"$elemMatch": {"$ne": "b"}}},
    {"tags": {"$elemMatch": {"a": 1}}}, {"tags": {"$elemMatch": {"$not": {"$gt": "b"}}}}, {"tags": {"$elemMatch": {}}},
    {"tags": {"$gt": ["a"]}}, {"tags": {"$lte": ["b", "c", "b"]}}, {"tags": {"$not": {"$size": 1}}},
    {"tags": {"$all": [{"$elemMatch": {"$gt": "a"}}, {"$elemMatch": {"$lt": "b"}}]}},
    {"tags": {"$gte": "b", "$lt": "c"}},
    {"log.k": 2}, {"log.k": {"$gt": 2}}, {"log.k": {"$gt": 1, "$lt": 3}}, {"log.k": {"$in": [3, 5]}},
    {"log.k": {"$nin": [1, 2]}}, {"log.k": {"$ne": 2}}, {"log.k": None}, {"log.k": {"$exists": True}},
    {"log.k": {"$exists": False}}, {"log.k": {"$size": 2}}, {"log.k": [2, 9]},
    {"log": {"$elemMatch": {"k": 2, "v": "two"}}}, {"log": {"$elemMatch": {"k": {"$gt": 1, "$lt": 3}}}},
    {"log": {"$elemMatch": {"k": None}}}, {"log": {"$elemMatch": {"0.k": 1}}},
    {"log": {"$elemMatch": {"$or": [{"k": 5}, {"v": "one"}]}}}, {"log": {"$not": {"$elemMatch": {"k": 2}}}},
    {"log.0.k": 1}, {"log.1.k": 5}, {"log.sub.z": 9}, {"log.sub.1.z": 9}, {"log.v": None}, {"log": []},
    {"log": {"$size": 2}}, {"log": "text"}, {"log": {"k": 3, "v": None}}, {"log.0": {"k": 2}},
    {"grid": [5]}, {"grid": {"$elemMatch": {"$elemMatch": {"$gt": 2}}}}, {"grid.0": 1}, {"grid.0.0": 1},
    {"grid.0": [1, 2]},
    {"grid.1": []}, {"grid": {"$size": 1}}, {"grid.0.0": [7]}, {"grid": {"$in": [[3]]}},
]  # fmt: skip
_NESTED: list[Filter] = [
    {"job.metadata.x": 7}, {"job.metadata.x": {"$gt": 5}}, {"job.metadata.x": {"$exists": True}},
    {"job.metadata.x": {"$exists": False}}, {"job.metadata.x": None}, {"job.metadata.x": {"$ne": None}},
    {"job.metadata.x.y": 1}, {"job.metadata.x.y": None}, {"job.metadata": {}}, {"job.metadata": {"x": {"y": 1}}},
    {"job.metadata.x": {"y": 1}}, {"job.metadata.x": {"$gte": 7, "$lte": 7}}, {"job.metadata.x": {"$type": "int"}},
    {"job.metadata.x": {"$in": ["7", None]}}, {"job.metadata.0": "zero"}, {"job.metadata.x.0": 1}, {"job": None},
    {"job.metadata.tag": {"$regex": "^t1$", "$options": "i"}}, {"job.metadata.tag": {"$lt": "t"}}, {"job.name.x": None},
    {"job.metadata": {"$gt": {}}}, {"job.metadata.x": {"$lt": {"y": 2}}}, {"missing.a": None},
    {"missing": {"$exists": False}},
]  # fmt: skip
_TEXTS: list[Filter] = [
    {"job.name": {"$regex": "relax"}}, {"job.name": {"$regex": "relax", "$options": "i"}},
    {"job.name": {"$regex": "^relax$"}}, {"job.name": re.compile("RELAX", re.IGNORECASE)},
    {"job.name": {"$not": {"$regex": "relax"}}}, {"job.name": {"$not": re.compile("^r")}},
    {"job.name": {"$in": [re.compile("^ph"), "static 2"]}}, {"job.name": {"$nin": [re.compile("^ph"), "static 2"]}},
    {"job.name": {"$regex": "relax.3", "$options": "is"}}, {"job.name": {"$regex": "relax.3", "$options": "i"}},
    {"job.name": {"$regex": "^3", "$options": "m"}}, {"job.name": {"$regex": "re lax", "$options": "x"}},
    {"job.name": {"$regex": "line$"}}, {"job.name": {"$regex": r"line\z"}}, {"job.name": {"$regex": r"line\Z"}},
    {"job.name": {"$regex": r"\\z"}}, {"job.name": {"$regex": ""}}, {"job.name": {"$regex": Regex("^RE", "i")}},
    {"job.name": Regex("^RE", "i")}, {"job.name": {"$regex": r"\d"}}, {"job.name": {"$regex": "(?i)RELAX"}},
    {"state": {"$regex": "é"}}, {"state": {"$regex": "É", "$options": "i"}}, {"tags": {"$regex": "^[bc]"}},
    {"tags": re.compile("c")}, {"p": {"$regex": "5"}}, {"job.name": {"$eq": re.compile("relax")}},
    {"state": {"$regex": r"\w$"}}, {"state": {"$regex": r"\W"}}, {"state": {"$regex": r"\b."}},
    {"state": {"$regex": r"^[\w ]+$"}}, {"state": {"$regex": "(?<n>R)"}}, {"state": {"$regex": "E{,2}A"}},
    {"log.v": {"$regex": "^t", "$ne": "one"}}, {"job.name": {"$gt": "p", "$regex": "x"}},
]  # fmt: skip
_GROUPS: list[Filter] = [
    {"$or": [{"state": "FAILED"}, {"p": 0}]}, {"$and": [{"state": "READY"}, {"tags": "c"}]},
    {"$nor": [{"state": "READY"}, {"p": 0}]}, {"$or": [{"$and": [{"p": 3}, {"f": {"$gt": 2}}]}, {"n": 7}]},
    {"state": "READY", "tags": {"$exists": True}, "job.metadata.x": {"$in": [7, None]}},
    {"$and": [{"n": {"$gt": 2}}, {"$nor": [{"n": {"$gt": 5}}]}], "$or": [{"n": 3}, {"n": 5}]},
    {"$and": [{}]}, {"$nor": [{}]}, {"$comment": "why", "n": 1},
    {"p": {"$not": {"$gt": 0, "$lt": 5}}}, {"p": {"$not": {"$not": {"$gt": 0}}}}, {"p": {"$not": {"$in": [3, None]}}},
    {"$expr": {"$gt": ["$p", "$n"]}}, {"$expr": {"$eq": ["$state", "READY"]}}, {"$expr": {"$lt": ["$f", "$p"]}},
    {"$expr": {"$and": [{"$gte": ["$n", 2]}, {"$not": ["$ok"]}]}}, {"$expr": {"$in": ["b", {"$literal": ["b", "c"]}]}},
    {"$expr": {"$eq": ["$job.metadata.x", 7]}}, {"$expr": {"$eq": ["$log.k", [1, 2]]}}, {"$expr": "$ok"},
    {"$expr": {"$or": [{"$eq": ["$state", {"$literal": "FAILED"}]}, {"$eq": ["$missing", None]}]}},
    {"$expr": {"$eq": [{"$size": {"$literal": [1, 2]}}, 2]}}, {"$expr": {"$ne": ["$missing", "$missing"]}},
]  # fmt: skip
FILTERS = [*_SCALARS, *_ARRAYS, *_NESTED, *_TEXTS, *_GROUPS]

REFUSED: list[Filter] = [
    {"a": {"$like": 1}}, {"$like": 1}, {"a": {"$gt": 1, "b": 2}}, {"a": {"$in": 1}}, {"a": {"$nin": "x"}},
    {"a": {"$in": [{"$gt": 1}]}}, {"a": {"$all": 1}}, {"a": {"$all": [{"$gt": 1}]}},
    {"a": {"$all": [{"$elemMatch": {"b": 1}}, 1]}}, {"a": {"$not": 1}}, {"a": {"$not": {}}}, {"a": {"$not": {"b": 1}}},
    {"a": {"$size": "x"}}, {"a": {"$comment": "x"}}, {"a": {"$size": -1}}, {"a": {"$size": 1.5}}, {"a": {"$mod": 2}},
    {"a": {"$mod": [2]}},
    {"a": {"$mod": [0, 1]}}, {"a": {"$mod": ["x", 1]}}, {"a": {"$mod": [2, 1, 0]}}, {"a": {"$type": "text"}},
    {"a": {"$type": 99}}, {"a": {"$type": []}}, {"a": {"$elemMatch": 1}}, {"a": {"$elemMatch": {"$like": 1}}},
    {"a": {"$regex": 1}}, {"a": {"$regex": "("}}, {"a": {"$options": "i"}}, {"a": {"$regex": "a", "$options": "q"}},
    {"a": {"$regex": "a", "$options": 1}}, {"a": {"$ne": re.compile("x")}}, {"a": {"$gt": re.compile("x")}},
    {"$or": []}, {"$and": {}}, {"$nor": 1}, {"$or": [1]}, {"$or": [{"a": {"$like": 1}}]}, {"$gt": 1},
    {"$not": {"a": 1}},
    {"$expr": {"$like": 1}}, {"$expr": {"$eq": [1]}}, {"$expr": {"$eq": ["$a", 1], "$gt": ["$a", 1]}}, {"$expr": "$"},
    {"$expr": {"$size": "$n"}}, {"$expr": {"$size": 5}}, {"$expr": "$a..b"}, {"$expr": {"a.b": 1}},
    {"a": {"$regex": "(?u)a"}}, {"a": {"$regex": r"\u0061"}},
]  # fmt: skip
"""Refused by mongod too."""

UNSUPPORTED: list[Filter] = [
    {"$where": "true"}, {"$text": {"$search": "x"}}, {"$jsonSchema": {}}, {"a": {"$geoWithin": {}}},
    {"a": {"$bitsAllSet": 1}}, {"$expr": {"$add": [1, 2]}}, {"$expr": "$$ROOT"}, {"a": {1, 2}},
    {"a": {"$gt": object}},
    {"a": {"$regex": r"[\W]"}}, {"a": {"$regex": "[[:alpha:]]"}}, {"a": {"$eq": {1: 2}}},
    {"a": {"$elemMatch": {"$expr": True}}},
]  # fmt: skip
"""Filters that mongod (or its driver) may understand, and that we refuse rather than get wrong."""


SORTS = [
    (path, direction)
    for path in (
        "p",
        "f",
        "t",
        "o",
        "ok",
        "state",
        "blob",
        "tags",
        "grid",
        "job",
        "job.metadata.x",
        "log.k",
        "log",
        "e",
    )
    for direction in (1, -1)
]
"""Orders; ties are broken by ``n``."""


def main(uri: str, target: Path) -> None:
    """Ask a server, and write down what it says: the numbers of the documents."""
    import pymongo
    from pymongo.errors import OperationFailure

    client = pymongo.MongoClient[Any](uri)
    collection = client["jobflow_remote_filter_cases"]["documents"]
    collection.drop()
    collection.insert_many([dict(document) for document in DOCUMENTS])
    answers = {repr(query): sorted(found["n"] for found in collection.find(query)) for query in FILTERS}
    for path, direction in SORTS:
        answers[repr((path, direction))] = [
            found["n"] for found in collection.find().sort([(path, direction), ("n", 1)])
        ]
    for query in REFUSED:
        try:
            list(collection.find(query))
        except OperationFailure:
            continue
        raise SystemExit(f"mongod understands {query}")
    client.drop_database(collection.database.name)
    lines = ",\n".join(f" {json.dumps(asked)}: {json.dumps(found)}" for asked, found in answers.items())
    target.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
