"""Connections to the file: who may open it, how it is opened, and what its errors mean.

One connection writes (guarded by a lock of the process), a few read. Across processes writers queue at a
lock file beside the database, because SQLite's own waiting polls and is unfair; the lock file decides
nothing: who cannot have it in two seconds goes on to ``BEGIN IMMEDIATE``, which does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jobflow_remote.errors import JobflowRemoteError, QueueDatabaseAwayError, QueueDatabaseError
from jobflow_remote.queuedb.filters import SQLITE_REGEX
from jobflow_remote.queuedb.sqlite.schema import SCHEMA_VERSION, STEPS

Hook = Callable[[str], None]
"""Called with each statement of the writing connection before it runs (tests kill the process there)."""

_Identity = tuple[int, int, int]
"""Process, device and inode: what a connection belongs to."""

_LOCK_FILE_SECONDS = 2.0
_MOST_IDLE = 4
"""Connections for reading that are kept: each may hold a cache of 16 MB."""
_JOURNAL_LIMIT = 64 * 2**20
_RETRY_SECONDS = 0.01
_AWAY = {
    sqlite3.SQLITE_FULL: "the file system is full",
    sqlite3.SQLITE_READONLY: "the file is read-only",
    sqlite3.SQLITE_IOERR: "reading or writing failed",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_BUSY: "another process has been writing for too long",
    sqlite3.SQLITE_LOCKED: "another process has been writing for too long",
    sqlite3.SQLITE_PERM: "access is not permitted",
    sqlite3.SQLITE_AUTH: "access is not permitted",
    sqlite3.SQLITE_PROTOCOL: "locks do not work on this file system",
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How the file is opened. ``networked``: on a network file system, at the person's own wish."""

    path: Path
    synchronous: str = "NORMAL"
    networked: bool = False
    busy_timeout_seconds: float = 30.0
    hook: Hook | None = field(default=None, compare=False)

    @property
    def journal_mode(self) -> str:
        """WAL, which needs memory that all processes share and so a single machine; DELETE where there may be more."""
        return "delete" if self.networked else "wal"


def translate(exc: sqlite3.Error, path: Path) -> JobflowRemoteError:
    """What an error of SQLite means to people."""
    code = (getattr(exc, "sqlite_errorcode", None) or 0) & 0xFF
    if code in _AWAY:
        return QueueDatabaseAwayError(
            f"the queue database {path} does not answer: {_AWAY[code]} ({exc})",
            hint="nothing was written; it will be tried again",
        )
    if code in _DAMAGED:
        return QueueDatabaseError(
            f"the queue database {path} is damaged or not a queue database: {exc}",
            hint="stop the runner, move the file away, and restore a backup with `jf backup restore`",
        )
    return QueueDatabaseError(f"the queue database {path} refused a statement: {exc}")


@lru_cache(maxsize=64)
def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    return re.compile(pattern, flags)


def _search(value: object, pattern: str, flags: int) -> bool:
    return isinstance(value, str) and _compiled(pattern, flags).search(value) is not None


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class Connections:
    """The connections of one process to one file. May be used from several threads."""

    def __init__(self, options: FileOptions) -> None:
        self.options = options
        self.path = options.path
        self._writing = threading.Lock()
        self._pool = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []
        self._writer_of: _Identity | None = None
        self._readers_of: _Identity | None = None
        self._seen_version: int | None = None

    # -- the file --------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the file (0600, in a folder that only its owner can read) and its tables where they are missing."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private_file(self.path)
        except OSError as exc:
            raise QueueDatabaseAwayError(
                f"the queue database {self.path} cannot be opened: {exc.strerror or exc}",
                hint="check the folder's permissions, or name another file in queue.store.path",
            ) from exc
        with self._translated():
            connection = self._connect()
            try:
                self._prepare_patiently(connection)
            finally:
                connection.close()

    def _prepare_patiently(self, connection: sqlite3.Connection) -> None:
        """Prepare the file; while another process does, SQLite refuses some statements without waiting."""
        deadline = time.monotonic() + self.options.busy_timeout_seconds
        while True:
            try:
                if not self._is_prepared(connection):
                    with self._queued():
                        self._prepare(connection)
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _is_prepared(self, connection: sqlite3.Connection) -> bool:
        with _transaction(connection, "BEGIN"):  # the questions that it asks must be about one moment
            known = self._check_version(connection)
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        return known and bool(mode == self.options.journal_mode)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA journal_mode={self.options.journal_mode}").fetchone()
        with _transaction(connection, "BEGIN IMMEDIATE"):
            if not self._check_version(connection):  # nobody else was quicker
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                for statement in ";\n".join(STEPS[version]).split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _check_version(self, connection: sqlite3.Connection) -> bool:
        """Whether the tables are there, and as this release has them.

        Raises
        ------
        QueueDatabaseError
            If they are those of a newer release, or somebody else's.
        """
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == SCHEMA_VERSION:
            return True
        if version > SCHEMA_VERSION:
            raise QueueDatabaseError(
                f"the queue database {self.path} was written by a newer release of jobflow-remote "
                f"(its format is {version}, this release knows {SCHEMA_VERSION})",
                hint="use that release, or name another file in queue.store.path",
            )
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise QueueDatabaseError(
                f"{self.path} is an SQLite file, but not a queue database",
                hint="name another file in queue.store.path",
            )
        return False

    def _connect(self) -> sqlite3.Connection:
        timeout = self.options.busy_timeout_seconds
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            timeout=timeout,
            cached_statements=256,
            check_same_thread=False,
        )
        try:
            synchronous = "FULL" if self.options.networked else self.options.synchronous
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute(f"PRAGMA journal_size_limit={_JOURNAL_LIMIT}")
            connection.execute("PRAGMA cache_size=-16000")
            connection.create_function(SQLITE_REGEX, 3, _search, deterministic=True)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise translate(exc, self.path) from exc

    def _identify(self) -> _Identity:
        """Which file is there now, for which process.

        Connections to another one are not used any more: what they write would be lost with a file that was removed.
        """
        try:
            found = os.stat(self.path)
        except OSError as exc:
            raise QueueDatabaseAwayError(
                f"the queue database {self.path} is not there any more: {exc.strerror or exc}",
                hint="mount its file system or restore a backup",
            ) from exc
        return os.getpid(), found.st_dev, found.st_ino

    def close(self) -> None:
        """Close what is open; may be called twice."""
        with self._writing:
            self._drop_writer()
        with self._pool:
            self._drop_readers(None)

    def _drop_writer(self) -> None:
        if self._writer is not None and self._writer_of is not None:
            _close_own([self._writer], self._writer_of)
        self._writer, self._writer_of, self._seen_version = None, None, None

    def _drop_readers(self, identity: _Identity | None) -> None:
        readers, former = self._readers, self._readers_of
        self._readers, self._readers_of = [], identity
        if former is not None:
            _close_own(readers, former)

    # -- reading ---------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for a few queries that see one state of the database."""
        identity = self._identify()
        with self._translated():
            connection, usable = self._take_reader(identity), False
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
                usable = True
            finally:
                with self._pool:
                    keep = usable and identity == self._readers_of and len(self._readers) < _MOST_IDLE
                    if keep:
                        self._readers.append(connection)
                if not keep:
                    connection.close()

    def _take_reader(self, identity: _Identity) -> sqlite3.Connection:
        with self._pool:
            if identity != self._readers_of:
                self._drop_readers(identity)
            if self._readers:
                return self._readers.pop()
        connection = self._connect()
        connection.execute("PRAGMA query_only=1")
        return connection

    # -- writing ---------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a write transaction: committed at the end, undone when the block raises."""
        with self._writing, self._translated():
            connection = self._open_writer()
            with self._queued(), _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection

    def vacuum(self) -> int:
        """Write the file anew without the pages that nothing is on; returns by how many bytes it is smaller.

        It needs as much free space as the file takes, and turns writers away until it has ended.
        """
        with self._writing, self._translated():
            connection = self._open_writer()
            with self._queued():
                before = _size(connection)
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                return max(0, before - _size(connection))

    def _open_writer(self) -> sqlite3.Connection:
        identity = self._identify()
        if identity != self._writer_of:
            self._drop_writer()
        if self._writer is None:
            self._writer, self._writer_of = self._connect(), identity
            if self.options.hook is not None:
                self._writer.set_trace_callback(self.options.hook)
        return self._writer

    @contextmanager
    def _queued(self) -> Iterator[None]:
        """Stand in the line of writers at the lock file, for a while."""
        lock = _take_lock(f"{self.path}-lock", _LOCK_FILE_SECONDS)
        try:
            yield
        finally:
            if lock is not None:
                _drop_lock(lock)

    def changed_by_others(self) -> bool:
        """Whether another connection than the writing one has committed since the last call."""
        if not self._writing.acquire(blocking=False):
            return True  # one of our own threads writes just now: look again afterwards
        try:
            with self._translated():
                version = self._open_writer().execute("PRAGMA data_version").fetchone()[0]
            changed = version != self._seen_version
            self._seen_version = version
            return bool(changed)
        finally:
            self._writing.release()


def _size(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (each,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages * each)


def _make_private_file(path: Path) -> None:
    """Make the file if it is missing, and else only look whether we may use it.

    A file that is there must not be opened by us: closing it would give up all locks that SQLite has on it in this
    process (POSIX locks belong to the process and the file), and another process, which then takes itself for the last
    one, would remove the journal from under our feet.
    """
    if not path.exists():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _close_own(connections: list[sqlite3.Connection], identity: _Identity) -> None:
    """Close connections unless they came over a fork: those are not ours to close."""
    if identity[0] == os.getpid():
        for connection in connections:
            connection.close()


def _drop_lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would not do if a fork has a copy
    os.close(descriptor)


def _take_lock(name: str, seconds: float) -> int | None:
    """An open file that holds the lock; None if it could not be had in time (a stopped process may hold it).

    ``flock`` knows no time limit, so that a thread waits where there is a queue.
    """
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None  # the line is for fairness only
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return descriptor if _wait_for_lock(descriptor, seconds) else None
    except OSError:  # no locks on this file system
        os.close(descriptor)
        return None
    return descriptor


def _wait_for_lock(descriptor: int, seconds: float) -> bool:
    deciding, taken, abandoned = threading.Lock(), threading.Event(), threading.Event()

    def wait() -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass  # then nobody holds anything; the descriptor is closed by whoever has it
        with deciding:
            if abandoned.is_set():
                _drop_lock(descriptor)
            else:
                taken.set()

    threading.Thread(target=wait, name="queue database lock", daemon=True).start()
    taken.wait(seconds)
    with deciding:
        if not taken.is_set():
            abandoned.set()
    return taken.is_set()
