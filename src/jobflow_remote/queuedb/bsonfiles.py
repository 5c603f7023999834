"""Backups as BSON files, one for each collection, as ``mongodump`` writes and ``mongorestore`` reads them.

``<folder>/<database>/{jobs,flows,jf_auxiliary,batches}.bson``, or ``.bson.gz``: documents one after the other. A file
appears under its name when it is complete, and is checked as a whole before anything of it is put anywhere.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from jobflow_remote.errors import NotFoundError, QueueDatabaseAwayError, QueueDatabaseError
from jobflow_remote.model.records import Document
from jobflow_remote.queuedb.moving import (
    KEYS,
    NEXT_ID,
    auxiliary_document,
    check_documents,
    in_batches,
    split_auxiliary,
)

if TYPE_CHECKING:
    from jobflow_remote.queuedb.port import QueueDatabase

_OPTIONAL = ("batches",)
"""Collections that older backups do not have."""
_SUFFIXES = (".bson", ".bson.gz")
_LARGEST = 48 * 2**20
"""Of a document; MongoDB allows 16 MB."""
_AT_ONCE = 200


# -- writing -------------------------------------------------------------------------------------------------


def file_name(collection: str, *, compress: bool) -> str:
    """Name of the file of a collection."""
    return f"{collection}.bson{'.gz' if compress else ''}"


def write_file(path: Path, documents: Iterable[bytes]) -> int:
    """Write encoded documents (compressed if the name ends in ``.gz``), for their owner only; returns how many."""
    partial = path.with_name(f"{path.name}.partial")
    number = 0
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw,
            _compressed(raw, path) as file,
        ):
            for document in documents:
                file.write(document)
                number += 1
        os.replace(partial, path)
    except OSError as exc:
        raise QueueDatabaseAwayError(f"the backup {path} could not be written: {exc}") from exc
    finally:
        partial.unlink(missing_ok=True)
    return number


def _compressed(raw: IO[bytes], path: Path) -> IO[bytes]:
    if path.suffix != ".gz":
        return raw
    return gzip.GzipFile(fileobj=raw, mode="wb", filename="")  # type: ignore[return-value]


def write_queue(queue: QueueDatabase, folder: Path, *, compress: bool) -> dict[str, int]:
    """Write all documents of any queue database into a folder."""
    import bson

    def complete(collection: str, document: Document) -> Document:
        if collection == "jf_auxiliary":
            return auxiliary_document(document["key"], document["value"])
        if collection == "flows":  # with its lists, by which a file that was cut off is noticed
            document = queue.get_flow(document["uuid"]) or document
        return {"_id": bson.ObjectId(), **document}

    def encoded(collection: str) -> Iterator[bytes]:
        for document in queue.dump(collection):
            try:
                yield bson.encode(complete(collection, document))
            except (bson.errors.BSONError, OverflowError, UnicodeEncodeError) as exc:
                which = document.get("db_id") or document[KEYS[collection]]
                raise QueueDatabaseError(f"{which} of {collection} cannot be written as BSON: {exc}") from exc

    return {name: write_file(folder / file_name(name, compress=compress), encoded(name)) for name in KEYS}


# -- reading -------------------------------------------------------------------------------------------------


def find_files(folder: Path) -> dict[str, Path] | None:
    """The files of a backup in a folder or in one below it, by collection; None if there is none.

    Raises
    ------
    NotFoundError
        If a file is missing, or there are several backups.
    """
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    found = {place: files for place in (folder, *below) if (files := _files_in(place))}
    if not found:
        return None
    if len(found) > 1:
        places = ", ".join(str(place) for place in found)
        raise NotFoundError(f"there are several backups in {folder}", hint=f"name one of {places}")
    ((place, files),) = found.items()
    missing = [name for name in KEYS if name not in files and name not in _OPTIONAL]
    if missing:
        raise NotFoundError(
            f"the backup in {place} has no {missing[0]}.bson", hint="it is not complete; nothing was restored"
        )
    return files


def _files_in(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name in KEYS:
        there = [folder / f"{name}{suffix}" for suffix in _SUFFIXES if (folder / f"{name}{suffix}").is_file()]
        if len(there) > 1:
            raise NotFoundError(
                f"there are both {there[0]} and {there[1].name}", hint="remove the one that is not wanted"
            )
        if there:
            files[name] = there[0]
    return files if "jobs" in files or "flows" in files else {}


def read_raw(path: Path) -> Iterator[bytes]:
    """The encoded documents of a file.

    Raises
    ------
    QueueDatabaseError
        If the file is damaged or cut off.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while head := file.read(4):
                size = int.from_bytes(head, "little")
                if len(head) < 4 or not 5 <= size <= _LARGEST:
                    raise _damaged(path, number, "no document begins there")
                rest = file.read(size - 4)
                if len(rest) < size - 4:
                    raise _damaged(path, number, "the file ends within it")
                yield head + rest
                number += 1
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise _damaged(path, number, str(exc)) from exc
    except OSError as exc:
        raise NotFoundError(f"the backup {path} cannot be read: {exc}") from exc


def _damaged(path: Path, number: int, why: str) -> QueueDatabaseError:
    return QueueDatabaseError(
        f"the backup {path} is damaged at document {number + 1}: {why}",
        hint="nothing was restored; use another backup",
    )


def read_file(path: Path) -> Iterator[Document]:
    """The documents of a file, decoded."""
    import bson

    for number, raw in enumerate(read_raw(path)):
        try:
            yield bson.decode(raw)
        except (bson.errors.BSONError, UnicodeDecodeError) as exc:
            raise _damaged(path, number, str(exc)) from exc


def check_files(files: Mapping[str, Path]) -> dict[str, int]:
    """Read everything once; returns the number of documents by collection.

    Raises
    ------
    QueueDatabaseError
        If a file is damaged, or documents are missing that others speak of.
    """
    found: Counter[str | None] = Counter()
    listed: dict[str, int] = {}
    counts = dict.fromkeys(files, 0)
    has_next_id = False
    for name, path in files.items():
        for document in read_file(path):
            counts[name] += 1
            if name == "jobs":
                found[document.get("flow_uuid")] += 1
            elif name == "flows" and "n_jobs" in document:
                listed[document["uuid"]] = len(document.get("ids") or ())
            has_next_id = has_next_id or NEXT_ID in document
    if not has_next_id:
        raise _incomplete(files["jf_auxiliary"], "the counter of ids")
    if None not in found:  # else of an older release, which did not keep both together
        _compare_jobs_and_flows(files, found, listed)
    return counts


def _compare_jobs_and_flows(
    files: Mapping[str, Path], found: Mapping[str | None, int], listed: Mapping[str, int]
) -> None:
    """A file that was cut off between two documents looks whole; its documents are missed elsewhere."""
    for flow in found:
        if flow not in listed:
            raise _incomplete(files["flows"], f"flow {flow}, to which jobs belong")
    for flow, number in listed.items():
        if found.get(flow, 0) != number:
            raise _incomplete(files["jobs"], f"some of the {number} jobs of flow {flow}")


def _incomplete(path: Path, what: str) -> QueueDatabaseError:
    return QueueDatabaseError(
        f"the backup {path} is damaged: it lacks {what}", hint="nothing was restored; use another backup"
    )


def load_queue(queue: QueueDatabase, files: Mapping[str, Path]) -> dict[str, int]:
    """Put the documents of a backup into any (empty) queue database.

    Raises
    ------
    QueueDatabaseError
        If a document was written by an older release; nothing was put in.
    """
    for name, path in files.items():
        for batch in in_batches(_documents(name, path), _AT_ONCE):
            check_documents(name, batch)
    counts = {}
    for name, path in files.items():
        counts[name] = 0
        for batch in in_batches(_documents(name, path), _AT_ONCE):
            queue.load(name, batch)
            counts[name] += len(batch)
    queue.finish_load()
    return counts


def _documents(name: str, path: Path) -> Iterator[Document]:
    if name == "jf_auxiliary":
        return iter(split_auxiliary(read_file(path)))
    return _states_only(read_file(path)) if name in ("jobs", "flows") else read_file(path)


def _states_only(documents: Iterable[Document]) -> Iterator[Document]:
    """Without what was only being inserted."""
    return (each for each in documents if "incoming" not in (each.get("derived") or {}))


def describe_counts(counts: Mapping[str, Any]) -> str:
    """Numbers of documents, for messages."""
    return ", ".join(f"{number} {name}" for name, number in counts.items())
