"""How much is logged. Standard library only."""

from __future__ import annotations

from enum import StrEnum


class LogLevel(StrEnum):
    """Least serious message that is still shown."""

    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"

    def to_logging(self) -> int:
        """The level as the ``logging`` module counts it."""
        import logging  # not needed to read the settings, and not free

        return {
            "error": logging.ERROR,
            "warn": logging.WARNING,
            "info": logging.INFO,
            "debug": logging.DEBUG,
        }[self]
