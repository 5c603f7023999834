"""The store that a job writes its output to: documents in memory, and one JSON file at the end."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from maggma.core import Store

from jobflow_remote import layout
from jobflow_remote.errors import CapabilityMissingError
from jobflow_remote.execution import plainjson

Document = dict[str, Any]


def _refuse(what: str) -> CapabilityMissingError:
    return CapabilityMissingError(
        f"the store of a compute node cannot {what}: it holds the running job's own output and nothing else",
        hint="Pass what the job needs as an argument (a reference to another job's output).",
    )


class FileStore(Store):  # type: ignore[misc]  # maggma has no types
    """Documents of one job on their way to the runner.

    Criteria are compared for equality (``$in`` too), which is what jobflow asks of the store of a running
    job.
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        self.path = str(path)
        self.options = options
        self.documents: list[Document] = []
        super().__init__(**options)

    @property
    def name(self) -> str:
        """Where the documents will be."""
        return f"file://{self.path}"

    @property
    def _collection(self) -> Any:
        raise _refuse("give a collection")

    def connect(self, force_reset: bool = False) -> None:
        """Nothing to connect to."""

    def close(self) -> None:
        """Nothing to close; :meth:`write` is a step of its own, because the order of the files matters."""

    def write(self) -> None:
        """Write the file, whole or not at all."""
        plainjson.write_file(Path(self.path), plainjson.encode(self.documents))

    def count(self, criteria: Document | None = None) -> int:
        """Number of documents that match."""
        return sum(1 for _ in self.query(criteria))

    def query(
        self,
        criteria: Document | None = None,
        properties: Document | list[str] | None = None,
        sort: dict[str, Any] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[Document]:
        """Documents that match, whole (``properties`` only say what is needed at least)."""
        found = [document for document in self.documents if _matches(document, criteria or {})]
        for field, order in reversed((sort or {}).items()):
            found.sort(key=itemgetter(field), reverse=getattr(order, "value", order) < 0)
        yield from found[skip : skip + limit] if limit else found[skip:]

    def update(self, docs: list[Document] | Document, key: list[str] | str | None = None) -> None:
        """Insert, or replace what has the same key."""
        keys = [self.key] if key is None else [key] if isinstance(key, str) else key
        for new in docs if isinstance(docs, list) else [docs]:
            same = {field: new[field] for field in keys}
            self.documents = [old for old in self.documents if not _matches(old, same)] + [new]

    def remove_docs(self, criteria: Document) -> None:
        """Forget documents."""
        self.documents = [document for document in self.documents if not _matches(document, criteria)]

    def ensure_index(self, key: str, unique: bool = False) -> bool:
        """There are no indexes."""
        return False

    def groupby(self, *_: Any, **__: Any) -> Iterator[tuple[Document, list[Document]]]:
        """Not for compute nodes."""
        raise _refuse("group documents")


def _matches(document: Document, criteria: Document) -> bool:
    for field, wanted in criteria.items():
        value = document.get(field)
        if isinstance(wanted, dict):
            if set(wanted) != {"$in"}:
                raise _refuse(f"answer the query {criteria}")
            if value not in wanted["$in"]:
                return False
        elif value != wanted:
            return False
    return True


def make_file_jobstore(folder: Path, store_names: list[str]) -> Any:
    """A jobflow JobStore whose documents end up in files of ``folder``."""
    from jobflow import JobStore

    return JobStore(
        FileStore(folder / layout.store_filename()),
        additional_stores={name: FileStore(folder / layout.store_filename(name)) for name in store_names},
    )


def write_file_jobstore(jobstore: Any) -> None:
    """Write the files of :func:`make_file_jobstore`: blobs first, and only where there are any."""
    for store in jobstore.additional_stores.values():
        if store.documents:
            store.write()
    jobstore.docs_store.write()
