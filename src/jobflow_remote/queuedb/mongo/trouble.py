"""What errors of the driver and of the server mean to people: who does not answer, why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pymongo import errors

from jobflow_remote.errors import (
    ConfigError,
    JobflowRemoteError,
    QueueDatabaseAwayError,
    QueueDatabaseError,
)
from jobflow_remote.queuedb.mongo.options import Server

_LOGIN = frozenset({13, 18, 8000})
"""Unauthorized, AuthenticationFailed, and what Atlas says."""
_AWAY = frozenset({
    6, 7, 50, 64, 89, 91, 133, 134, 189, 202, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436, 14031,
})  # fmt: skip
"""Codes of a server that shuts down, is no longer primary, cannot reach its majority or has no room on its disk."""
_TOO_LONG = 290
"""A transaction took longer than the server permits."""
_CONNECTION = (
    errors.ConnectionFailure,
    errors.WTimeoutError,
    errors.ExecutionTimeout,
    errors.WaitQueueTimeoutError,
)
_TLS = re.compile(r"ssl|tls|certificate", re.IGNORECASE)
_NOISE = (
    (re.compile(r", (full error|Timeout|Topology Description):.*", re.DOTALL), ""),
    (re.compile(r" \(configured timeouts:[^)]*\)"), ""),
    (re.compile(r"\[Errno -?\d+\] "), ""),
    (re.compile(r" \(_ssl\.c:\d+\)"), ""),
)


def is_away(exc: BaseException) -> bool:
    """Whether the server may answer the same request later."""
    if not isinstance(exc, errors.PyMongoError):
        return False
    if isinstance(exc, _CONNECTION) or exc.has_error_label("TransientTransactionError"):
        return True
    return any(code in _AWAY for code in _codes(exc))


def is_login_refused(exc: BaseException) -> bool:
    """Whether the server does not let us in, or not do what was asked."""
    return isinstance(exc, errors.PyMongoError) and any(code in _LOGIN for code in _codes(exc))


def _codes(exc: errors.PyMongoError) -> Iterator[int]:
    """Codes of an error, also of those that a bulk write has met."""
    code = getattr(exc, "code", None)
    if code is not None:
        yield code
    details = getattr(exc, "details", None) or {}
    for name in ("writeErrors", "writeConcernErrors"):
        for error in details.get(name) or ():
            yield error.get("code", 0)


def translate(exc: Exception, server: Server, *, key: str = "queue.store") -> JobflowRemoteError:
    """An error of the driver or the server as one of ours, without secrets.

    Parameters
    ----------
    key
        Place of the server's description in the project file.
    """
    where, words = server.describe(), describe(exc, server)
    if is_login_refused(exc):  # no weather: waiting does not help, and nobody should wait for it unawares
        return QueueDatabaseError(
            f"{where} refused the login or what was asked: {words}",
            hint=f"check username, password and auth_source in {key}, and what the user may do",
        )
    if isinstance(exc, errors.ConfigurationError | errors.InvalidURI):
        return ConfigError(f"{key} cannot be used: {words}", hint="see the options of MongoStore")
    if is_away(exc):
        return QueueDatabaseAwayError(f"{where} does not answer: {words}", hint=_hint(words, server, key))
    limit = "raise transactionLifetimeLimitSeconds of the server"
    hint = limit if getattr(exc, "code", None) == _TOO_LONG else None
    return QueueDatabaseError(f"{where} refused a statement: {words}", hint=hint)


def describe(exc: BaseException, server: Server) -> str:
    """The words of an error, as short as they can be and without secrets."""
    words = str(exc)
    for pattern, replacement in _NOISE:
        words = pattern.sub(replacement, words)
    words = words.removeprefix(f"{server.address}: ").strip()
    if isinstance(exc, errors.ServerSelectionTimeoutError) and "replica set members match" in words:
        words = "none of the servers of the replica set is its primary"
    if words == "No servers found yet":
        words = "no answer within the time limit"
    return server.hide_secrets(words or type(exc).__name__)


def _hint(words: str, server: Server, key: str) -> str:
    authority, own = server.option("tlsCAFile"), server.option("tlsCertificateKeyFile")
    if "certificate verify failed" in words:
        if "mismatch" in words or "doesn't match" in words:
            return f"the server's certificate is for another host name than {server.address}: correct {key}"
        signed = f"tlsCAFile ({authority})" if authority else "the authorities that this machine trusts"
        return f"the server's certificate is not signed by {signed}: correct mongoclient_kwargs of {key}"
    given = f"tlsCAFile {authority or 'not given'}, tlsCertificateKeyFile {own or 'not given'}"
    if _TLS.search(words):
        return f"the server and we do not agree on TLS ({given}): see mongoclient_kwargs of {key}"
    if "closed" in words and _uses_tls(server) and not own:
        return f"does the server run, and does it want a certificate of ours? TLS: {given}; see {key}"
    if server.ssh_tunnel is not None:
        gate = server.ssh_tunnel["tunnel_server_address"]
        return f"does the SSH login {gate} answer, and does the server beyond it run? see ssh_tunnel of {key}"
    if "connection closed" in words and not _uses_tls(server):
        return f"is it a MongoDB server? It may want TLS: set tls: true in mongoclient_kwargs of {key}"
    return f"is the server running, and can this machine reach it? {key} of the project file names it"


def _uses_tls(server: Server) -> bool:
    named = (server.option(name) for name in ("tls", "ssl", "tlsCAFile"))
    return any(value not in (None, False, "false") for value in named) or "+srv" in str(server.uri)
