"""Stores of maggma on MongoDB servers, connected through the clients that this process has already.

Each store of maggma would open a client of its own. Here the queue database and all stores that are described alike
share one, which also knows SSH tunnels that open again, and gives up after seconds, not after half a minute. What is
stored is acknowledged when it is in the journal, since the job is COMPLETED right after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobflow import JobStore
    from maggma.core import Store

    from jobflow_remote.queuedb.mongo.clients import ClientHandle
    from jobflow_remote.queuedb.mongo.options import Server

_PLAIN = ("MongoStore", "MongoURIStore")
_GRIDFS = ("GridFSStore", "GridFSURIStore")
_DESCRIPTION = (
    "uri", "database", "host", "port", "username", "password", "auth_source", "mongoclient_kwargs", "ssh_tunnel",
)  # fmt: skip


def connect(jobstore: JobStore) -> None:
    """Connect all stores of a JobStore. Closing one of them closes no client that others use."""
    shared: list[Store] = []
    try:
        for key, store in _stores(jobstore):
            if _kind(store):
                _share(store, key)
                shared.append(store)
        jobstore.connect()  # those that are connected already stay as they are
    except BaseException:
        for store in shared:
            store.close()
        raise


def server_of(store: Store, key: str) -> Server | None:
    """The server of a store; None if it is not on MongoDB."""
    if not _kind(store):
        return None
    from jobflow_remote.queuedb.mongo.options import parse_server

    return parse_server({name: getattr(store, name, None) for name in _DESCRIPTION}, where=key)


def _kind(store: Any) -> str | None:
    """Which of maggma's stores on MongoDB it is; subclasses (MemoryStore, JSONStore …) are something else."""
    if not type(store).__module__.startswith("maggma.stores."):
        return None
    name = type(store).__name__
    return name if name in (*_PLAIN, *_GRIDFS) else None


def _stores(jobstore: JobStore) -> Iterator[tuple[str, Any]]:
    """Stores by their place in the project file; some have another one inside, as an index."""
    named = {"jobstore.docs_store": jobstore.docs_store}
    named |= {f"jobstore.additional_stores.{name}": s for name, s in jobstore.additional_stores.items()}
    for key, store in named.items():
        yield key, store
        if getattr(store, "index", None) is not None:
            yield f"{key}.index", store.index


def _share(store: Any, key: str) -> None:
    from pymongo import WriteConcern

    from jobflow_remote.queuedb.mongo.clients import open_client

    server = server_of(store, key)
    assert server is not None
    handle = open_client(server, key=key)
    concern = handle.client.write_concern
    if concern.is_server_default:  # nobody has chosen another one
        concern = WriteConcern(w="majority", j=True)
    database = handle.client.get_database(server.names.database, write_concern=concern)
    if _kind(store) in _GRIDFS:
        _connect_gridfs(store, database)
    else:
        store._coll = database[store.collection_name]
    store.close = _closing(store, handle)


def _connect_gridfs(store: Any, database: Any) -> None:
    """As the store's own ``connect`` does, in older and newer releases."""
    import gridfs
    from maggma.stores import MongoStore

    files = database[f"{store.collection_name}.files"]
    index = MongoStore.from_collection(files)
    index.last_updated_field = f"metadata.{store.last_updated_field}"
    index.key = store.key
    is_newer = isinstance(getattr(type(store), "_files_store", None), property)
    setattr(store, "_fs" if is_newer else "_files_store", index)
    store._files_collection = files
    store._chunks_collection = database[f"{store.collection_name}.chunks"]
    store._coll = gridfs.GridFS(database, store.collection_name)


def _closing(store: Any, handle: ClientHandle) -> Callable[[], None]:
    """How this store is closed: its own way would close the client under everybody's hands."""

    closed = False

    def close() -> None:
        nonlocal closed
        if not closed:
            closed, store._coll = True, None
            handle.close()
        elif store._coll is not None:  # somebody has connected it again, in its own way
            type(store).close(store)

    return close
