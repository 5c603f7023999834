"""A maggma store in one SQLite file, for outputs and blobs: no server, several processes at once.

Documents are BSON in a column, as MongoDB would hold them; the fields that jobflow asks by are columns
beside it. Filters are those of MongoDB (:mod:`jobflow_remote.queuedb.filters`).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import bson
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.int64 import Int64
from maggma.core import Store
from monty.json import jsanitize

from jobflow_remote.errors import CapabilityMissingError, ConfigError, FilterError
from jobflow_remote.queuedb.filesystem import find_filesystem, is_network
from jobflow_remote.queuedb.filters import (
    Column,
    Condition,
    Mapped,
    Predicate,
    build_condition,
    build_predicate,
    order_key,
    parse,
    project,
    sort_key,
    wanted_fields,
)
from jobflow_remote.queuedb.filters.values import MISSING, expanded, getter

Document = dict[str, Any]
Properties = Mapping[str, Any] | Sequence[str] | None
Key = str | Sequence[str] | None

HOT = ("uuid", "index", "blob_uuid", "job_uuid", "job_index", "name")
"""Fields that have a column."""
_INDEXES = (("uuid", "index"), ("blob_uuid",), ("job_uuid", "job_index"), ("name",))
_COLUMNS = {field: Column(f'"{field}"', "scalar") for field in HOT}
_MAPPED = Mapped(_COLUMNS, text=None)
_CHUNK = 100
"""Documents that are read at a time: an open cursor would keep the write-ahead log from being emptied."""
_JOURNAL_LIMIT = 64 * 2**20


class _PlainInt(TypeDecoder):  # type: ignore[misc]  # bson is not checked  # type: ignore[misc]  # bson is not analysed
    """Numbers of 64 bits come back as the ``int`` that they were."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


_PLAIN_NUMBERS: CodecOptions[dict[str, Any]] = CodecOptions(type_registry=TypeRegistry([_PlainInt()]))


class SQLiteStore(Store):  # type: ignore[misc]  # maggma has no types
    """Documents in a file that any number of processes of one machine may use at once.

    Parameters
    ----------
    path
        The file; made with its folder, readable by its owner only, if it does not exist.
    collection_name
        Name of the table; several stores can share a file.
    synchronous
        ``FULL``: not even a power failure loses what was stored, at the price of one fsync for each write; a job is
        COMPLETED only after its output was stored. ``NORMAL``: a power failure may lose the last moments.
    busy_timeout_seconds
        How long to wait for another process that is writing.
    allow_network
        Use the file even on a network file system (NFS, Lustre, …): slower, and only one machine may do so at a time.
    """

    def __init__(
        self,
        path: str | Path,
        collection_name: str = "outputs",
        synchronous: str = "FULL",
        busy_timeout_seconds: float = 60.0,
        allow_network: bool = False,
        **kwargs: Any,
    ) -> None:
        if synchronous.upper() not in ("NORMAL", "FULL", "EXTRA"):
            raise ConfigError(f"synchronous of a SQLiteStore is NORMAL, FULL or EXTRA, not {synchronous!r}")
        if not collection_name or '"' in collection_name or collection_name.startswith("sqlite_"):
            raise ConfigError(f"a SQLiteStore cannot have the collection_name {collection_name!r}")
        self.path = str(path)
        self.collection_name = collection_name
        self.synchronous = synchronous
        self.busy_timeout_seconds = busy_timeout_seconds
        self.allow_network = allow_network
        self.kwargs = kwargs
        self._file = Path(self.path).expanduser().absolute()
        self._forget_connections()
        super().__init__(**kwargs)

    @property
    def name(self) -> str:
        """Where the documents are."""
        return f"sqlite://{self._file}/{self.collection_name}"

    @property
    def _collection(self) -> Any:
        raise CapabilityMissingError(
            "a SQLiteStore has no pymongo collection",
            hint="Use query, count, update and remove_docs of the store.",
        )

    # -- connections: one for each thread, none across a fork ----------------------------------------------

    def connect(self, force_reset: bool = False) -> None:
        """Open the file; other methods do so themselves where it was not done."""
        if force_reset:
            self.close()
        self._connection()

    def close(self) -> None:
        """Close the connections of all threads."""
        if self._pid == os.getpid():
            with self._guard:
                for connection in self._opened:
                    connection.close()
        self._forget_connections()

    def _forget_connections(self) -> None:
        self._pid = os.getpid()
        self._local = threading.local()
        self._guard = threading.Lock()
        self._opened: list[sqlite3.Connection] = []

    def _connection(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            self._forget_connections()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._open()
            self._local.connection = connection
            with self._guard:
                self._opened.append(connection)
        return connection

    def _journal_mode(self) -> str:
        """WAL needs memory that processes share, which a network file system does not give."""
        point, kind = find_filesystem(self._file)
        if not is_network(kind):
            return "WAL"
        if not self.allow_network:
            raise ConfigError(
                f"the output store {self._file} would be on a network file system ({kind}, mounted at {point})",
                hint="give docs_store.path and additional_stores.*.path a local disk, use a MongoStore, or say "
                "allow_network: true if only one machine will ever open it",
            )
        return "DELETE"

    def _open(self) -> sqlite3.Connection:
        journal = self._journal_mode()
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            self._file, timeout=self.busy_timeout_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute(f"PRAGMA journal_mode={journal}").fetchone()
            connection.execute(f"PRAGMA synchronous={self.synchronous}")
            connection.execute(f"PRAGMA journal_size_limit={_JOURNAL_LIMIT}")
            if not connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name=?", (self.collection_name,)
            ).fetchone():
                self._create_table(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create_table(self, connection: sqlite3.Connection) -> None:
        table = self.collection_name
        columns = ", ".join(f'"{field}"' for field in HOT)
        with _transaction(connection):
            layout = f"(pk INTEGER PRIMARY KEY, {columns}, odd INTEGER, doc BLOB NOT NULL)"
            connection.execute(f'CREATE TABLE IF NOT EXISTS "{table}" {layout}')
            for fields in _INDEXES:
                listed = ", ".join(f'"{field}"' for field in fields)
                connection.execute(
                    f'CREATE INDEX IF NOT EXISTS "{table}.{".".join(fields)}" ON "{table}" ({listed})'
                )
            connection.execute(f'CREATE INDEX IF NOT EXISTS "{table}.odd" ON "{table}" (odd) WHERE odd')

    # -- reading -------------------------------------------------------------------------------------------

    def count(self, criteria: Mapping[str, Any] | None = None) -> int:
        """Number of documents that match."""
        condition, matches = self._understand(criteria)
        if matches is None:
            sql = f'SELECT count(*) FROM "{self.collection_name}" WHERE {condition.sql}'
            return int(self._connection().execute(sql, condition.params).fetchone()[0])
        return sum(1 for _ in self._find(criteria))

    def query(
        self,
        criteria: Mapping[str, Any] | None = None,
        properties: Properties = None,
        sort: Mapping[str, Any] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[Document]:
        """Documents that match a MongoDB filter; ``properties`` as a list, or as a dict of inclusions or exclusions."""
        shown = _projection(properties)
        found = self._sorted(criteria, sort) if sort else self._find(criteria)
        for _, document in islice(found, skip, skip + limit if limit else None):
            yield shown(document)

    def _understand(self, criteria: Mapping[str, Any] | None) -> tuple[Condition, Predicate | None]:
        """A condition in SQL, and the test that what it finds must pass (None: it is exact)."""
        if not criteria:
            return Condition("1"), None
        node = parse(criteria, aliases={})
        if self._connection().execute(f'SELECT 1 FROM "{self.collection_name}" WHERE odd LIMIT 1').fetchone():
            return Condition("1"), build_predicate(node)
        condition = build_condition(node, _MAPPED)
        return condition, None if condition.exact else build_predicate(node)

    def _find(self, criteria: Mapping[str, Any] | None) -> Iterator[tuple[int, Document]]:
        condition, matches = self._understand(criteria)
        rows = self._connection().execute(
            f'SELECT pk FROM "{self.collection_name}" WHERE {condition.sql} ORDER BY pk', condition.params
        )
        for pk, document in self._read([pk for (pk,) in rows.fetchall()]):
            if matches is None or matches(document):
                yield pk, document

    def _read(self, pks: Sequence[int]) -> Iterator[tuple[int, Document]]:
        """Documents in the order of ``pks``, without those that were removed meanwhile."""
        for start in range(0, len(pks), _CHUNK):
            part = pks[start : start + _CHUNK]
            marks = ", ".join("?" * len(part))
            sql = f'SELECT pk, doc FROM "{self.collection_name}" WHERE pk IN ({marks})'
            rows = dict(self._connection().execute(sql, part).fetchall())
            for pk in part:
                if pk in rows:
                    yield pk, bson.decode(rows[pk], codec_options=_PLAIN_NUMBERS)

    def _sorted(
        self, criteria: Mapping[str, Any] | None, sort: Mapping[str, Any]
    ) -> Iterator[tuple[int, Document]]:
        """In order; of many documents only the keys are held in memory."""
        by = [(sort_key(field, order), order) for field, order in _orders(sort)]
        keyed = [([key(document) for key, _ in by], pk) for pk, document in self._find(criteria)]
        for position, (_, order) in reversed(list(enumerate(by))):
            keyed.sort(key=lambda entry: entry[0][position], reverse=order < 0)
        return self._read([pk for _, pk in keyed])

    def distinct(
        self, field: str, criteria: Mapping[str, Any] | None = None, all_exist: bool = False
    ) -> list[Any]:
        """All values of a field; elements of arrays count one by one, as in MongoDB."""
        get = getter(field)
        found: dict[str, Any] = {}
        for _, document in self._find(criteria):
            for value in expanded(get(document)):
                if value is not MISSING and not isinstance(value, list):
                    found.setdefault(repr(order_key(value)), value)
        return sorted(found.values(), key=order_key)

    def groupby(
        self,
        keys: str | Sequence[str],
        criteria: Mapping[str, Any] | None = None,
        properties: Properties = None,
        sort: Mapping[str, Any] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[tuple[Document, list[Document]]]:
        """Documents that have the same values under ``keys``; those without one of the keys are left out."""
        from pydash import get, has, set_

        names = [keys] if isinstance(keys, str) else list(keys)
        if properties is not None:
            properties = [*properties, *names]
        found = self.query(criteria, properties, sort, skip, limit)
        documents = [document for document in found if all(has(document, key) for key in names)]

        def values_of(document: Document) -> list[Any]:
            return [order_key(get(document, key)) for key in names]

        for _, group in groupby(sorted(documents, key=values_of), key=values_of):
            members = list(group)
            common: Document = {}
            for key in names:
                set_(common, key, get(members[0], key))
            yield common, members

    # -- writing -------------------------------------------------------------------------------------------

    def update(self, docs: list[Document] | Document, key: Key = None) -> None:
        """Insert documents, or replace those that have the same ``key``: all of them, or none."""
        fields = [self.key] if key is None else [key] if isinstance(key, str) else list(key)
        rows = [
            ({field: document[field] for field in fields}, _row(document), document)
            for document in self._checked(docs if isinstance(docs, list) else [docs])
        ]
        with _transaction(self._connection()) as connection:
            for same, columns, document in rows:
                self._replace(connection, same, columns, document)

    def _replace(
        self, connection: sqlite3.Connection, same: Document, columns: Document, document: Document
    ) -> None:
        found = next(self._find(same), None)
        identity = found[1].get("_id") if found else bson.ObjectId()
        try:
            encoded = bson.encode({"_id": identity, **document})
        except (bson.errors.InvalidDocument, OverflowError) as error:
            raise ValueError(f"a document cannot be stored: {error}") from error
        values = {**columns, "doc": encoded}
        if found:
            changes = ", ".join(f'"{name}" = ?' for name in values)
            sql = f'UPDATE "{self.collection_name}" SET {changes} WHERE pk = ?'
            connection.execute(sql, (*values.values(), found[0]))
        else:
            names, marks = ", ".join(f'"{name}"' for name in values), ", ".join("?" * len(values))
            sql = f'INSERT INTO "{self.collection_name}" ({names}) VALUES ({marks})'
            connection.execute(sql, tuple(values.values()))

    def _checked(self, docs: Sequence[Document]) -> Iterator[Document]:
        """Documents as they are stored, without those that the validator refuses."""
        for given in docs:
            document = jsanitize(given, allow_bson=True, recursive_msonable=True)
            document.pop("_id", None)
            if self.validator and not self.validator.is_valid(document):
                errors = self.validator.validation_errors(document)
                if self.validator.strict:
                    raise ValueError(errors)
                self.logger.error(errors)
                continue
            yield document

    def remove_docs(self, criteria: Mapping[str, Any]) -> None:
        """Remove the documents that match."""
        with _transaction(self._connection()) as connection:
            pks = [(pk,) for pk, _ in self._find(criteria)]
            connection.executemany(f'DELETE FROM "{self.collection_name}" WHERE pk = ?', pks)

    def ensure_index(self, key: str, unique: bool = False) -> bool:
        """Whether there is an index: on the fields with a column there is, and others cannot have one."""
        if key not in HOT or not unique:
            return key in HOT
        table = self.collection_name
        try:
            self._connection().execute(
                f'CREATE UNIQUE INDEX IF NOT EXISTS "{table}.{key}.unique" ON "{table}" ("{key}")'
            )
        except sqlite3.IntegrityError:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SQLiteStore):
            return NotImplemented
        return (self._file, self.collection_name) == (other._file, other.collection_name)

    def __hash__(self) -> int:
        return hash((self._file, self.collection_name))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Everything or nothing. ``IMMEDIATE``: to read first and lock later fails when somebody wrote in between."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _row(document: Document) -> Document:
    """Columns of a document; ``odd`` if one of the fields is neither a text nor a number."""
    values: Document = {}
    odd = False
    for field in HOT:
        value = document.get(field)
        plain = isinstance(value, str | int | float) and not isinstance(value, bool) and value == value
        values[field] = value if plain else None
        odd = odd or not (plain or value is None)
    return {**values, "odd": int(odd)}


def _orders(sort: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [(field, int(getattr(order, "value", order))) for field, order in sort.items()]


def _projection(properties: Properties) -> Callable[[Document], Document]:
    """What is shown of a document."""
    if not properties:
        return lambda document: document
    chosen = properties if isinstance(properties, Mapping) else dict.fromkeys(properties, 1)
    for field, value in chosen.items():
        if value not in (0, 1, True, False):
            raise FilterError(f"properties can include or exclude {field!r} (1 or 0), not {value!r}")
    with_id = bool(chosen.get("_id", 1))
    others = {field: bool(value) for field, value in chosen.items() if field != "_id"}
    if len(set(others.values())) > 1:
        raise FilterError("properties either include or exclude fields, not both")
    if (others and all(others.values())) or (not others and with_id):
        wanted = wanted_fields([*others, "_id"] if with_id else list(others))
        return lambda document: project(document, wanted)
    excluded = [field.split(".") for field in others] + ([] if with_id else [["_id"]])

    def without_excluded(document: Document) -> Document:
        for path in excluded:
            document = _without(document, path)
        return document

    return without_excluded


def _without(value: Any, path: list[str]) -> Any:
    if isinstance(value, list):
        return [_without(inner, path) for inner in value]
    if not isinstance(value, dict) or path[0] not in value:
        return value
    if len(path) == 1:
        return {key: inner for key, inner in value.items() if key != path[0]}
    return {**value, path[0]: _without(value[path[0]], path[1:])}
