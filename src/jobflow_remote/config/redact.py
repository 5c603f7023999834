"""Configuration that may be shown: without passwords. Standard library only."""

from __future__ import annotations

from typing import Any

HIDDEN = "********"
_SECRET_WORDS = ("password", "passphrase", "passwd", "secret", "token", "api_key", "access_key")


def is_secret(key: str) -> bool:
    """Whether the value under this key is nobody else's business."""
    lowered = key.lower()
    return any(word in lowered for word in _SECRET_WORDS)


def redact(value: Any, key: str = "") -> Any:
    """A copy in which passwords and the like are hidden, at any depth, also within the URI of a database."""
    if isinstance(value, dict):
        return {name: redact(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item, key) for item in value]
    if value is not None and is_secret(key):
        return HIDDEN
    return _redact_uri(value) if isinstance(value, str) and "://" in value else value


def _redact_uri(uri: str) -> str:
    """A URI without login, and without what its options say that is nobody else's business."""
    scheme, rest = uri.split("://", 1)
    login, at, rest = rest.rpartition("@")
    where, mark, options = rest.partition("?")
    pairs = [pair.partition("=") for pair in options.split("&")]
    shown = "&".join(
        f"{key}={HIDDEN}" if equals and _is_private(key, item) else f"{key}{equals}{item}"
        for key, equals, item in pairs
    )
    return f"{scheme}://{HIDDEN if at else login}{at}{where}{mark}{shown}"


def _is_private(key: str, value: str) -> bool:
    return is_secret(key) or (key.lower() == "authmechanismproperties" and is_secret(value))
