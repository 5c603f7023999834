"""The user's JobStore, as the runner and people use it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobflow_remote.config.redact import redact
from jobflow_remote.errors import (
    ConfigError,
    JobflowRemoteError,
    NotFoundError,
    OutputStoreAwayError,
    OutputStoreError,
    QueueDatabaseAwayError,
)
from jobflow_remote.execution.jobfields import stores_used
from jobflow_remote.model.records import Document
from jobflow_remote.outputs import additional, mongostores

if TYPE_CHECKING:
    from jobflow import JobStore
    from maggma.core import Store

Blobs = Mapping[str, Sequence[Document]]
"""Blob documents by the name of the additional store that they belong to."""

_AWAY = frozenset({
    # botocore, urllib3, azure
    "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "HTTPClientError", "ServiceRequestError",
    # paramiko, as maggma's own tunnel uses it
    "SSHException",
})  # fmt: skip
"""Names of exceptions of clients that need not be installed, which say that a server does not answer."""
_AT_ONCE = 200
"""Number of jobs that one query names."""


def jobstore_from_spec(spec: Mapping[str, Any]) -> JobStore:
    """The jobflow JobStore that a project describes, not connected yet.

    Parameters
    ----------
    spec
        In the form of monty (``@module``, ``@class``) or that of jobflow (``docs_store`` and
        ``additional_stores`` by ``type``).

    Raises
    ------
    ConfigError
        If it cannot be made from the description.
    """
    from jobflow import JobStore
    from monty.json import MontyDecoder

    # jobflow finds classes of stores by name among those imported.
    import jobflow_remote.outputs.sqlitestore  # noqa: F401

    try:
        made = (
            MontyDecoder().process_decoded(dict(spec))
            if "@class" in spec
            else JobStore.from_dict_spec(_with_tunnels(spec))
        )
    except KeyError as error:
        raise ConfigError(f"the jobstore has a type that no installed package defines: {error}") from error
    except Exception as error:
        raise ConfigError(f"the jobstore cannot be made from its description: {error}") from error
    if isinstance(made, JobStore):
        return made
    raise ConfigError(
        f"the jobstore is described as a {spec.get('@class')}, which is not a JobStore or not installed",
        hint="Describe it by docs_store (and additional_stores), each with a type.",
    )


def store_from_spec(spec: Mapping[str, Any]) -> Store:
    """The maggma store that a description (with its ``type``, or serialised) stands for, not connected.

    Raises
    ------
    ConfigError
        If it cannot be made from the description.
    """
    return jobstore_from_spec({"docs_store": dict(spec)}).docs_store if "type" in spec else _decoded(spec)


def _decoded(spec: Mapping[str, Any]) -> Store:
    from maggma.core import Store
    from monty.json import MontyDecoder

    made = MontyDecoder().process_decoded(dict(spec))
    if not isinstance(made, Store):
        raise ConfigError(f"a {spec.get('@class')} is no maggma store, or not installed")
    return made


def _with_tunnels(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The description with SSH tunnels in the form that jobflow expects, however they are written."""
    adapted = dict(spec)
    for key, value in spec.items():
        if key == "ssh_tunnel" and isinstance(value, Mapping):
            plain = {name: item for name, item in value.items() if not name.startswith("@")}
            adapted[key] = {"type": "SSHTunnel", **plain}
        elif isinstance(value, Mapping) and key != "mongoclient_kwargs":
            adapted[key] = _with_tunnels(value)
    return adapted


class OutputStore:
    """An output store that is opened when it is first used, and kept open.

    To be used from one thread at a time.
    """

    def __init__(self, jobstore: JobStore) -> None:
        self._jobstore = jobstore
        self._connected = False
        self._read_once = additional.stores_read_once(jobstore)
        self._opening = threading.Lock()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> OutputStore:
        """The store that a project describes (see :func:`jobstore_from_spec`).

        Raises
        ------
        ConfigError
            If it cannot be made, or keeps outputs in the memory of one process.
        """
        jobstore = jobstore_from_spec(spec)
        additional.refuse_memory(jobstore)
        return cls(jobstore)

    @property
    def jobstore(self) -> JobStore:
        """The jobflow JobStore, connected."""
        with self._opening:
            if not self._connected:
                with self._translated():
                    mongostores.connect(self._jobstore)
                self._connected = True
            elif self._read_once:
                with self._translated("reading its files again"):
                    for store in self._read_once:
                        store.connect(force_reset=True)
        return self._jobstore

    @property
    def store_names(self) -> list[str]:
        """Names of the additional stores."""
        return list(self._jobstore.additional_stores)

    def close(self) -> None:
        """Close connections; the next use opens them again."""
        with self._opening:
            if self._connected:
                self._connected = False
                self._jobstore.close()

    def describe(self) -> str:
        """Where the outputs are, for messages."""
        server = mongostores.server_of(self._jobstore.docs_store, "jobstore.docs_store")
        if server is not None:
            return f"{server.describe()}, collection {self._jobstore.docs_store.collection_name}"
        return str(redact(str(self._jobstore.docs_store.name)))

    def missing_stores(self, job: Mapping[str, Any]) -> list[str]:
        """Additional stores that a serialised job puts results in and that are not defined."""
        return sorted(stores_used(job) - set(self.store_names))

    # -- what jobs leave -----------------------------------------------------------------------------------

    def store_output(self, document: Document, blobs: Blobs, *, db_id: str) -> None:
        """Store a job's output, in place of what is stored for its uuid and index.

        Blobs come first, so that an output document never refers to what is not there. May be repeated.

        Raises
        ------
        ConfigError
            If an additional store is not defined.
        OutputStoreAwayError, OutputStoreError
            If the store does not answer, or refuses.
        """
        self.store_outputs([(document, blobs, db_id)])

    def store_outputs(self, outputs: Sequence[tuple[Document, Blobs, str]]) -> None:
        """Store the outputs of several jobs (document, blobs, ``db_id``) as :meth:`store_output` does, in one go.

        If it raises, some may be stored and others not.
        """
        stored, found_blobs = [], dict[str, list[Document]]()
        for document, blobs, db_id in outputs:
            self._refuse_unknown(blobs)
            metadata = {"db_id": db_id, **(document.get("metadata") or {})}
            stored.append({**_without_id(document), "metadata": metadata})
            for name, found in blobs.items():
                found_blobs.setdefault(name, []).extend(map(_without_id, found))
        if not stored:
            return
        jobstore = self.jobstore
        what = f"job {stored[0].get('uuid')}" if len(stored) == 1 else f"{len(stored)} jobs"
        with self._translated(f"storing the output of {what}"):
            for name, several in found_blobs.items():
                if several:
                    jobstore.additional_stores[name].update(several, key="blob_uuid")
            jobstore.docs_store.update(stored, key=["uuid", "index"])

    def remove_outputs(self, keys: Sequence[tuple[str, int]]) -> None:
        """Remove the outputs of jobs (uuid and index) and their blobs; what is not there is not missed."""
        jobstore = self.jobstore
        with self._translated("removing outputs"):
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                of_jobs = {"$or": [{"uuid": uuid, "index": index} for uuid, index in part]}
                # blobs first: who is interrupted and begins again finds them by the outputs
                if jobstore.additional_stores:
                    outputs = jobstore.docs_store.query(of_jobs, properties=["output"])
                    blobs = additional.blobs_by_store(found.get("output") for found in outputs)
                    for name, store in jobstore.additional_stores.items():
                        additional.remove_blobs(store, part, blobs.get(name, []))
                jobstore.docs_store.remove_docs(of_jobs)

    # -- what people and jobs read -------------------------------------------------------------------------

    def get_output(self, uuid: str, index: int | None = None, load: bool = False) -> Any:
        """Output of a job (of its highest index without ``index``), with the outputs that it refers to.

        Parameters
        ----------
        load
            Whether to fetch what is in additional stores; else its place is held by its ``blob_uuid``.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        jobstore = self.jobstore
        with self._translated(f"reading the output of job {uuid}"):
            if (
                jobstore.docs_store.count({"uuid": uuid} if index is None else {"uuid": uuid, "index": index})
                == 0
            ):
                which = "" if index is None else f" (index {index})"
                raise NotFoundError(
                    f"{self.describe()} has no output of job {uuid}{which}",
                    hint="The job may not be COMPLETED.",
                )
            return jobstore.get_output(uuid, which="last" if index is None else index, load=load)

    def read_latest(self, uuids: Sequence[str]) -> dict[str, Any]:
        """Output of the highest index for each uuid that has one, as stored."""
        newest: dict[str, tuple[int, Any]] = {}
        jobstore = self.jobstore
        with self._translated("reading outputs"):
            for start in range(0, len(uuids), _AT_ONCE):
                wanted = {"uuid": {"$in": list(uuids[start : start + _AT_ONCE])}}
                for found in jobstore.docs_store.query(wanted, properties=["uuid", "index", "output"]):
                    if found["uuid"] not in newest or newest[found["uuid"]][0] < found["index"]:
                        newest[found["uuid"]] = (found["index"], found.get("output"))
        return {uuid: output for uuid, (_, output) in newest.items()}

    def read_blobs(self, store_name: str, blob_uuids: Sequence[str]) -> dict[str, Any]:
        """Data by blob uuid, from one additional store."""
        self._refuse_unknown([store_name])
        store = self.jobstore.additional_stores[store_name]
        with self._translated(f"reading from the additional store {store_name}"):
            found = store.query({"blob_uuid": {"$in": list(blob_uuids)}}, properties=["blob_uuid", "data"])
            return {blob["blob_uuid"]: blob["data"] for blob in found}

    # -- errors --------------------------------------------------------------------------------------------

    def _refuse_unknown(self, names: Sequence[str] | Blobs) -> None:
        unknown = sorted(set(names) - set(self.store_names))
        if unknown:
            raise ConfigError(
                f"the output store has no additional store {', '.join(unknown)} "
                f"(defined: {', '.join(self.store_names) or 'none'})",
                hint="Add it under additional_stores of the project's jobstore.",
            )

    @contextmanager
    def _translated(self, doing: str = "connecting") -> Iterator[None]:
        try:
            yield
        except QueueDatabaseAwayError as error:  # from a tunnel that both may share
            raise OutputStoreAwayError(error.message, hint=error.hint) from error
        except JobflowRemoteError:
            raise
        except Exception as error:
            kind = OutputStoreAwayError if _is_away(error) else OutputStoreError
            raise kind(f"output store {self.describe()}, {doing}: {self._words(error)}") from error

    def _words(self, error: Exception) -> str:
        """What went wrong, without secrets."""
        if _is_of_mongo(error):
            from jobflow_remote.queuedb.mongo import trouble

            stores = [self._jobstore.docs_store, *self._jobstore.additional_stores.values()]
            servers = [s for s in (mongostores.server_of(store, "jobstore") for store in stores) if s]
            words = trouble.describe(error, servers[0]) if servers else str(error)
            for server in servers:
                words = server.hide_secrets(words)
            return words
        return f"{type(error).__name__}: {error}"


def _without_id(document: Document) -> Document:
    return {key: value for key, value in document.items() if key != "_id"}


def _is_away(error: Exception) -> bool:
    """Whether the store may answer later: no connection, a locked file, a full disk."""
    import sqlite3

    if isinstance(
        error, sqlite3.OperationalError
    ):  # its plain kind says that the statement does not fit the file
        return error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR
    if isinstance(error, OSError):
        return True
    if _is_of_mongo(error):
        from jobflow_remote.queuedb.mongo import trouble

        return trouble.is_away(error) or trouble.is_login_refused(error)
    return any(cls.__name__ in _AWAY for cls in type(error).__mro__)


def _is_of_mongo(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] in ("pymongo", "gridfs")
