"""All outputs of one JobStore into another one, whatever they are kept in. It knows nothing of queues.

Documents go in batches that are bounded in number and size, and what is there already is only compared: a copy that
was interrupted goes on when it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jobflow_remote.errors import ConfigError, JobflowRemoteError, OutputStoreError
from jobflow_remote.model.records import Document
from jobflow_remote.outputs.jobstore import OutputStore
from jobflow_remote.queuedb.moving import Digest, canonical

_AT_ONCE = 100
_BYTES_AT_ONCE = 4 * 2**20
_OF_STORES = ("_id", "compression", "obj_hash")
"""Fields that stores of blobs add for themselves."""

Tick = Callable[[int], None]
"""Called with the number of documents that were dealt with."""


@dataclass(frozen=True, slots=True)
class StorePair:
    """A store to read and the one that its documents go to."""

    label: str
    source: Any
    target: Any
    key: tuple[str, ...]

    @property
    def is_same_place(self) -> bool:
        """Whether there is nothing to copy: both are the same store."""
        return type(self.source) is type(self.target) and bool(self.source == self.target)

    def count(self) -> int:
        """Number of documents to copy."""
        with _translated(self.label):
            return int(self.source.count({}))


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of a store."""

    label: str
    digest: Digest
    written: int


def pair_stores(source: OutputStore, target: OutputStore, *, name: str | None = None) -> list[StorePair]:
    """The stores of two JobStores that belong together: blobs first, so that no output refers to what is not there.

    Raises
    ------
    ConfigError
        If an additional store that is not empty has no counterpart.
    """
    prefix = f"{name}: " if name else ""
    ours, theirs = source.jobstore, target.jobstore
    pairs = []
    for each, store in ours.additional_stores.items():
        label = f"{prefix}blobs in {each}"
        if each in theirs.additional_stores:
            pairs.append(StorePair(label, store, theirs.additional_stores[each], ("blob_uuid",)))
        elif StorePair(label, store, None, ("blob_uuid",)).count():
            raise ConfigError(
                f"the JobStore to copy to has no additional store {each!r}, which holds data of outputs",
                hint=f"add {each!r} under additional_stores of its jobstore",
            )
    pairs.append(StorePair(f"{prefix}outputs", ours.docs_store, theirs.docs_store, ("uuid", "index")))
    return pairs


def copy_store(pair: StorePair, *, replace: bool, tick: Tick = lambda _: None) -> Copied:
    """Copy what is not there yet.

    Parameters
    ----------
    replace
        Whether documents with other content give way.

    Raises
    ------
    OutputStoreError
        If a document with the same key and other content is there, and ``replace`` is false.
    """
    with _translated(pair.label):
        pair.target.ensure_index(pair.key[0])
        return _pass(pair, write=True, replace=replace, tick=tick)


def verify_store(pair: StorePair, *, tick: Tick = lambda _: None) -> Copied:
    """Read both stores and compare.

    Raises
    ------
    OutputStoreError
        If a document is missing, or not what it should be.
    """
    with _translated(pair.label):
        return _pass(pair, write=False, replace=False, tick=tick)


def _pass(pair: StorePair, *, write: bool, replace: bool, tick: Tick) -> Copied:
    digest, written = Digest(), 0
    for batch in _batches(pair):
        stored = _find_stored(pair, batch)
        todo = []
        for key, (document, content) in batch.items():
            digest.add_bytes(content)
            if stored.get(key) != content:
                if not write or (key in stored and not replace):
                    what = "has other content" if key in stored else "is missing"
                    raise OutputStoreError(
                        f"{pair.label}: the document {' '.join(map(str, key))} {what} in {pair.target.name}",
                        hint="remove it there, or choose another store",
                    )
                todo.append(document)
        if todo:
            pair.target.update(todo, key=list(pair.key))
            written += len(todo)
        tick(len(batch))
    return Copied(pair.label, digest, written)


def _batches(pair: StorePair) -> Iterator[dict[tuple[Any, ...], tuple[Document, bytes]]]:
    batch: dict[tuple[Any, ...], tuple[Document, bytes]] = {}
    size = 0
    for found in pair.source.query({}):
        document = _without_bookkeeping(pair, found, pair.source)
        content = canonical(document)
        batch[_key_of(pair, document)] = (document, content)
        size += len(content)
        if len(batch) == _AT_ONCE or size > _BYTES_AT_ONCE:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


def _without_bookkeeping(pair: StorePair, document: Mapping[str, Any], store: Any) -> Document:
    dropped = {"_id"} if pair.key[0] == "uuid" else {*_OF_STORES, store.last_updated_field}
    return {name: value for name, value in document.items() if name not in dropped}


def _key_of(pair: StorePair, document: Mapping[str, Any]) -> tuple[Any, ...]:
    try:
        return tuple(document[name] for name in pair.key)
    except KeyError as exc:
        raise OutputStoreError(
            f"{pair.label}: a document of {pair.source.name} has no {exc}", hint="it is no output of a job"
        ) from None


def _find_stored(pair: StorePair, batch: Mapping[tuple[Any, ...], Any]) -> dict[tuple[Any, ...], bytes]:
    wanted = {pair.key[0]: {"$in": [key[0] for key in batch]}}
    stored = {}
    for found in pair.target.query(wanted):
        document = _without_bookkeeping(pair, found, pair.target)
        key = _key_of(pair, document)
        if key in batch:
            stored[key] = canonical(document)
    return stored


@contextmanager
def _translated(label: str) -> Iterator[None]:
    try:
        yield
    except JobflowRemoteError:
        raise
    except Exception as exc:
        raise OutputStoreError(f"copying {label}: {type(exc).__name__}: {exc}") from exc
