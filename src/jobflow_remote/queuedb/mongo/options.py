"""What a maggma ``MongoStore`` or ``MongoURIStore`` description says about the server, for pymongo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.errors import ConfigError

_SERVER = (
    "uri", "database", "collection_name", "host", "port", "username", "password", "auth_source",
    "mongoclient_kwargs", "ssh_tunnel",
)  # fmt: skip
_OF_STORES = (
    "safe_update", "default_sort", "key", "last_updated_field", "last_updated_type", "validator", "lu_type",
    "lu_field", "kwargs",
)  # fmt: skip
"""Known to maggma, and without a meaning for a queue database."""
_DEFAULTS = {
    "serverSelectionTimeoutMS": 10_000,
    "connectTimeoutMS": 10_000,
    "socketTimeoutMS": 60_000,
    "appname": "jobflow-remote",
}


@dataclass(frozen=True, slots=True)
class Names:
    """Names of the database and of its collections."""

    database: str
    jobs: str = "jobs"
    flows: str = "flows"
    auxiliary: str = "jf_auxiliary"
    batches: str = "batches"

    @property
    def intents(self) -> str:
        """Collection of the changes that are under way (our own)."""
        return f"{self.auxiliary}_intents"


@dataclass(frozen=True, slots=True)
class Server:
    """How the server is reached; not shown, for it may hold a password."""

    names: Names
    uri: str | None = None
    host: str = "localhost"
    port: int = 27017
    credentials: Mapping[str, Any] = field(default_factory=dict, repr=False)
    client_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ssh_tunnel: Mapping[str, Any] | None = field(default=None, repr=False)

    def describe(self) -> str:
        """Where it is, without secrets."""
        where = (
            self.uri.rpartition("@")[2].removeprefix("mongodb://") if self.uri else f"{self.host}:{self.port}"
        )
        where = where.removeprefix("mongodb+srv://").split("?")[0].split("/")[0]
        return f"MongoDB {where}, database {self.names.database}"


def parse_spec(spec: QueueSpec) -> Server:
    """The server of a queue database's description.

    Raises
    ------
    ConfigError
        If a key is unknown, or what must be there is missing.
    """
    options = {key: value for key, value in spec.options.items() if not key.startswith("@")}
    unknown = sorted(set(options) - set(_SERVER) - set(_OF_STORES))
    if unknown:
        raise ConfigError(
            f"queue.store does not know {', '.join(unknown)}", hint=f"it knows type, {', '.join(_SERVER)}"
        )
    uri = options.get("uri") or None
    if spec.kind == "MongoURIStore" and not uri:
        raise ConfigError(
            "queue.store.uri is missing: it names the server, for example mongodb://host/database"
        )
    database = options.get("database") or (_database_of(uri) if uri else None)
    if not database:
        raise ConfigError("queue.store.database is missing: it names the database on the server")
    names = Names(
        database=str(database),
        jobs=str(options.get("collection_name") or "jobs"),
        flows=spec.flows_collection,
        auxiliary=spec.auxiliary_collection,
        batches=spec.batches_collection,
    )
    if len({names.jobs, names.flows, names.auxiliary, names.batches}) < 4:
        raise ConfigError("the collections of jobs, flows, batches and auxiliary documents must differ")
    return Server(
        names=names,
        uri=uri,
        host=str(options.get("host") or "localhost"),
        port=int(options.get("port") or 27017),
        credentials=_credentials(options),
        client_options={**_DEFAULTS, **(options.get("mongoclient_kwargs") or {})},
        ssh_tunnel=options.get("ssh_tunnel"),
    )


def _database_of(uri: str) -> str | None:
    return uri.partition("://")[2].partition("/")[2].split("?")[0] or None


def _credentials(options: Mapping[str, Any]) -> dict[str, Any]:
    if not options.get("username"):
        return {}
    found = {"username": options["username"], "password": options.get("password") or ""}
    source = options.get("auth_source") or options.get("database")
    return {**found, "authSource": source} if source else found
