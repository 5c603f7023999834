"""The client: how the server is reached, what its errors mean, and the few writes that stand for themselves."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import MongoClient, ReadPreference, WriteConcern, errors
from pymongo.collection import Collection
from pymongo.database import Database

from jobflow_remote.errors import QueueDatabaseError
from jobflow_remote.queuedb.mongo import schema
from jobflow_remote.queuedb.mongo.clients import open_client
from jobflow_remote.queuedb.mongo.options import Server
from jobflow_remote.queuedb.mongo.trouble import translate

Hook = Callable[[str], None]
"""Called before each write (tests kill the process there)."""

COUNTER = {"next_id": {"$exists": True}}
RUNNER = {"running_runner": {"$exists": True}}
_BUMP_SECONDS = 0.5
"""Others are told of a change at once, and of those that follow it within this time together, at its end."""
_unfinished: dict[str, set[Any]] = {}


def process_identity() -> dict[str, Any]:
    """This process, so that others on this machine can tell whether it lives."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return {"host": f"{socket.gethostname()} {space}".strip(), "pid": os.getpid()}


class Quick:
    """Collections whose writes do not wait for the server's journal: for what a later write makes certain.

    The journal of a server keeps the order of writes: when it has lost one, it has lost those after it, too.
    """

    def __init__(self, jobs: Collection[Any], flows: Collection[Any], auxiliary: Collection[Any]) -> None:
        concern = WriteConcern(w=1)
        self.jobs = jobs.with_options(write_concern=concern)
        self.flows = flows.with_options(write_concern=concern)
        self.auxiliary = auxiliary.with_options(write_concern=concern)


class Connection:
    """A client and the collections. May be used from several threads, and not over a fork."""

    def __init__(self, server: Server, *, clock: Callable[[], datetime], hook: Hook | None) -> None:
        self.server = server
        self.clock = clock
        self.where = server.describe()
        self.identity = process_identity()
        self.unfinished = _unfinished.setdefault(f"{server.key()} {server.names}", set())
        """Changes of this process that the server went away from, also through connections that are closed."""
        self.usable = True
        """False: a database of an older release, which can be read only."""
        self._hook = hook
        self.is_of_runner = False
        """Changes by the runner are no news to this process: its processes tell each other."""
        self._counting = threading.Lock()
        self._bumped_at = -_BUMP_SECONDS
        self._bumper: threading.Timer | None = None
        self._own_changes = 0
        self._seen_changes: int | None = None
        self._handle = open_client(server)
        self.client: MongoClient[Any] = self._handle.client
        with self.translated():
            self.transactional = self._find_out()
        concern = WriteConcern(w="majority", j=True)
        self.database: Database[Any] = self.client.get_database(
            server.names.database,
            codec_options=CodecOptions(),  # ours, whatever mongoclient_kwargs say of time zones and the like
            write_concern=concern,
            read_preference=ReadPreference.PRIMARY,
        )
        names = server.names
        self.jobs: Collection[Any] = self.database[names.jobs]
        self.flows: Collection[Any] = self.database[names.flows]
        self.auxiliary: Collection[Any] = self.database[names.auxiliary]
        self.batches: Collection[Any] = self.database[names.batches]
        self.intents: Collection[Any] = self.database[names.intents]
        self.quick = Quick(self.jobs, self.flows, self.auxiliary)

    def _find_out(self) -> bool:
        """Whether the server has transactions (replica set or sharded cluster)."""
        try:
            hello = self.client.admin.command("hello")
        except errors.PyMongoError:
            self.close()
            raise
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    def close(self) -> None:
        """Give the client back; may be called twice."""
        if self.identity["pid"] == os.getpid():  # after a fork the client is the other one's
            self._bump_now(only_if_due=True)
        self._handle.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of the driver as ours."""
        try:
            yield
        except errors.PyMongoError as exc:
            raise translate(exc, self.server) from exc
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
        document = self.quick.auxiliary.find_one_and_update(COUNTER, {"$inc": {"next_id": count}})
        if document is None:
            raise QueueDatabaseError(
                f"{self.where} has lost its counter of ids",
                hint="look at it with `jf admin`, or restore a backup",
            )
        return int(document["next_id"])

    def bump(self) -> None:
        """Tell others that something was changed, at once or within :data:`_BUMP_SECONDS`."""
        with self._counting:
            wait = self._bumped_at + _BUMP_SECONDS - time.monotonic()
            if wait > 0:
                if self._bumper is None:
                    self._bumper = threading.Timer(wait, self._bump_now, kwargs={"only_if_due": True})
                    self._bumper.daemon = True
                    self._bumper.start()
                return
        self._bump_now()

    def _bump_now(self, *, only_if_due: bool = False) -> None:
        """Tell others (``only_if_due``: of what they were not told yet; it is not worth an error)."""
        with self._counting:
            due, self._bumper = self._bumper, None
            if due is not None:
                due.cancel()
            elif only_if_due:
                return
            self._bumped_at = time.monotonic()
        self.announce("bump")
        with suppress(*((errors.PyMongoError,) if only_if_due else ())):
            change = {"changes": 1, "changes_of_runner": 1} if self.is_of_runner else {"changes": 1}
            self.quick.auxiliary.update_one(COUNTER, {"$inc": change})
            with self._counting:
                self._own_changes += 1

    def changed_by_others(self) -> bool:
        """Whether others have changed something since the last call."""
        document = self.auxiliary.find_one(COUNTER, {"changes": 1, "changes_of_runner": 1}) or {}
        with self._counting:
            present, own = int(document.get("changes") or 0), self._own_changes
            if self.is_of_runner:
                present, own = present - int(document.get("changes_of_runner") or 0), 0
            seen, self._seen_changes, self._own_changes = self._seen_changes, present, 0
        return seen is None or present != seen + own

    # -- what must be there ----------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Create indexes and documents where they are missing. What an older release wrote is left as it is."""
        counter = self.auxiliary.find_one(COUNTER)
        if counter is not None and counter.get("schema") == schema.SCHEMA_VERSION:
            return
        self._check_age(counter)
        if not self.usable:
            return
        if counter is None:
            self._insert_once({"_id": "next_id", "next_id": 1, "changes": 0})
        if self.auxiliary.find_one(RUNNER, {"_id": 1}) is None:
            empty = {"running_runner": None, "lock_id": None, "lock_time": None, "session": None}
            self._insert_once({"_id": "running_runner", **empty})
        self.create_indexes()
        self.announce("initialise")
        self.auxiliary.update_one(COUNTER, {"$set": {"schema": schema.SCHEMA_VERSION}})

    def _check_age(self, counter: Mapping[str, Any] | None) -> None:
        """Find out whether an older or a newer release wrote what is here.

        Raises
        ------
        QueueDatabaseError
            If it was a newer one.
        """
        present = (counter or {}).get("schema") or 0
        if present > schema.SCHEMA_VERSION:
            raise QueueDatabaseError(
                f"{self.where} was written by a newer release of jobflow-remote",
                hint="install that release here, too",
            )
        inserted = {"state": {"$ne": schema.INCOMING}}
        self.usable = all(each.find_one(inserted, {"_id": 1}) is None for each in (self.jobs, self.flows))
        if not self.usable:  # or another process has initialised it just now
            counter = self.auxiliary.find_one(COUNTER) or {}
            self.usable = counter.get("schema") == schema.SCHEMA_VERSION

    def _insert_once(self, document: dict[str, Any]) -> None:
        self.announce("initialise")
        try:
            self.auxiliary.insert_one(document)
        except errors.DuplicateKeyError:
            pass  # another process was quicker

    def create_indexes(self) -> None:
        """Create the indexes that are missing."""
        from jobflow_remote.queuedb.mongo import indexes

        indexes.create(self)
