"""Log files of the runner: one per process, since several processes cannot share one that is rotated."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

_MAX_BYTES, _BACKUPS = 5_000_000, 5


def start_logging(log_dir: Path, *, name: str, level: int, runner_id: str, to_terminal: bool) -> Path:
    """Write to ``<log_dir>/<name>.log`` (5 MB, 5 older ones kept) and, if wanted, to the terminal; returns the path."""
    log_dir.mkdir(parents=True, exist_ok=True)
    path = log_dir / f"{name}.log"
    layout = logging.Formatter(f"%(asctime)s [%(levelname)s] ID {runner_id} %(name)s: %(message)s")
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(
            path, maxBytes=_MAX_BYTES, backupCount=_BACKUPS, encoding="utf-8"
        )
    ]
    if to_terminal:
        handlers.append(logging.StreamHandler(sys.stderr))
    logger = logging.getLogger("jobflow_remote")
    logger.handlers.clear()
    logger.propagate = False
    logger.setLevel(level)
    for handler in handlers:
        handler.setFormatter(layout)
        logger.addHandler(handler)
    return path


def set_level(level: int) -> None:
    """Log more, or less, from now on."""
    logging.getLogger("jobflow_remote").setLevel(level)
