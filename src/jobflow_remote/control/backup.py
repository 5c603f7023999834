"""Backups of the queue database: making one, and putting one into an empty database of any kind."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from jobflow_remote.control.admin import check_runner_stopped
from jobflow_remote.errors import JobflowRemoteError, NotAllowedError, NotFoundError, QueueDatabaseError
from jobflow_remote.model.clock import utcnow
from jobflow_remote.queuedb import QueueSpec, bsonfiles, open_queue_database
from jobflow_remote.queuedb.moving import KEYS, NEXT_ID, in_batches
from jobflow_remote.queuedb.port import INCOMING, PLAIN, BackupOptions, QueueDatabase

_SQLITE = b"SQLite format 3\0"
_GZIP = b"\x1f\x8b"
_AT_ONCE = 200


# -- out -----------------------------------------------------------------------------------------------------


def create_backup(
    queue: QueueDatabase,
    folder: Path,
    options: BackupOptions = PLAIN,
    *,
    daemon_dir: str | Path | None = None,
) -> dict[str, int]:
    """Write a backup into a folder, which is made; returns the number of documents by collection.

    Parameters
    ----------
    daemon_dir
        Of the project, to see whether its runner is stopped: only an embedded database can be copied while in use.

    Raises
    ------
    RunnerActiveError
        If the runner has to be stopped, and is not.
    """
    online = "online_backup" in queue.capabilities and not options.bson
    if daemon_dir is not None and not online:
        check_runner_stopped(daemon_dir, queue)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise NotFoundError(f"the folder {folder} for the backup cannot be made: {exc}") from exc
    counts = queue.backup(folder, options)
    return {name: counts[name] for name in KEYS if name in counts}


# -- in ------------------------------------------------------------------------------------------------------


def restore_backup(
    queue: QueueDatabase, place: Path, options: BackupOptions = PLAIN, *, daemon_dir: str | Path | None = None
) -> dict[str, int]:
    """Put the backup in a folder (or the file of one) into an empty queue database; returns the counts.

    A backup of one kind of database can be restored into another kind.

    Raises
    ------
    NotAllowedError
        If the queue database is not empty.
    NotFoundError
        If there is no backup, or more than one.
    QueueDatabaseError
        If the backup is damaged. Nothing was restored.
    """
    if daemon_dir is not None:
        check_runner_stopped(daemon_dir, queue)
    _check_empty(queue)
    files = _find_bson(place)
    if files is not None:
        bsonfiles.check_files(files)
        with _filling(queue, place):
            return {**queue.restore(files, replace(options, compress=False))}
    with _open_copy(_find_sqlite(place)) as copy, _filling(queue, place):
        return _load(queue, copy)


def _check_empty(queue: QueueDatabase) -> None:
    """Refuse a queue database that was used."""
    counts = {
        "jobs": queue.count_jobs({}),
        "flows": queue.count_flows({}),
        "batches": sum(1 for _ in queue.dump("batches")),
    }
    next_id = queue.get_auxiliary(NEXT_ID) or 1
    if any(counts.values()) or next_id != 1:
        words = bsonfiles.describe_counts(counts)
        raise NotAllowedError(
            f"{queue.describe()} is not empty: {words}, and the next id is {next_id}",
            hint="a backup is restored into an empty queue database only: empty it with `jf admin reset`, "
            "or choose another project",
        )


@contextmanager
def _filling(queue: QueueDatabase, place: Path) -> Iterator[None]:
    """Mark the database as being filled, and leave the mark if it ends half filled."""
    queue.set_auxiliary(INCOMING, {"from": f"the backup {place}", "since": utcnow()})
    try:
        yield
    except JobflowRemoteError:
        if not queue.count_jobs({}) and not queue.count_flows({}):
            queue.set_auxiliary(INCOMING, None)
        raise
    if queue.get_auxiliary(INCOMING):  # else the backup's own documents took the place of the mark
        queue.set_auxiliary(INCOMING, None)


def _load(queue: QueueDatabase, copy: QueueDatabase) -> dict[str, int]:
    counts = {}
    for name in KEYS:
        counts[name] = 0
        for batch in in_batches((each for each in copy.dump(name) if each.get("key") != INCOMING), _AT_ONCE):
            queue.load(name, batch)
            counts[name] += len(batch)
    queue.finish_load()
    return counts


def _find_bson(place: Path) -> Mapping[str, Path] | None:
    if place.is_dir():
        return bsonfiles.find_files(place)
    if not place.exists():
        raise NotFoundError(f"there is no {place}", hint="name the folder in which the backup was made")
    return bsonfiles.find_files(place.parent) if place.name.endswith((".bson", ".bson.gz")) else None


def _find_sqlite(place: Path) -> Path:
    """The file of an embedded queue database in a folder."""
    candidates = sorted(place.iterdir()) if place.is_dir() else [place]
    found = [path for path in candidates if path.is_file() and _is_queue_file(path)]
    if not found:
        raise NotFoundError(
            f"there is no backup in {place}",
            hint="a backup is a file such as queue.db or queue.db.gz, or a folder with jobs.bson, flows.bson, …",
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise NotFoundError(f"there are several backups in {place}: {names}", hint="name the file to restore")
    return found[0]


def _is_queue_file(path: Path) -> bool:
    """Whether it begins as an embedded queue database, or is a compressed file that does."""
    with suppress(OSError, EOFError, zlib.error):
        with path.open("rb") as file:
            head = file.read(16)
        if head.startswith(_GZIP) and path.suffix == ".gz":
            with gzip.open(path) as unzipped:
                return unzipped.read(16) == _SQLITE
        return head == _SQLITE and _has_queue_tables(path)
    return False


def _has_queue_tables(path: Path) -> bool:
    """Output stores may lie beside the queue database. A file that is damaged is taken for one and told of later."""
    try:
        with closing(_open_file(path)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error:
        return True
    return {"jobs", "flows", "auxiliary"} <= names


def _open_file(path: Path) -> sqlite3.Connection:
    """Read a file that may be anywhere; nothing is written beside it unless somebody works with it."""
    in_use = path.with_name(f"{path.name}-wal").exists()
    return sqlite3.connect(f"{path.absolute().as_uri()}?{'mode=ro' if in_use else 'immutable=1'}", uri=True)


@contextmanager
def _open_copy(path: Path) -> Iterator[QueueDatabase]:
    """A private copy of a backup, brought up to date and found to be whole."""
    with tempfile.TemporaryDirectory(prefix="jobflow-remote-") as folder:
        copy = Path(folder) / "queue.db"
        _unpack(path, copy)
        options = {"path": str(copy), "allow_network": True}
        try:
            queue = open_queue_database(QueueSpec("SQLiteStore", options))
        except QueueDatabaseError as exc:
            raise _damaged(path, exc.message) from exc
        with closing(queue):
            try:
                findings = queue.check_integrity()
            except QueueDatabaseError as exc:
                raise _damaged(path, exc.message) from exc
            if findings:
                raise _damaged(path, findings[0])
            yield queue


def _unpack(path: Path, copy: Path) -> None:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
        else:
            with closing(_open_file(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
    except (OSError, EOFError, zlib.error, sqlite3.Error) as exc:
        raise _damaged(path, str(exc)) from exc


def _damaged(path: Path, why: str) -> QueueDatabaseError:
    return QueueDatabaseError(
        f"the backup {path} is damaged: {why}", hint="nothing was restored; use another backup"
    )
