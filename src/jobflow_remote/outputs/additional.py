"""What stores of maggma want to be treated differently: those that keep objects, files that are read once, memory.

Knows the classes by what they can do, so that none of them has to be installed.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from jobflow_remote.errors import ConfigError
from jobflow_remote.outputs.references import find_blobs

if TYPE_CHECKING:
    from jobflow import JobStore
    from maggma.core import Store

_REMOVES_OBJECTS = ("remove_s3_object", "remove_blob_object")
"""What S3 and Azure call it that not only their index is to forget a document."""


def refuse_memory(jobstore: JobStore) -> None:
    """Refuse stores in memory, in which nobody but the process that wrote them finds the outputs.

    Raises
    ------
    ConfigError
        If the store or an additional one is a MemoryStore.
    """
    for store in (jobstore.docs_store, *jobstore.additional_stores.values()):
        if type(store).__name__ == "MemoryStore":
            raise ConfigError(
                "the jobstore is a MemoryStore, from which outputs are gone when the runner ends",
                hint="Leave `jobstore` out to keep outputs in files in the folder of the project.",
            )


def stores_read_once(jobstore: JobStore) -> list[Store]:
    """Stores that read their files when they are opened, and never see what other processes write later."""
    stores = (jobstore.docs_store, *jobstore.additional_stores.values())
    return [store for store in stores if any(cls.__name__ == "JSONStore" for cls in type(store).__mro__)]


def _knows(method: Any, argument: str) -> bool:
    return argument in inspect.signature(method).parameters


def _keeps_objects(store: Any) -> bool:
    """Whether a document can be found by a few of its fields only (GridFS, S3, Azure)."""
    return hasattr(store, "searchable_fields")


def blobs_by_store(outputs: Iterable[Any]) -> dict[str, list[str]]:
    """Name of an additional store → uuids of the blobs in it that outputs refer to."""
    found: dict[str, list[str]] = {}
    for output in outputs:
        for blob in find_blobs(output):
            found.setdefault(blob["store"], []).append(blob["blob_uuid"])
    return found


def remove_blobs(store: Any, jobs: Sequence[tuple[str, int]], blob_uuids: Sequence[str]) -> None:
    """Remove blobs of these jobs, and those of these uuids (whatever fields their store can search)."""
    objects = {name: True for name in _REMOVES_OBJECTS if _knows(store.remove_docs, name)}
    if blob_uuids:
        store.remove_docs({"blob_uuid": {"$in": list(blob_uuids)}}, **objects)
    by_job = [{"job_uuid": uuid, "job_index": index} for uuid, index in jobs]
    if not _keeps_objects(store):
        store.remove_docs({"$or": by_job})
        return
    for criteria in by_job:  # GridFSStore does not look into $or
        store.remove_docs(criteria, **objects)
