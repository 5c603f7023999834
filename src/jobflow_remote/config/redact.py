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
    if isinstance(value, str) and "://" in value and "@" in value:
        scheme, rest = value.split("://", 1)
        return f"{scheme}://{HIDDEN}@{rest.rsplit('@', 1)[1]}"
    return value
