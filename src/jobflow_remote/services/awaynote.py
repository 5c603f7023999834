"""A note beside the daemon that says that the queue database is away, for whoever cannot ask the database.

Written by the processes of a runner, read by ``jf runner status``. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_FILENAME = "database_away.json"


@dataclass(frozen=True, slots=True)
class Away:
    """Since when a database has not answered (UTC), and what was the matter."""

    since: datetime
    why: str

    def describe(self) -> str:
        """One line for people."""
        return f"the queue database is away since {self.since:%Y-%m-%d %H:%M:%S} UTC: {self.why}"


def write_note(daemon_dir: str | Path, away: Away) -> None:
    """Leave the note, unless there is an earlier one; a folder that cannot be written to costs the note only."""
    if read_note(daemon_dir) is not None:
        return
    path = Path(daemon_dir) / _FILENAME
    draft = path.with_name(f"{_FILENAME}.{os.getpid()}")
    with contextlib.suppress(OSError):
        draft.write_text(json.dumps({"since": away.since.isoformat(), "why": away.why}), encoding="utf-8")
        draft.replace(path)


def read_note(daemon_dir: str | Path) -> Away | None:
    """The note, if there is one."""
    try:
        content = json.loads((Path(daemon_dir) / _FILENAME).read_text(encoding="utf-8"))
        return Away(datetime.fromisoformat(content["since"]), str(content["why"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_note(daemon_dir: str | Path) -> None:
    """The database has answered."""
    with contextlib.suppress(OSError):
        (Path(daemon_dir) / _FILENAME).unlink(missing_ok=True)
