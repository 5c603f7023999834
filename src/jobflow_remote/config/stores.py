"""Descriptions of stores, checked as data: nothing is imported and nothing is opened.

Two forms are understood: that of jobflow (``docs_store``, ``additional_stores``, each with a ``type``) and
the serialisation of monty (``@module``, ``@class``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from jobflow_remote.config.nearest import did_you_mean
from jobflow_remote.config.queuespec import QueueSpec

EMBEDDED = "SQLiteStore"
"""What the embedded database is called, for the queue as for outputs."""
REMOTE_STORES = ("maggma_json", "orjson", "msgspec_json", "msgpack")

_JOBSTORE_KEYS = ("docs_store", "additional_stores", "save", "load")
_REMOTE_JOBSTORE_KEYS = ("store", "zip", "extension")


def _what_there_is(key: str, known: Sequence[str]) -> str:
    return did_you_mean(key, known) or f" (there are {', '.join(known)})"


def is_serialised(store: Mapping[str, Any]) -> bool:
    """Whether it is a serialised object, to be made again by its class."""
    return "@class" in store or "@module" in store


def check_store(store: Any, where: str) -> None:
    """Refuse what cannot be the description of a store."""
    if not isinstance(store, Mapping):
        raise ValueError(f"`{where}` must be a mapping with the `type` of the store")
    if is_serialised(store):
        missing = [key for key in ("@module", "@class") if not isinstance(store.get(key), str)]
        if missing:
            raise ValueError(f"`{where}` is a serialised object without `{missing[0]}`")
    elif not isinstance(store.get("type"), str):
        raise ValueError(f"`{where}` needs a `type`, such as {EMBEDDED} or MongoStore")


def check_jobstore(jobstore: Mapping[str, Any]) -> None:
    """Refuse what cannot be the description of a JobStore."""
    if is_serialised(jobstore):
        check_store(jobstore, "jobstore")
        return
    for key in jobstore:
        if key not in _JOBSTORE_KEYS:
            raise ValueError(f"unknown key `{key}`" + _what_there_is(str(key), _JOBSTORE_KEYS))
    if "docs_store" not in jobstore:
        raise ValueError("key `docs_store` is missing")
    check_store(jobstore["docs_store"], "docs_store")
    additional = jobstore.get("additional_stores") or {}
    if not isinstance(additional, Mapping):
        raise ValueError("`additional_stores` must be a mapping from names to stores")
    for name, store in additional.items():
        check_store(store, f"additional_stores.{name}")


def check_remote_jobstore(spec: Mapping[str, Any]) -> None:
    """Refuse what cannot describe the files through which a job's output comes back."""
    for key in spec:
        if key not in _REMOTE_JOBSTORE_KEYS:
            raise ValueError(f"unknown key `{key}`" + _what_there_is(str(key), _REMOTE_JOBSTORE_KEYS))
    store = spec.get("store", "maggma_json")
    if isinstance(store, str):
        if store not in REMOTE_STORES:
            raise ValueError(f"`store` is {store!r}; can be {', '.join(REMOTE_STORES)} or a serialised store")
        return
    check_store(store, "store")
    if not spec.get("extension"):
        raise ValueError("needs an `extension` for the files of a serialised `store`")


def default_jobstore(base_dir: str) -> dict[str, Any]:
    """Outputs in two files in ``base_dir``, blobs apart; needs no server."""
    return {
        "docs_store": {
            "type": EMBEDDED,
            "path": os.path.join(base_dir, "outputs.db"),
            "collection_name": "outputs",
        },
        "additional_stores": {
            "data": {
                "type": EMBEDDED,
                "path": os.path.join(base_dir, "outputs_blobs.db"),
                "collection_name": "blobs",
            }
        },
    }


def resolve_store(store: Mapping[str, Any], base_dir: str, *, filename: str) -> dict[str, Any]:
    """The description with the file of an embedded database as an absolute path; others as they are."""
    resolved = dict(store)
    if resolved.get("type") == EMBEDDED:
        path = os.path.expanduser(str(resolved.get("path") or filename))
        resolved["path"] = os.path.join(base_dir, path)
    return resolved


def resolve_jobstore(jobstore: Mapping[str, Any], base_dir: str) -> dict[str, Any]:
    """The description with the files of embedded databases as absolute paths."""
    resolved = dict(jobstore)
    if is_serialised(resolved):
        return resolved
    resolved["docs_store"] = resolve_store(resolved["docs_store"], base_dir, filename="outputs.db")
    resolved["additional_stores"] = {
        name: resolve_store(store, base_dir, filename=f"outputs_{name}.db")
        for name, store in (resolved.get("additional_stores") or {}).items()
    }
    return resolved


def queue_spec(store: Mapping[str, Any], base_dir: str, **collections: str) -> QueueSpec:
    """Which queue database a ``queue.store`` describes; an empty one is the embedded database."""
    resolved = resolve_store(store or {"type": EMBEDDED}, base_dir, filename="queue.db")
    kind = str(resolved.pop("type", None) or resolved.get("@class"))
    resolved.pop("@class", None)
    resolved.pop("@version", None)
    if str(resolved.get("@module", "")).startswith("maggma."):
        resolved.pop("@module")
    return QueueSpec(kind=kind, options=resolved, **collections)
