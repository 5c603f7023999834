"""How much is logged. Standard library only."""

from __future__ import annotations

import logging
from enum import StrEnum


class LogLevel(StrEnum):
    """Least serious message that is still shown."""

    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"

    def to_logging(self) -> int:
        """The level as the ``logging`` module counts it."""
        return _LEVELS[self]


_LEVELS = {
    LogLevel.ERROR: logging.ERROR,
    LogLevel.WARN: logging.WARNING,
    LogLevel.INFO: logging.INFO,
    LogLevel.DEBUG: logging.DEBUG,
}
