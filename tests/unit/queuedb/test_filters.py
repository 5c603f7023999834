"""The Mongo filter language: what mongod answered, what is refused, and what SQL may leave out."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobflow_remote.errors import FilterError
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.filters import (
    SQLITE_REGEX,
    Column,
    Condition,
    Mapped,
    build_condition,
    compile_filter,
    order_key,
    parse,
    paths_of,
    project,
    sort_key,
    wanted_fields,
)
from jobflow_remote.queuedb.sqlite.codec import decode, encode
from jobflow_remote.queuedb.sqlite.rows import document_of_columns
from jobflow_remote.testing.contracts.queuedb.filters import DOCUMENTS, FILTERS, REFUSED, SORTS, UNSUPPORTED

ANSWERS: dict[str, list[int]] = json.loads(
    (Path(__file__).parent / "data" / "mongod_answers.json").read_text(encoding="utf-8")
)
STORED: list[dict[str, Any]] = [bson.decode(bson.encode(document)) for document in DOCUMENTS]
Document = dict[str, Any]


# -- the predicate -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", FILTERS, ids=repr)
def test_filters_agree_with_mongod(query: Document) -> None:
    matches = compile_filter(query)
    assert [document["n"] for document in STORED if matches(document)] == ANSWERS[repr(query)]


@pytest.mark.parametrize("query", [*REFUSED, *UNSUPPORTED], ids=repr)
def test_what_is_not_understood_is_refused(query: Document) -> None:
    with pytest.raises(FilterError) as caught:
        [compile_filter(query)(document) for document in STORED]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("query", [None, "state", ["state"], 5])
def test_a_filter_is_a_dictionary(query: Any) -> None:
    with pytest.raises(FilterError, match="dictionary"):
        compile_filter(query)


def test_keys_are_texts() -> None:
    query: Any = {1: 2}
    with pytest.raises(FilterError, match="texts"):
        compile_filter(query)


def test_a_misplaced_operator_is_explained() -> None:
    with pytest.raises(FilterError) as caught:
        parse({"$gt": 5})
    assert "behind the name of a field" in (caught.value.hint or "")
    with pytest.raises(FilterError) as caught:
        parse({"state": {"$is": 5}})
    assert "$exists" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "RUN_FINISHED"}, True),
        ({"state": {"$eq": "RUN_FINISHED"}}, True),
        ({"state": {"$in": ["READY", "RUN_FINISHED"]}}, True),
        ({"state": {"$ne": "RUN_FINISHED"}}, False),
        ({"state": {"$nin": ["RUN_FINISHED"]}}, False),
        ({"state": {"$not": {"$eq": "RUN_FINISHED"}}}, False),
        ({"$or": [{"state": "RUN_FINISHED"}]}, True),
        ({"previous_state": "RUN_FINISHED"}, True),
        ({"state": JobState.RUN_FINISHED}, True),
        ({"state": [JobState.READY]}, False),
        ({"name": "RUN_FINISHED"}, True),
        ({"name": "TERMINATED"}, False),
        ({"history": {"$elemMatch": {"state": "RUN_FINISHED"}}}, True),
    ],
    ids=repr,
)
def test_the_state_that_was_renamed(query: Document, expected: bool) -> None:
    history = [{"state": "RUN_FINISHED"}]
    document = {
        "state": "TERMINATED",
        "previous_state": "TERMINATED",
        "name": "RUN_FINISHED",
        "history": history,
    }
    assert compile_filter(query)(document) is expected
    assert compile_filter({"state": "RUN_FINISHED"}, aliases={})(document) is False


def test_moments_are_compared_as_they_are_stored() -> None:
    document = {"t": datetime(2026, 1, 1, 12, 0, 0, 123000)}
    for moment in (
        datetime(2026, 1, 1, 12, 0, 0, 123999),
        datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
        datetime(2026, 1, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
    ):
        assert compile_filter({"t": moment})(document)
        assert not compile_filter({"t": {"$gt": moment}})(document)


def test_a_parsed_filter_does_not_follow_later_changes() -> None:
    query: Document = {"a": {"$in": [1]}, "b": {"x": [1]}}
    matches = compile_filter(query)
    query["a"]["$in"].append(2)
    query["b"]["x"].append(2)
    assert matches({"a": 1, "b": {"x": [1]}})
    assert not matches({"a": 2, "b": {"x": [1]}})


def test_paths_that_a_filter_speaks_of() -> None:
    assert paths_of(parse({"a": 1, "$or": [{"b.c": 2}, {"$nor": [{"d": 3}]}], "$comment": "x"})) == {
        "a",
        "b.c",
        "d",
    }
    assert paths_of(parse({"a": 1, "$expr": "$b"})) is None
    assert paths_of(parse({})) == set()


# -- order and projection ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "direction"), SORTS, ids=repr)
def test_orders_agree_with_mongod(path: str, direction: int) -> None:
    found = sorted(STORED, key=sort_key(path, direction), reverse=direction < 0)
    if direction < 0:  # Python keeps ties in their order either way
        found = sorted(sorted(STORED, key=lambda d: d["n"]), key=sort_key(path, direction), reverse=True)
    assert [document["n"] for document in found] == ANSWERS[repr((path, direction))]


def test_kinds_sort_as_in_mongodb() -> None:
    ascending = [
        bson.MinKey(), None, float("nan"), -(2**70), -1, 0.5, 1, 2**70, "", "a", {}, {"a": 1}, {"b": 0}, {"a": "x"}, [],
        [1], [1, 2], [2], b"z", b"aa", bson.ObjectId("0" * 24), bson.ObjectId("f" * 24), False, True, datetime(1970, 1,
        1),
        datetime(2026, 1, 1), bson.Timestamp(1, 1), bson.Regex("a"), bson.MaxKey(),
    ]  # fmt: skip
    descending = ascending[::-1]
    assert repr(sorted(descending, key=order_key)) == repr(ascending)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["a"], {"a": {"b": 1, "c": {"d": 2}}}),
        (["a.b", "list.k"], {"a": {"b": 1}, "list": [{"k": 1}, {}]}),
        (["a.c.d", "a.b"], {"a": {"b": 1, "c": {"d": 2}}}),
        (["a", "a.b"], {"a": {"b": 1, "c": {"d": 2}}}),
        (["a.b", "a"], {"a": {"b": 1, "c": {"d": 2}}}),
        (["a.x", "nothing", "text.more"], {"a": {}}),
        ([], {}),
    ],
    ids=repr,
)
def test_projection(fields: list[str], expected: Document) -> None:
    document = {"a": {"b": 1, "c": {"d": 2}}, "list": [{"k": 1, "v": 2}, {"v": 3}, 5], "text": "x"}
    assert project(document, wanted_fields(fields)) == expected


# -- SQL: nothing that matches is left out -------------------------------------------------------------------------

COLUMNS = {
    "state": Column("state"),
    "p": Column("p", "number"),
    "t": Column("t", "date"),
    "ok": Column("ok", "bool"),
    "job.name": Column("name"),
    "e": Column("e", "scalar"),
}
BY_COLUMNS, BY_TEXT = Mapped(COLUMNS), Mapped({})


class Rows:
    """Documents in a table, with some fields in columns."""

    def __init__(self, documents: list[Document], mapped: Mapped) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.create_function(
            SQLITE_REGEX,
            3,
            lambda value, pattern, flags: isinstance(value, str) and bool(re.search(pattern, value, flags)),
        )
        self.columns = mapped.columns
        names = [column.name for column in self.columns.values()]
        self.connection.execute(f"CREATE TABLE rows (head TEXT{''.join(f', {name}' for name in names)})")
        for document in documents:
            self.connection.execute(
                f"INSERT INTO rows VALUES (?{', ?' * len(names)})",
                (encode(document), *self._columns(document)),
            )

    def _columns(self, document: Document) -> Iterator[Any]:
        for path in self.columns:
            value: Any = document
            for part in path.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            yield (
                (value - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
                if isinstance(value, datetime)
                else value
            )

    def select(self, condition: Condition) -> list[str]:
        rows = self.connection.execute(f"SELECT head FROM rows WHERE {condition.sql}", condition.params)
        return [head for (head,) in rows]


def check_nothing_is_left_out(documents: list[Document], query: Document, mapped: Mapped) -> None:
    """SQL and the predicate together are the predicate alone, and SQL alone is when it says so."""
    node, matches = parse(query), compile_filter(query)
    condition = build_condition(node, mapped)
    rows = Rows(documents, mapped)
    with closing(rows.connection):
        selected = rows.select(condition)
        everything = rows.select(Condition("1"))
    expected = [head for head in everything if matches(decode(head))]
    assert [head for head in selected if matches(decode(head))] == expected
    if condition.exact:
        assert selected == expected


@pytest.mark.parametrize("query", FILTERS, ids=repr)
def test_known_filters_lose_nothing_in_the_text(query: Document) -> None:
    check_nothing_is_left_out(STORED, query, BY_TEXT)


TYPED = [
    {"state": state, "p": p, "t": t, "ok": ok, "e": e, "job": {"name": name}}
    for state, p, t, ok, e, name in [
        ("READY", 3, datetime(2026, 1, 1), True, None, "relax 1"),
        ("FAILED", 0, None, False, "5", "Relax\n3"),
        ("", -2, datetime(1960, 1, 1), None, 5, ""),
        (None, 3.5, datetime(2026, 1, 1, 5), True, "boom", None),
        ("relaxé ü", 2**53 + 1, datetime(2026, 1, 2), False, 5.0, "phonon"),
        ("5", None, None, None, "", "line\n"),
    ]
]


@pytest.mark.parametrize("query", FILTERS, ids=repr)
def test_known_filters_lose_nothing_in_columns(query: Document) -> None:
    check_nothing_is_left_out(TYPED, query, BY_COLUMNS)


texts = st.sampled_from(
    ["", "a", "b", "READY", "FAILED", "5", "relax", "relax 1", "é", "\0", "a\0b", "$", '"', "\ud800"]
)
numbers = st.one_of(
    st.sampled_from(
        [0, 1, -1, 5, 5.0, 2.5, -0.0, 2**31, 2**53, 2**53 + 1, -(2**63), 2**63 - 1, 2**64, 1e300]
    ),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
)
moments = st.sampled_from(
    [datetime(2026, 1, 1), datetime(2026, 1, 2), datetime(1950, 1, 1), datetime(2026, 1, 1, 1, 1, 1, 1000)]
)
scalars = st.one_of(
    st.none(), st.booleans(), texts, numbers, moments, st.sampled_from([b"", b"ab", bson.ObjectId("a" * 24)])
)
keys = st.sampled_from(["a", "b", "x", "0", "name", "$date", "k y", 'q"', "é"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=5,
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "state": st.one_of(st.none(), texts.filter(str.isprintable)),
        "p": st.one_of(st.none(), st.integers(-9, 9), st.sampled_from([0.5, 5.0, 2**60])),
        "t": st.one_of(st.none(), moments),
        "ok": st.one_of(st.none(), st.booleans()),
        "e": st.one_of(st.none(), st.sampled_from(["a", "5", ""]), st.sampled_from([5, 5.0, 0])),
        "job": st.fixed_dictionaries({}, optional={"name": st.sampled_from(["relax", "", None]), "a": values}),
        "a": values,
        "b": values,
    },
)  # fmt: skip
paths = st.sampled_from(
    [
        "state",
        "p",
        "t",
        "ok",
        "e",
        "job",
        "job.name",
        "job.a",
        "a",
        "a.b",
        "a.0",
        "a.x.0",
        "b.a.x",
        'a.q"',
        "a.k y",
        "a.é",
        "a.$date",
    ]
)


def operators(operand: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Conditions with operators."""
    bounds = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
    simple = st.dictionaries(bounds, operand, min_size=1, max_size=2)
    lists = st.dictionaries(
        st.sampled_from(["$in", "$nin", "$all"]), st.lists(scalars, max_size=3), min_size=1, max_size=1
    )
    others = st.sampled_from(
        [{"$exists": True}, {"$exists": False}, {"$type": "number"}, {"$type": "string"}, {"$size": 1}, {"$regex": "a"},
         {"$regex": "^R", "$options": "i"}, {"$mod": [2, 1]}, {"$elemMatch": {"$gt": 0}}, {"$elemMatch": {"a": 1}}]
    )  # fmt: skip
    plain = st.one_of(simple, lists, others)
    return st.one_of(plain, plain.map(lambda condition: {"$not": condition}))


conditions = st.one_of(scalars, values, operators(st.one_of(scalars, values)))
simple_filters = st.dictionaries(paths, conditions, max_size=2)
filters = st.recursive(
    simple_filters,
    lambda inner: st.dictionaries(
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=3),
        min_size=1,
        max_size=2,
    ),
    max_leaves=4,
)


@settings(max_examples=600, deadline=None)
@given(st.lists(documents, min_size=1, max_size=5), filters)
def test_sql_never_drops_a_match(stored: list[Document], query: Document) -> None:
    try:
        parse(query)
    except FilterError:  # a random document that looks like operators
        return
    check_nothing_is_left_out(stored, query, BY_COLUMNS)
    check_nothing_is_left_out(stored, query, BY_TEXT)


@settings(max_examples=300, deadline=None)
@given(values)
def test_the_text_of_a_document_keeps_every_value(value: Any) -> None:
    assert repr(decode(encode({"value": value}))) == repr({"value": value})


@pytest.mark.parametrize("operator", ["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"])
def test_texts_with_null_characters_are_not_lost(operator: str) -> None:
    stored: list[Document] = [{"a": text} for text in ("ab", "ab\0", "ab\0c", "a", "abc")]
    for bound in ("ab", "ab\0", "ab\0b", "b", "a"):
        check_nothing_is_left_out(stored, {"a": {operator: bound}}, BY_TEXT)


def test_conditions_on_columns_alone_are_exact() -> None:
    for query in (
        {"state": {"$in": ["READY", "RUN_FINISHED"]}, "p": {"$gte": 1}, "t": {"$lt": datetime(2026, 1, 1)}},
        {"$nor": [{"state": "READY"}, {"e": None}], "ok": {"$ne": True}},
        {"job.name": {"$regex": "^re", "$options": "i"}},
        {"p": {"$in": list(range(1000))}},
    ):
        assert build_condition(parse(query), BY_COLUMNS).exact
    assert not build_condition(parse({"a": 1, "state": "READY"}), BY_COLUMNS).exact
    assert not build_condition(parse({"$expr": "$ok"}), BY_COLUMNS).exact


def test_fields_outside_of_the_row_are_left_to_the_predicate() -> None:
    mapped = Mapped(COLUMNS, outside=("job.args",), beside=("counts",))
    for path in ("job.args", "job.args.x", "job", "counts.READY"):
        assert build_condition(parse({path: 1}), mapped) == Condition("1", exact=False)
    assert mapped.is_outside("job")
    assert not mapped.is_outside("counts")
    assert not mapped.is_outside("job.other")


def test_a_document_of_columns() -> None:
    document = document_of_columns(["t", "job.name", "ok", "e"], [0, None, 1, 5], COLUMNS)
    assert document == {"t": datetime(1970, 1, 1), "job": {"name": None}, "ok": True, "e": 5}


def test_filters_do_not_import_bson() -> None:
    code = (
        "import sys; from jobflow_remote.queuedb.filters import compile_filter; "
        "assert compile_filter({'a': {'$in': [1, None]}, '$expr': {'$eq': ['$a', 1]}})({'a': 1}); "
        "assert 'bson' not in sys.modules and 'pymongo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
