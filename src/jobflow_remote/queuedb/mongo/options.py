"""What a maggma ``MongoStore`` or ``MongoURIStore`` description says about the server, for pymongo.

The descriptions of queue databases and of output stores are the same; both are read here, so that both can share a
client.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from jobflow_remote.config.queuespec import QueueSpec
from jobflow_remote.config.redact import HIDDEN, is_secret
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
DEFAULTS: Mapping[str, Any] = {
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 60_000,
    "appname": "jobflow-remote",
}
"""What the driver would wait for half a minute, people should hear after a few seconds; the runner tries again."""
FILE_OPTIONS = ("tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile")
_WITHOUT_PASSWORD = ("MONGODB-X509", "MONGODB-AWS", "GSSAPI", "MONGODB-OIDC")
"""Mechanisms whose logins are kept in ``$external``, and which may do without a password."""
_URI = re.compile(r"mongodb(\+srv)?://")


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
    uri: str | None = field(default=None, repr=False)
    host: str | tuple[str, ...] = "localhost"
    port: int = 27017
    credentials: Mapping[str, Any] = field(default_factory=dict, repr=False)
    client_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ssh_tunnel: Mapping[str, Any] | None = field(default=None, repr=False)

    def describe(self) -> str:
        """Where it is, without secrets."""
        return f"MongoDB {self.address}, database {self.names.database}"

    @property
    def address(self) -> str:
        """Hosts and ports, without secrets."""
        if self.uri:
            return _URI.sub("", self.uri).rpartition("@")[2].split("?")[0].split("/")[0]
        hosts = (self.host,) if isinstance(self.host, str) else self.host
        where = ",".join(host if ":" in host else f"{host}:{self.port}" for host in hosts)
        if self.ssh_tunnel is not None:
            far, near = self.ssh_tunnel["remote_server_address"], self.ssh_tunnel["tunnel_server_address"]
            return f"{far} through {near}"
        return where

    def option(self, name: str) -> Any:
        """An option of the driver, as written in ``mongoclient_kwargs`` or the URI; None: not given."""
        for key, value in self.client_options.items():
            if key.lower() == name.lower():
                return value
        return dict(_uri_options(self.uri)).get(name.lower())

    def key(self) -> str:
        """The same for all descriptions by which the same client would be made."""
        parts = (self.uri, self.host, self.port, self.credentials, self.client_options, self.ssh_tunnel)
        return repr([_sorted(part) for part in parts])

    def hide_secrets(self, text: str) -> str:
        """The text without passwords of this server."""
        for secret in sorted(set(self._secrets()), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text

    def _secrets(self) -> Iterator[str]:
        for options in (self.credentials, self.client_options, self.ssh_tunnel or {}):
            yield from _secrets_in(options)
        for key, value in _uri_options(self.uri):
            if is_secret(key):
                yield value
            elif key == "authmechanismproperties":  # NAME:value,NAME:value
                yield from (pair.partition(":")[2] for pair in value.split(",") if is_secret(pair))
        login = _URI.sub("", self.uri or "").rpartition("@")[0]
        password = login.partition(":")[2]
        if password:
            yield password
            yield unquote_plus(password)


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
    if spec.kind == "MongoURIStore" and not options.get("uri"):
        raise ConfigError(
            "queue.store.uri is missing: it names the server, for example mongodb://host/database"
        )
    found = parse_server(options, where="queue.store")
    names = Names(
        database=found.names.database,
        jobs=str(options.get("collection_name") or "jobs"),
        flows=spec.flows_collection,
        auxiliary=spec.auxiliary_collection,
        batches=spec.batches_collection,
    )
    if len({names.jobs, names.flows, names.auxiliary, names.batches}) < 4:
        raise ConfigError("the collections of jobs, flows, batches and auxiliary documents must differ")
    return Server(
        names, found.uri, found.host, found.port, found.credentials, found.client_options, found.ssh_tunnel
    )


def parse_server(options: Mapping[str, Any], *, where: str) -> Server:
    """How the server of a store is reached; ``where``: the place of the description, for messages."""
    host = options.get("host") or "localhost"
    uri = options.get("uri") or (host if isinstance(host, str) and _URI.match(host) else None)
    database = options.get("database") or (_database_of(uri) if uri else None)
    if not database:
        raise ConfigError(f"{where}.database is missing: it names the database on the server")
    given = dict(options.get("mongoclient_kwargs") or {})
    tunnel = _tunnel(options.get("ssh_tunnel"), f"{where}.ssh_tunnel")
    if tunnel is not None and uri:
        raise ConfigError(
            f"{where}.ssh_tunnel cannot be used with a URI",
            hint="describe the server by host, port, database, username and password",
        )
    client_options = {key: _expanded(key, value) for key, value in given.items()}
    present = {key.lower() for key in client_options} | {key for key, _ in _uri_options(uri)}
    defaults = {key: value for key, value in DEFAULTS.items() if key.lower() not in present}
    return Server(
        Names(str(database)),
        uri=uri,
        host=host if isinstance(host, str) else tuple(map(str, host)),
        port=_port(options.get("port"), where),
        credentials={} if "@" in (uri or "") else _credentials(options, str(database), client_options),
        client_options={**defaults, **client_options},
        ssh_tunnel=tunnel,
    )


def _port(value: Any, where: str) -> int:
    try:
        return int(value or 27017)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}.port is not a number: {value!r}") from None


def _database_of(uri: str) -> str | None:
    """The database that a URI names; a password may have a ``/`` in it."""
    return _URI.sub("", uri).rpartition("@")[2].partition("/")[2].split("?")[0] or None


def _uri_options(uri: str | None) -> Iterator[tuple[str, str]]:
    for pair in (uri or "").rpartition("@")[2].partition("?")[2].replace(";", "&").split("&"):
        key, equals, value = pair.partition("=")
        if equals:
            yield key.lower(), unquote_plus(value)


def _credentials(options: Mapping[str, Any], database: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Login for the driver; ``mongoclient_kwargs`` may say it better and has the last word."""
    if not options.get("username"):
        return {}
    found = {"username": str(options["username"])}
    external = str(given.get("authMechanism", "")).upper() in _WITHOUT_PASSWORD
    if options.get("password") or not external:
        found["password"] = str(options.get("password") or "")
    source = options.get("auth_source")
    if external:
        source = "$external" if source in (None, database) else source
    found["authSource"] = str(source or database)
    return found


def _expanded(key: str, value: Any) -> Any:
    is_file = key.lower() in {name.lower() for name in FILE_OPTIONS}
    return os.path.expanduser(value) if is_file and isinstance(value, str) else value


def _tunnel(description: Any, where: str) -> dict[str, Any] | None:
    """A tunnel as a dictionary; it may be described by one, or be an object of maggma."""
    if description is None:
        return None
    if not isinstance(description, Mapping):
        description = {name: getattr(description, name, None) for name in _TUNNEL}
    found = {name: description.get(name) for name in _TUNNEL}
    for name in _TUNNEL[:2]:
        if not found[name]:
            raise ConfigError(f"{where}.{name} is missing", hint="it is written as host:port")
    return {name: value for name, value in found.items() if value is not None}


_TUNNEL = (
    "tunnel_server_address", "remote_server_address", "local_port", "username", "password", "private_key",
)  # fmt: skip


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted((str(key), _sorted(item)) for key, item in value.items())
    return value


def _secrets_in(options: Mapping[str, Any]) -> Iterable[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets_in(value)
        elif is_secret(key) and value:
            yield str(value)
