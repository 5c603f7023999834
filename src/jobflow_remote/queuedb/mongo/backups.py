"""Backups of the four collections: with MongoDB's own tools where they are installed, else by ourselves.

The files are the same: BSON documents one after the other, under the standard names of the collections whatever the
project calls them, with ``mongodump``'s description of the indexes beside them.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

from bson import json_util
from bson.raw_bson import RawBSONDocument
from pymongo import errors
from pymongo.collection import Collection

from jobflow_remote.errors import NotFoundError, QueueDatabaseAwayError, QueueDatabaseError
from jobflow_remote.queuedb import bsonfiles
from jobflow_remote.queuedb.mongo import schema, sessions, transfer
from jobflow_remote.queuedb.mongo.connection import Connection
from jobflow_remote.queuedb.mongo.options import DEFAULTS, Server
from jobflow_remote.queuedb.moving import NEXT_ID, SESSION
from jobflow_remote.queuedb.port import BackupOptions

_AT_ONCE = 500
_COUNTER = {NEXT_ID: {"$exists": True}}
_RUNNER = {SESSION: {"$exists": True}}


def _collections(connection: Connection) -> dict[str, Collection[Any]]:
    """Standard name → collection; the auxiliary documents, with the counter, come last."""
    return {
        "jobs": connection.jobs,
        "flows": connection.flows,
        "batches": connection.batches,
        "jf_auxiliary": connection.auxiliary,
    }


def find_tool(connection: Connection, name: str, options: BackupOptions) -> str | None:
    """The program, or None where we do it ourselves.

    Raises
    ------
    NotFoundError
        If it is not in the folder that was named.
    """
    if options.bson or (options.tools is None and connection.server.ssh_tunnel is not None):
        return None
    found = shutil.which(name, path=None if options.tools is None else str(options.tools))
    if found is None and options.tools is not None:
        raise NotFoundError(
            f"there is no program {name} in {options.tools}",
            hint="leave --mongo-path out, or add --python to do without it",
        )
    return found


# -- out -----------------------------------------------------------------------------------------------------


def back_up(connection: Connection, target: Path, options: BackupOptions) -> dict[str, int]:
    """Write each collection into ``<target>/<database>``; returns the number of documents."""
    folder = target / connection.server.names.database
    tool = find_tool(connection, "mongodump", options)
    counts = {}
    for name, collection in _collections(connection).items():
        path = folder / bsonfiles.file_name(name, compress=options.compress)
        if tool is not None:
            counts[name] = _dump(connection, tool, collection.name, path)
        else:
            counts[name] = bsonfiles.write_file(path, _read_raw(collection))
            _describe_indexes(collection, name, folder, compress=options.compress)
        path.with_name(bsonfiles.file_name(name, compress=not options.compress)).unlink(missing_ok=True)
    return counts


def _read_raw(collection: Collection[Any]) -> Iterator[bytes]:
    raw = collection.with_options(collection.codec_options.with_options(document_class=RawBSONDocument))
    for document in raw.find({"state": {"$ne": schema.INCOMING}}):
        yield document.raw


def _describe_indexes(collection: Collection[Any], name: str, folder: Path, *, compress: bool) -> None:
    indexes = [dict(index) for index in collection.list_indexes()]
    metadata = {"options": {}, "indexes": indexes, "collectionName": name, "type": "collection"}
    content = json_util.dumps(metadata, json_options=json_util.CANONICAL_JSON_OPTIONS).encode()
    path = folder / f"{name}.metadata.json{'.gz' if compress else ''}"
    try:
        path.write_bytes(gzip.compress(content) if compress else content)
    except OSError as exc:
        raise QueueDatabaseAwayError(f"the backup {path} could not be written: {exc}") from exc


def _dump(connection: Connection, tool: str, collection: str, path: Path) -> int:
    """Have ``mongodump`` write one collection, and give its files the standard names."""
    zipped = path.suffix == ".gz"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mongodump-") as place:
        words = ["--collection", collection, "--out", place, *(["--gzip"] if zipped else [])]
        _run(connection.server, tool, words)
        made = Path(place) / connection.server.names.database
        standard = path.name.partition(".")[0]
        for extension in (".metadata.json", ".bson"):
            found = made / f"{collection}{extension}{'.gz' if zipped else ''}"
            if found.exists():
                os.replace(found, path.with_name(found.name.replace(collection, standard, 1)))
            elif extension == ".bson":
                raise QueueDatabaseError(f"{tool} wrote no file for the collection {collection}")
    path.chmod(0o600)
    return sum(1 for _ in bsonfiles.read_raw(path))


# -- in ------------------------------------------------------------------------------------------------------


def restore(connection: Connection, files: Mapping[str, Path], options: BackupOptions) -> dict[str, int]:
    """Put the documents of each file into its collection; returns how many."""
    tool = find_tool(connection, "mongorestore", options)
    counts = {}
    for name, collection in _collections(connection).items():
        if name not in files:
            continue
        if name == "jf_auxiliary":
            connection.announce("restore")
            collection.delete_many({})
        if tool is None:
            _insert_raw(connection, collection, files[name])
        else:
            _restore(connection, tool, collection, files[name])
        counts[name] = collection.count_documents({})
    _recognise(connection)
    connection.initialise()
    if connection.usable:
        sessions.end_session(connection, None)
        transfer.finish_load(connection)
    return counts


def _recognise(connection: Connection) -> None:
    """Documents that came from another kind of database are those of this release, without what MongoDB adds."""
    if connection.jobs.find_one({"db_number": None}, {"_id": 1}) is not None:
        return  # of an older release
    counter = connection.auxiliary.find_one(_COUNTER) or {}
    if counter.get("schema") is None:
        connection.announce("restore")
        connection.auxiliary.update_one(_COUNTER, {"$set": {"schema": schema.SCHEMA_VERSION, "changes": 0}})
    empty = {
        "_id": "running_runner",
        "running_runner": None,
        "lock_id": None,
        "lock_time": None,
        "session": None,
    }
    connection.announce("restore")
    connection.auxiliary.update_one(_RUNNER, {"$setOnInsert": empty}, upsert=True)


def _insert_raw(connection: Connection, collection: Collection[Any], path: Path) -> None:
    part: list[RawBSONDocument] = []
    for raw in bsonfiles.read_raw(path):
        part.append(RawBSONDocument(raw))
        if len(part) == _AT_ONCE:
            _insert(connection, collection, part)
            part = []
    if part:
        _insert(connection, collection, part)


def _insert(connection: Connection, collection: Collection[Any], documents: list[RawBSONDocument]) -> None:
    connection.announce("restore")
    try:
        collection.insert_many(documents, ordered=False)
    except errors.BulkWriteError as exc:
        first = ((exc.details or {}).get("writeErrors") or [{}])[0]
        raise QueueDatabaseError(
            f"{connection.where} refused documents of {collection.name}: {first.get('errmsg', exc)}",
            hint="empty the database with `jf admin reset` before another attempt",
        ) from exc


def _restore(connection: Connection, tool: str, collection: Collection[Any], path: Path) -> None:
    connection.announce("restore")
    words = [
        "--collection",
        collection.name,
        "--noIndexRestore",
        *(["--gzip"] if path.suffix == ".gz" else []),
    ]
    _run(connection.server, tool, [*words, str(path)])


# -- the tools -----------------------------------------------------------------------------------------------


def _run(server: Server, tool: str, words: list[str]) -> None:
    with _login(server) as login:
        command = [tool, "--config", str(login), *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = server.hide_secrets(done.stderr.strip()[-1500:])
        raise QueueDatabaseError(
            f"{tool} ended with exit code {done.returncode}: {said}", hint="add --python to do without it"
        )


@contextmanager
def _login(server: Server) -> Iterator[Path]:
    """A file that only we can read, with what a tool must know: passwords do not belong on command lines."""
    with tempfile.TemporaryDirectory(prefix="jobflow-remote-") as folder:
        path = Path(folder) / "login.yaml"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"uri: {json.dumps(render_uri(server))}\n")
        yield path


def render_uri(server: Server) -> str:
    """Everything about a server in one connection string, with its database."""
    scheme, _, rest = (server.uri or f"mongodb://{server.address}").partition("://")
    place, _, query = rest.partition("?")
    hosts, _, database = place.partition("/")
    options = dict(parse_qsl(query))
    known = {name.lower() for name in options}
    for name, value in {**server.client_options, **server.credentials}.items():
        if name.lower() not in known and name not in DEFAULTS and isinstance(value, str | int | float):
            options[name] = str(value).lower() if isinstance(value, bool) else str(value)
    user, password = options.pop("username", None), options.pop("password", "")
    if user is not None:
        hosts = f"{quote_plus(user)}:{quote_plus(password)}@{hosts.rpartition('@')[2]}"
    if "@" in hosts and not any(name.lower() == "authsource" for name in options):
        options["authSource"] = database or "admin"
    encoded = f"?{urlencode(options)}" if options else ""
    return f"{scheme}://{hosts}/{server.names.database}{encoded}"
