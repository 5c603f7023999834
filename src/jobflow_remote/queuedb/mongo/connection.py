"""The client: how the server is reached, what its errors mean, and the few writes that stand for themselves."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pymongo import MongoClient, ReadPreference, WriteConcern, errors
from pymongo.collection import Collection
from pymongo.database import Database

from jobflow_remote.errors import (
    ConfigError,
    JobflowRemoteError,
    QueueDatabaseAwayError,
    QueueDatabaseError,
)
from jobflow_remote.queuedb.mongo import schema
from jobflow_remote.queuedb.mongo.options import Server

Hook = Callable[[str], None]
"""Called before each write (tests kill the process there)."""

_AUTHENTICATION = (13, 18)
_TOO_LONG = 290
"""A transaction took longer than the server permits."""
_COUNTER = {"next_id": {"$exists": True}}


def translate(exc: Exception, where: str) -> JobflowRemoteError:
    """What an error of the driver or the server means to people."""
    code = getattr(exc, "code", None)
    if code in _AUTHENTICATION:
        return QueueDatabaseError(
            f"{where} refused the login or what was asked: {_words(exc)}",
            hint="check username, password and auth_source in queue.store, and what the user may do",
        )
    if isinstance(exc, errors.ConfigurationError | errors.InvalidURI):
        return ConfigError(f"queue.store cannot be used: {exc}", hint="see the options of MongoStore")
    transient = isinstance(exc, errors.PyMongoError) and exc.has_error_label("TransientTransactionError")
    if transient or isinstance(
        exc,
        errors.ConnectionFailure
        | errors.WTimeoutError
        | errors.ExecutionTimeout
        | errors.WaitQueueTimeoutError,
    ):
        return QueueDatabaseAwayError(
            f"{where} does not answer: {_words(exc)}", hint="it will be tried again; is the server running?"
        )
    hint = "raise transactionLifetimeLimitSeconds of the server" if code == _TOO_LONG else None
    return QueueDatabaseError(f"{where} refused a statement: {_words(exc)}", hint=hint)


def _words(exc: Exception) -> str:
    return str(exc).split(", full error")[0].split(", Timeout:")[0]


def process_identity() -> dict[str, Any]:
    """This process, so that others on this machine can tell whether it lives."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return {"host": f"{socket.gethostname()} {space}".strip(), "pid": os.getpid()}


class Connection:
    """A client and the collections. May be used from several threads, and not over a fork."""

    def __init__(self, server: Server, *, clock: Callable[[], datetime], hook: Hook | None) -> None:
        self.server = server
        self.clock = clock
        self.where = server.describe()
        self.identity = process_identity()
        self.unfinished: set[Any] = set()
        """Changes of this process that the server went away from."""
        self.usable = True
        """False: a database of an older release, which can be read only."""
        self._hook = hook
        self._tunnel: Any = None
        self._counting = threading.Lock()
        self._own_changes = 0
        self._seen_changes: int | None = None
        with self.translated():
            self.client: MongoClient[Any] = self._connect()
            self.transactional = self._find_out()
        concern = WriteConcern(w="majority", j=True)
        self.database: Database[Any] = self.client.get_database(
            server.names.database, write_concern=concern, read_preference=ReadPreference.PRIMARY
        )
        names = server.names
        self.jobs: Collection[Any] = self.database[names.jobs]
        self.flows: Collection[Any] = self.database[names.flows]
        self.auxiliary: Collection[Any] = self.database[names.auxiliary]
        self.batches: Collection[Any] = self.database[names.batches]
        self.intents: Collection[Any] = self.database[names.intents]

    def _connect(self) -> MongoClient[Any]:
        server = self.server
        options = {**server.credentials, **server.client_options}
        if server.ssh_tunnel is not None:
            host, port = self._open_tunnel(server.ssh_tunnel)
            return MongoClient(host, port, directConnection=True, **options)
        if server.uri:
            return MongoClient(server.uri, **options)
        return MongoClient(server.host, server.port, **options)

    def _open_tunnel(self, description: Any) -> tuple[str, int]:
        from maggma.stores.ssh_tunnel import SSHTunnel

        try:
            self._tunnel = SSHTunnel.from_dict(description) if isinstance(description, dict) else description
            self._tunnel.start()
        except (TypeError, ValueError) as exc:
            raise ConfigError(f"queue.store.ssh_tunnel cannot be used: {exc}") from exc
        except Exception as exc:
            raise QueueDatabaseAwayError(f"the SSH tunnel to {self.where} did not open: {exc}") from exc
        host, port = self._tunnel.local_address
        return str(host), int(port)

    def _find_out(self) -> bool:
        """Whether the server has transactions (replica set or sharded cluster)."""
        try:
            hello = self.client.admin.command("hello")
        except errors.PyMongoError:
            self.close()
            raise
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    def close(self) -> None:
        """Close the client; may be called twice."""
        client = getattr(self, "client", None)
        if client is not None:
            client.close()
        if self._tunnel is not None:
            self._tunnel.stop()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of the driver as ours."""
        try:
            yield
        except errors.PyMongoError as exc:
            raise translate(exc, self.where) from exc
        except OverflowError as exc:
            raise QueueDatabaseError(f"MongoDB cannot hold integers beyond 64 bits: {exc}") from exc

    def announce(self, what: str) -> None:
        """To be called before each write."""
        if self._hook is not None:
            self._hook(what)

    # -- numbers ---------------------------------------------------------------------------------------------

    def reserve_numbers(self, count: int) -> int:
        """The first of ``count`` numbers that nobody else gets."""
        self.announce("reserve")
        document = self.auxiliary.find_one_and_update(_COUNTER, {"$inc": {"next_id": count}})
        if document is None:
            raise QueueDatabaseError(
                f"{self.where} has lost its counter of ids",
                hint="look at it with `jf admin`, or restore a backup",
            )
        return int(document["next_id"])

    def bump(self) -> None:
        """Tell others that something was changed."""
        self.announce("bump")
        self.auxiliary.update_one(_COUNTER, {"$inc": {"changes": 1}})
        with self._counting:
            self._own_changes += 1

    def changed_by_others(self) -> bool:
        """Whether others have changed something since the last call."""
        document = self.auxiliary.find_one(_COUNTER, {"changes": 1}) or {}
        with self._counting:
            present, own = int(document.get("changes") or 0), self._own_changes
            seen, self._seen_changes, self._own_changes = self._seen_changes, present, 0
        return seen is None or present != seen + own

    # -- what must be there ----------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Create indexes and the counter where they are missing."""
        counter = self.auxiliary.find_one(_COUNTER)
        if counter is not None and counter.get("schema") == schema.SCHEMA_VERSION:
            return
        if counter is None:
            self._insert_once({"_id": "next_id", "next_id": 1, "changes": 0})
        if self.auxiliary.find_one({"running_runner": {"$exists": True}}, {"_id": 1}) is None:
            empty = {"running_runner": None, "lock_id": None, "lock_time": None, "session": None}
            self._insert_once({"_id": "running_runner", **empty})
        self.create_indexes()
        self.usable = self.jobs.find_one({"db_number": None}, {"_id": 1}) is None
        if self.usable:
            self.announce("initialise")
            self.auxiliary.update_one(_COUNTER, {"$set": {"schema": schema.SCHEMA_VERSION}})

    def _insert_once(self, document: dict[str, Any]) -> None:
        self.announce("initialise")
        try:
            self.auxiliary.insert_one(document)
        except errors.DuplicateKeyError:
            pass  # another process was quicker

    def create_indexes(self) -> None:
        """Create the indexes that are missing."""
        for collection, indexes in (
            (self.jobs, schema.JOB_INDEXES), (self.flows, schema.FLOW_INDEXES), (self.batches, schema.BATCH_INDEXES),
        ):  # fmt: skip
            self.announce("initialise")
            collection.create_indexes([_index(keys, options) for keys, options in indexes])
        self.announce("initialise")
        self.intents.create_indexes([_index([("of", 1)], {"sparse": True})])


def _index(keys: list[tuple[str, int]], options: dict[str, Any]) -> Any:
    from pymongo import IndexModel

    return IndexModel(keys, **options)
