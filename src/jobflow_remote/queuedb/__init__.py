"""Queue databases: one port (:mod:`.port`), adapters called by their technology, a registry by entry point.

An adapter registers under the entry-point group ``jobflow_remote.queuedb`` by the name that people write as
``queue.store.type``; it is built by ``Adapter.open(spec)``. Nothing is imported until it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.errors import ConfigError

if TYPE_CHECKING:
    from jobflow_remote.queuedb.port import QueueDatabase

__all__ = ["QueueSpec", "open_queue_database"]

_GROUP = "jobflow_remote.queuedb"


def open_queue_database(spec: QueueSpec) -> QueueDatabase:
    """Open the queue database of ``spec``; tables are made if the file is new.

    Raises
    ------
    ConfigError
        If no adapter goes by that name; the message lists those that are installed.
    """
    if spec.kind == "SQLiteStore":  # ours are found without reading the metadata of every package
        from jobflow_remote.queuedb.sqlite import SQLiteQueueDatabase

        return SQLiteQueueDatabase.open(spec)
    if spec.kind in ("MongoStore", "MongoURIStore"):
        from jobflow_remote.queuedb.mongo import MongoQueueDatabase

        return MongoQueueDatabase.open(spec)
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=_GROUP)}
    if spec.kind not in found:
        raise ConfigError(
            f"no queue database goes by the name {spec.kind!r}",
            hint=f"queue.store.type can be {', '.join(sorted({*found, 'SQLiteStore', 'MongoStore', 'MongoURIStore'}))}",
        )
    adapter: type[QueueDatabase] = found[spec.kind].load()
    return adapter.open(spec)
